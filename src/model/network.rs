//! What EC2 holds of a network: the rules of security groups, who carries a group, subnets, network ACLs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use indexmap::IndexMap;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize, de};

use super::time::as_string;

/// All ports of TCP and UDP.
const ALL_PORTS: (i32, i32) = (0, 65_535);
/// All types and codes of ICMP, as EC2 writes them.
const ALL_TYPES: (i32, i32) = (-1, -1);

/// An IP protocol as a rule names it. Numbers with a name are always that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    All,
    Tcp,
    Udp,
    Icmp,
    IcmpV6,
    Number(u8),
}

/// The other end of a rule: where egress may go, where ingress may come from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum RulePeer {
    Ipv4(Ipv4Net),
    Ipv6(Ipv6Net),
    PrefixList(String),
    /// The private addresses of all interfaces that carry this group.
    Group {
        id: String,
        /// The group's owner. EC2 always tells it, and only needs it for a group of another account.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        account: Option<String>,
    },
}

/// One rule of a security group: one protocol, one range of ports, one peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityGroupRule {
    /// The id of the group that has the rule.
    pub group: String,
    pub egress: bool,
    pub protocol: Protocol,
    /// The first port, or the type of ICMP. [`SecurityGroupRule::ports`] says what is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_port: Option<i32>,
    /// The last port, or the code of ICMP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_port: Option<i32>,
    pub peer: RulePeer,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub tags: IndexMap<String, String>,
    /// EC2's id of it. A restored rule has a new one: never compare by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_id: Option<String>,
}

/// What makes two rules of EC2 the same: a second one is `InvalidPermission.Duplicate`. Neither description nor tags.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleKey {
    group: String,
    egress: bool,
    protocol: Protocol,
    ports: Option<(i32, i32)>,
    peer: RulePeer,
}

impl SecurityGroupRule {
    /// The ports (or ICMP's type and code) that are meant, however they were written. `None`: this protocol has none.
    pub fn ports(&self) -> Option<(i32, i32)> {
        let written = self.from_port.zip(self.to_port);
        match self.protocol {
            Protocol::All | Protocol::Number(_) => None,
            Protocol::Tcp | Protocol::Udp => Some(written.filter(|(first, _)| *first >= 0).unwrap_or(ALL_PORTS)),
            Protocol::Icmp | Protocol::IcmpV6 => Some(written.unwrap_or(ALL_TYPES)),
        }
    }

    pub fn key(&self) -> RuleKey {
        RuleKey {
            group: self.group.clone(),
            egress: self.egress,
            protocol: self.protocol,
            ports: self.ports(),
            peer: self.peer.canonical(),
        }
    }

    /// Whether EC2 takes both for the same rule.
    pub fn same_rule(&self, other: &Self) -> bool {
        self.key() == other.key()
    }

    /// Whether both are the same rule with the same description: a restored rule is like this, with another id.
    pub fn same_content(&self, other: &Self) -> bool {
        let text = |rule: &Self| rule.description.clone().unwrap_or_default();
        text(self) == text(other) && self.same_rule(other)
    }
}

/// Those of `wanted` that are not among `present`, by what EC2 takes for the same rule.
pub fn missing(wanted: &[SecurityGroupRule], present: &[SecurityGroupRule]) -> Vec<SecurityGroupRule> {
    let present: BTreeSet<RuleKey> = present.iter().map(SecurityGroupRule::key).collect();
    wanted.iter().filter(|rule| !present.contains(&rule.key())).cloned().collect()
}

/// Groups rules so that each batch fits one call: the same group, direction and tags. Keeps the order.
pub fn batches(rules: &[SecurityGroupRule]) -> Vec<Vec<SecurityGroupRule>> {
    let mut batches: Vec<Vec<SecurityGroupRule>> = vec![];
    let fits =
        |a: &SecurityGroupRule, b: &SecurityGroupRule| (&a.group, a.egress, &a.tags) == (&b.group, b.egress, &b.tags);
    for rule in rules {
        match batches.iter_mut().find(|batch| batch.first().is_some_and(|first| fits(first, rule))) {
            Some(batch) => batch.push(rule.clone()),
            None => batches.push(vec![rule.clone()]),
        }
    }
    batches
}

impl RulePeer {
    /// Without what does not count when two are compared: the bits behind the mask, a group's account.
    fn canonical(&self) -> Self {
        match self {
            Self::Ipv4(net) => Self::Ipv4(net.trunc()),
            Self::Ipv6(net) => Self::Ipv6(net.trunc()),
            Self::PrefixList(id) => Self::PrefixList(id.clone()),
            Self::Group { id, account: _ } => Self::Group { id: id.clone(), account: None },
        }
    }

    pub fn same(&self, other: &Self) -> bool {
        self.canonical() == other.canonical()
    }
}

impl fmt::Display for RulePeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipv4(net) => net.fmt(f),
            Self::Ipv6(net) => net.fmt(f),
            Self::PrefixList(id) | Self::Group { id, account: _ } => f.write_str(id),
        }
    }
}

/// For people: `egress tcp 443 to sg-1`.
impl fmt::Display for SecurityGroupRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (direction, word) = if self.egress { ("egress", "to") } else { ("ingress", "from") };
        let protocol =
            if self.protocol == Protocol::All { "all protocols".to_owned() } else { self.protocol.to_string() };
        let ports = match self.ports().filter(|ports| *ports != ALL_PORTS && *ports != ALL_TYPES) {
            None => String::new(),
            Some((first, last)) if first == last => format!(" {first}"),
            Some((first, last)) => format!(" {first}-{last}"),
        };
        write!(f, "{direction} {protocol}{ports} {word} {}", self.peer)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("-1"),
            Self::Tcp => f.write_str("tcp"),
            Self::Udp => f.write_str("udp"),
            Self::Icmp => f.write_str("icmp"),
            Self::IcmpV6 => f.write_str("icmpv6"),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "-1" | "all" => Ok(Self::All),
            "tcp" | "6" => Ok(Self::Tcp),
            "udp" | "17" => Ok(Self::Udp),
            "icmp" | "1" => Ok(Self::Icmp),
            "icmpv6" | "58" => Ok(Self::IcmpV6),
            other => other.parse().map(Self::Number).map_err(|_| format!("`{text}` is no IP protocol")),
        }
    }
}

as_string!(Protocol);

/// A security group without its rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityGroup {
    pub id: String,
    pub name: String,
    pub description: String,
    pub owner: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc: Option<String>,
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub tags: IndexMap<String, String>,
}

/// A network interface: who carries a security group, and under which addresses it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkInterface {
    pub id: String,
    /// Of an ECS task's: the ARN of the task's attachment.
    pub description: String,
    pub status: String,
    pub interface_type: String,
    pub requester_managed: bool,
    pub subnet: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc: Option<String>,
    pub groups: Vec<String>,
    /// Where it is in its network: IPv4 and IPv6 addresses, and prefixes delegated to it.
    pub inside: Vec<IpNet>,
    /// The public IPv4 addresses that lead to it.
    pub outside: Vec<IpNet>,
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub tags: IndexMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subnet {
    pub id: String,
    pub vpc: String,
    pub zone: String,
    /// Its IPv4 and IPv6 blocks.
    pub blocks: Vec<IpNet>,
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub tags: IndexMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkAcl {
    pub id: String,
    pub vpc: String,
    pub is_default: bool,
    pub associations: Vec<NetworkAclAssociation>,
    pub entries: Vec<NetworkAclEntry>,
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub tags: IndexMap<String, String>,
}

/// Which subnet an ACL judges. Replacing it makes a new id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkAclAssociation {
    pub id: String,
    pub subnet: String,
}

/// One line of an ACL; the lowest number that matches decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkAclEntry {
    pub number: i32,
    pub egress: bool,
    pub allow: bool,
    pub protocol: Protocol,
    pub block: IpNet,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<(i32, i32)>,
    /// ICMP's type and code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp: Option<(i32, i32)>,
}

/// What lies around a partition of the workers from a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkView {
    /// The workers' group.
    pub workers: SecurityGroup,
    /// All rules of every group that the workers' interfaces carry.
    pub rules: Vec<SecurityGroupRule>,
    pub peer: RulePeer,
    pub own: Option<RulePeer>,
    /// Who carries each group that is named here.
    pub carriers: BTreeMap<String, Vec<NetworkInterface>>,
    /// The interfaces of all tasks of the target's services.
    pub tasks: BTreeSet<String>,
    /// The subnets in which the workers' interfaces are, their ACLs, and every interface in them. Only for a hard cut.
    pub around: Option<SubnetsView>,
}

/// What a network ACL of the workers' subnets judges.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubnetsView {
    pub subnets: Vec<Subnet>,
    pub acls: Vec<NetworkAcl>,
    pub interfaces: Vec<NetworkInterface>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(protocol: &str, ports: Option<(i32, i32)>, peer: RulePeer) -> SecurityGroupRule {
        SecurityGroupRule {
            group: "sg-1".to_owned(),
            egress: true,
            protocol: protocol.parse().expect("a protocol"),
            from_port: ports.map(|ports| ports.0),
            to_port: ports.map(|ports| ports.1),
            peer,
            description: None,
            tags: IndexMap::new(),
            rule_id: None,
        }
    }

    fn ipv4(net: &str) -> RulePeer {
        RulePeer::Ipv4(net.parse().expect("a CIDR"))
    }

    fn group(account: Option<&str>) -> RulePeer {
        RulePeer::Group { id: "sg-2".to_owned(), account: account.map(str::to_owned) }
    }

    #[test]
    fn rules_are_compared_by_what_they_mean() {
        let net = || ipv4("10.0.0.0/24");
        for (a, b, same) in [
            (rule("tcp", Some((443, 443)), net()), rule("6", Some((443, 443)), net()), true),
            (rule("tcp", None, net()), rule("tcp", Some((0, 65_535)), net()), true),
            (rule("-1", None, net()), rule("-1", Some((-1, -1)), net()), true),
            (rule("-1", Some((0, 0)), net()), rule("-1", Some((-1, -1)), net()), true),
            (rule("icmp", None, net()), rule("1", Some((-1, -1)), net()), true),
            (rule("tcp", None, ipv4("10.0.0.9/24")), rule("tcp", None, net()), true),
            (rule("tcp", None, group(None)), rule("tcp", None, group(Some("111122223333"))), true),
            (rule("tcp", Some((443, 443)), net()), rule("udp", Some((443, 443)), net()), false),
            (rule("tcp", Some((443, 443)), net()), rule("tcp", Some((443, 444)), net()), false),
            (rule("tcp", None, ipv4("10.0.0.0/25")), rule("tcp", None, net()), false),
            (SecurityGroupRule { egress: false, ..rule("tcp", None, net()) }, rule("tcp", None, net()), false),
        ] {
            assert_eq!(a.same_rule(&b), same, "{a} and {b}");
        }
        let restored = SecurityGroupRule { rule_id: Some("sgr-2".to_owned()), ..rule("tcp", None, net()) };
        assert!(restored.same_content(&rule("tcp", None, net())), "the id does not count");
        let renamed = SecurityGroupRule { description: Some("x".to_owned()), ..restored.clone() };
        assert!(renamed.same_rule(&restored) && !renamed.same_content(&restored), "the description does");
        assert_eq!(missing(&[restored, rule("udp", None, net())], &[renamed]).len(), 1);
    }

    #[test]
    fn a_batch_has_one_group_direction_and_set_of_tags() {
        let plain = rule("tcp", None, group(None));
        let inward = SecurityGroupRule { egress: false, ..plain.clone() };
        let tags = [("a".to_owned(), "b".to_owned())].into_iter().collect();
        let tagged = SecurityGroupRule { tags, ..plain.clone() };
        let sizes: Vec<usize> =
            batches(&[plain.clone(), inward, tagged.clone(), plain, tagged]).iter().map(Vec::len).collect();
        assert_eq!(sizes, [2, 1, 2]);
        assert!(batches(&[]).is_empty());
    }

    #[test]
    fn rules_survive_the_journal() {
        let mut written = rule("-1", None, group(Some("111122223333")));
        written.tags.insert("Name".to_owned(), "x".to_owned());
        let text = serde_json::to_string(&written).expect("JSON");
        assert_eq!(serde_json::from_str::<SecurityGroupRule>(&text).expect("the same"), written, "{text}");
        assert!(text.contains(r#""protocol":"-1","peer":{"group":{"id":"sg-2","account":"111122223333"}}"#), "{text}");
        for (text, protocol) in [("50", Protocol::Number(50)), ("58", Protocol::IcmpV6), ("TCP", Protocol::Tcp)] {
            assert_eq!(text.parse(), Ok(protocol));
        }
        assert!("gre".parse::<Protocol>().is_err());
    }
}
