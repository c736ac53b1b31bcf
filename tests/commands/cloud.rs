//! A Dagster and an AWS that say what a test wants, on a port of this machine.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, StatusCode},
};
use serde_json::{Value, json};

/// What there is. The answers are made of it.
#[derive(Debug, Default, Clone)]
pub struct Cloud {
    /// By cluster.
    pub clusters: Vec<(&'static str, Vec<Service>)>,
    /// The security groups of the interface that each task has.
    pub task_groups: &'static [&'static str],
    /// Queues with the names of their dead-letter queues.
    pub queues: Vec<(&'static str, Option<&'static str>)>,
    /// By code location: jobs; those that end with `!` need a run config. `None`: it cannot be loaded.
    pub locations: Vec<(&'static str, Option<&'static [&'static str]>)>,
    /// These actions are denied.
    pub denied: &'static [&'static str],
}

/// Its name, and the security groups of its network configuration.
type Service = (&'static str, &'static [&'static str]);

/// A running one. It ends with the test.
pub struct Served {
    pub url: String,
    asked: Arc<Mutex<Vec<String>>>,
    _runtime: tokio::runtime::Runtime,
}

impl Cloud {
    pub fn serve(self) -> Served {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let asked = Arc::new(Mutex::new(vec![]));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let log = Arc::clone(&asked);
        let app = Router::new().fallback(move |headers: HeaderMap, body: Bytes| {
            let (action, body) = action(&headers, &body);
            log.lock().unwrap().push(action.clone());
            let answer = self.answer(&action, &body);
            async move { answer }
        });
        runtime.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Served { url, asked, _runtime: runtime }
    }

    fn answer(&self, action: &str, body: &Value) -> (StatusCode, String) {
        if self.denied.contains(&action) {
            let body = json!({ "__type": "AccessDeniedException", "message": format!("no {action} for you") });
            return (StatusCode::BAD_REQUEST, body.to_string());
        }
        let text = match action {
            "graphql" => self.graphql(body).to_string(),
            "GetCallerIdentity" => {
                "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
                 <Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
                    .to_owned()
            }
            "DescribeNetworkInterfaces" => {
                let groups: Vec<String> =
                    self.task_groups.iter().map(|id| format!("<item><groupId>{id}</groupId></item>")).collect();
                format!(
                    "<DescribeNetworkInterfacesResponse><networkInterfaceSet><item><networkInterfaceId>eni-1\
                     </networkInterfaceId><groupSet>{}</groupSet></item></networkInterfaceSet>\
                     </DescribeNetworkInterfacesResponse>",
                    groups.concat()
                )
            }
            "DescribeSecurityGroupRules" => "<DescribeSecurityGroupRulesResponse><securityGroupRuleSet/>\
                 </DescribeSecurityGroupRulesResponse>"
                .to_owned(),
            "DescribeSecurityGroups" => "<DescribeSecurityGroupsResponse><securityGroupInfo/>\
                 </DescribeSecurityGroupsResponse>"
                .to_owned(),
            _ => self.json(action, body).to_string(),
        };
        (StatusCode::OK, text)
    }

    fn json(&self, action: &str, body: &Value) -> Value {
        let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
        match action {
            "ListClusters" => {
                json!({ "clusterArns": self.clusters.iter().map(|(name, _)| format!("arn:aws:ecs:x:1:cluster/{name}")).collect::<Vec<_>>() })
            }
            "ListServices" => {
                let (cluster, services) =
                    self.clusters.iter().find(|(name, _)| *name == text("cluster")).expect("a known cluster");
                json!({ "serviceArns": services.iter().map(|(name, _)| format!("arn:aws:ecs:x:1:service/{cluster}/{name}")).collect::<Vec<_>>() })
            }
            "DescribeServices" => {
                let named = |arn: &str| arn.rsplit('/').next().unwrap().to_owned();
                let asked: Vec<String> =
                    body["services"].as_array().unwrap().iter().map(|arn| named(arn.as_str().unwrap())).collect();
                let all = self.clusters.iter().filter(|(name, _)| *name == text("cluster")).flat_map(|(_, all)| all);
                let found = all.filter(|(name, _)| asked.iter().any(|one| one == name)).map(|(name, groups)| {
                    let network =
                        json!({ "awsvpcConfiguration": { "subnets": ["subnet-1"], "securityGroups": groups } });
                    json!({ "serviceName": name, "status": "ACTIVE", "networkConfiguration": network })
                });
                json!({ "services": found.collect::<Vec<_>>() })
            }
            "ListTasks" => json!({ "taskArns": ["arn:aws:ecs:x:1:task/c/1"] }),
            "DescribeTasks" => json!({ "tasks": [{
                "taskArn": "arn:aws:ecs:x:1:task/c/1",
                "attachments": [{ "type": "ElasticNetworkInterface", "details": [
                    { "name": "subnetId", "value": "subnet-1" }, { "name": "networkInterfaceId", "value": "eni-1" },
                ] }],
            }] }),
            "ListQueues" => {
                json!({ "QueueUrls": self.queues.iter().map(|(name, _)| format!("http://sqs/1/{name}")).collect::<Vec<_>>() })
            }
            "GetQueueAttributes" => {
                let (_, dead) =
                    self.queues.iter().find(|(name, _)| text("QueueUrl").ends_with(&format!("/{name}"))).unwrap();
                match dead {
                    Some(dead) => {
                        let policy =
                            json!({ "deadLetterTargetArn": format!("arn:aws:sqs:x:1:{dead}"), "maxReceiveCount": 3 });
                        json!({ "Attributes": { "RedrivePolicy": policy.to_string() } })
                    }
                    None => json!({}),
                }
            }
            other => panic!("nobody should ask for {other}"),
        }
    }

    fn graphql(&self, body: &Value) -> Value {
        let Some(pipeline) = body["variables"].get("pipeline") else {
            let entry = |(name, jobs): &(&str, Option<&'static [&'static str]>)| {
                let loaded =
                    jobs.map_or(json!({ "__typename": "PythonError", "message": "No module named etl" }), |jobs| {
                        let jobs: Vec<Value> =
                            jobs.iter().map(|job| json!({ "name": job.trim_end_matches('!') })).collect();
                        json!({ "__typename": "RepositoryLocation", "repositories": [{ "name": "own", "jobs": jobs }] })
                    });
                json!({ "name": name, "locationOrLoadError": loaded })
            };
            let entries: Vec<Value> = self.locations.iter().map(entry).collect();
            return json!({ "data": { "workspaceOrError": { "__typename": "Workspace", "locationEntries": entries } } });
        };
        let name = format!("{}!", pipeline["pipelineName"].as_str().unwrap());
        let needs = self.locations.iter().filter_map(|(_, jobs)| *jobs).flatten().any(|job| *job == name);
        let word = if needs { "RunConfigValidationInvalid" } else { "PipelineConfigValidationValid" };
        json!({ "data": { "isPipelineConfigValid": { "__typename": word } } })
    }
}

impl Served {
    /// What was asked, each once, sorted.
    pub fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.sort();
        asked.dedup();
        asked
    }
}

/// The name of the action, and its parameters where they are JSON.
fn action(headers: &HeaderMap, body: &[u8]) -> (String, Value) {
    let json = serde_json::from_slice(body).unwrap_or(Value::Null);
    if let Some(target) = headers.get("x-amz-target") {
        return (target.to_str().unwrap().rsplit('.').next().unwrap().to_owned(), json);
    }
    let text = String::from_utf8_lossy(body);
    match text.split('&').find_map(|pair| pair.strip_prefix("Action=")) {
        Some(action) => (action.to_owned(), Value::Null),
        None => ("graphql".to_owned(), json),
    }
}
