//! Effects on AWS objects: each is what it says whether it is done once or twice, and says `Done` only when the object is
//! as the effect wants it.

use std::{future::Future, time::Duration};

use aws_sdk_ecs::types::ContainerInstanceStatus;

use super::{
    acl, aws, copies,
    ec2::{Ec2, Ec2Error, ErrorCode},
    live::Aws,
    queue,
};
use crate::model::{Effect, Object, Outcome, Receipt, SecurityGroupRule, mark, network::batches};

/// What AWS says of an object that does not exist (any more).
const GONE: [&str; 8] = [
    "InvalidGroup.NotFound",
    "InvalidGroupId.NotFound",
    "InvalidSecurityGroupID.NotFound",
    "InvalidSubnetID.NotFound",
    "InvalidNetworkAclID.NotFound",
    "ResourceNotFoundException",
    "NonExistentQueue",
    "QueueDoesNotExist",
];
/// One effect is several calls; all of them end within this.
const WITHIN: Duration = Duration::from_secs(12);

/// Carries an effect out; those of Dagster and StopTask are no matter of this.
pub async fn act(aws: &Aws, effect: &Effect) -> Outcome {
    match effect {
        Effect::LaunchRun { .. } | Effect::TerminateRun { .. } | Effect::StopTask { .. } => {
            Outcome::Refused { reason: "it is no change of an object".to_owned(), retry: false }
        }
        Effect::RehearseRules { authorize, revoke } => {
            within(with_ec2(aws, async |ec2| rehearse(ec2, authorize, revoke).await)).await
        }
        Effect::Mark { object, tags } => within(mark(aws, object, tags)).await,
        Effect::Unmark { object } => within(unmark(aws, object)).await,
        Effect::AuthorizeRules { rules } => within(with_ec2(aws, async |ec2| authorize(ec2, rules).await)).await,
        Effect::RevokeRules { rules } => within(with_ec2(aws, async |ec2| revoke(ec2, rules).await)).await,
        Effect::SetDesiredCount { cluster, service, from, to } => {
            within(set_desired_count(aws, cluster, service, *from, *to)).await
        }
        Effect::SetInstance { cluster, instance, draining } => {
            within(set_instance(aws, cluster, instance, *draining)).await
        }
        Effect::CloneAcl { fault, vpc, of, entries } => {
            within(with_ec2(aws, async |ec2| acl::copy(ec2, fault, vpc, of, entries).await)).await
        }
        Effect::SwapAcl { subnet, to } => within(with_ec2(aws, async |ec2| acl::swap(ec2, subnet, to).await)).await,
        Effect::DeleteAcls { fault } => within(with_ec2(aws, async |ec2| acl::delete(ec2, fault).await)).await,
        Effect::DenyQueue { url } => within(queue::deny(aws, url)).await,
        Effect::AllowQueue { url } => within(queue::allow(aws, url)).await,
        Effect::CopyMessages { url, count } => copies::copy(aws, url, *count).await,
    }
}

/// Its time is looked at first: who stood still in the midst of an effect sends no further call of it.
async fn within(change: impl Future<Output = Outcome>) -> Outcome {
    tokio::select! {
        biased;
        () = tokio::time::sleep(WITHIN) => Outcome::Unknown { reason: format!("no answer within {WITHIN:?}") },
        outcome = change => outcome,
    }
}

async fn with_ec2(aws: &Aws, change: impl AsyncFnOnce(&Ec2) -> Outcome) -> Outcome {
    match &aws.ec2 {
        Ok(ec2) => change(ec2).await,
        Err(why) => Outcome::Refused { reason: why.message.clone(), retry: false },
    }
}

pub fn changed() -> Outcome {
    Outcome::Done(Receipt::Changed)
}

fn ec2_outcome(answer: Result<(), Ec2Error>) -> Outcome {
    answer.map_or_else(|error| error.outcome(), |()| changed())
}

async fn mark(aws: &Aws, object: &Object, tags: &indexmap::IndexMap<String, String>) -> Outcome {
    match object {
        Object::SecurityGroup(id) | Object::Subnet(id) | Object::NetworkAcl(id) => {
            with_ec2(aws, async |ec2| ec2_outcome(ec2.create_tags(std::slice::from_ref(id), tags, false).await)).await
        }
        Object::Service(arn) | Object::Instance(arn) => {
            let tags = tags.iter().map(|(key, value)| aws_sdk_ecs::types::Tag::builder().key(key).value(value).build());
            let answer = aws.changes.ecs.tag_resource().resource_arn(arn).set_tags(Some(tags.collect())).send().await;
            answer.map_or_else(|error| aws::outcome(&format!("TagResource {object}"), &error), |_| changed())
        }
        Object::Queue(url) => {
            let tags = tags.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
            let answer = aws.changes.sqs.tag_queue().queue_url(url).set_tags(Some(tags)).send().await;
            answer.map_or_else(|error| aws::outcome(&format!("TagQueue {object}"), &error), |_| changed())
        }
    }
}

/// Takes all of our tags away. What is gone carries none.
async fn unmark(aws: &Aws, object: &Object) -> Outcome {
    match try_unmark(aws, object).await {
        Outcome::Refused { reason, .. } if GONE.iter().any(|code| reason.contains(code)) => changed(),
        outcome @ (Outcome::Done(_) | Outcome::Refused { .. } | Outcome::Unknown { .. }) => outcome,
    }
}

async fn try_unmark(aws: &Aws, object: &Object) -> Outcome {
    let keys = mark::keys();
    match object {
        Object::SecurityGroup(id) | Object::Subnet(id) | Object::NetworkAcl(id) => {
            with_ec2(aws, async |ec2| ec2_outcome(ec2.delete_tags(std::slice::from_ref(id), &keys, false).await)).await
        }
        Object::Service(arn) | Object::Instance(arn) => {
            let answer = aws.changes.ecs.untag_resource().resource_arn(arn).set_tag_keys(Some(keys)).send().await;
            answer.map_or_else(|error| aws::outcome(&format!("UntagResource {object}"), &error), |_| changed())
        }
        Object::Queue(url) => {
            let answer = aws.changes.sqs.untag_queue().queue_url(url).set_tag_keys(Some(keys)).send().await;
            answer.map_or_else(|error| aws::outcome(&format!("UntagQueue {object}"), &error), |_| changed())
        }
    }
}

/// Dry runs judge permissions before they look at the rules: one that is there, or is not, is no matter.
async fn rehearse(ec2: &Ec2, authorize: &[SecurityGroupRule], revoke: &[SecurityGroupRule]) -> Outcome {
    let is_judged = |error: &Ec2Error| {
        matches!(error.code, Some(ErrorCode::PermissionDuplicate | ErrorCode::PermissionNotFound | ErrorCode::DryRun))
    };
    for batch in batches(authorize) {
        if let Err(error) = ec2.authorize(&batch, true).await
            && !is_judged(&error)
        {
            return error.outcome();
        }
    }
    for batch in batches(revoke) {
        if let Err(error) = ec2.revoke(&batch, true).await
            && !is_judged(&error)
        {
            return error.outcome();
        }
    }
    changed()
}

/// A call is all or nothing: where one of several rules is there already, each is sent on its own.
async fn authorize(ec2: &Ec2, rules: &[SecurityGroupRule]) -> Outcome {
    for batch in batches(rules) {
        match ec2.authorize(&batch, false).await {
            Ok(_) => {}
            Err(error) if error.code == Some(ErrorCode::PermissionDuplicate) && batch.len() > 1 => {
                for rule in &batch {
                    match ec2.authorize(std::slice::from_ref(rule), false).await {
                        Ok(_) => {}
                        Err(error) if error.code == Some(ErrorCode::PermissionDuplicate) => {}
                        Err(error) => return error.outcome(),
                    }
                }
            }
            Err(error) if error.code == Some(ErrorCode::PermissionDuplicate) => {}
            Err(error) => return error.outcome(),
        }
    }
    changed()
}

async fn revoke(ec2: &Ec2, rules: &[SecurityGroupRule]) -> Outcome {
    for batch in batches(rules) {
        match ec2.revoke(&batch, false).await {
            Ok(_) => {}
            Err(error) if error.code == Some(ErrorCode::PermissionNotFound) && batch.len() > 1 => {
                for rule in &batch {
                    match ec2.revoke(std::slice::from_ref(rule), false).await {
                        Ok(_) => {}
                        Err(error) if error.code == Some(ErrorCode::PermissionNotFound) => {}
                        Err(error) => return error.outcome(),
                    }
                }
            }
            Err(error) if error.code == Some(ErrorCode::PermissionNotFound) => {}
            Err(error) => return error.outcome(),
        }
    }
    changed()
}

async fn set_desired_count(aws: &Aws, cluster: &str, service: &str, from: u32, to: u32) -> Outcome {
    let what = format!("service {service}");
    let answer = match aws.ecs.describe_services().cluster(cluster).services(service).send().await {
        Ok(answer) => answer,
        // A look changes nothing.
        Err(error) => return Outcome::Refused { reason: aws::why(&what, &error).message, retry: true },
    };
    let Some(found) = answer.services().iter().find(|found| found.status() == Some("ACTIVE")) else {
        return match to {
            0 => Outcome::Refused { reason: format!("{what} is not ACTIVE"), retry: false },
            // What is gone has nothing left to heal.
            _ => changed(),
        };
    };
    let count = u32::try_from(found.desired_count()).unwrap_or(0);
    match count {
        _ if count == to => changed(),
        _ if count == from => {
            let wanted = i32::try_from(to).unwrap_or(i32::MAX);
            let answer =
                aws.changes.ecs.update_service().cluster(cluster).service(service).desired_count(wanted).send().await;
            answer.map_or_else(|error| aws::outcome(&format!("UpdateService {service}"), &error), |_| changed())
        }
        _ if to == 0 => {
            let reason = format!("{what} wants {count} tasks by now, and wanted {from}: somebody else changes it");
            Outcome::Refused { reason, retry: false }
        }
        _ => changed(),
    }
}

async fn set_instance(aws: &Aws, cluster: &str, instance: &str, draining: bool) -> Outcome {
    let status = if draining { ContainerInstanceStatus::Draining } else { ContainerInstanceStatus::Active };
    let found = match aws.ecs.describe_container_instances().cluster(cluster).container_instances(instance).send().await
    {
        Ok(answer) => answer,
        // A look changes nothing.
        Err(error) => {
            let what = format!("container instance {instance}");
            return Outcome::Refused { reason: aws::why(&what, &error).message, retry: true };
        }
    };
    if found.container_instances().iter().any(|one| one.status() == Some(status.as_str())) {
        return changed();
    }
    let call = aws
        .changes
        .ecs
        .update_container_instances_state()
        .cluster(cluster)
        .container_instances(instance)
        .status(status);
    match call.send().await {
        Err(error) => aws::outcome(&format!("UpdateContainerInstancesState {instance}"), &error),
        Ok(answer) => match answer.failures().first() {
            None => changed(),
            Some(failure) if failure.reason() == Some("MISSING") && !draining => changed(),
            Some(failure) => {
                let reason = format!("container instance {instance}: {}", failure.reason().unwrap_or("it failed"));
                Outcome::Refused { reason, retry: false }
            }
        },
    }
}

#[cfg(test)]
mod tests;
