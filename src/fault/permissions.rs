//! What IAM must permit for each fault: the actions, on what, under which conditions. Pure.
//!
//! By AWS's service authorization reference. What has no resource-level permissions there stands with `*`.

use std::collections::BTreeMap;

use super::{Cut, DenyQueue, DrainService, Fault, Redeliver};
use crate::model::{Target, mark::FAULT_TAG};

/// The tags that mark what a fault has changed: `dagstorm:fault`, `dagstorm:heal-by`, `dagstorm:undo.0` …
const MARKS: &str = "dagstorm:*";
const ANY: &str = "*";

/// One statement of a policy: what it is for, in a word, and what it permits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    pub purpose: &'static str,
    pub actions: Vec<&'static str>,
    pub resources: Vec<String>,
    pub conditions: Conditions,
}

/// As IAM writes them: operator → key → values.
pub type Conditions = BTreeMap<&'static str, BTreeMap<String, Vec<String>>>;

/// Makes ARNs of one account and region, with `*` for what is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arns {
    pub region: Option<String>,
    pub account: Option<String>,
}

impl Permission {
    pub fn new(purpose: &'static str, actions: &[&'static str], resources: Vec<String>) -> Self {
        Self { purpose, actions: actions.to_vec(), resources, conditions: Conditions::new() }
    }

    /// For actions without resource-level permissions, and for lists.
    pub fn anywhere(purpose: &'static str, actions: &[&'static str]) -> Self {
        Self::new(purpose, actions, vec![ANY.to_owned()])
    }

    pub fn when(mut self, operator: &'static str, key: impl Into<String>, values: &[&str]) -> Self {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        self.conditions.entry(operator).or_default().insert(key.into(), values);
        self
    }
}

impl Arns {
    pub fn arn(&self, service: &str, resource: &str) -> String {
        let part = |part: &Option<String>| part.clone().unwrap_or_else(|| ANY.to_owned());
        let partition = match self.region.as_deref() {
            None => ANY,
            Some(region) if region.starts_with("cn-") => "aws-cn",
            Some(region) if region.starts_with("us-gov-") => "aws-us-gov",
            Some(_) => "aws",
        };
        format!("arn:{partition}:{service}:{}:{}:{resource}", part(&self.region), part(&self.account))
    }

    /// The cluster's ARN; a target may name the cluster by it.
    pub fn cluster(&self, cluster: &str) -> String {
        if cluster.starts_with("arn:") { cluster.to_owned() } else { self.arn("ecs", &format!("cluster/{cluster}")) }
    }

    /// All things of a kind in a cluster, or one: `task/demo/*`, `service/demo/worker`.
    pub fn in_cluster(&self, kind: &str, cluster: &str, name: &str) -> String {
        if name.starts_with("arn:") {
            return name.to_owned();
        }
        let short = cluster.rsplit('/').next().unwrap_or(cluster);
        self.arn("ecs", &format!("{kind}/{short}/{name}"))
    }

    /// A security group; any, if the target does not name it by its id.
    fn security_group(&self, group: &str) -> String {
        self.arn("ec2", &format!("security-group/{}", if group.starts_with("sg-") { group } else { ANY }))
    }
}

/// Everything that injecting and healing this fault calls, beside the looks that every target needs.
pub fn permissions(fault: &Fault, target: &Target, arns: &Arns) -> Vec<Permission> {
    let found = if fault.lasts() { find_marked(target, arns) } else { vec![] };
    let own = match fault {
        Fault::StopTasks(_) => stop_tasks(target, arns),
        Fault::DrainService(drain) => drain_service(drain, target, arns),
        Fault::DrainInstances(_) => drain_instances(target, arns),
        Fault::Partition(partition) => match partition.cut {
            Cut::NewConnections => cut_rules(target, arns),
            Cut::Hard => cut_acl(arns),
        },
        Fault::DenyQueue(DenyQueue { queue }) => deny_queue(queue, target, arns),
        Fault::Redeliver(Redeliver { queue, share: _ }) => redeliver(queue, target, arns),
    };
    own.into_iter().chain(found).collect()
}

/// Looking for the marks of faults that were left behind, as the sweep of orphans does.
fn find_marked(target: &Target, arns: &Arns) -> Vec<Permission> {
    // `heal --all` looks everywhere.
    let mut found = vec![Permission::anywhere("HealAll", &["ecs:ListClusters", "sqs:ListQueues"])];
    if target.network.is_some() {
        let actions = ["ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeNetworkAcls"];
        found.push(Permission::anywhere("FindMarkedNetwork", &actions));
    }
    if let Some(ecs) = &target.ecs {
        let (cluster, short) = (arns.cluster(&ecs.cluster), &ecs.cluster);
        let all = |kind: &str| vec![arns.in_cluster(kind, short, ANY)];
        let cluster_is = |permission: Permission| permission.when("ArnEquals", "ecs:cluster", &[&cluster]);
        found.extend([
            cluster_is(Permission::anywhere("ListServices", &["ecs:ListServices"])),
            cluster_is(Permission::new("FindMarkedServices", &["ecs:DescribeServices"], all("service"))),
            Permission::new("ListInstances", &["ecs:ListContainerInstances"], vec![cluster.clone()]),
            cluster_is(Permission::new(
                "ReadInstances",
                &["ecs:DescribeContainerInstances"],
                all("container-instance"),
            )),
        ]);
    }
    if let Some(queue) = &target.queue {
        let queues = [Some(&queue.name), queue.dead_letters.as_ref()];
        let queues = queues.into_iter().flatten().map(|name| arns.arn("sqs", name)).collect();
        found.push(Permission::new("FindMarkedQueues", &["sqs:GetQueueUrl", "sqs:ListQueueTags"], queues));
    }
    found
}

/// Listing and describing tasks. ListTasks knows container instances alone, and on Fargate there are none: the cluster
/// bounds it.
pub fn read_tasks(cluster: &str, arns: &Arns) -> Vec<Permission> {
    let arn = arns.cluster(cluster);
    let cluster_is = |permission: Permission| permission.when("ArnEquals", "ecs:cluster", &[&arn]);
    vec![
        cluster_is(Permission::anywhere("ListTasks", &["ecs:ListTasks"])),
        cluster_is(Permission::new(
            "ReadTasks",
            &["ecs:DescribeTasks", "ecs:GetTaskProtection"],
            vec![arns.in_cluster("task", cluster, ANY)],
        )),
    ]
}

fn stop_tasks(target: &Target, arns: &Arns) -> Vec<Permission> {
    let Some(ecs) = &target.ecs else { return vec![] };
    let tasks = vec![arns.in_cluster("task", &ecs.cluster, ANY)];
    let stop = Permission::new("StopTasks", &["ecs:StopTask"], tasks);
    let stop = guarded(stop, target).when("ArnEquals", "ecs:cluster", &[&arns.cluster(&ecs.cluster)]);
    read_tasks(&ecs.cluster, arns).into_iter().chain([stop]).collect()
}

fn drain_service(drain: &DrainService, target: &Target, arns: &Arns) -> Vec<Permission> {
    let Some(ecs) = &target.ecs else { return vec![] };
    let service = ecs.service(&drain.service).unwrap_or(ANY);
    let arn = arns.in_cluster("service", &ecs.cluster, service);
    let cluster = arns.cluster(&ecs.cluster);
    vec![
        guarded(Permission::new("DrainServices", &["ecs:UpdateService"], vec![arn.clone()]), target).when(
            "ArnEquals",
            "ecs:cluster",
            &[&cluster],
        ),
        healed("HealServices", &["ecs:UpdateService"], vec![arn.clone()]).when("ArnEquals", "ecs:cluster", &[&cluster]),
        marks("MarkServices", &["ecs:TagResource", "ecs:UntagResource"], vec![arn]),
    ]
}

fn drain_instances(target: &Target, arns: &Arns) -> Vec<Permission> {
    let Some(ecs) = &target.ecs else { return vec![] };
    let (cluster, instances) = (arns.cluster(&ecs.cluster), arns.in_cluster("container-instance", &ecs.cluster, ANY));
    let drain = Permission::new("DrainInstances", &["ecs:UpdateContainerInstancesState"], vec![instances.clone()]);
    vec![
        guarded(drain, target).when("ArnEquals", "ecs:cluster", &[&cluster]),
        healed("HealInstances", &["ecs:UpdateContainerInstancesState"], vec![instances.clone()]).when(
            "ArnEquals",
            "ecs:cluster",
            &[&cluster],
        ),
        marks("MarkInstances", &["ecs:TagResource", "ecs:UntagResource"], vec![instances]),
    ]
}

fn cut_rules(target: &Target, arns: &Arns) -> Vec<Permission> {
    let Some(network) = &target.network else { return vec![] };
    let group = arns.security_group(&network.workers_group);
    let rules = arns.arn("ec2", "security-group-rule/*");
    vec![
        Permission::anywhere(
            "ReadNetwork",
            &["ec2:DescribeSecurityGroups", "ec2:DescribeSecurityGroupRules", "ec2:DescribeNetworkInterfaces"],
        ),
        Permission::new("RevokeRules", &["ec2:RevokeSecurityGroupEgress"], vec![group.clone()]),
        // A rule is restored with its tags: that is judged by the rule as well.
        Permission::new("RestoreRules", &["ec2:AuthorizeSecurityGroupEgress"], vec![group.clone(), rules.clone()]),
        Permission::new("RestoreRuleTags", &["ec2:CreateTags"], vec![rules]).when(
            "StringEquals",
            "ec2:CreateAction",
            &["AuthorizeSecurityGroupEgress"],
        ),
        marks("MarkGroups", &["ec2:CreateTags", "ec2:DeleteTags"], vec![group]),
    ]
}

fn cut_acl(arns: &Arns) -> Vec<Permission> {
    let ec2 = |resource: &str| arns.arn("ec2", resource);
    let (acls, subnets) = (ec2("network-acl/*"), ec2("subnet/*"));
    vec![
        Permission::anywhere(
            "ReadAcls",
            &[
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeSecurityGroupRules",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeSubnets",
                "ec2:DescribeNetworkAcls",
            ],
        ),
        Permission::new("CreateAcls", &["ec2:CreateNetworkAcl"], vec![acls.clone(), ec2("vpc/*")]),
        Permission::new("TagAcls", &["ec2:CreateTags"], vec![acls.clone()]).when(
            "StringEquals",
            "ec2:CreateAction",
            &["CreateNetworkAcl"],
        ),
        // Only ACLs that a fault of dagstorm's has made are ever written or deleted.
        Permission::new("ChangeAcls", &["ec2:CreateNetworkAclEntry", "ec2:DeleteNetworkAcl"], vec![acls.clone()]).when(
            "StringLike",
            format!("aws:ResourceTag/{FAULT_TAG}"),
            &[ANY],
        ),
        Permission::new("SwapAcls", &["ec2:ReplaceNetworkAclAssociation"], vec![acls, subnets.clone()]),
        marks("MarkSubnets", &["ec2:CreateTags", "ec2:DeleteTags"], vec![subnets]),
    ]
}

fn deny_queue(role: &str, target: &Target, arns: &Arns) -> Vec<Permission> {
    let Some(arn) = queue_arn(role, target, arns) else { return vec![] };
    let reads = ["sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:ListQueueTags"];
    vec![
        Permission::new("ReadPolicies", &reads, vec![arn.clone()]),
        guarded(Permission::new("DenyQueues", &["sqs:SetQueueAttributes"], vec![arn.clone()]), target),
        healed("HealQueues", &["sqs:SetQueueAttributes"], vec![arn.clone()]),
        marks("MarkQueues", &["sqs:TagQueue", "sqs:UntagQueue"], vec![arn]),
    ]
}

fn redeliver(role: &str, target: &Target, arns: &Arns) -> Vec<Permission> {
    let Some(arn) = queue_arn(role, target, arns) else { return vec![] };
    let reads = ["sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:ListQueueTags"];
    let copies = ["sqs:ReceiveMessage", "sqs:SendMessage", "sqs:ChangeMessageVisibility"];
    vec![
        Permission::new("ReadPolicies", &reads, vec![arn.clone()]),
        guarded(Permission::new("CopyMessages", &copies, vec![arn]), target),
    ]
}

fn queue_arn(role: &str, target: &Target, arns: &Arns) -> Option<String> {
    let queues = target.queue.as_ref()?;
    let name = if role == "deadLetters" { queues.dead_letters.as_ref()? } else { &queues.name };
    Some(arns.arn("sqs", name))
}

/// The same for what carries a fault's mark, whatever became of the tags that the guard requires: healing must be possible.
fn healed(purpose: &'static str, actions: &[&'static str], resources: Vec<String>) -> Permission {
    Permission::new(purpose, actions, resources).when("StringLike", format!("aws:ResourceTag/{FAULT_TAG}"), &[ANY])
}

/// Only what carries the tags that the guard requires.
fn guarded(permission: Permission, target: &Target) -> Permission {
    target.guard.require_tag.iter().fold(permission, |permission, (tag, value)| {
        permission.when("StringEquals", format!("aws:ResourceTag/{tag}"), &[value])
    })
}

/// Setting and deleting the marks of a fault, and no other tag.
fn marks(purpose: &'static str, actions: &[&'static str], resources: Vec<String>) -> Permission {
    Permission::new(purpose, actions, resources).when("ForAllValues:StringLike", "aws:TagKeys", &[MARKS])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        serde_json::from_str(
            r#"{"name":"t","dagster":{"url":"http://x","location":"l","repository":"r","requestTimeout":"1s","settle":"9s"},
                "ecs":{"cluster":"demo","services":{"workers":"worker"}},
                "queue":{"name":"tasks","deadLetters":"dead"},
                "network":{"workersGroup":"sg-1","peers":{}},
                "guard":{"requireTag":{"ready":"true"}}}"#,
        )
        .expect("a target")
    }

    fn known() -> Arns {
        Arns { region: Some("eu-west-1".to_owned()), account: Some("111122223333".to_owned()) }
    }

    /// `Purpose: action action on resource resource if operator key=value`, one a line.
    fn text(fault: &str) -> String {
        let fault: Fault = serde_json::from_str(fault).expect(fault);
        let line = |one: Permission| {
            let conditions: Vec<String> = one
                .conditions
                .iter()
                .flat_map(|(operator, keys)| {
                    keys.iter().map(move |(key, values)| format!(" if {operator} {key}={}", values.join("|")))
                })
                .collect();
            format!(
                "{}: {} on {}{}\n",
                one.purpose,
                one.actions.join(" "),
                one.resources.join(" "),
                conditions.concat()
            )
        };
        permissions(&fault, &target(), &known()).into_iter().map(line).collect()
    }

    #[test]
    fn every_fault_names_what_it_calls() {
        let faults = [
            r#"{"stopTasks":{"tasks":{"service":"workers"}}}"#,
            r#"{"drainService":{"service":"workers"}}"#,
            r#"{"drainInstances":{}}"#,
            r#"{"partition":{"between":"workers","and":"sqs"}}"#,
            r#"{"partition":{"between":"workers","and":"sqs","cut":"hard"}}"#,
            r#"{"denyQueue":{}}"#,
            r#"{"redeliver":{"share":"10%","queue":"deadLetters"}}"#,
        ];
        let all: Vec<String> = faults.iter().map(|fault| format!("{fault}\n{}", text(fault))).collect();
        insta::assert_snapshot!("permissions", all.join("\n"));
        assert_eq!(text(faults[0]), text(r#"{"stopTasks":{"tasks":{"family":"f"}}}"#));
    }

    #[test]
    fn arns_know_partitions_and_say_what_is_unknown() {
        let arns = |region: Option<&str>| Arns { region: region.map(str::to_owned), account: None };
        for (region, arn) in [
            (None, "arn:*:sqs:*:*:tasks"),
            (Some("us-east-1"), "arn:aws:sqs:us-east-1:*:tasks"),
            (Some("cn-north-1"), "arn:aws-cn:sqs:cn-north-1:*:tasks"),
            (Some("us-gov-west-1"), "arn:aws-us-gov:sqs:us-gov-west-1:*:tasks"),
        ] {
            assert_eq!(arns(region).arn("sqs", "tasks"), arn);
        }
        let arn = "arn:aws:ecs:eu-west-1:1:cluster/demo";
        assert_eq!(known().cluster(arn), arn);
        assert_eq!(known().in_cluster("task", arn, "*"), "arn:aws:ecs:eu-west-1:111122223333:task/demo/*");
        assert_eq!(known().security_group("by-name"), "arn:aws:ec2:eu-west-1:111122223333:security-group/*");
    }
}
