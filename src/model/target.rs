//! Where a scenario acts: one Dagster, one ECS cluster, its queues. Valid by construction (`spec` makes it).

use indexmap::IndexMap;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{CompletionsTarget, Cron, ScenarioName, Span, Timestamp};

/// A validated `Target` manifest. `Accepted` records it whole: healing never needs the file again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    pub name: ScenarioName,
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub labels: IndexMap<String, String>,
    pub dagster: DagsterTarget,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecs: Option<EcsTarget>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueTarget>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkTarget>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<MetricsTarget>,
    /// Where the workers write down what they did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completions: Option<CompletionsTarget>,
    #[serde(default)]
    pub guard: Guard,
}

impl Target {
    /// An account and a region alone, as the credentials have them: for what is found by its tags.
    pub fn anywhere(region: Option<String>) -> Self {
        Self {
            name: "anywhere".parse().expect("it is a name"),
            labels: IndexMap::new(),
            dagster: DagsterTarget {
                url: String::new(),
                location: String::new(),
                repository: String::new(),
                request_timeout: Span::from_secs(1),
                settle: Span::from_secs(1),
                max_concurrent_launches: 1,
                headers_from_env: IndexMap::new(),
                event_log: None,
            },
            ecs: None,
            queue: None,
            network: None,
            metrics: None,
            completions: None,
            guard: Guard { region, ..Guard::default() },
        }
    }

    /// The name of a queue by its role: `tasks` or `deadLetters`.
    pub fn queue_name(&self, role: &str) -> Option<&str> {
        let queues = self.queue.as_ref()?;
        match role {
            "tasks" => Some(&queues.name),
            "deadLetters" => queues.dead_letters.as_deref(),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DagsterTarget {
    /// The GraphQL endpoint.
    pub url: String,
    /// The code location that holds the jobs.
    pub location: String,
    /// The repository in it; `__repository__` unless the location names its own.
    pub repository: String,
    /// How long one call may take.
    pub request_timeout: Span,
    /// How long after its last attempt a launch can still appear. Longer than the longest call in flight.
    pub settle: Span,
    /// So many launches of one scenario wait for their answers at most: more at once only slow Dagster down.
    #[serde(default = "most_launches")]
    pub max_concurrent_launches: u32,
    /// HTTP header → name of the environment variable that holds its value. Values are never recorded.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub headers_from_env: IndexMap<String, String>,
    /// The name of the environment variable that holds the address of Dagster's own database, for large audits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_log: Option<String>,
}

impl DagsterTarget {
    /// How Dagster calls the code that holds the jobs: `repository@location`.
    pub fn code(&self) -> String {
        format!("{}@{}", self.repository, self.location)
    }
}

/// What a stock Dagster takes at once, with room for the way there and back.
pub(crate) const fn most_launches() -> u32 {
    16
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EcsTarget {
    pub cluster: String,
    /// Role (`workers`, `autoscaler` …) → name of the ECS service.
    pub services: IndexMap<String, String>,
}

impl EcsTarget {
    /// The ECS service behind a role.
    pub fn service(&self, role: &str) -> Option<&str> {
        self.services.get(role).map(String::as_str)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueTarget {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<String>,
}

/// The parts of the network that a partition can lie between.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkTarget {
    pub workers_group: String,
    pub peers: IndexMap<String, Peer>,
    /// Where dagstorm itself stands: what would cut it off is refused.
    #[serde(default, rename = "self", skip_serializing_if = "Option::is_none")]
    pub own: Option<Place>,
}

/// A place in the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    SecurityGroup(String),
    Cidr(IpNet),
    PrefixList(String),
}

/// What a partition can cut the workers off from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    pub place: Place,
    pub port: u16,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricsTarget {
    pub namespace: String,
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub dimensions: IndexMap<String, String>,
}

/// What a fault may never exceed. Checked when targets are chosen, at each act.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Guard {
    /// Only tasks of this account …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// … and of this region are ever a target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// A task must carry all of these tags.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub require_tag: IndexMap<String, String>,
    /// At most this share (percent) or number of a service's tasks at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_affected: Option<Amount>,
    /// At least so many running tasks stay.
    #[serde(default)]
    pub min_healthy: u32,
    /// While one of these lasts, no fault begins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny_windows: Vec<DenyWindow>,
}

/// A time in which no fault begins: from each instant of `cron` (UTC) for so long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DenyWindow {
    pub cron: Cron,
    #[serde(rename = "for")]
    pub length: Span,
}

impl Guard {
    /// The deny window that `now` lies in, if any: when it ends.
    pub fn denied_until(&self, now: Timestamp) -> Option<Timestamp> {
        let ends = self.deny_windows.iter().filter_map(|window| {
            let length = window.length.duration();
            // The last begin that still lasts is the first one after `now - length`.
            let began = window.cron.next(now.minus(length)).filter(|began| *began <= now)?;
            Some(began.plus(length))
        });
        ends.max()
    }

    /// When the next deny window begins.
    pub fn next_denied(&self, now: Timestamp) -> Option<Timestamp> {
        self.deny_windows.iter().filter_map(|window| window.cron.next(now)).min()
    }
}

/// A number of things, or a share of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Amount {
    Count(u32),
    Percent(u32),
}

impl Amount {
    /// How many of `total` this is. A share is rounded up, so that some of something is never nothing.
    pub fn of(self, total: u32) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => (u64::from(total) * u64::from(percent)).div_ceil(100) as u32,
        }
    }

    /// How many of `total` a limit allows. A share is rounded up as well: 50% of 1 allows 1.
    pub fn cap(self, total: u32) -> u32 {
        self.of(total).min(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deny_windows_begin_and_end() {
        let window = |cron: &str, length: &str| DenyWindow {
            cron: cron.parse().expect(cron),
            length: length.parse().expect(length),
        };
        let guard =
            Guard { deny_windows: vec![window("0 9 * * 1-5", "8h"), window("30 16 * * *", "1h")], ..Guard::default() };
        let at = |text: &str| text.parse::<Timestamp>().expect(text);
        // 2026-11-27 is a Friday.
        for (now, until, next) in [
            ("2026-11-27T08:59:59Z", None, "2026-11-27T09:00:00Z"),
            ("2026-11-27T09:00:00Z", Some("2026-11-27T17:00:00Z"), "2026-11-27T16:30:00Z"),
            ("2026-11-27T16:45:00Z", Some("2026-11-27T17:30:00Z"), "2026-11-28T16:30:00Z"),
            ("2026-11-27T17:29:59Z", Some("2026-11-27T17:30:00Z"), "2026-11-28T16:30:00Z"),
            ("2026-11-27T17:30:00Z", None, "2026-11-28T16:30:00Z"),
            ("2026-11-28T10:00:00Z", None, "2026-11-28T16:30:00Z"),
        ] {
            assert_eq!(guard.denied_until(at(now)), until.map(at), "{now}");
            assert_eq!(guard.next_denied(at(now)), Some(at(next)), "{now}");
        }
        assert_eq!(Guard::default().denied_until(at("2026-11-27T09:00:00Z")), None);
    }

    #[test]
    fn a_share_is_rounded_up() {
        for (percent, total, some) in [(10, 5, 1), (30, 5, 2), (100, 5, 5), (50, 0, 0), (1, 1, 1), (50, 2, 1)] {
            assert_eq!(Amount::Percent(percent).of(total), some, "{percent}% of {total}");
        }
        assert_eq!(Amount::Count(3).of(2), 3);
        assert_eq!(Amount::Count(3).cap(2), 2);
    }
}
