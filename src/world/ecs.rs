//! The ECS client: services, their tasks, and StopTask.

use aws_sdk_ecs::{
    Client,
    types::{Task, TaskField},
};

use super::aws;
use crate::model::{Outcome, Receipt, Seen, ServiceView, TaskArn, TaskView, Why, WhyKind};

/// What DescribeTasks takes at most.
const DESCRIBE_LIMIT: usize = 100;

/// Looks at one service and all tasks that it wants to run.
pub async fn look(client: &Client, cluster: &str, service: &str) -> Seen<ServiceView> {
    match try_look(client, cluster, service).await {
        Ok(view) => Seen::Fresh(view),
        Err(why) => Seen::Unavailable(why),
    }
}

async fn try_look(client: &Client, cluster: &str, service: &str) -> Result<ServiceView, Why> {
    let what = format!("ECS service {service} of cluster {cluster}");
    let answer = client.describe_services().cluster(cluster).services(service).send().await;
    let answer = answer.map_err(|error| aws::why(&what, &error))?;
    let Some(found) = answer.services().iter().find(|found| found.status() != Some("INACTIVE")) else {
        let reason = answer.failures().first().and_then(|failure| failure.reason()).unwrap_or("MISSING");
        return Err(Why { kind: WhyKind::NotFound, message: format!("{what}: {reason}") });
    };
    let mut arns = vec![];
    let mut pages = client.list_tasks().cluster(cluster).service_name(service).into_paginator().items().send();
    while let Some(arn) = pages.next().await {
        arns.push(arn.map_err(|error| aws::why(&what, &error))?);
    }
    let mut tasks = vec![];
    for chunk in arns.chunks(DESCRIBE_LIMIT) {
        let answer = client
            .describe_tasks()
            .cluster(cluster)
            .set_tasks(Some(chunk.to_vec()))
            .include(TaskField::Tags)
            .send()
            .await
            .map_err(|error| aws::why(&what, &error))?;
        tasks.extend(answer.tasks().iter().filter_map(view));
    }
    tasks.sort_by(|a, b| a.arn.cmp(&b.arn));
    let count = |number: i32| u32::try_from(number).unwrap_or(0);
    Ok(ServiceView { desired: count(found.desired_count()), running: count(found.running_count()), tasks })
}

fn view(task: &Task) -> Option<TaskView> {
    Some(TaskView {
        arn: TaskArn(task.task_arn()?.to_owned()),
        running: task.last_status() == Some("RUNNING"),
        stopping: task.desired_status() == Some("STOPPED"),
        tags: task
            .tags()
            .iter()
            .filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned())))
            .collect(),
    })
}

/// Stops one task. A task that is gone already is stopped.
pub async fn stop_task(client: &Client, cluster: &str, task: &TaskArn, reason: &str) -> Outcome {
    match client.stop_task().cluster(cluster).task(&task.0).reason(reason).send().await {
        Ok(_) => Outcome::Done(Receipt::Stopping),
        Err(error) => {
            let why = aws::why(&format!("StopTask {}", task.id()), &error);
            match why.kind {
                WhyKind::Unauthorized | WhyKind::NotFound => Outcome::Refused { reason: why.message, retry: false },
                WhyKind::Throttled => Outcome::Refused { reason: why.message, retry: true },
                WhyKind::Unreachable | WhyKind::TimedOut | WhyKind::ServerError | WhyKind::Protocol => {
                    Outcome::Unknown { reason: why.message }
                }
            }
        }
    }
}
