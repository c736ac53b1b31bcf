//! `partition` with `cut: newConnections`: which rules of the workers' security group to take away, and how to put them
//! back.
//!
//! A connection needs an egress rule at the workers *and* an ingress rule at the peer, so taking away one side is enough.
//! It is the workers' egress, because that side is always ours: a peer may be a CIDR or a prefix list and have no group
//! at all, and the peer's ingress often serves others by the same rule. What the peer opens towards the workers stays, and
//! so do established connections: security groups track them.
//!
//! The diff is exact or there is none. What is cut is TCP to one port of the peer's addresses; everything else that was
//! reachable stays reachable. A rule that is wider is split into what remains of it.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use crate::model::{NetworkInterface, Protocol, RulePeer, SecurityGroupRule, network::RuleKey};

/// Into how many blocks of addresses one rule may be split. A group has 60 rules a direction, unless AWS raised it.
const MOST_BLOCKS: usize = 32;
const LAST_PORT: i32 = 65_535;

/// What a partition lies between, as it was looked up.
#[derive(Debug, Clone, Copy)]
pub struct Between<'a> {
    /// The id of the workers' security group: the only one whose rules change.
    pub workers: &'a str,
    /// All rules of *every* group that the workers' interfaces carry: their permissions add up.
    pub rules: &'a [SecurityGroupRule],
    pub peer: &'a RulePeer,
    pub port: u16,
    pub members: &'a Members,
    /// dagstorm's own place, where the target names it.
    pub own: Option<&'a RulePeer>,
}

/// The addresses behind the id of a group or a prefix list, as of the look. One that is absent or empty is unknown: a
/// group of another account shows no interfaces.
pub type Members = BTreeMap<String, Addresses>;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Addresses {
    /// In the network: what a rule that names the group lets through.
    pub inside: Vec<IpNet>,
    /// Public ones: another way to the same peer, for rules that name a CIDR.
    pub outside: Vec<IpNet>,
}

/// What to change. Authorize first, then revoke: then nothing else is interrupted, and a limit shows before the cut.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuleDiff {
    pub revoke: Vec<SecurityGroupRule>,
    pub authorize: Vec<SecurityGroupRule>,
}

/// Why a partition cannot be made exactly. Nothing was and nothing may be changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    pub reason: String,
}

/// What cutting takes of a rule's addresses.
enum Taken {
    Nothing,
    All,
    /// These blocks remain.
    AllBut(Vec<IpNet>),
}

impl Addresses {
    /// All addresses of these interfaces. They must be all that carry the group.
    pub fn of(interfaces: &[NetworkInterface]) -> Self {
        Self {
            inside: interfaces.iter().flat_map(|interface| interface.inside.iter().copied()).collect(),
            outside: interfaces.iter().flat_map(|interface| interface.outside.iter().copied()).collect(),
        }
    }
}

impl RuleDiff {
    /// The way back: what was revoked with its description and tags, and without what was authorized.
    pub fn undo(&self) -> Self {
        Self { revoke: self.authorize.clone(), authorize: self.revoke.clone() }
    }
}

impl Between<'_> {
    /// What to change so that no egress rule lets the workers open TCP connections to the peer's port.
    pub fn cut(&self) -> Result<RuleDiff, Refusal> {
        self.spare_ourselves()?;
        let mut diff = RuleDiff::default();
        let mut present: BTreeSet<RuleKey> = BTreeSet::new();
        for rule in self.rules {
            let taken = if self.has_port(rule) { self.taken(rule)? } else { Taken::Nothing };
            let blocks = match taken {
                Taken::Nothing => {
                    present.insert(rule.key());
                    continue;
                }
                Taken::All => vec![],
                Taken::AllBut(blocks) => blocks,
            };
            self.check_splittable(rule)?;
            diff.authorize.extend(self.remains(rule, &blocks));
            diff.revoke.push(rule.clone());
        }
        if diff.revoke.is_empty() {
            return refuse(format!(
                "no egress rule of {} lets TCP through to {} port {}: there is nothing to cut",
                self.workers, self.peer, self.port
            ));
        }
        // A remainder that is there already must neither be a duplicate now nor be taken away at the end.
        diff.authorize.retain(|piece| present.insert(piece.key()));
        Ok(diff)
    }

    /// Refuses where dagstorm itself would lose the path, or may.
    fn spare_ourselves(&self) -> Result<(), Refusal> {
        let Some(own) = self.own else { return Ok(()) };
        if matches!(own, RulePeer::Group { id, account: _ } if id == self.workers) {
            return refuse(format!("dagstorm itself carries the workers' group {own}: it would cut its own path"));
        }
        let workers = self.members.get(self.workers).map(|found| &found.inside).filter(|found| !found.is_empty());
        match (workers, self.inside(own)) {
            (Some(workers), Some(own_addresses)) => {
                match workers.iter().find(|one| own_addresses.iter().any(|other| overlap(one, other))) {
                    Some(both) => refuse(format!(
                        "dagstorm's own place {own} holds {both}, which carries the workers' group {}: it may cut its own \
                         path; name dagstorm's own security group or its exact address",
                        self.workers
                    )),
                    None => Ok(()),
                }
            }
            (None, _) | (_, None) => match own {
                RulePeer::Group { .. } => Ok(()),
                RulePeer::Ipv4(_) | RulePeer::Ipv6(_) | RulePeer::PrefixList(_) => refuse(format!(
                    "whether dagstorm's own place {own} carries the workers' group {} is not known: the addresses of the \
                     workers' interfaces were not seen",
                    self.workers
                )),
            },
        }
    }

    /// Whether the rule is about outgoing TCP to the port at all.
    fn has_port(&self, rule: &SecurityGroupRule) -> bool {
        let tcp = match rule.protocol {
            Protocol::All | Protocol::Tcp => true,
            Protocol::Udp | Protocol::Icmp | Protocol::IcmpV6 | Protocol::Number(_) => false,
        };
        let port = i32::from(self.port);
        rule.egress && tcp && rule.ports().is_none_or(|(first, last)| (first..=last).contains(&port))
    }

    /// What of the rule's addresses belongs to the peer.
    fn taken(&self, rule: &SecurityGroupRule) -> Result<Taken, Refusal> {
        if rule.peer.same(self.peer) {
            return Ok(Taken::All);
        }
        let peer = self.everywhere();
        match (&rule.peer, peer) {
            (RulePeer::Ipv4(net), Some(peer)) => self.taken_of_block(rule, IpNet::V4(net.trunc()), &peer),
            (RulePeer::Ipv6(net), Some(peer)) => self.taken_of_block(rule, IpNet::V6(net.trunc()), &peer),
            (RulePeer::PrefixList(_) | RulePeer::Group { .. }, Some(peer)) => self.taken_of_members(rule, &peer),
            (_, None) => refuse(format!(
                "the rule `{rule}` may lead to {} as well, whose addresses are not known: without them it cannot be split",
                self.peer
            )),
        }
    }

    fn taken_of_block(&self, rule: &SecurityGroupRule, block: IpNet, peer: &[IpNet]) -> Result<Taken, Refusal> {
        if !peer.iter().any(|hole| overlap(hole, &block)) {
            return Ok(Taken::Nothing);
        }
        let mut left = vec![];
        if !subtract(block, peer, &mut left) {
            return refuse(format!(
                "the rule `{rule}` is wider than {}: without it, it would be more than {MOST_BLOCKS} rules; give the \
                 workers a narrower rule",
                self.peer
            ));
        }
        Ok(if left.is_empty() { Taken::All } else { Taken::AllBut(left) })
    }

    /// A group or a prefix list is taken whole or not at all: its members cannot be told apart by a rule.
    fn taken_of_members(&self, rule: &SecurityGroupRule, peer: &[IpNet]) -> Result<Taken, Refusal> {
        let Some(members) = self.inside(&rule.peer) else {
            return refuse(format!(
                "the rule `{rule}` may lead to {} as well: which addresses are behind {} is not known",
                self.peer, rule.peer
            ));
        };
        if !members.iter().any(|one| peer.iter().any(|hole| overlap(hole, one))) {
            return Ok(Taken::Nothing);
        }
        let mut left = vec![];
        if members.iter().all(|one| subtract(*one, peer, &mut left)) && left.is_empty() {
            return Ok(Taken::All);
        }
        refuse(format!(
            "the rule `{rule}` leads to {} and to others: a rule cannot tell the members of {} apart",
            self.peer, rule.peer
        ))
    }

    fn check_splittable(&self, rule: &SecurityGroupRule) -> Result<(), Refusal> {
        if rule.group != self.workers {
            return refuse(format!(
                "the workers carry {} as well, whose rule `{rule}` leads to {}: only rules of {} are changed",
                rule.group, self.peer, self.workers
            ));
        }
        match rule.protocol {
            Protocol::All => refuse(format!(
                "the rule `{rule}` of {} lets all protocols through: all but TCP to one port cannot be said with rules; \
                 write rules for tcp, udp and icmp instead of it",
                rule.group
            )),
            Protocol::Tcp | Protocol::Udp | Protocol::Icmp | Protocol::IcmpV6 | Protocol::Number(_) => Ok(()),
        }
    }

    /// What remains of a TCP rule: the ports below and above for all its addresses, and the port for the blocks left.
    fn remains(&self, rule: &SecurityGroupRule, blocks: &[IpNet]) -> Vec<SecurityGroupRule> {
        let port = i32::from(self.port);
        let (first, last) = rule.ports().unwrap_or((0, LAST_PORT));
        let piece = |first: i32, last: i32, peer: RulePeer| SecurityGroupRule {
            from_port: Some(first),
            to_port: Some(last),
            peer,
            rule_id: None,
            ..rule.clone()
        };
        let below = (first < port).then(|| piece(first, port - 1, rule.peer.clone()));
        let above = (port < last).then(|| piece(port + 1, last, rule.peer.clone()));
        let blocks = blocks.iter().map(|block| {
            let peer = match block {
                IpNet::V4(net) => RulePeer::Ipv4(*net),
                IpNet::V6(net) => RulePeer::Ipv6(*net),
            };
            piece(port, port, peer)
        });
        below.into_iter().chain(above).chain(blocks).collect()
    }

    /// Every address of the peer, public ones too. `None`: unknown.
    fn everywhere(&self) -> Option<Vec<IpNet>> {
        let mut found = self.inside(self.peer)?;
        match self.peer {
            RulePeer::Ipv4(_) | RulePeer::Ipv6(_) => {}
            RulePeer::PrefixList(id) | RulePeer::Group { id, account: _ } => {
                found.extend(self.members.get(id).iter().flat_map(|addresses| addresses.outside.iter().copied()));
            }
        }
        Some(found)
    }

    /// The addresses that a rule with this peer lets through. `None`: unknown.
    fn inside(&self, peer: &RulePeer) -> Option<Vec<IpNet>> {
        match peer {
            RulePeer::Ipv4(net) => Some(vec![IpNet::V4(net.trunc())]),
            RulePeer::Ipv6(net) => Some(vec![IpNet::V6(net.trunc())]),
            RulePeer::PrefixList(id) | RulePeer::Group { id, account: _ } => {
                self.members.get(id).map(|found| found.inside.clone()).filter(|found| !found.is_empty())
            }
        }
    }
}

fn refuse<T>(reason: String) -> Result<T, Refusal> {
    Err(Refusal { reason })
}

/// Two blocks hold one another or have nothing in common.
fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}

/// Adds to `left` the fewest blocks that are `block` without `holes`. False: they are too many.
fn subtract(block: IpNet, holes: &[IpNet], left: &mut Vec<IpNet>) -> bool {
    let inner: Vec<IpNet> = holes.iter().filter(|hole| overlap(hole, &block)).copied().collect();
    if inner.is_empty() {
        left.push(block);
        return left.len() <= MOST_BLOCKS;
    }
    if inner.iter().any(|hole| hole.contains(&block)) {
        return true;
    }
    let halves = block.subnets(block.prefix_len() + 1).expect("a block that holds a smaller one has halves");
    halves.into_iter().all(|half| subtract(half, &inner, left))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
