//! Taking back what a fault left behind, by the mark on its object alone.

use crate::{
    fault::{Injected, Progress, partition},
    model::{Effect, Object, Outcome, Query, Seen, Target, Undo},
    world::{Leftover, World},
};

/// Takes one leftover back, effect by effect. What somebody else has changed meanwhile is not overwritten, and the mark
/// goes only when a look shows that nothing else of the fault is there.
///
/// # Errors
/// With the reason, when it was not taken back: the rest was not tried.
pub async fn take_back<W: World>(world: &W, target: &Target, leftover: &Leftover) -> Result<Vec<Effect>, String> {
    let effects = leftover.mark.undo.clone()?;
    if let Progress::Foreign(difference) = look(world, target, leftover, &effects).await? {
        return Err(difference);
    }
    let (unmark, back): (Vec<&Effect>, Vec<&Effect>) =
        effects.iter().partition(|effect| matches!(effect, Effect::Unmark { .. }));
    send(world, target, &back).await?;
    match look(world, target, leftover, &effects).await? {
        Progress::Foreign(difference) => return Err(difference),
        Progress::NotYet | Progress::Broken => return Err("it does not show yet that it is taken back".to_owned()),
        Progress::Unseen
        | Progress::Intact
        | Progress::Marked
        | Progress::Recovering
        | Progress::Steady
        | Progress::Gone => {}
    }
    send(world, target, &unmark).await?;
    Ok(effects)
}

async fn send<W: World>(world: &W, target: &Target, effects: &[&Effect]) -> Result<(), String> {
    for effect in effects {
        match world.act(target, effect).await.outcome {
            Outcome::Done(_) => {}
            Outcome::Refused { reason, .. } | Outcome::Unknown { reason } => return Err(reason),
        }
    }
    Ok(())
}

/// How far it is taken back. Queues, services and instances are changed by comparing first: they need no look.
async fn look<W: World>(
    world: &W,
    target: &Target,
    leftover: &Leftover,
    effects: &[Effect],
) -> Result<Progress, String> {
    match &leftover.object {
        Object::SecurityGroup(_) | Object::Subnet(_) => {}
        Object::NetworkAcl(_) | Object::Service(_) | Object::Instance(_) | Object::Queue(_) => {
            return Ok(Progress::Unseen);
        }
    }
    let objects = vec![leftover.object.clone()];
    let mut seen = world.look(target, &Query::Objects { objects: objects.clone() }).await;
    let undo = Undo { effects: effects.to_vec(), steady: None };
    let injected =
        Injected { fault: leftover.mark.fault.clone(), targets: &[], objects: &objects, undo: &undo, outcomes: &[] };
    match seen.objects.remove(&objects).map(|timed| timed.answer) {
        Some(Seen::Fresh(view)) => Ok(partition::progress_of(&injected, &view)),
        Some(Seen::Unavailable(why)) => Err(why.message),
        None => Err(format!("{} was not looked at", leftover.object)),
    }
}
