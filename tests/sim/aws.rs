//! AWS as the operator meets it: an effect on an object is one call or several, each with a fate of its own; a look shows
//! what was there a moment ago.

use std::{collections::BTreeMap, time::Duration};

use dagstorm::{
    decide::SEND_SLACK,
    model::{
        Copies, Effect, NetworkInterface, NetworkView, Object, ObjectsView, Outcome, PolicyView, Receipt, RulePeer,
        RunStatus, ServiceView, TaskArn, TaskView, Timestamp, mark, network::batches,
    },
    world::{Leftover, Leftovers},
};
use indexmap::IndexMap;

use crate::{
    clock::pause,
    core::Core,
    objects::{self, GROUP, PEER, QUEUE_URL, SERVICE, SERVICE_ARN},
    storm::Mishap,
    world::{Fate, SimWorld},
};

/// The longest that a call on an object is in flight: `AWS_SETTLE`, less what it may wait to be sent and what it then
/// takes to show.
const WINDOW: Duration = Duration::from_millis(12_400);
const TIMEOUT: Duration = Duration::from_secs(10);
/// All calls of one effect: as in `src/world/change.rs`.
const WITHIN: Duration = Duration::from_secs(12);
/// So much later a change may show.
pub const LATEST_SHOWN: Duration = Duration::from_millis(1_500);
/// What somebody else has done so lately may be overseen: the look behind an effect is up to 2 s old, and shows what was 1.5 s
/// before it; the last call of the effect comes up to 12 s later.
const OVERSEEN: Duration = Duration::from_millis(15_500);

impl SimWorld {
    /// An effect on an object, as the client carries it out: call after call, and no further than the first that fails.
    pub async fn change(&self, effect: &Effect) -> Outcome {
        let began = self.core.lock().unwrap().now;
        let is_copy = matches!(effect, Effect::CopyMessages { .. });
        let calls = match self.calls(effect) {
            Ok(calls) => calls,
            Err(outcome) => {
                let _ = is_copy.then(|| self.disk.note_copy(self.epoch, false));
                return outcome;
            }
        };
        for call in calls {
            if self.core.lock().unwrap().now.since(began) >= WITHIN {
                return self.unknown("no answer in time");
            }
            if let Some(failed) = self.call(&call, began).await {
                return failed;
            }
        }
        match effect {
            // Workers may have been faster than the copies.
            Effect::CopyMessages { count, .. } => {
                let messages = self.core.lock().unwrap().copies;
                let gone = u32::from(messages == 0);
                let received = messages + gone;
                Outcome::Done(Receipt::Copied(Copies { messages, wanted: *count, received, gone, ..Copies::default() }))
            }
            _ => Outcome::Done(Receipt::Changed),
        }
    }

    /// What the client sends, after a look of its own where it takes one; or its answer, where it sends nothing.
    fn calls(&self, effect: &Effect) -> Result<Vec<Effect>, Outcome> {
        let core = self.core.lock().unwrap();
        let things = core.objects.now();
        let changed = || Err(Outcome::Done(Receipt::Changed));
        let refused = |reason: &str, retry: bool| Err(Outcome::Refused { reason: reason.to_owned(), retry });
        match effect {
            // Where one of several is there already, each is sent on its own.
            Effect::AuthorizeRules { rules } => Ok(batches(rules)
                .into_iter()
                .flat_map(|batch| {
                    let is_there = batch.iter().any(|rule| things.rules.iter().any(|one| one.same_rule(rule)));
                    if is_there { batch.into_iter().map(|rule| vec![rule]).collect() } else { vec![batch] }
                })
                .map(|rules| Effect::AuthorizeRules { rules })
                .collect()),
            Effect::RevokeRules { rules } => Ok(batches(rules)
                .into_iter()
                .flat_map(|batch| {
                    let all = batch.iter().all(|rule| things.rules.iter().any(|one| one.same_rule(rule)));
                    if all { vec![batch] } else { batch.into_iter().map(|rule| vec![rule]).collect() }
                })
                .map(|rules| Effect::RevokeRules { rules })
                .collect()),
            Effect::SetDesiredCount { to, .. } if things.desired == *to => changed(),
            Effect::SetDesiredCount { from, .. } if things.desired == *from => Ok(vec![effect.clone()]),
            Effect::SetDesiredCount { to: 0, .. } => refused("somebody else changes it", false),
            Effect::SetDesiredCount { .. } => changed(),
            Effect::DenyQueue { .. } if things.denied => changed(),
            Effect::AllowQueue { .. } if !things.denied => changed(),
            Effect::CopyMessages { .. } if queued(&core) == 0 => refused("no message could be received", true),
            _ => Ok(vec![effect.clone()]),
        }
    }

    /// One call; `None`: it is done.
    async fn call(&self, call: &Effect, began: Timestamp) -> Option<Outcome> {
        let mut timeout = TIMEOUT;
        let (fate, travel, back) = {
            let mut core = self.core.lock().unwrap();
            self.check_silence(&mut core, "acts");
            check_edit(&mut core, self.epoch, call);
            let window = WINDOW.saturating_sub(core.now.since(began)).saturating_sub(core.stepped);
            let fate = self.fate(&mut core, call, window);
            let fate = if core.meddles_between(call) { Fate::RequestLost } else { fate };
            // All calls of an effect end within one time-out of their own.
            timeout = timeout.min(WITHIN.saturating_sub(core.now.since(began)));
            (fate, core.millis(1, 300), core.millis(1, 300))
        };
        let lands = match fate {
            Fate::Done | Fate::ReplyLost => Some(travel),
            Fate::Late(late) => Some(late),
            Fate::RequestLost | Fate::Refused | Fate::Rejected | Fate::NotLoaded => None,
        };
        let is_copy = matches!(call, Effect::CopyMessages { .. });
        let violation = is_copy.then(|| self.disk.note_copy(self.epoch, lands.is_some())).flatten();
        {
            let mut core = self.core.lock().unwrap();
            if let Some(delay) = lands {
                core.send(delay, call.clone());
            }
            if let Some(violation) = violation {
                core.violates(violation);
            }
        }
        let wait = match fate {
            Fate::Done => travel + back,
            Fate::RequestLost | Fate::ReplyLost | Fate::Late(_) => timeout,
            Fate::Refused | Fate::Rejected | Fate::NotLoaded => back,
        };
        pause(&self.core, wait).await;
        match fate {
            Fate::Done => None,
            Fate::RequestLost | Fate::ReplyLost | Fate::Late(_) => Some(self.unknown("timed out")),
            Fate::Refused => Some(Outcome::Refused { reason: "throttled".to_owned(), retry: true }),
            Fate::Rejected => Some(Outcome::Refused { reason: "access denied".to_owned(), retry: false }),
            Fate::NotLoaded => unreachable!("a location is no matter of AWS"),
        }
    }
}

/// Nothing of somebody else's is taken away, once it was to be seen, and never once it was seen.
fn check_edit(core: &mut Core, epoch: u64, call: &Effect) {
    let (Effect::RevokeRules { rules }, Some(edit)) = (call, &core.objects.edit) else { return };
    let is_there = core.objects.now().rules.iter().any(|rule| rule.same_content(&edit.theirs));
    let is_hit = is_there && rules.iter().any(|rule| rule.same_rule(&edit.theirs));
    let was_seen = core.shown.get(&epoch).is_some_and(|(shown_at, rules)| {
        core.now.since(*shown_at) > SEND_SLACK && rules.iter().any(|rule| rule.same_content(&edit.theirs))
    });
    if is_hit && (was_seen || core.now.since(edit.since) > OVERSEEN) {
        let what = format!("takes away what somebody else has changed: {}", edit.theirs);
        core.violates(what);
    }
}

/// Between question and answer, or a moment before: what each part of a look shows is of an instant of its own.
fn shown_at(core: &mut Core) -> Timestamp {
    let now = core.now;
    core.strikes(Mishap::Stale, 25).map_or(now, |mut dice| now.minus(dice.millis(0, LATEST_SHOWN.as_millis() as u64)))
}

pub fn network(core: &mut Core) -> NetworkView {
    let (tags_at, rules_at) = (shown_at(core), shown_at(core));
    let carriers: Vec<NetworkInterface> =
        core.tasks.keys().map(|task| objects::interface(task.id().parse().expect("ids are numbers"))).collect();
    NetworkView {
        workers: objects::group_view(core.objects.at(tags_at).group_tags.clone()),
        rules: core.objects.at(rules_at).rules.clone(),
        peer: RulePeer::Ipv4(PEER.parse().expect("a block")),
        own: None,
        tasks: carriers.iter().map(|one| one.id.clone()).collect(),
        carriers: BTreeMap::from([(GROUP.to_owned(), carriers)]),
        around: None,
    }
}

/// The group as an open fault looks at it.
pub fn named(core: &mut Core) -> ObjectsView {
    let (tags_at, rules_at) = (shown_at(core), shown_at(core));
    ObjectsView {
        groups: vec![objects::group_view(core.objects.at(tags_at).group_tags.clone())],
        rules: core.objects.at(rules_at).rules.clone(),
        ..ObjectsView::default()
    }
}

pub fn policy(core: &mut Core) -> PolicyView {
    let (tags_at, policy_at) = (shown_at(core), shown_at(core));
    PolicyView {
        url: QUEUE_URL.to_owned(),
        arn: "arn:aws:sqs:us-east-1:000000000000:tasks".to_owned(),
        denied: core.objects.at(policy_at).denied,
        unreadable: None,
        visible: queued(core),
        max_receives: None,
        tags: core.objects.at(tags_at).queue_tags.clone(),
    }
}

/// The service that may be drained.
pub fn support(core: &mut Core) -> ServiceView {
    let (at, tasks_at) = (shown_at(core), shown_at(core));
    let things = core.objects.at(at);
    let task = |number: u32| TaskView {
        arn: TaskArn(format!("arn:aws:ecs:us-east-1:000000000000:task/demo/{SERVICE}-{number}").into()),
        running: true,
        stopping: false,
        protected: false,
        own: false,
        created_at: None,
        tags: IndexMap::new(),
    };
    let running = core.objects.at(tasks_at).running;
    ServiceView {
        arn: SERVICE_ARN.to_owned(),
        tags: things.service_tags.clone(),
        desired: things.desired,
        running,
        tasks: (0..running).map(task).collect(),
        ..ServiceView::default()
    }
}

/// All that carries a mark.
pub fn leftovers(core: &Core) -> Leftovers {
    let things = core.objects.now();
    let marked = |object: Object| Some(Leftover { mark: mark::read(&object, things.tags(&object))?, object });
    Leftovers { found: objects::all().into_iter().filter_map(marked).collect(), unseen: vec![] }
}

fn queued(core: &Core) -> u64 {
    core.runs.values().filter(|run| run.status == RunStatus::Queued).count() as u64
}
