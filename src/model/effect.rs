//! The narrow waist: everything that dagstorm can do to the world, and what can come of it.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::{Copies, Key, NetworkAclEntry, Object, SecurityGroupRule, TaskArn, Timestamp};

/// One call that changes the world. Data alone: it can be recorded before it is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Effect {
    /// Launches one run. `tags` already hold the key; Dagster itself has no idempotency key.
    LaunchRun {
        key: Key,
        job: String,
        /// The assets that are selected, as `a/b`; empty: the whole job.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        assets: Vec<String>,
        tags: IndexMap<String, String>,
        run_config: serde_json::Value,
    },
    /// Ends one run that is under way, as Dagster's own button does. Repeating it is harmless.
    TerminateRun { run_id: String },
    /// Stops one ECS task. `reason` is the only free text that AWS keeps of it. Repeating it is harmless.
    StopTask { task: TaskArn, reason: String },
    /// Asks EC2 by dry runs whether all of this would be permitted, and changes nothing. Comes before everything else.
    RehearseRules { authorize: Vec<SecurityGroupRule>, revoke: Vec<SecurityGroupRule> },
    /// Sets tags on an object: who changes it, until when, and how to take it back. Comes before the change.
    Mark { object: Object, tags: IndexMap<String, String> },
    /// Takes all of our tags away again. Comes after everything else.
    Unmark { object: Object },
    /// Adds rules of one security group. One that is there already is as good as added.
    AuthorizeRules { rules: Vec<SecurityGroupRule> },
    /// Takes rules of one security group away. One that is absent is as good as taken away.
    RevokeRules { rules: Vec<SecurityGroupRule> },
    /// Sets a service's desired count if it is `from`. Any other count is somebody else's and is left alone.
    SetDesiredCount { cluster: String, service: String, from: u32, to: u32 },
    /// Lets a container instance take no more tasks, and its service tasks move away; or takes that back.
    SetInstance { cluster: String, instance: String, draining: bool },
    /// Makes the fault's own copy of a network ACL with these entries, unless it is there already.
    CloneAcl { fault: String, vpc: String, of: String, entries: Vec<NetworkAclEntry> },
    /// Lets a subnet be judged by another network ACL.
    SwapAcl { subnet: String, to: AclName },
    /// Deletes all copies that a fault made.
    DeleteAcls { fault: String },
    /// Adds the statement that denies the data plane to a queue's policy.
    DenyQueue { url: String },
    /// Takes that statement away, and leaves the rest of the policy as it is.
    AllowQueue { url: String },
    /// Copies this many of the visible messages: each of them is then delivered twice. Receiving them counts for a redrive policy.
    CopyMessages { url: String, count: u32 },
}

/// An ACL by its id; or the copy that a fault made of one, whose id only EC2 knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum AclName {
    Id(String),
    Copy { fault: String, of: String },
}

impl Effect {
    /// What it changes, for people; `None`: it says nothing that its target does not.
    pub fn describe(&self) -> Option<String> {
        let lines = |word: &str, rules: &[SecurityGroupRule]| {
            let rules: Vec<String> = rules.iter().map(|rule| format!("`{rule}`")).collect();
            Some(format!("{word} {}", rules.join(", ")))
        };
        match self {
            Self::LaunchRun { .. }
            | Self::TerminateRun { .. }
            | Self::StopTask { .. }
            | Self::RehearseRules { .. }
            | Self::Mark { .. }
            | Self::Unmark { .. } => None,
            Self::AuthorizeRules { rules } => lines("add", rules),
            Self::RevokeRules { rules } => lines("remove", rules),
            Self::SetDesiredCount { cluster: _, service: _, from, to } => Some(format!("desired count {from} → {to}")),
            Self::SetInstance { draining, .. } => Some(if *draining { "drain" } else { "activate" }.to_owned()),
            Self::CloneAcl { of, .. } => Some(format!("copy network ACL {of}")),
            Self::SwapAcl { subnet, to: AclName::Id(acl) } => Some(format!("let {acl} judge {subnet}")),
            Self::SwapAcl { subnet, to: AclName::Copy { of, .. } } => {
                Some(format!("let the copy of {of} judge {subnet}"))
            }
            Self::DeleteAcls { .. } => Some("delete the copies".to_owned()),
            Self::DenyQueue { .. } => Some("deny the data plane".to_owned()),
            Self::AllowQueue { .. } => Some("allow the data plane".to_owned()),
            Self::CopyMessages { url: _, count } => Some(format!("copy {count} messages")),
        }
    }

    /// Whether it must not be sent before all effects that come before it in its list are done.
    pub fn waits_for_earlier(&self) -> bool {
        match self {
            Self::LaunchRun { .. } | Self::TerminateRun { .. } | Self::StopTask { .. } => false,
            Self::RehearseRules { .. }
            | Self::Mark { .. }
            | Self::Unmark { .. }
            | Self::AuthorizeRules { .. }
            | Self::RevokeRules { .. }
            | Self::SetDesiredCount { .. }
            | Self::SetInstance { .. }
            | Self::CloneAcl { .. }
            | Self::SwapAcl { .. }
            | Self::DeleteAcls { .. }
            | Self::DenyQueue { .. }
            | Self::AllowQueue { .. }
            | Self::CopyMessages { .. } => true,
        }
    }

    /// Whether doing it twice does more than doing it once: what may have happened is not done again.
    pub fn adds_up(&self) -> bool {
        match self {
            Self::LaunchRun { .. } | Self::CopyMessages { .. } => true,
            Self::TerminateRun { .. }
            | Self::StopTask { .. }
            | Self::RehearseRules { .. }
            | Self::Mark { .. }
            | Self::Unmark { .. }
            | Self::AuthorizeRules { .. }
            | Self::RevokeRules { .. }
            | Self::SetDesiredCount { .. }
            | Self::SetInstance { .. }
            | Self::CloneAcl { .. }
            | Self::SwapAcl { .. }
            | Self::DeleteAcls { .. }
            | Self::DenyQueue { .. }
            | Self::AllowQueue { .. } => false,
        }
    }
}

/// What came of an effect: Jepsen's ok, fail and info.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Outcome {
    /// It happened.
    Done(Receipt),
    /// It certainly did not happen. `retry`: the same call may succeed later.
    Refused { reason: String, retry: bool },
    /// It may have happened, now or a little later.
    Unknown { reason: String },
}

/// What came of an effect, and when its request went out.
#[derive(Debug, Clone, PartialEq)]
pub struct Acted {
    pub outcome: Outcome,
    /// Of a launch: when a connection took its request, right before the first byte was written. `None`: none did.
    pub sent_at: Option<Timestamp>,
}

impl From<Outcome> for Acted {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, sent_at: None }
    }
}

/// The proof that an effect happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Receipt {
    Launched {
        run_id: String,
    },
    Stopping,
    Terminating,
    Published,
    /// The object is as the effect wants it.
    Changed,
    /// Messages were copied: how many are proved to be twice in the queue, and what became of the others.
    Copied(Copies),
}

/// How to take a fault back. It is recorded inside the intent, before the fault is injected.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Undo {
    /// What to do, in this order; each is idempotent. Empty where AWS itself restores (a service replaces its tasks).
    pub effects: Vec<Effect>,
    /// The service whose running count must reach its desired count again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steady: Option<String>,
}
