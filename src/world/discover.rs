//! What there is: code locations and jobs of a Dagster; clusters, services, queues and groups of an account.
//!
//! For `dagstorm init`: every call has a short time-out and nothing is changed.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_ecs::types::ServiceField;
use aws_sdk_sqs::types::QueueAttributeName;
use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    aws,
    dagster::{Dagster, Partial},
    ec2::Ec2,
    graphql::{CONFIG, LOCATIONS, Member, Message},
    location::{first_line, root_cause},
    partitions::select_assets,
};
use crate::model::{SecurityGroupRule, Why, WhyKind};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const CALL_TIMEOUT: Duration = Duration::from_secs(4);
/// What DescribeServices takes at most.
const SERVICES_LIMIT: usize = 10;
/// Queues beyond this are not asked about their dead letters.
const MOST_QUEUES: usize = 100;
/// Jobs that begin so are Dagster's own.
const HIDDEN: &str = "__";

/// A code location that is loaded, by repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    pub name: String,
    pub repositories: Vec<Repository>,
    /// Why it could not be loaded.
    pub error: Option<String>,
}

/// A repository with the names of its jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    pub name: String,
    pub jobs: Vec<String>,
}

/// An ECS service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Service {
    pub name: String,
    /// The security groups of its network configuration, or else of its tasks' interfaces.
    pub groups: Vec<String>,
    pub tags: IndexMap<String, String>,
}

/// An SQS queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    pub name: String,
    /// The name of the queue that takes what it gives up.
    pub dead_letters: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LocationsData {
    workspace_or_error: Member<Workspace>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Workspace {
    #[serde(default)]
    location_entries: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    name: String,
    location_or_load_error: Option<Member<Loaded>>,
}

#[derive(Debug, Deserialize)]
struct Loaded {
    #[serde(default)]
    repositories: Vec<LoadedRepository>,
    #[serde(default)]
    causes: Vec<Message>,
}

#[derive(Debug, Deserialize)]
struct LoadedRepository {
    name: String,
    jobs: Vec<Job>,
}

#[derive(Debug, Deserialize)]
struct Job {
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfigData {
    is_pipeline_config_valid: Member<ConfigErrors>,
    partition_sets_or_error: Option<Member<PartitionSets>>,
}

#[derive(Debug, Deserialize)]
struct ConfigErrors {
    #[serde(default)]
    errors: Vec<Message>,
}

#[derive(Debug, Deserialize)]
struct PartitionSets {
    #[serde(default)]
    results: Vec<PartitionSet>,
}

/// Whether there is one is all that counts.
#[derive(Debug, Deserialize)]
struct PartitionSet {}

/// What Dagster says of a launch before it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobCheck {
    /// Why it would reject the run config.
    pub invalid: Option<String>,
    /// The job has partitions: a run of it belongs to one.
    pub is_partitioned: bool,
}

impl Dagster {
    /// All code locations with their jobs, in Dagster's order.
    pub async fn locations(&self) -> Result<Vec<Location>, Why> {
        let data: LocationsData =
            self.call(LOCATIONS, &json!({}), Partial::Refused).await.map_err(|failure| failure.why)?;
        let workspace = data.workspace_or_error;
        if workspace.typename != "Workspace" {
            let message = workspace.message.unwrap_or(workspace.typename);
            return Err(Why { kind: WhyKind::ServerError, message: format!("Dagster's workspace: {message}") });
        }
        Ok(workspace.fields.location_entries.into_iter().map(location).collect())
    }

    /// Whether Dagster would take a launch of a job with this run config.
    /// `assets`: those that are selected; empty: the whole job.
    pub async fn check(&self, job: &str, assets: &[String], run_config: &Value) -> Result<JobCheck, Why> {
        let (location, repository) = (&self.target.location, &self.target.repository);
        let place = json!({ "repositoryName": repository, "repositoryLocationName": location });
        let mut pipeline = place.clone();
        pipeline["pipelineName"] = json!(job);
        select_assets(&mut pipeline, assets);
        let variables = json!({ "pipeline": pipeline, "runConfig": run_config, "repository": place, "job": job });
        let data: ConfigData = self.call(CONFIG, &variables, Partial::Refused).await.map_err(|failure| failure.why)?;
        let member = data.is_pipeline_config_valid;
        let invalid = match member.typename.as_str() {
            "PipelineConfigValidationValid" => None,
            "RunConfigValidationInvalid" | "PipelineConfigValidationInvalid" => {
                Some(member.fields.errors.into_iter().map(|error| error.message).collect::<Vec<_>>().join("; "))
            }
            other => {
                let message = member.message.as_deref().map_or(other, first_line);
                return Err(Why { kind: WhyKind::ServerError, message: format!("job {job}: {message}") });
            }
        };
        let is_partitioned = data.partition_sets_or_error.is_some_and(|sets| !sets.fields.results.is_empty());
        Ok(JobCheck { invalid, is_partitioned })
    }
}

fn location(entry: Entry) -> Location {
    let (repositories, error) = match entry.location_or_load_error {
        Some(Member { typename, message: _, fields }) if typename == "RepositoryLocation" => {
            (fields.repositories.into_iter().map(repository).collect(), None)
        }
        Some(member) => {
            let cause = root_cause(member.message.as_ref(), &member.fields.causes).unwrap_or(&member.typename);
            (vec![], Some(first_line(cause).to_owned()))
        }
        None => (vec![], Some("it is still being loaded".to_owned())),
    };
    Location { name: entry.name, repositories, error }
}

fn repository(loaded: LoadedRepository) -> Repository {
    let jobs = loaded.jobs.into_iter().map(|job| job.name).filter(|name| !name.starts_with(HIDDEN)).collect();
    Repository { name: loaded.name, jobs }
}

/// An AWS account in one region, as the environment's credentials show it.
#[derive(Debug)]
pub struct Account {
    config: SdkConfig,
}

impl Account {
    /// Takes credentials and region as AWS's own tools do. Nothing is asked yet.
    pub async fn new(region: Option<&str>) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(CALL_TIMEOUT)
            .operation_timeout(CALL_TIMEOUT)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .timeout_config(timeouts)
            .retry_config(RetryConfig::disabled());
        if let Some(region) = region {
            loader = loader.region(Region::new(region.to_owned()));
        }
        Self { config: loader.load().await }
    }

    pub fn region(&self) -> Option<&str> {
        self.config.region().map(AsRef::as_ref)
    }

    /// The account's number.
    pub async fn number(&self) -> Result<String, Why> {
        let answer = aws_sdk_sts::Client::new(&self.config).get_caller_identity().send().await;
        let answer = answer.map_err(|error| aws::why("the account (STS GetCallerIdentity)", &error))?;
        answer.account().map(str::to_owned).ok_or_else(|| Why {
            kind: WhyKind::Protocol,
            message: "STS GetCallerIdentity: the answer has no account".to_owned(),
        })
    }

    /// The names of all ECS clusters, sorted.
    pub async fn clusters(&self) -> Result<Vec<String>, Why> {
        let mut names = vec![];
        let mut pages = self.ecs().list_clusters().into_paginator().items().send();
        while let Some(arn) = pages.next().await {
            names.push(last_part(&arn.map_err(|error| aws::why("ECS ListClusters", &error))?).to_owned());
        }
        names.sort();
        Ok(names)
    }

    /// The services of a cluster, sorted by name.
    pub async fn services(&self, cluster: &str) -> Result<Vec<Service>, Why> {
        let (client, what) = (self.ecs(), format!("the services of ECS cluster {cluster}"));
        let mut arns = vec![];
        let mut pages = client.list_services().cluster(cluster).into_paginator().items().send();
        while let Some(arn) = pages.next().await {
            arns.push(arn.map_err(|error| aws::why(&what, &error))?);
        }
        let mut services = vec![];
        for chunk in arns.chunks(SERVICES_LIMIT) {
            let asked = client.describe_services().cluster(cluster).set_services(Some(chunk.to_vec()));
            let answer = asked.include(ServiceField::Tags).send().await.map_err(|error| aws::why(&what, &error))?;
            services.extend(answer.services().iter().filter(|found| found.status() == Some("ACTIVE")).map(service));
        }
        services.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(services)
    }

    /// The security groups of the interfaces that a service's tasks have; a hundred tasks tell enough.
    pub async fn groups_of_tasks(&self, cluster: &str, service: &str) -> Result<Vec<String>, Why> {
        let (client, what) = (self.ecs(), format!("the tasks of ECS service {service}"));
        let listed = client.list_tasks().cluster(cluster).service_name(service).send().await;
        let arns = listed.map_err(|error| aws::why(&what, &error))?.task_arns.unwrap_or_default();
        if arns.is_empty() {
            return Ok(vec![]);
        }
        let answer = client.describe_tasks().cluster(cluster).set_tasks(Some(arns)).send().await;
        let answer = answer.map_err(|error| aws::why(&what, &error))?;
        let details = answer.tasks().iter().flat_map(|task| task.attachments()).flat_map(|one| one.details());
        let ids = details.filter(|detail| detail.name() == Some("networkInterfaceId"));
        let interfaces: Vec<String> = ids.filter_map(|detail| detail.value().map(str::to_owned)).collect();
        if interfaces.is_empty() {
            return Ok(vec![]);
        }
        let found = Ec2::new(&self.config)?.describe_network_interfaces_by_id(&interfaces).await;
        let mut groups: Vec<String> =
            found.map_err(|error| error.why)?.into_iter().flat_map(|interface| interface.groups).collect();
        groups.sort();
        groups.dedup();
        Ok(groups)
    }

    /// Where a security group lets its members connect to.
    pub async fn egress(&self, group: &str) -> Result<Vec<SecurityGroupRule>, Why> {
        let rules = Ec2::new(&self.config)?.describe_security_group_rules(&[group.to_owned()]).await;
        let rules = rules.map_err(|error| error.why)?;
        Ok(rules.into_iter().filter(|rule| rule.egress).collect())
    }

    /// All SQS queues with their dead-letter queues, sorted by name.
    pub async fn queues(&self) -> Result<Vec<Queue>, Why> {
        let client = aws_sdk_sqs::Client::new(&self.config);
        let mut urls = vec![];
        let mut pages = client.list_queues().max_results(1_000).into_paginator().items().send();
        while let Some(url) = pages.next().await {
            urls.push(url.map_err(|error| aws::why("SQS ListQueues", &error))?);
        }
        urls.sort();
        let mut queues = vec![];
        for (number, url) in urls.iter().enumerate() {
            let name = last_part(url).to_owned();
            let mut dead_letters = None;
            if number < MOST_QUEUES {
                let asked = client.get_queue_attributes().queue_url(url);
                let answer = asked.attribute_names(QueueAttributeName::RedrivePolicy).send().await;
                let answer = answer.map_err(|error| aws::why(&format!("SQS queue {name}"), &error))?;
                let policy = answer.attributes().and_then(|all| all.get(&QueueAttributeName::RedrivePolicy));
                dead_letters = policy.and_then(|policy| dead_letters_of(policy));
            }
            queues.push(Queue { name, dead_letters });
        }
        Ok(queues)
    }

    fn ecs(&self) -> aws_sdk_ecs::Client {
        aws_sdk_ecs::Client::new(&self.config)
    }
}

fn service(found: &aws_sdk_ecs::types::Service) -> Service {
    let network = found.network_configuration().and_then(|network| network.awsvpc_configuration());
    let tags = found.tags().iter().filter_map(|tag| Some((tag.key()?.to_owned(), tag.value()?.to_owned())));
    Service {
        name: found.service_name().unwrap_or_default().to_owned(),
        groups: network.map(|network| network.security_groups().to_vec()).unwrap_or_default(),
        tags: tags.collect(),
    }
}

/// The name of the queue that a redrive policy names by its ARN.
fn dead_letters_of(policy: &str) -> Option<String> {
    let policy: Value = serde_json::from_str(policy).ok()?;
    let arn = policy.get("deadLetterTargetArn")?.as_str()?;
    arn.rsplit(':').next().map(str::to_owned)
}

/// The name behind the last `/` of an ARN or URL.
fn last_part(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redrive_policy_names_a_queue() {
        let policy = r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead","maxReceiveCount":"3"}"#;
        assert_eq!(dead_letters_of(policy).as_deref(), Some("dead"));
        for policy in ["", "{}", r#"{"deadLetterTargetArn":7}"#] {
            assert_eq!(dead_letters_of(policy), None, "{policy}");
        }
    }

    #[test]
    fn locations_as_dagster_tells_them() {
        let data: LocationsData = serde_json::from_value(json!({ "workspaceOrError": {
            "__typename": "Workspace",
            "locationEntries": [
                { "name": "good", "locationOrLoadError": { "__typename": "RepositoryLocation", "repositories": [
                    { "name": "__repository__", "jobs": [{ "name": "__ASSET_JOB" }, { "name": "fast_job" }] },
                ] } },
                { "name": "broken", "locationOrLoadError": { "__typename": "PythonError", "message": "no module" } },
                { "name": "loading", "locationOrLoadError": null },
            ],
        } }))
        .expect("an answer");
        let found: Vec<Location> = data.workspace_or_error.fields.location_entries.into_iter().map(location).collect();
        let jobs = vec!["fast_job".to_owned()];
        let repositories = vec![Repository { name: "__repository__".to_owned(), jobs }];
        assert_eq!(
            found,
            [
                Location { name: "good".to_owned(), repositories, error: None },
                Location { name: "broken".to_owned(), repositories: vec![], error: Some("no module".to_owned()) },
                Location {
                    name: "loading".to_owned(),
                    repositories: vec![],
                    error: Some("it is still being loaded".to_owned())
                },
            ]
        );
    }
}
