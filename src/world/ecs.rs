//! The ECS client: services, their tasks, container instances, and StopTask.

use std::collections::BTreeSet;

use aws_sdk_ecs::{
    Client,
    operation::list_tasks::builders::ListTasksFluentBuilder,
    types::{ContainerInstanceField, ServiceField, Tag, Task, TaskField},
};
use indexmap::IndexMap;

use super::{aws, own::Own};
use crate::model::{InstanceView, Outcome, Receipt, ServiceView, TaskArn, TaskSet, TaskView, Timestamp, Why, WhyKind};

/// What DescribeTasks takes at most.
const DESCRIBE_LIMIT: usize = 100;

/// One cluster, as dagstorm sees it.
#[derive(Debug, Clone, Copy)]
pub struct Ecs<'a> {
    pub client: &'a Client,
    pub cluster: &'a str,
    /// The task that dagstorm itself runs in.
    pub own: &'a Own,
}

/// Looks at one service and all tasks that it wants to run.
pub async fn look(ecs: Ecs<'_>, service: &str) -> Result<ServiceView, Why> {
    let Ecs { client, cluster, .. } = ecs;
    let what = format!("ECS service {service} of cluster {cluster}");
    let answer = client.describe_services().cluster(cluster).services(service).include(ServiceField::Tags).send().await;
    let answer = answer.map_err(|error| aws::why(&what, &error))?;
    let Some(found) = answer.services().iter().find(|found| found.status() != Some("INACTIVE")) else {
        let was_deleted = !answer.services().is_empty();
        let reason = answer.failures().first().and_then(|failure| failure.reason());
        let reason = reason.unwrap_or(if was_deleted { "it is INACTIVE: it was deleted" } else { "MISSING" });
        return Err(Why { kind: WhyKind::NotFound, message: format!("{what}: {reason}") });
    };
    let tasks = views(ecs, &tasks_of(client, cluster, service).await?, &what).await?;
    let count = |number: i32| u32::try_from(number).unwrap_or(0);
    Ok(ServiceView {
        arn: found.service_arn().unwrap_or_default().to_owned(),
        tags: tags(found.tags()),
        draining: found.status() == Some("DRAINING"),
        desired: count(found.desired_count()),
        running: count(found.running_count()),
        tasks,
    })
}

/// Looks at tasks, whoever started them.
pub async fn tasks(ecs: Ecs<'_>, of: &TaskSet) -> Result<Vec<TaskView>, Why> {
    let list = ecs.client.list_tasks().cluster(ecs.cluster);
    let (what, list) = match of {
        TaskSet::Family(family) => (format!("the tasks of family {family}"), list.family(family)),
        TaskSet::StartedBy(who) => (format!("the tasks started by {who}"), list.started_by(who)),
        TaskSet::Tag(_) => (format!("the tasks of cluster {}", ecs.cluster), list),
    };
    let found = described(ecs.client, ecs.cluster, list, &what).await?;
    let mut found = views(ecs, &found, &what).await?;
    if let TaskSet::Tag(wanted) = of {
        found.retain(|task| wanted.iter().all(|(tag, value)| task.tags.get(tag) == Some(value)));
    }
    Ok(found)
}

/// All tasks that a service wants to run, with their tags.
async fn tasks_of(client: &Client, cluster: &str, service: &str) -> Result<Vec<Task>, Why> {
    let what = format!("ECS service {service} of cluster {cluster}");
    described(client, cluster, client.list_tasks().cluster(cluster).service_name(service), &what).await
}

async fn described(client: &Client, cluster: &str, list: ListTasksFluentBuilder, what: &str) -> Result<Vec<Task>, Why> {
    let mut arns = vec![];
    let mut pages = list.into_paginator().items().send();
    while let Some(arn) = pages.next().await {
        arns.push(arn.map_err(|error| aws::why(what, &error))?);
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
            .map_err(|error| aws::why(what, &error))?;
        tasks.extend(answer.tasks().iter().cloned());
    }
    Ok(tasks)
}

async fn views(ecs: Ecs<'_>, tasks: &[Task], what: &str) -> Result<Vec<TaskView>, Why> {
    let protected = protected(ecs, tasks, what).await?;
    let view = |task: &Task| {
        let arn = TaskArn(task.task_arn()?.into());
        Some(TaskView {
            running: task.last_status() == Some("RUNNING"),
            stopping: task.desired_status() == Some("STOPPED"),
            protected: protected.contains(&arn),
            own: ecs.own.may_be(&arn),
            created_at: task.created_at().map(|at| Timestamp::from_micros((at.as_nanos() / 1_000) as i64)),
            tags: tags(task.tags()),
            arn,
        })
    };
    let mut found: Vec<TaskView> = tasks.iter().filter_map(view).collect();
    found.sort_by(|a, b| a.arn.cmp(&b.arn));
    Ok(found)
}

/// Which of these tasks are under scale-in protection. Those of no service cannot be.
async fn protected(ecs: Ecs<'_>, tasks: &[Task], what: &str) -> Result<BTreeSet<TaskArn>, Why> {
    let of_services = tasks.iter().filter(|task| task.group().is_some_and(|group| group.starts_with("service:")));
    let arns: Vec<String> = of_services.filter_map(|task| task.task_arn().map(str::to_owned)).collect();
    let mut found = BTreeSet::new();
    for chunk in arns.chunks(DESCRIBE_LIMIT) {
        let call = ecs.client.get_task_protection().cluster(ecs.cluster).set_tasks(Some(chunk.to_vec()));
        let answer = call.send().await.map_err(|error| aws::why(&format!("{what}, their protection"), &error))?;
        // One that ended meanwhile is among the failures, and protects nothing.
        let protected = answer.protected_tasks().iter().filter(|task| task.protection_enabled());
        found.extend(protected.filter_map(|task| task.task_arn().map(|arn| TaskArn(arn.into()))));
    }
    Ok(found)
}

/// Stops one task. A task that is gone already is stopped.
pub async fn stop_task(client: &Client, cluster: &str, task: &TaskArn, reason: &str) -> Outcome {
    match client.stop_task().cluster(cluster).task(task.0.as_ref()).reason(reason).send().await {
        Ok(_) => Outcome::Done(Receipt::Stopping),
        Err(error) => aws::outcome(&format!("StopTask {}", task.id()), &error),
    }
}

/// All container instances of a cluster. On Fargate there are none.
pub async fn instances(ecs: Ecs<'_>) -> Result<Vec<InstanceView>, Why> {
    let Ecs { client, cluster, own } = ecs;
    let host = match own {
        Own::Task(own) if is_of(own, cluster) => host_of(client, cluster, own).await?,
        Own::Task(_) | Own::None | Own::Unknown => None,
    };
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
            let arn = one.container_instance_arn()?.to_owned();
            Some(InstanceView {
                own: *own == Own::Unknown || host.as_ref() == Some(&arn),
                arn,
                status: one.status().unwrap_or_default().to_owned(),
                tasks: u32::try_from(one.running_tasks_count()).unwrap_or(0),
                tags: tags(one.tags()),
            })
        }));
    }
    found.sort_by(|a, b| a.arn.cmp(&b.arn));
    Ok(found)
}

/// The container instance that a task runs on, if it is of this cluster and not on Fargate.
async fn host_of(client: &Client, cluster: &str, task: &TaskArn) -> Result<Option<String>, Why> {
    let answer = client.describe_tasks().cluster(cluster).tasks(task.0.as_ref()).send().await;
    let answer = answer.map_err(|error| aws::why("our own task", &error))?;
    Ok(answer.tasks().first().and_then(|task| task.container_instance_arn()).map(str::to_owned))
}

/// Whether a task is of this cluster: `arn:…:task/CLUSTER/ID`. ECS refuses to describe one of another.
fn is_of(task: &TaskArn, cluster: &str) -> bool {
    let own = task.0.rsplit('/').nth(1);
    own.is_some() && own == cluster.rsplit('/').next()
}

/// The network interfaces of all tasks of these services, but of our own.
pub async fn interfaces(ecs: Ecs<'_>, services: impl Iterator<Item = &str>) -> Result<BTreeSet<String>, Why> {
    let mut found = BTreeSet::new();
    let is_own = |task: &&Task| task.task_arn().is_some_and(|arn| ecs.own.may_be(&TaskArn(arn.into())));
    for service in services {
        let tasks = tasks_of(ecs.client, ecs.cluster, service).await?;
        for task in tasks.iter().filter(|task| !is_own(task)) {
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
