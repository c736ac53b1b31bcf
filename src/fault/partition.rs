//! `partition`: the workers cannot reach a peer. By security-group rules (`rules`, computed in `diff`) or by network ACL
//! (`acl`).

mod acl;
mod diff;
mod rules;

use std::fmt;

pub use diff::{Addresses, Between, Members, Refusal, RuleDiff};
pub use rules::between;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Aim, Aiming, Injected, Progress, fresh, guard, judged};
use crate::model::{NetworkView, Object, ObjectsView, Observation, Query, Target, Timestamp, target::Peer};

/// The workers cannot reach a peer for `for`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Partition {
    /// Who is cut off: `workers`, the security group of the target's `network.workers`.
    pub between: String,
    /// From whom: a name of the target's `network.peers`.
    pub and: String,
    /// How it is cut; `newConnections` by default.
    #[serde(default)]
    pub cut: Cut,
}

/// How a partition cuts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Cut {
    /// By security-group rules: no new connections. Tracked connections live on until their idle time-out.
    #[default]
    NewConnections,
    /// By network ACL: established connections are cut as well.
    Hard,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NewConnections => "newConnections",
            Self::Hard => "hard",
        })
    }
}

impl Partition {
    fn peer<'a>(&self, target: &'a Target) -> Option<&'a Peer> {
        target.network.as_ref()?.peers.get(&self.and)
    }

    fn key(&self) -> (String, bool) {
        (self.and.clone(), self.cut == Cut::Hard)
    }

    pub fn query(&self, target: &Target) -> Option<Query> {
        self.peer(target).map(|_| Query::Network { peer: self.and.clone(), hard: self.cut == Cut::Hard })
    }

    pub fn aim(&self, aiming: &Aiming<'_>) -> Result<Aim, Aim> {
        let Some(peer) = self.peer(aiming.target) else {
            return Err(Aim::Never(format!("the target names no peer `{}`", self.and)));
        };
        let what = format!("the network between the workers and {}", self.and);
        let view = fresh(aiming.observation.networks.get(&self.key()), aiming.not_before, &what)?;
        let guard = &aiming.target.guard;
        let group = format!("security group {}", view.workers.id);
        guard::permits_account(guard, Some(&view.workers.owner), &group)?;
        guard::permits_tags(guard, &view.workers.tags, &group)?;
        in_scope(view)?;
        match self.cut {
            Cut::NewConnections => {
                guard::is_free(&view.workers.tags, &aiming.fault, &group)?;
                rules::aim(aiming, view, peer)
            }
            Cut::Hard => acl::aim(aiming, view, peer),
        }
    }

    pub fn progress(&self, injected: &Injected<'_>, observation: &Observation, since: Timestamp) -> Progress {
        match judged(observation.objects.get(injected.objects), since) {
            Ok(view) => progress_of(injected, view),
            Err(progress) => progress,
        }
    }
}

/// Judges what a partition has changed: by the way back, whichever cut it was.
pub fn progress_of(injected: &Injected<'_>, view: &ObjectsView) -> Progress {
    match injected.objects.first() {
        Some(Object::SecurityGroup(_)) => rules::progress(injected, view),
        Some(
            Object::Subnet(_) | Object::NetworkAcl(_) | Object::Service(_) | Object::Instance(_) | Object::Queue(_),
        )
        | None => acl::progress(injected, view),
    }
}

/// A group's rules are everybody's who carries it: nobody but the tasks of the target's services may.
fn in_scope(view: &NetworkView) -> Result<(), Aim> {
    let carriers = view.carriers.get(&view.workers.id).map_or(&[][..], Vec::as_slice);
    if carriers.is_empty() {
        return Err(Aim::Wait(format!(
            "no interface carries security group {}: there is nobody to cut off",
            view.workers.id
        )));
    }
    match carriers.iter().find(|one| !view.tasks.contains(&one.id)) {
        // A task that has just started may not be listed yet: a later look knows it.
        Some(other) => Err(Aim::Wait(format!(
            "interface {} carries security group {} and is of no task of the target's services: it would lose the path too",
            other.id, view.workers.id
        ))),
        None => Ok(()),
    }
}
