//! The simulated AWS objects that faults lie in: as they are, as they were at any time, and as they shall be again.

use dagstorm::model::{
    Effect, NetworkInterface, Object, RulePeer, SecurityGroup, SecurityGroupRule, Timestamp, mark, network::missing,
};
use indexmap::IndexMap;

pub const GROUP: &str = "sg-workers";
pub const PEER: &str = "10.1.0.5/32";
pub const PEER_PORT: u16 = 6_379;
pub const QUEUE_URL: &str = "http://simulated/000000000000/tasks";
pub const SERVICE: &str = "support";
pub const SERVICE_ARN: &str = "arn:aws:ecs:us-east-1:000000000000:service/demo/support";
/// How many tasks the support service wants.
const SUPPORT: u32 = 2;

/// The objects, each with its tags.
#[derive(Debug, Clone, PartialEq)]
pub struct Things {
    pub rules: Vec<SecurityGroupRule>,
    pub group_tags: Tags,
    pub denied: bool,
    pub queue_tags: Tags,
    pub desired: u32,
    /// What the service runs follows what it wants, later.
    pub running: u32,
    pub service_tags: Tags,
}

type Tags = IndexMap<String, String>;

/// Their history.
pub struct Objects {
    /// How all shall be at the end. What somebody else adds for good belongs to it.
    pub baseline: Things,
    /// Since when all was how; the last is now.
    past: Vec<(Timestamp, Things)>,
    /// What somebody else has changed, as long as it lies in the way.
    pub edit: Option<Edit>,
    /// When somebody else last changed a rule back.
    pub mended_at: Timestamp,
    /// Somebody else took a mark away, and none was set since.
    pub unmarked_by_hand: bool,
}

/// A rule that somebody else has changed by hand.
#[derive(Debug, Clone)]
pub struct Edit {
    pub since: Timestamp,
    pub theirs: SecurityGroupRule,
    /// As it was, or as it was recorded.
    pub before: SecurityGroupRule,
}

impl Objects {
    pub fn new(began: Timestamp) -> Self {
        let things = Things {
            rules: rules(),
            group_tags: tags(&[("Name", "workers")]),
            denied: false,
            queue_tags: tags(&[("team", "data")]),
            desired: SUPPORT,
            running: SUPPORT,
            service_tags: Tags::new(),
        };
        Self {
            baseline: things.clone(),
            past: vec![(began, things)],
            edit: None,
            mended_at: began,
            unmarked_by_hand: false,
        }
    }

    pub fn now(&self) -> &Things {
        &self.past.last().expect("it began somehow").1
    }

    /// As all was at an instant.
    pub fn at(&self, instant: Timestamp) -> &Things {
        let index = self.past.partition_point(|(since, _)| *since <= instant);
        &self.past[index.max(1) - 1].1
    }

    /// Changes what is now.
    pub fn change(&mut self, at: Timestamp, change: impl FnOnce(&mut Things)) {
        let mut things = self.now().clone();
        change(&mut things);
        if things != *self.now() {
            self.past.push((at, things));
        }
    }

    /// How an object differed from what it shall be at all times from `since` until now, for people; `None`: at one of
    /// them it did not. Between question and answer its time may come, and go again by somebody else's hand.
    pub fn differed_since(&self, since: Timestamp, object: &Object) -> Option<String> {
        let later = self.past.iter().filter(|(at, _)| *at > since).map(|(_, things)| things);
        let all = [self.at(since)].into_iter().chain(later);
        let mut differences = all.map(|things| things.differs(&self.baseline, object));
        if differences.any(|one| one.is_none()) { None } else { self.now().differs(&self.baseline, object) }
    }

    /// Whether the service ran all that it wants at any time from `since` until now.
    pub fn was_whole_since(&self, since: Timestamp) -> bool {
        let later = self.past.iter().filter(|(at, _)| *at > since).map(|(_, things)| things);
        [self.at(since)].into_iter().chain(later).any(|things| things.running >= self.baseline.desired)
    }

    /// The object that a call breaks; `None`: it breaks none, or takes back what another one broke.
    pub fn broken_by(&self, call: &Effect) -> Option<Object> {
        let is_of_baseline = |rule: &SecurityGroupRule| self.baseline.rules.iter().any(|one| one.same_rule(rule));
        match call {
            Effect::AuthorizeRules { rules } if !rules.iter().all(is_of_baseline) => Some(group()),
            Effect::RevokeRules { rules } if rules.iter().any(is_of_baseline) => Some(group()),
            Effect::DenyQueue { url } => Some(Object::Queue(url.clone())),
            Effect::SetDesiredCount { service, to, .. } if *to < self.baseline.desired => {
                Some(Object::Service(service.clone()))
            }
            _ => None,
        }
    }

    /// Whether a fault has marked this object.
    pub fn is_marked(&self, object: &Object) -> bool {
        self.now().tags(object).contains_key(mark::FAULT_TAG)
    }
}

impl Things {
    pub fn tags(&self, object: &Object) -> &Tags {
        match object {
            Object::SecurityGroup(_) => &self.group_tags,
            Object::Queue(_) => &self.queue_tags,
            Object::Service(_) => &self.service_tags,
            Object::Subnet(_) | Object::NetworkAcl(_) | Object::Instance(_) => panic!("not simulated: {object:?}"),
        }
    }

    pub fn tags_mut(&mut self, object: &Object) -> &mut Tags {
        match object {
            Object::SecurityGroup(_) => &mut self.group_tags,
            Object::Queue(_) => &mut self.queue_tags,
            Object::Service(_) => &mut self.service_tags,
            Object::Subnet(_) | Object::NetworkAcl(_) | Object::Instance(_) => panic!("not simulated: {object:?}"),
        }
    }

    /// What one call does when it comes about, whatever was there before.
    pub fn take(&mut self, call: &Effect) {
        match call {
            Effect::RehearseRules { .. } => {}
            Effect::Mark { object, tags } => self.tags_mut(object).extend(tags.clone()),
            Effect::Unmark { object } => {
                let keys = mark::keys();
                self.tags_mut(object).retain(|key, _| !keys.contains(key));
            }
            Effect::AuthorizeRules { rules } => {
                let new = missing(rules, &self.rules);
                self.rules.extend(new);
            }
            Effect::RevokeRules { rules } => self.rules.retain(|rule| !rules.iter().any(|one| one.same_rule(rule))),
            Effect::SetDesiredCount { to, .. } => self.desired = *to,
            Effect::DenyQueue { .. } => self.denied = true,
            Effect::AllowQueue { .. } => self.denied = false,
            other => panic!("no change of an object: {other:?}"),
        }
    }

    /// Whether a change of a fault's is in place, marked or not.
    pub fn is_broken(&self, baseline: &Self) -> bool {
        self.denied != baseline.denied || self.desired != baseline.desired || !same_rules(&self.rules, &baseline.rules)
    }

    /// How an object differs from what it shall be, for people; `None`: in nothing.
    pub fn differs(&self, baseline: &Self, object: &Object) -> Option<String> {
        let tags = (self.tags(object) != baseline.tags(object))
            .then(|| format!("its tags are {:?}", self.tags(object).keys().collect::<Vec<_>>()));
        let content = match object {
            Object::SecurityGroup(_) => (!same_rules(&self.rules, &baseline.rules))
                .then(|| format!("its rules are {:?}", self.rules.iter().map(shown).collect::<Vec<_>>())),
            Object::Queue(_) => (self.denied != baseline.denied).then(|| "it is denied".to_owned()),
            Object::Service(_) => {
                (self.desired != baseline.desired).then(|| format!("it wants {} tasks", self.desired))
            }
            Object::Subnet(_) | Object::NetworkAcl(_) | Object::Instance(_) => panic!("not simulated: {object:?}"),
        };
        content.or(tags).map(|what| format!("{object}: {what}"))
    }
}

/// All objects that faults lie in.
pub fn all() -> [Object; 3] {
    [group(), Object::Queue(QUEUE_URL.to_owned()), Object::Service(SERVICE_ARN.to_owned())]
}

pub fn group() -> Object {
    Object::SecurityGroup(GROUP.to_owned())
}

/// The group without its rules.
pub fn group_view(tags: Tags) -> SecurityGroup {
    SecurityGroup {
        id: GROUP.to_owned(),
        name: "workers".to_owned(),
        description: String::new(),
        owner: "000000000000".to_owned(),
        vpc: None,
        tags,
    }
}

/// The interface of a worker, by a number of its own.
pub fn interface(number: usize) -> NetworkInterface {
    NetworkInterface {
        id: format!("eni-{number}"),
        description: String::new(),
        status: "in-use".to_owned(),
        interface_type: "interface".to_owned(),
        requester_managed: true,
        subnet: "subnet-workers".to_owned(),
        vpc: None,
        groups: vec![GROUP.to_owned()],
        inside: vec![format!("10.2.{}.{}/32", number / 200, number % 200 + 1).parse().expect("an address")],
        outside: vec![],
        tags: Tags::new(),
    }
}

/// The same content, description and tags, in any order and under any ids.
fn same_rules(a: &[SecurityGroupRule], b: &[SecurityGroupRule]) -> bool {
    let has = |all: &[SecurityGroupRule], one: &SecurityGroupRule| {
        all.iter().any(|other| other.same_content(one) && other.tags == one.tags)
    };
    a.len() == b.len() && a.iter().all(|one| has(b, one))
}

fn shown(rule: &SecurityGroupRule) -> String {
    format!("{rule} ({})", rule.description.as_deref().unwrap_or("no description"))
}

/// One leads to the peer alone, two to the peer and to others: their remainders have one rule in common. The rest leads
/// elsewhere.
fn rules() -> Vec<SecurityGroupRule> {
    let data = &[("owner", "data")][..];
    vec![
        rule(true, "tcp", (6_379, 6_379), PEER, Some("the queue"), &[("owner", "platform")]),
        rule(true, "tcp", (6_000, 7_000), "10.1.0.4/30", Some("caches"), data),
        rule(true, "tcp", (6_379, 6_380), "10.1.0.4/31", None, &[]),
        rule(true, "tcp", (443, 443), "0.0.0.0/0", Some("the web"), &[]),
        rule(true, "udp", (53, 53), "10.0.0.2/32", None, data),
        rule(false, "tcp", (8_080, 8_080), "10.0.0.0/16", Some("health checks"), &[]),
    ]
}

/// The rules that a cut takes away.
pub fn cut() -> impl Iterator<Item = SecurityGroupRule> {
    rules().into_iter().take(3)
}

/// What somebody else adds, whom no fault concerns.
pub fn another_rule() -> SecurityGroupRule {
    rule(true, "tcp", (5_432, 5_432), "10.3.0.0/24", Some("the new database"), &[])
}

fn rule(
    egress: bool,
    protocol: &str,
    ports: (i32, i32),
    block: &str,
    description: Option<&str>,
    own: &[(&str, &str)],
) -> SecurityGroupRule {
    SecurityGroupRule {
        group: GROUP.to_owned(),
        egress,
        protocol: protocol.parse().expect("a protocol"),
        from_port: Some(ports.0),
        to_port: Some(ports.1),
        peer: RulePeer::Ipv4(block.parse().expect("a block")),
        description: description.map(str::to_owned),
        tags: tags(own),
        rule_id: None,
    }
}

fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}
