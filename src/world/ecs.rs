//! The ECS client: services, their tasks, container instances, and StopTask.

use std::collections::BTreeSet;

use aws_sdk_ecs::{
    Client,
    types::{ContainerInstanceField, ServiceField, Tag, Task, TaskField},
};
use indexmap::IndexMap;

use super::aws;
use crate::model::{InstanceView, Outcome, Receipt, Seen, ServiceView, TaskArn, TaskView, Why, WhyKind};

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
    let answer = client.describe_services().cluster(cluster).services(service).include(ServiceField::Tags).send().await;
    let answer = answer.map_err(|error| aws::why(&what, &error))?;
    let Some(found) = answer.services().iter().find(|found| found.status() != Some("INACTIVE")) else {
        let reason = answer.failures().first().and_then(|failure| failure.reason()).unwrap_or("MISSING");
        return Err(Why { kind: WhyKind::NotFound, message: format!("{what}: {reason}") });
    };
    let mut tasks: Vec<TaskView> = tasks_of(client, cluster, service).await?.iter().filter_map(view).collect();
    tasks.sort_by(|a, b| a.arn.cmp(&b.arn));
    let count = |number: i32| u32::try_from(number).unwrap_or(0);
    Ok(ServiceView {
        arn: found.service_arn().unwrap_or_default().to_owned(),
        tags: tags(found.tags()),
        desired: count(found.desired_count()),
        running: count(found.running_count()),
        tasks,
    })
}

/// All tasks that a service wants to run, with their tags.
async fn tasks_of(client: &Client, cluster: &str, service: &str) -> Result<Vec<Task>, Why> {
    let what = format!("ECS service {service} of cluster {cluster}");
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
        tasks.extend(answer.tasks().iter().cloned());
    }
    Ok(tasks)
}

fn view(task: &Task) -> Option<TaskView> {
    Some(TaskView {
        arn: TaskArn(task.task_arn()?.to_owned()),
        running: task.last_status() == Some("RUNNING"),
        stopping: task.desired_status() == Some("STOPPED"),
        protected: false,
        tags: tags(task.tags()),
    })
}

/// Stops one task. A task that is gone already is stopped.
pub async fn stop_task(client: &Client, cluster: &str, task: &TaskArn, reason: &str) -> Outcome {
    match client.stop_task().cluster(cluster).task(&task.0).reason(reason).send().await {
        Ok(_) => Outcome::Done(Receipt::Stopping),
        Err(error) => aws::outcome(&format!("StopTask {}", task.id()), &error),
    }
}

/// All container instances of a cluster. On Fargate there are none.
pub async fn instances(client: &Client, cluster: &str) -> Seen<Vec<InstanceView>> {
    match try_instances(client, cluster).await {
        Ok(found) => Seen::Fresh(found),
        Err(why) => Seen::Unavailable(why),
    }
}

pub async fn try_instances(client: &Client, cluster: &str) -> Result<Vec<InstanceView>, Why> {
    let what = format!("the container instances of cluster {cluster}");
    let mut arns = vec![];
    // Without a status, those that drain are listed too.
    let mut pages = client.list_container_instances().cluster(cluster).into_paginator().items().send();
    while let Some(arn) = pages.next().await {
        arns.push(arn.map_err(|error| aws::why(&what, &error))?);
    }
    let mut found = vec![];
    for chunk in arns.chunks(DESCRIBE_LIMIT) {
        let answer = client
            .describe_container_instances()
            .cluster(cluster)
            .set_container_instances(Some(chunk.to_vec()))
            .include(ContainerInstanceField::Tags)
            .send()
            .await
            .map_err(|error| aws::why(&what, &error))?;
        found.extend(answer.container_instances().iter().filter_map(|one| {
            Some(InstanceView {
                arn: one.container_instance_arn()?.to_owned(),
                status: one.status().unwrap_or_default().to_owned(),
                tasks: u32::try_from(one.running_tasks_count()).unwrap_or(0),
                tags: tags(one.tags()),
            })
        }));
    }
    found.sort_by(|a, b| a.arn.cmp(&b.arn));
    Ok(found)
}

/// The network interfaces of all tasks of these services.
pub async fn interfaces(
    client: &Client,
    cluster: &str,
    services: impl Iterator<Item = &str>,
) -> Result<BTreeSet<String>, Why> {
    let mut found = BTreeSet::new();
    for service in services {
        for task in tasks_of(client, cluster, service).await? {
            let details = task.attachments().iter().flat_map(|attachment| attachment.details());
            let ids = details.filter(|detail| detail.name() == Some("networkInterfaceId"));
            found.extend(ids.filter_map(|detail| detail.value().map(str::to_owned)));
        }
    }
    Ok(found)
}

pub fn tags(tags: &[Tag]) -> IndexMap<String, String> {
    tags.iter().filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()))).collect()
}
