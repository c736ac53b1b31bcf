//! The golden file of requests and endpoints: what our client sends, beside the parameters as botocore takes them.

use dagstorm::{
    model::{NetworkAclEntry, Protocol, RulePeer, SecurityGroupRule},
    world::ec2::{
        Groups, Request, Tagged, Verb, regional,
        requests::{
            change_rules, create_network_acl, create_network_acl_entry, create_tags, delete_network_acl, delete_tags,
            describe_network_acls, describe_network_interfaces, describe_network_interfaces_by_id,
            describe_network_interfaces_by_subnet, describe_security_group_rules, describe_security_groups,
            describe_subnets, describe_tagged, replace_network_acl_association,
        },
    },
};
use indexmap::IndexMap;
use serde_json::{Value, json};

/// A rule of the workers' group as `egress tcp 443-443 sg-2`.
pub fn rule(text: &str, description: Option<&str>, tags: &[(&str, &str)]) -> SecurityGroupRule {
    let words: Vec<&str> = text.split(' ').collect();
    let ports = words[2].rsplit_once('-').filter(|_| words[2] != "*");
    let peer = match words[3] {
        id if id.starts_with("pl-") => RulePeer::PrefixList(id.to_owned()),
        id if id.starts_with("sg-") => {
            let (id, account) = id.split_once('@').map_or((id, None), |(id, account)| (id, Some(account.to_owned())));
            RulePeer::Group { id: id.to_owned(), account }
        }
        net if net.contains(':') => RulePeer::Ipv6(net.parse().unwrap()),
        net => RulePeer::Ipv4(net.parse().unwrap()),
    };
    SecurityGroupRule {
        group: GROUP.to_owned(),
        egress: words[0] == "egress",
        protocol: words[1].parse().unwrap(),
        from_port: ports.map(|ports| ports.0.parse().unwrap()),
        to_port: ports.map(|ports| ports.1.parse().unwrap()),
        peer,
        description: description.map(str::to_owned),
        tags: map(tags),
        rule_id: Some("sgr-0000000000000009".to_owned()),
    }
}

fn map(tags: &[(&str, &str)]) -> IndexMap<String, String> {
    tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[allow(clippy::needless_pass_by_value, reason = "rows are written out where they are passed")]
fn row(request: &Request, parameters: Value) -> Value {
    json!({ "action": request.action, "parameters": parameters, "body": request.body })
}

/// An object with more fields.
#[allow(clippy::needless_pass_by_value, reason = "rows are written out where they are passed")]
fn with(mut object: Value, more: Value) -> Value {
    object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    object
}

fn page(filter: &str, values: &[&str], more: Value) -> Value {
    with(json!({ "Filters": [{ "Name": filter, "Values": values }], "MaxResults": 1000 }), more)
}

fn looks() -> Vec<Value> {
    let (ids, subnets) = (["sg-1", "sg-2"], ["subnet-1"]);
    let token = "AAAB+page/2==";
    vec![
        row(&describe_security_groups(&Groups::Ids(strings(&ids)), None), json!({ "GroupIds": ids })),
        row(
            &describe_security_groups(&Groups::Names(strings(&["sg workers & co"])), Some(token)),
            page("group-name", &["sg workers & co"], json!({ "NextToken": token })),
        ),
        row(&describe_security_group_rules(&strings(&ids), None), page("group-id", &ids, json!({}))),
        row(
            &describe_security_group_rules(&strings(&ids), Some(token)),
            page("group-id", &ids, json!({ "NextToken": token })),
        ),
        row(
            &describe_network_interfaces(&strings(&ids), None),
            page("group-id", &ids, json!({ "IncludeManagedResources": true })),
        ),
        row(
            &describe_network_interfaces_by_id(&strings(&["eni-1", "eni-2"]), None),
            page("network-interface-id", &["eni-1", "eni-2"], json!({ "IncludeManagedResources": true })),
        ),
        row(&describe_subnets(&strings(&subnets), None), page("subnet-id", &subnets, json!({}))),
        row(
            &describe_network_acls(&strings(&subnets), Some(token)),
            page("association.subnet-id", &subnets, json!({ "NextToken": token })),
        ),
        row(
            &describe_network_interfaces_by_subnet(&strings(&subnets), None),
            page("subnet-id", &subnets, json!({ "IncludeManagedResources": true })),
        ),
        row(&tagged(Tagged::SecurityGroups, None), page("tag-key", &["dagstorm:fault"], json!({}))),
        row(&tagged(Tagged::Subnets, None), page("tag-key", &["dagstorm:fault"], json!({}))),
        row(
            &tagged(Tagged::NetworkAcls, Some(token)),
            page("tag-key", &["dagstorm:fault"], json!({ "NextToken": token })),
        ),
    ]
}

fn tagged(what: Tagged, page: Option<&str>) -> Request {
    describe_tagged(what, &strings(&["dagstorm:fault"]), page)
}

const GROUP: &str = "sg-0a1b2c3d4e5f60001";
const TAGS: [(&str, &str); 2] = [("dagstorm/fault", "burst/1 & so on"), ("empty", "")];

fn tag_list() -> Value {
    json!([{ "Key": "dagstorm/fault", "Value": "burst/1 & so on" }, { "Key": "empty", "Value": "" }])
}

/// One call with every kind of peer and protocol.
fn every_kind_of_rule() -> Value {
    // Tags of AWS's own cannot be set: a rule that had one is restored without it.
    let tags = [TAGS[0], ("aws:cloudformation:stack-name", "x"), TAGS[1]];
    let rules = [
        rule("egress tcp 443-443 sg-2@123456789012", Some("to the endpoints, ünïcode"), &tags),
        rule("egress tcp 443-443 10.0.3.7/24", Some("to Dagster"), &tags),
        rule("egress tcp 443-443 2001:db8::/32", None, &tags),
        rule("egress tcp 443-443 pl-6da54004", Some("to S3"), &tags),
        rule("egress tcp * 10.0.0.0/8", None, &tags),
        rule("egress -1 * 0.0.0.0/0", None, &tags),
        rule("egress icmp * 10.0.0.0/8", None, &tags),
        rule("egress 50 * 10.0.0.0/8", None, &tags),
    ];
    let tcp = |peer: Value| with(json!({ "IpProtocol": "tcp", "FromPort": 443, "ToPort": 443 }), peer);
    let pair = json!({ "GroupId": "sg-2", "UserId": "123456789012", "Description": "to the endpoints, ünïcode" });
    let permissions = json!([
        tcp(json!({ "UserIdGroupPairs": [pair] })),
        tcp(json!({ "IpRanges": [{ "CidrIp": "10.0.3.0/24", "Description": "to Dagster" }] })),
        tcp(json!({ "Ipv6Ranges": [{ "CidrIpv6": "2001:db8::/32" }] })),
        tcp(json!({ "PrefixListIds": [{ "PrefixListId": "pl-6da54004", "Description": "to S3" }] })),
        { "IpProtocol": "tcp", "FromPort": 0, "ToPort": 65535, "IpRanges": [{ "CidrIp": "10.0.0.0/8" }] },
        { "IpProtocol": "-1", "IpRanges": [{ "CidrIp": "0.0.0.0/0" }] },
        { "IpProtocol": "icmp", "FromPort": -1, "ToPort": -1, "IpRanges": [{ "CidrIp": "10.0.0.0/8" }] },
        { "IpProtocol": "50", "IpRanges": [{ "CidrIp": "10.0.0.0/8" }] },
    ]);
    row(
        &change_rules(Verb::Authorize, &rules, false),
        json!({
            "GroupId": GROUP,
            "IpPermissions": permissions,
            "TagSpecifications": [{ "ResourceType": "security-group-rule", "Tags": tag_list() }],
        }),
    )
}

fn changes() -> Vec<Value> {
    let egress = [rule("egress tcp 443-443 10.0.3.0/24", Some("EC2 revokes without it"), &TAGS)];
    let ingress = [rule("ingress udp 8125-8126 sg-2", Some("from the workers"), &[])];
    let permission = json!({ "IpProtocol": "udp", "FromPort": 8125, "ToPort": 8126 });
    let inward = |pair: Value| json!([with(permission.clone(), json!({ "UserIdGroupPairs": [pair] }))]);
    let described = inward(json!({ "GroupId": "sg-2", "Description": "from the workers" }));
    let outward =
        json!([{ "IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{ "CidrIp": "10.0.3.0/24" }] }]);
    vec![
        every_kind_of_rule(),
        row(
            &change_rules(Verb::Revoke, &egress, true),
            json!({ "DryRun": true, "GroupId": GROUP, "IpPermissions": outward }),
        ),
        row(
            &change_rules(Verb::Authorize, &ingress, true),
            json!({ "DryRun": true, "GroupId": GROUP, "IpPermissions": described }),
        ),
        row(
            &change_rules(Verb::Revoke, &ingress, false),
            json!({ "GroupId": GROUP, "IpPermissions": inward(json!({ "GroupId": "sg-2" })) }),
        ),
        row(
            &create_tags(&strings(&["sg-1", "sgr-1"]), &map(&TAGS), true),
            json!({ "DryRun": true, "Resources": ["sg-1", "sgr-1"], "Tags": tag_list() }),
        ),
        row(
            &delete_tags(&strings(&["sg-1"]), &strings(&["dagstorm/fault", "empty"]), false),
            json!({ "Resources": ["sg-1"], "Tags": [{ "Key": "dagstorm/fault" }, { "Key": "empty" }] }),
        ),
    ]
}

/// A copy of an ACL, entry by entry, in its place and away again.
fn acls() -> Vec<Value> {
    let entry = |number: i32, egress: bool, protocol: Protocol, block: &str| NetworkAclEntry {
        number,
        egress,
        allow: false,
        protocol,
        block: block.parse().unwrap(),
        ports: None,
        icmp: None,
    };
    let tcp = NetworkAclEntry { ports: Some((443, 443)), ..entry(1, true, Protocol::Tcp, "10.0.2.10/32") };
    let icmp =
        NetworkAclEntry { icmp: Some((8, -1)), allow: true, ..entry(90, false, Protocol::IcmpV6, "2001:db8::/32") };
    let acl = "acl-0a1b2c3d4e5f60001";
    vec![
        row(
            &create_network_acl("vpc-1", &map(&TAGS), "0123abcd", false),
            json!({ "VpcId": "vpc-1", "ClientToken": "0123abcd", "TagSpecifications": [{ "ResourceType": "network-acl", "Tags": tag_list() }] }),
        ),
        row(
            &create_network_acl_entry(acl, &tcp, false),
            json!({
                "NetworkAclId": acl, "RuleNumber": 1, "Protocol": "6", "RuleAction": "deny", "Egress": true,
                "CidrBlock": "10.0.2.10/32", "PortRange": { "From": 443, "To": 443 },
            }),
        ),
        row(
            &create_network_acl_entry(acl, &icmp, true),
            json!({
                "DryRun": true, "NetworkAclId": acl, "RuleNumber": 90, "Protocol": "58", "RuleAction": "allow",
                "Egress": false, "Ipv6CidrBlock": "2001:db8::/32", "IcmpTypeCode": { "Type": 8, "Code": -1 },
            }),
        ),
        row(
            &create_network_acl_entry(acl, &entry(100, true, Protocol::All, "0.0.0.0/0"), false),
            json!({
                "NetworkAclId": acl, "RuleNumber": 100, "Protocol": "-1", "RuleAction": "deny", "Egress": true,
                "CidrBlock": "0.0.0.0/0",
            }),
        ),
        row(
            &replace_network_acl_association("aclassoc-1", acl, false),
            json!({ "AssociationId": "aclassoc-1", "NetworkAclId": acl }),
        ),
        row(&delete_network_acl(acl, false), json!({ "NetworkAclId": acl })),
    ]
}

/// By region: plain, FIPS, dual-stack, both.
fn endpoints() -> Value {
    let regions = [
        "us-east-1",
        "eu-central-1",
        "mx-central-1",
        "cn-north-1",
        "us-gov-west-1",
        "us-iso-east-1",
        "us-isob-east-1",
        "eu-isoe-west-1",
        "us-isof-south-1",
        "eusc-de-east-1",
    ];
    let ways = [(false, false), (true, false), (false, true), (true, true)];
    regions.iter().map(|region| (*region, ways.map(|(fips, dual)| regional(region, fips, dual)))).collect()
}

#[test]
fn requests_and_endpoints_are_the_golden_ones() {
    let requests: Vec<Value> = looks().into_iter().chain(changes()).chain(acls()).collect();
    let golden = json!({ "requests": requests, "endpoints": endpoints() });
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("ec2_requests", serde_json::to_string_pretty(&golden).unwrap());
    });
}
