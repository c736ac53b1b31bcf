//! The live world: one client for each target, made when it is first needed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_config::SdkConfig;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::{
    Clock, SystemClock, World,
    aws::{self, Changes},
    change, cloudwatch, completions,
    dagster::Dagster,
    discover::JobCheck,
    ec2::Ec2,
    ecs::{self, Ecs},
    leftovers::Leftovers,
    own::{self, Own},
    queue,
};
use crate::model::{
    AgeView, Census, CensusQuery, Datum, Effect, Observation, Outcome, Query, RunRecord, Seen, StepsView, Target,
    Timed, Timestamp, Why, WhyKind,
};

/// So long the workers' records are waited for while a scenario runs.
const WORK_WITHIN: Duration = Duration::from_secs(8);

/// AWS and Dagster as they are.
#[derive(Default)]
pub struct LiveWorld {
    /// By target and by value: an edited target gets clients of its own.
    clients: Mutex<BTreeMap<String, Arc<Clients>>>,
    /// The task that we run in, once it is known.
    own: OnceCell<Own>,
}

pub(super) struct Clients {
    target: Target,
    dagster: Result<Dagster, Why>,
    /// Made when AWS is first asked: where there is none, a Dagster alone does not wait for it.
    aws: OnceCell<Aws>,
}

/// The clients of AWS.
pub(super) struct Aws {
    pub(super) config: SdkConfig,
    /// For looks.
    pub(super) ecs: aws_sdk_ecs::Client,
    /// Tells looks and changes apart by itself.
    pub(super) ec2: Result<Ec2, Why>,
    /// For looks.
    pub(super) sqs: aws_sdk_sqs::Client,
    pub(super) changes: Changes,
    pub(super) sts: aws_sdk_sts::Client,
    cloudwatch: aws_sdk_cloudwatch::Client,
}

impl Aws {
    pub(super) fn new(config: SdkConfig) -> Self {
        Self {
            changes: Changes::new(&config),
            ecs: aws_sdk_ecs::Client::new(&config),
            sqs: aws_sdk_sqs::Client::new(&config),
            ec2: Ec2::new(&config),
            sts: aws_sdk_sts::Client::new(&config),
            cloudwatch: aws_sdk_cloudwatch::Client::new(&config),
            config,
        }
    }
}

impl Clients {
    fn dagster(&self) -> Result<&Dagster, Why> {
        self.dagster.as_ref().map_err(Clone::clone)
    }

    async fn sqs(&self) -> &aws_sdk_sqs::Client {
        &self.aws().await.sqs
    }

    pub(super) async fn aws(&self) -> &Aws {
        let region = self.target.guard.region.as_deref();
        self.aws.get_or_init(async || Aws::new(aws::config(region).await)).await
    }
}

impl LiveWorld {
    pub(super) fn clients(&self, target: &Target) -> Arc<Clients> {
        let mut clients = self.clients.lock().expect("no holder of this lock panics");
        if let Some(known) = clients.get(target.name.as_str()).filter(|known| known.target == *target) {
            return Arc::clone(known);
        }
        let dagster = Dagster::new(&target.dagster);
        let made = Arc::new(Clients { target: target.clone(), dagster, aws: OnceCell::new() });
        clients.insert(target.name.to_string(), Arc::clone(&made));
        made
    }

    /// A cluster, with what of it is our own. As long as that is not known, nothing in it is a target; what was broken is
    /// healed all the same.
    pub(super) async fn ecs<'a>(&'a self, aws: &'a Aws, cluster: &'a str) -> Ecs<'a> {
        let known = self.own.get_or_try_init(async || own::task().await.map(|own| own.map_or(Own::None, Own::Task)));
        let own = known.await.unwrap_or_else(|why| {
            tracing::warn!(%why, "it is not known which task is dagstorm's own: none is stopped");
            &Own::Unknown
        });
        Ecs { client: &aws.ecs, cluster, own }
    }

    /// Whether a target's Dagster would take a launch of a job with this run config.
    ///
    /// # Errors
    /// When Dagster cannot be asked, or does not know the job.
    pub async fn check_job(
        &self,
        target: &Target,
        job: &str,
        assets: &[String],
        run_config: &Value,
    ) -> Result<JobCheck, Why> {
        self.clients(target).dagster()?.check(job, assets, run_config).await
    }

    /// The cluster of a target.
    async fn ecs_of<'a>(&'a self, target: &'a Target, clients: &'a Clients) -> Result<Ecs<'a>, Why> {
        let ecs = target.ecs.as_ref().ok_or_else(|| undeclared(target, "ecs"))?;
        Ok(self.ecs(clients.aws().await, &ecs.cluster).await)
    }
}

/// A failed look is unavailable, never empty.
fn seen<T>(answer: Result<T, Why>) -> Seen<T> {
    answer.map_or_else(Seen::Unavailable, Seen::Fresh)
}

impl World for LiveWorld {
    async fn look(&self, target: &Target, query: &Query) -> Observation {
        let asked_at = SystemClock.now();
        let clients = self.clients(target);
        let mut observation = Observation::default();
        match query {
            Query::Dagster { scenario, generation, jobs, since } => {
                let answer = match clients.dagster() {
                    Ok(dagster) => dagster.look(scenario, generation, jobs, *since).await,
                    Err(why) => Seen::Unavailable(why),
                };
                observation.dagster = Some(Timed { asked_at, answer });
            }
            Query::Steps { scenario, generation, version, run_ids } => {
                let runs = async { clients.dagster()?.steps(scenario, generation, version, run_ids).await };
                observation.steps = Some(Timed { asked_at, answer: seen(with_work(target, runs.await).await) });
            }
            Query::Service { service } => {
                let answer = async { ecs::look(self.ecs_of(target, &clients).await?, service).await }.await;
                observation.services.insert(service.clone(), Timed { asked_at, answer: seen(answer) });
            }
            Query::Queue => {
                let answer = match &target.queue {
                    Some(tasks) => queue::look(&clients.aws().await.sqs, &tasks.name).await,
                    None => Seen::Unavailable(undeclared(target, "queues")),
                };
                observation.queue = Some(Timed { asked_at, answer });
            }
            Query::QueueAge => {
                let answer = seen(queue_age(target, &clients, asked_at).await);
                observation.queue_age = Some(Timed { asked_at, answer });
            }
            Query::Network { peer, hard } => {
                let answer = seen(self.network(target, peer, *hard).await);
                observation.networks.insert((peer.clone(), *hard), Timed { asked_at, answer });
            }
            Query::Instances => {
                let answer = async { ecs::instances(self.ecs_of(target, &clients).await?).await }.await;
                observation.instances = Some(Timed { asked_at, answer: seen(answer) });
            }
            Query::Objects { objects } => {
                let answer = self.objects(target, objects).await;
                observation.objects.insert(objects.clone(), Timed { asked_at, answer: seen(answer) });
            }
            Query::Tasks { of } => {
                let answer = async { ecs::tasks(self.ecs_of(target, &clients).await?, of).await }.await;
                observation.tasks.insert(of.clone(), Timed { asked_at, answer: seen(answer) });
            }
            Query::Alarm { name } => {
                let answer = cloudwatch::alarm(&clients.aws().await.cloudwatch, name).await;
                observation.alarms.insert(name.clone(), Timed { asked_at, answer: seen(answer) });
            }
            Query::Completions => {
                let answer = seen(completions(target, &clients).await);
                observation.completions = Some(Timed { asked_at, answer });
            }
            Query::Partitions { asks } => {
                let answer = seen(async { clients.dagster()?.partitions(asks).await }.await);
                observation.partitions = Some(Timed { asked_at, answer });
            }
            Query::Account => {
                let answer = self.identity(target).await.map(|identity| identity.account);
                observation.account = Some(Timed { asked_at, answer: seen(answer) });
            }
            Query::Policy { queue } => {
                let answer = match target.queue_name(queue) {
                    Some(name) => queue::look_at_policy(&clients.aws().await.sqs, name).await,
                    None => Seen::Unavailable(undeclared(target, "queues")),
                };
                observation.policies.insert(queue.clone(), Timed { asked_at, answer });
            }
        }
        observation
    }

    async fn act(&self, target: &Target, effect: &Effect) -> Outcome {
        let clients = self.clients(target);
        match effect {
            Effect::LaunchRun { key: _, job, assets, tags, run_config } => match &clients.dagster {
                Ok(dagster) => dagster.launch(job, assets, tags.iter(), run_config).await,
                Err(why) => Outcome::Refused { reason: why.message.clone(), retry: true },
            },
            Effect::TerminateRun { run_id } => match &clients.dagster {
                Ok(dagster) => dagster.terminate(run_id).await,
                Err(why) => Outcome::Refused { reason: why.message.clone(), retry: true },
            },
            Effect::StopTask { task, reason } => match &target.ecs {
                Some(cluster) => ecs::stop_task(&clients.aws().await.changes.ecs, &cluster.cluster, task, reason).await,
                None => Outcome::Refused { reason: undeclared(target, "ecs").message, retry: false },
            },
            Effect::RehearseRules { .. }
            | Effect::Mark { .. }
            | Effect::Unmark { .. }
            | Effect::AuthorizeRules { .. }
            | Effect::RevokeRules { .. }
            | Effect::SetDesiredCount { .. }
            | Effect::SetInstance { .. }
            | Effect::CloneAcl { .. }
            | Effect::SwapAcl { .. }
            | Effect::DeleteAcls { .. }
            | Effect::DenyQueue { .. }
            | Effect::AllowQueue { .. }
            | Effect::CopyMessages { .. } => change::act(clients.aws().await, effect).await,
        }
    }

    async fn census(&self, target: &Target, query: &CensusQuery) -> Seen<Census> {
        let (now, clients) = (SystemClock.now(), self.clients(target));
        let census = async {
            let mut census = clients.dagster()?.census(query, now).await?;
            if let Some(source) = &target.completions {
                census.completions = Some(completions::read(clients.sqs(), source, query, &census).await?);
            }
            Ok(census)
        };
        seen(census.await)
    }

    async fn leftovers(&self, target: &Target) -> Leftovers {
        self.leftovers_of(target).await
    }

    async fn emit(&self, target: &Target, data: &[Datum]) -> Outcome {
        match &target.metrics {
            Some(metrics) => cloudwatch::put(&self.clients(target).aws().await.cloudwatch, metrics, data).await,
            None => Outcome::Refused { reason: undeclared(target, "metrics").message, retry: false },
        }
    }
}

async fn completions(target: &Target, clients: &Clients) -> Result<(), Why> {
    let source = target.completions.as_ref().ok_or_else(|| undeclared(target, "completions"))?;
    completions::check(clients.sqs(), source).await
}

/// Adds what workers recorded of these runs. Where that cannot be read in time, nothing is added: what Dagster shows is told
/// all the same, and the audit reads every record.
async fn with_work(target: &Target, runs: Result<Vec<RunRecord>, Why>) -> Result<StepsView, Why> {
    let runs = runs?;
    let Some(source) = &target.completions else { return Ok(StepsView { runs, work: vec![] }) };
    let run_ids = runs.iter().map(|record| record.run.run_id.clone()).collect();
    let work = match tokio::time::timeout(WORK_WITHIN, completions::of_runs(source, &run_ids)).await {
        Ok(Ok(work)) => work,
        Ok(Err(why)) => {
            tracing::warn!(%why, "the workers' records of these runs could not be read: the audit will");
            vec![]
        }
        Err(_) => {
            tracing::warn!(
                "the workers' records of these runs did not come within {WORK_WITHIN:?}: the audit reads them"
            );
            vec![]
        }
    };
    Ok(StepsView { runs, work })
}

async fn queue_age(target: &Target, clients: &Clients, now: Timestamp) -> Result<AgeView, Why> {
    let tasks = target.queue.as_ref().ok_or_else(|| undeclared(target, "queues"))?;
    cloudwatch::age(&clients.aws().await.cloudwatch, &tasks.name, now).await
}

pub(super) fn undeclared(target: &Target, field: &str) -> Why {
    Why { kind: WhyKind::NotFound, message: format!("target `{}` has no `spec.{field}`", target.name) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::completion::{CompletionFields, CompletionSource, CompletionsTarget};

    #[tokio::test]
    async fn what_dagster_shows_is_told_where_the_workers_table_cannot_be_read() {
        let record: RunRecord = serde_json::from_value(serde_json::json!({
            "runId": "r", "job": "j", "status": "Started", "events": [],
        }))
        .expect("a record");
        let source =
            CompletionSource::Postgres { url_from_env: "DAGSTORM_TEST_UNSET".to_owned(), table: "t".to_owned() };
        let completions = CompletionsTarget { source, fields: CompletionFields::default(), completed: vec![] };
        let target = Target { completions: Some(completions), ..Target::anywhere(None) };
        let view = with_work(&target, Ok(vec![record.clone()])).await.expect("what Dagster shows");
        assert_eq!(view, StepsView { runs: vec![record], work: vec![] });
    }
}
