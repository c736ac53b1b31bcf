//! The least IAM policy that some scenarios need: what their targets and faults call, joined. Pure.

use serde::Serialize;

use crate::{
    fault::permissions::{Arns, Conditions, Permission, permissions, read_tasks},
    model::{Target, completion::CompletionSource},
    spec::Scenario,
};

/// A policy document as IAM takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Policy {
    version: &'static str,
    pub statement: Vec<Statement>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    sid: String,
    effect: &'static str,
    pub action: Vec<&'static str>,
    resource: Vec<String>,
    #[serde(skip_serializing_if = "Conditions::is_empty")]
    condition: Conditions,
}

/// What one scenario acts on, and how its ARNs begin.
pub struct Need<'a> {
    pub scenario: &'a Scenario,
    pub target: &'a Target,
    pub arns: Arns,
}

/// Joins what all of them need; nothing if that is nothing of AWS's.
pub fn policy(needs: &[Need<'_>]) -> Option<Policy> {
    let mut statement: Vec<Statement> = vec![];
    for need in needs {
        let Need { scenario, target, arns } = need;
        let faults = scenario.spec.faults.iter().flat_map(|spec| permissions(&spec.fault, target, arns));
        for permission in base(target, arns).into_iter().chain(alarm(scenario, arns)).chain(faults) {
            join(&mut statement, permission);
        }
    }
    (!statement.is_empty()).then_some(Policy { version: "2012-10-17", statement })
}

/// What the operator looks at and publishes for every target, whatever its scenarios are.
fn base(target: &Target, arns: &Arns) -> Vec<Permission> {
    let mut found = vec![];
    if let Some(ecs) = &target.ecs {
        let services: Vec<String> =
            ecs.services.values().map(|service| arns.in_cluster("service", &ecs.cluster, service)).collect();
        if !services.is_empty() {
            found.push(Permission::new("ReadServices", &["ecs:DescribeServices"], services));
            found.extend(read_tasks(&ecs.cluster, arns));
        }
    }
    if let Some(queue) = &target.queue {
        let actions = ["sqs:GetQueueUrl", "sqs:GetQueueAttributes"];
        found.push(Permission::new("ReadQueues", &actions, vec![arns.arn("sqs", &queue.name)]));
        // GetMetricData knows neither resources nor conditions.
        found.push(Permission::anywhere("ReadMetrics", &["cloudwatch:GetMetricData"]));
    }
    if let Some(CompletionSource::Queue { name }) = target.completions.as_ref().map(|records| &records.source) {
        let actions =
            ["sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:ReceiveMessage", "sqs:ChangeMessageVisibility"];
        found.push(Permission::new("ReadCompletions", &actions, vec![arns.arn("sqs", name)]));
    }
    if let Some(metrics) = &target.metrics {
        found.push(Permission::anywhere("PublishMetrics", &["cloudwatch:PutMetricData"]).when(
            "StringEquals",
            "cloudwatch:namespace",
            &[&metrics.namespace],
        ));
    }
    found
}

fn alarm(scenario: &Scenario, arns: &Arns) -> Option<Permission> {
    let name = scenario.spec.limits.abort_on.as_ref()?.alarm.as_ref()?;
    let alarm = arns.arn("cloudwatch", &format!("alarm:{name}"));
    Some(Permission::new("ReadAlarms", &["cloudwatch:DescribeAlarms"], vec![alarm]))
}

/// Into a statement for the same purpose under the same conditions if there is one, else as a new one.
fn join(statements: &mut Vec<Statement>, permission: Permission) {
    let Permission { purpose, actions, resources, conditions } = permission;
    // `StopTasks`, and for another cluster `StopTasks2`: an Sid is unique, and has letters and digits only.
    let is_own =
        |sid: &str| sid.strip_prefix(purpose).is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
    let same = |one: &&mut Statement| is_own(&one.sid) && one.action == actions && one.condition == conditions;
    if let Some(known) = statements.iter_mut().find(same) {
        for resource in resources {
            if !known.resource.contains(&resource) {
                known.resource.push(resource);
            }
        }
        return;
    }
    let number = statements.iter().filter(|one| is_own(&one.sid)).count() + 1;
    let sid = if number == 1 { purpose.to_owned() } else { format!("{purpose}{number}") };
    statements.push(Statement { sid, effect: "Allow", action: actions, resource: resources, condition: conditions });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::plan::tests::scenario, model::completion::CompletionFields};

    fn target(more: &str) -> Target {
        serde_json::from_str(&format!(
            r#"{{"name":"t","dagster":{{"url":"http://x","location":"l","repository":"r","requestTimeout":"1s","settle":"9s"}}{more}}}"#
        ))
        .expect("a target")
    }

    fn joined(pairs: &[(&Scenario, &Target)]) -> Option<Policy> {
        let arns = Arns { region: Some("us-east-1".to_owned()), account: Some("000000000000".to_owned()) };
        let needs: Vec<Need<'_>> =
            pairs.iter().map(|(scenario, target)| Need { scenario, target, arns: arns.clone() }).collect();
        policy(&needs)
    }

    fn sids(policy: &Policy) -> Vec<&str> {
        policy.statement.iter().map(|statement| statement.sid.as_str()).collect()
    }

    const LOAD: &str = "load: [ { name: base, for: 60s, arrivals: { constant: { rate: 1/s } }, jobs: { a: 1 } } ]\n";

    #[test]
    fn only_what_is_used_is_asked_for() {
        let plain = scenario(LOAD);
        assert_eq!(joined(&[(&plain, &target(""))]), None);
        let full = r#","ecs":{"cluster":"demo","services":{"workers":"w","autoscaler":"a"}},"queue":{"name":"q"},"metrics":{"namespace":"n"}"#;
        let reads = ["ReadServices", "ListTasks", "ReadTasks", "ReadQueues", "ReadMetrics", "PublishMetrics"];
        let found = joined(&[(&plain, &target(full))]).expect("a policy");
        assert_eq!(sids(&found), reads);
        let kill = scenario(&format!(
            "{LOAD}faults: [ {{ name: a, after: 1s, stopTasks: {{ service: workers }} }}, {{ name: b, after: 2s, stopTasks: {{ service: workers }} }} ]\nlimits: {{ abortOn: {{ alarm: deep }} }}\n"
        ));
        let found = joined(&[(&plain, &target(full)), (&kill, &target(full))]).expect("a policy");
        assert_eq!(sids(&found), [&reads[..], &["ReadAlarms", "StopTasks"]].concat(), "each once");
        let json = serde_json::to_value(&found).expect("JSON");
        assert_eq!(json["Version"], "2012-10-17");
        assert_eq!(
            json["Statement"][6],
            serde_json::json!({ "Sid": "ReadAlarms", "Effect": "Allow", "Action": ["cloudwatch:DescribeAlarms"],
                "Resource": ["arn:aws:cloudwatch:us-east-1:000000000000:alarm:deep"] })
        );
        assert_eq!(
            json["Statement"][5]["Condition"],
            serde_json::json!({ "StringEquals": { "cloudwatch:namespace": ["n"] } })
        );
    }

    #[test]
    fn records_in_a_queue_are_read_and_left_there() {
        let source = r#","completions":{"source":{"queue":{"name":"done"}},"fields":FIELDS,"completed":["completed"]}"#;
        let fields = serde_json::to_string(&CompletionFields::default()).expect("JSON");
        let found = joined(&[(&scenario(LOAD), &target(&source.replace("FIELDS", &fields)))]).expect("a policy");
        assert_eq!(sids(&found), ["ReadCompletions"]);
        assert_eq!(found.statement[0].resource, ["arn:aws:sqs:us-east-1:000000000000:done"]);
        assert!(!found.statement[0].action.contains(&"sqs:DeleteMessage"));
    }

    #[test]
    fn another_cluster_has_statements_of_its_own() {
        let ecs = |cluster: &str| target(&format!(r#","ecs":{{"cluster":"{cluster}","services":{{"workers":"w"}}}}"#));
        let plain = scenario(LOAD);
        let found = joined(&[(&plain, &ecs("one")), (&plain, &ecs("two"))]).expect("a policy");
        assert_eq!(sids(&found), ["ReadServices", "ListTasks", "ReadTasks", "ListTasks2", "ReadTasks2"]);
        assert_eq!(found.statement[0].resource.len(), 2);
    }
}
