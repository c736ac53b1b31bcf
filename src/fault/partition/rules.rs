//! `cut: newConnections`: rules of the workers' security group are taken away, and put back as they were.

use super::{Addresses, Aim, Aiming, Between, Injected, Members, Progress};
use crate::model::{Effect, NetworkView, Object, ObjectsView, SecurityGroup, SecurityGroupRule, Undo, target::Peer};

pub fn aim(aiming: &Aiming<'_>, view: &NetworkView, peer: &Peer) -> Result<Aim, Aim> {
    let diff = between(view, peer).map_err(Aim::Never)?;
    // Tags of AWS's own can be set by nobody else: such a rule could not be put back as it was.
    let is_theirs = |rule: &&SecurityGroupRule| rule.tags.keys().any(|tag| tag.starts_with("aws:"));
    if let Some(rule) = diff.revoke.iter().find(is_theirs) {
        return Err(Aim::Never(format!("rule `{rule}` carries tags of AWS's own and could not be put back with them")));
    }
    let object = Object::SecurityGroup(view.workers.id.clone());
    let back = diff.undo();
    let change = |rules: Vec<SecurityGroupRule>, effect: fn(Vec<SecurityGroupRule>) -> Effect| {
        (!rules.is_empty()).then(|| effect(rules))
    };
    let authorize = |rules| Effect::AuthorizeRules { rules };
    let revoke = |rules| Effect::RevokeRules { rules };
    let undo: Vec<Effect> = [change(back.authorize, authorize), change(back.revoke, revoke)]
        .into_iter()
        .flatten()
        .chain([Effect::Unmark { object: object.clone() }])
        .collect();
    let tags = aiming.mark(&undo)?;
    // Who may add and not take away could not even take back what he has added.
    let rehearse = Effect::RehearseRules {
        authorize: [&diff.authorize[..], &diff.revoke].concat(),
        revoke: [&diff.revoke[..], &diff.authorize].concat(),
    };
    let inject =
        [Some(rehearse), Some(Effect::Mark { object: object.clone(), tags }), change(diff.authorize, authorize)];
    Ok(Aim::Ready {
        targets: vec![],
        objects: vec![object],
        inject: inject.into_iter().chain([change(diff.revoke, revoke)]).flatten().collect(),
        undo: Undo { effects: undo, steady: None },
    })
}

/// What to change, or the reason why it cannot be made.
pub fn between(view: &NetworkView, peer: &Peer) -> Result<super::RuleDiff, String> {
    let members: Members =
        view.carriers.iter().map(|(group, interfaces)| (group.clone(), Addresses::of(interfaces))).collect();
    let between = Between {
        workers: &view.workers.id,
        rules: &view.rules,
        peer: &view.peer,
        port: peer.port,
        members: &members,
        own: view.own.as_ref(),
    };
    between.cut().map_err(|refusal| refusal.reason)
}

pub fn progress(injected: &Injected<'_>, view: &ObjectsView) -> Progress {
    let is_ours = |group: &&SecurityGroup| injected.objects.contains(&Object::SecurityGroup(group.id.clone()));
    let Some(group) = view.groups.iter().find(is_ours) else { return Progress::Gone };
    let (originals, pieces) = recorded(injected);
    let found = |rule: &SecurityGroupRule| view.rules.iter().find(|one| one.same_rule(rule));
    let both = || originals.iter().chain(&pieces);
    // Only what is as we know it is ours to take away or to leave.
    for rule in both() {
        if let Some(other) = found(rule).filter(|other| !is_as_recorded(rule, other)) {
            return Progress::Foreign(format!(
                "rule `{rule}` of {} was changed by somebody else: {}, and it was {}",
                rule.group,
                described(other),
                described(rule)
            ));
        }
    }
    let all_there = |rules: &[&SecurityGroupRule]| rules.iter().all(|rule| found(rule).is_some());
    let none_there = |rules: &[&SecurityGroupRule]| rules.iter().all(|rule| found(rule).is_none());
    let marked = injected.has_marked(&group.tags);
    if all_there(&originals) && none_there(&pieces) {
        if marked { Progress::Marked } else { Progress::Intact }
    } else if none_there(&originals) && all_there(&pieces) && marked {
        Progress::Broken
    } else {
        Progress::NotYet
    }
}

/// The rules as they were, and what is left of them meanwhile.
fn recorded<'a>(injected: &'a Injected<'_>) -> (Vec<&'a SecurityGroupRule>, Vec<&'a SecurityGroupRule>) {
    let (mut originals, mut pieces) = (vec![], vec![]);
    for effect in &injected.undo.effects {
        if let Effect::AuthorizeRules { rules } = effect {
            originals.extend(rules);
        } else if let Effect::RevokeRules { rules } = effect {
            pieces.extend(rules);
        }
    }
    (originals, pieces)
}

fn is_as_recorded(rule: &SecurityGroupRule, found: &SecurityGroupRule) -> bool {
    rule.same_content(found) && rule.tags == found.tags
}

fn described(rule: &SecurityGroupRule) -> String {
    let tags: Vec<String> = rule.tags.iter().map(|(tag, value)| format!("{tag}={value}")).collect();
    let tags = if tags.is_empty() { String::new() } else { format!(" with the tags {}", tags.join(", ")) };
    match &rule.description {
        Some(text) => format!("\"{text}\"{tags}"),
        None => format!("without a description{tags}"),
    }
}
