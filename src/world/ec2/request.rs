//! The requests, in EC2's query protocol: flattened lists counted from 1, `IpPermissions.1.IpRanges.1.CidrIp`. Pure.
//!
//! `deploy/local/tests/test_ec2_requests.py` compares them with what botocore makes of the same parameters.

use aws_smithy_query::{QueryListWriter, QueryWriter};
use aws_smithy_types::Number;
use indexmap::IndexMap;

use crate::model::{NetworkAclEntry, Protocol, RulePeer, SecurityGroupRule};

const VERSION: &str = "2016-11-15";
/// The most that one page holds.
const PAGE: u64 = 1_000;

/// Tags that AWS itself sets: a request that names one is refused.
const RESERVED: &str = "aws:";

/// One request, encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub action: &'static str,
    pub body: String,
    /// It changes something: it is repeated only where it was certainly not carried out.
    pub changes: bool,
    pub dry_run: bool,
}

/// What is done to rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Authorize,
    Revoke,
}

/// What can be found by its tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tagged {
    SecurityGroups,
    Subnets,
    NetworkAcls,
}

/// Which security groups to describe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Groups {
    /// By id. One that does not exist is an error.
    Ids(Vec<String>),
    /// By name. One that does not exist is absent from the answer; names are unique within a VPC only.
    Names(Vec<String>),
}

pub fn describe_security_groups(groups: &Groups, page: Option<&str>) -> Request {
    read("DescribeSecurityGroups", |writer| match groups {
        // EC2 does not page what is named by id.
        Groups::Ids(ids) => strings(writer, "GroupId", ids),
        Groups::Names(names) => filtered(writer, "group-name", names, page),
    })
}

pub fn describe_security_group_rules(groups: &[String], page: Option<&str>) -> Request {
    read("DescribeSecurityGroupRules", |writer| filtered(writer, "group-id", groups, page))
}

/// Interfaces that AWS manages and hides by default are included: they carry the group like any other.
pub fn describe_network_interfaces(groups: &[String], page: Option<&str>) -> Request {
    read("DescribeNetworkInterfaces", |writer| {
        writer.prefix("IncludeManagedResources").boolean(true);
        filtered(writer, "group-id", groups, page);
    })
}

/// Interfaces by their ids; those that do not exist are absent.
pub fn describe_network_interfaces_by_id(ids: &[String], page: Option<&str>) -> Request {
    read("DescribeNetworkInterfaces", |writer| {
        writer.prefix("IncludeManagedResources").boolean(true);
        filtered(writer, "network-interface-id", ids, page);
    })
}

/// Every interface in these subnets.
pub fn describe_network_interfaces_by_subnet(subnets: &[String], page: Option<&str>) -> Request {
    read("DescribeNetworkInterfaces", |writer| {
        writer.prefix("IncludeManagedResources").boolean(true);
        filtered(writer, "subnet-id", subnets, page);
    })
}

pub fn describe_subnets(ids: &[String], page: Option<&str>) -> Request {
    read("DescribeSubnets", |writer| filtered(writer, "subnet-id", ids, page))
}

/// The ACLs that judge these subnets.
pub fn describe_network_acls(subnets: &[String], page: Option<&str>) -> Request {
    read("DescribeNetworkAcls", |writer| filtered(writer, "association.subnet-id", subnets, page))
}

/// What carries one of these tags, whatever its value.
pub fn describe_tagged(what: Tagged, keys: &[String], page: Option<&str>) -> Request {
    let action = match what {
        Tagged::SecurityGroups => "DescribeSecurityGroups",
        Tagged::Subnets => "DescribeSubnets",
        Tagged::NetworkAcls => "DescribeNetworkAcls",
    };
    read(action, |writer| filtered(writer, "tag-key", keys, page))
}

pub fn create_network_acl(vpc: &str, new: &IndexMap<String, String>, token: &str, dry_run: bool) -> Request {
    change("CreateNetworkAcl", dry_run, |writer| {
        writer.prefix("ClientToken").string(token);
        writer.prefix("VpcId").string(vpc);
        let mut specifications = writer.prefix("TagSpecification").start_list(true, None);
        let mut entry = specifications.entry();
        entry.prefix("ResourceType").string("network-acl");
        tags(entry.prefix("Tag").start_list(true, None), new);
        specifications.finish();
    })
}

pub fn create_network_acl_entry(acl: &str, entry: &NetworkAclEntry, dry_run: bool) -> Request {
    change("CreateNetworkAclEntry", dry_run, |writer| {
        writer.prefix("NetworkAclId").string(acl);
        writer.prefix("RuleNumber").string(&entry.number.to_string());
        writer.prefix("Protocol").string(&protocol_number(entry.protocol));
        writer.prefix("RuleAction").string(if entry.allow { "allow" } else { "deny" });
        writer.prefix("Egress").boolean(entry.egress);
        let block = match entry.block {
            ipnet::IpNet::V4(_) => "CidrBlock",
            ipnet::IpNet::V6(_) => "Ipv6CidrBlock",
        };
        writer.prefix(block).string(&entry.block.trunc().to_string());
        if let Some((kind, code)) = entry.icmp {
            writer.prefix("Icmp.Code").string(&code.to_string());
            writer.prefix("Icmp.Type").string(&kind.to_string());
        }
        if let Some((first, last)) = entry.ports {
            writer.prefix("PortRange.From").string(&first.to_string());
            writer.prefix("PortRange.To").string(&last.to_string());
        }
    })
}

/// Lets another ACL judge the subnet of this association, which then has a new id.
pub fn replace_network_acl_association(association: &str, acl: &str, dry_run: bool) -> Request {
    change("ReplaceNetworkAclAssociation", dry_run, |writer| {
        writer.prefix("AssociationId").string(association);
        writer.prefix("NetworkAclId").string(acl);
    })
}

pub fn delete_network_acl(acl: &str, dry_run: bool) -> Request {
    change("DeleteNetworkAcl", dry_run, |writer| writer.prefix("NetworkAclId").string(acl))
}

/// ACLs take protocols by number alone.
fn protocol_number(protocol: Protocol) -> String {
    match protocol {
        Protocol::All => "-1".to_owned(),
        Protocol::Tcp => "6".to_owned(),
        Protocol::Udp => "17".to_owned(),
        Protocol::Icmp => "1".to_owned(),
        Protocol::IcmpV6 => "58".to_owned(),
        Protocol::Number(number) => number.to_string(),
    }
}

/// Authorizes or revokes rules by content. They are of one group, direction and set of tags (`model::network::batches`).
pub fn change_rules(verb: Verb, rules: &[SecurityGroupRule], dry_run: bool) -> Request {
    let first = rules.first().expect("the client has looked whether there are rules");
    let action = match (verb, first.egress) {
        (Verb::Authorize, true) => "AuthorizeSecurityGroupEgress",
        (Verb::Authorize, false) => "AuthorizeSecurityGroupIngress",
        (Verb::Revoke, true) => "RevokeSecurityGroupEgress",
        (Verb::Revoke, false) => "RevokeSecurityGroupIngress",
    };
    change(action, dry_run, |writer| {
        writer.prefix("GroupId").string(&first.group);
        let mut permissions = writer.prefix("IpPermissions").start_list(true, None);
        for rule in rules {
            permission(&mut permissions, rule, verb);
        }
        permissions.finish();
        let settable: IndexMap<String, String> = first
            .tags
            .iter()
            .filter(|(key, _)| !key.starts_with(RESERVED))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        if verb == Verb::Authorize && !settable.is_empty() {
            let mut specifications = writer.prefix("TagSpecification").start_list(true, None);
            let mut entry = specifications.entry();
            entry.prefix("ResourceType").string("security-group-rule");
            tags(entry.prefix("Tag").start_list(true, None), &settable);
            specifications.finish();
        }
    })
}

pub fn create_tags(resources: &[String], new: &IndexMap<String, String>, dry_run: bool) -> Request {
    change("CreateTags", dry_run, |writer| {
        strings(writer, "ResourceId", resources);
        tags(writer.prefix("Tag").start_list(true, None), new);
    })
}

/// Deletes tags by key, whatever their values.
pub fn delete_tags(resources: &[String], keys: &[String], dry_run: bool) -> Request {
    change("DeleteTags", dry_run, |writer| {
        strings(writer, "ResourceId", resources);
        let mut list = writer.prefix("Tag").start_list(true, None);
        for key in keys {
            list.entry().prefix("Key").string(key);
        }
        list.finish();
    })
}

fn read(action: &'static str, write: impl FnOnce(&mut QueryWriter<'_>)) -> Request {
    let mut body = String::new();
    let mut writer = QueryWriter::new(&mut body, action, VERSION);
    write(&mut writer);
    writer.finish();
    Request { action, body, changes: false, dry_run: false }
}

fn change(action: &'static str, dry_run: bool, write: impl FnOnce(&mut QueryWriter<'_>)) -> Request {
    let request = read(action, |writer| {
        if dry_run {
            writer.prefix("DryRun").boolean(true);
        }
        write(writer);
    });
    Request { changes: true, dry_run, ..request }
}

/// One filter, and one page.
fn filtered(writer: &mut QueryWriter<'_>, name: &str, values: &[String], page: Option<&str>) {
    let mut filters = writer.prefix("Filter").start_list(true, None);
    let mut filter = filters.entry();
    filter.prefix("Name").string(name);
    let mut list = filter.prefix("Value").start_list(true, None);
    for value in values {
        list.entry().string(value);
    }
    list.finish();
    filters.finish();
    writer.prefix("MaxResults").number(Number::PosInt(PAGE));
    if let Some(page) = page {
        writer.prefix("NextToken").string(page);
    }
}

fn strings(writer: &mut QueryWriter<'_>, name: &'static str, values: &[String]) {
    let mut list = writer.prefix(name).start_list(true, None);
    for value in values {
        list.entry().string(value);
    }
    list.finish();
}

fn tags(mut list: QueryListWriter<'_>, tags: &IndexMap<String, String>) {
    for (key, value) in tags {
        let mut entry = list.entry();
        entry.prefix("Key").string(key);
        entry.prefix("Value").string(value);
    }
    list.finish();
}

/// One rule as a permission with one peer. EC2 revokes by content without looking at descriptions.
fn permission(list: &mut QueryListWriter<'_>, rule: &SecurityGroupRule, verb: Verb) {
    let mut entry = list.entry();
    entry.prefix("IpProtocol").string(&rule.protocol.to_string());
    if let Some((first, last)) = rule.ports() {
        entry.prefix("FromPort").string(&first.to_string());
        entry.prefix("ToPort").string(&last.to_string());
    }
    let (kind, field, value) = match &rule.peer {
        RulePeer::Ipv4(net) => ("IpRanges", "CidrIp", net.trunc().to_string()),
        RulePeer::Ipv6(net) => ("Ipv6Ranges", "CidrIpv6", net.trunc().to_string()),
        RulePeer::PrefixList(id) => ("PrefixListIds", "PrefixListId", id.clone()),
        RulePeer::Group { id, account: _ } => ("Groups", "GroupId", id.clone()),
    };
    let mut peers = entry.prefix(kind).start_list(true, None);
    let mut peer = peers.entry();
    peer.prefix(field).string(&value);
    if let RulePeer::Group { id: _, account: Some(account) } = &rule.peer {
        peer.prefix("UserId").string(account);
    }
    if let (Verb::Authorize, Some(description)) = (verb, &rule.description) {
        peer.prefix("Description").string(description);
    }
    peers.finish();
}
