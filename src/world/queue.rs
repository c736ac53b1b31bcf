//! The SQS client: the depth of a queue, and its policies.

use aws_sdk_sqs::{Client, types::QueueAttributeName};
use indexmap::IndexMap;
use serde_json::{Value, json};

use super::{aws, change::changed, live::Aws};
use crate::model::{Object, Outcome, PolicyView, QueueView, Seen, Why, WhyKind};

/// The id of our statement in a queue's policy: only dagstorm's own may be called so.
const SID: &str = "DagstormDenyDataPlane";
/// What workers do with a queue. Its administration stays open, so that healing always works.
const DATA_PLANE: [&str; 4] =
    ["sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"];
/// What one page lists at most.
const PAGE: i32 = 1_000;

/// Reads the depth. SQS's numbers are approximate by design.
pub async fn look(client: &Client, name: &str) -> Seen<QueueView> {
    match try_look(client, name).await {
        Ok(view) => Seen::Fresh(view),
        Err(why) => Seen::Unavailable(why),
    }
}

pub(super) async fn url_of(client: &Client, name: &str) -> Result<String, Why> {
    let what = format!("SQS queue {name}");
    let found = client.get_queue_url().queue_name(name).send().await.map_err(|error| aws::why(&what, &error))?;
    found.queue_url.ok_or_else(|| Why { kind: WhyKind::Protocol, message: format!("{what}: the answer has no URL") })
}

async fn try_look(client: &Client, name: &str) -> Result<QueueView, Why> {
    let what = format!("SQS queue {name}");
    let url = url_of(client, name).await?;
    let (visible, in_flight) =
        (QueueAttributeName::ApproximateNumberOfMessages, QueueAttributeName::ApproximateNumberOfMessagesNotVisible);
    let answer = client
        .get_queue_attributes()
        .queue_url(url)
        .attribute_names(visible.clone())
        .attribute_names(in_flight.clone())
        .send()
        .await
        .map_err(|error| aws::why(&what, &error))?;
    let number = |name: &QueueAttributeName| {
        let text = answer.attributes().and_then(|attributes| attributes.get(name));
        text.and_then(|text| text.parse::<u64>().ok())
            .ok_or_else(|| Why { kind: WhyKind::Protocol, message: format!("{what}: the answer has no {name}") })
    };
    Ok(QueueView { visible: number(&visible)?, in_flight: number(&in_flight)? })
}

/// Looks at a queue as an object: its policy, its tags, its depth.
pub async fn look_at_policy(client: &Client, name: &str) -> Seen<PolicyView> {
    match try_policy(client, name).await {
        Ok(view) => Seen::Fresh(view),
        Err(why) => Seen::Unavailable(why),
    }
}

async fn try_policy(client: &Client, name: &str) -> Result<PolicyView, Why> {
    let what = format!("SQS queue {name}");
    let url = url_of(client, name).await?;
    let attributes = attributes(client, &url).await.map_err(|error| aws::why(&what, &error))?;
    let tags = tags(client, &url).await?;
    let (denied, unreadable) = match Policy::read(&attributes.policy) {
        Ok(policy) => (policy.has_ours(), None),
        Err(reason) => (false, Some(reason)),
    };
    let max_receives = max_receives(&attributes.redrive).map_err(|reason| Why {
        kind: WhyKind::Protocol,
        message: format!("the redrive policy of {what}: {reason}"),
    })?;
    let Attributes { arn, visible, policy: _, redrive: _ } = attributes;
    Ok(PolicyView { url, arn, denied, unreadable, visible, max_receives, tags })
}

/// All queues of the account and the region, with their tags.
pub async fn all_tagged(client: &Client) -> Vec<Result<(Object, IndexMap<String, String>), Why>> {
    let mut found = vec![];
    // Without a size SQS ends after the first thousand, and does not say so.
    let mut pages = client.list_queues().max_results(PAGE).into_paginator().items().send();
    while let Some(url) = pages.next().await {
        let url = match url {
            Ok(url) => url,
            Err(error) => {
                found.push(Err(aws::why("SQS ListQueues", &error)));
                break;
            }
        };
        match tags(client, &url).await {
            Ok(tags) => found.push(Ok((Object::Queue(url), tags))),
            // It was deleted a moment ago.
            Err(Why { kind: WhyKind::NotFound, .. }) => {}
            Err(why) => found.push(Err(why)),
        }
    }
    found
}

/// These queues, with their tags.
pub async fn tagged(
    client: &Client,
    names: impl Iterator<Item = &String>,
) -> Result<Vec<(Object, IndexMap<String, String>)>, Why> {
    let mut found = vec![];
    for name in names {
        let url = url_of(client, name).await?;
        let tags = tags(client, &url).await?;
        found.push((Object::Queue(url), tags));
    }
    Ok(found)
}

async fn tags(client: &Client, url: &str) -> Result<IndexMap<String, String>, Why> {
    let answer = client.list_queue_tags().queue_url(url).send().await;
    let answer = answer.map_err(|error| aws::why(&format!("the tags of {url}"), &error))?;
    let mut tags: Vec<(String, String)> = answer.tags.unwrap_or_default().into_iter().collect();
    tags.sort();
    Ok(tags.into_iter().collect())
}

pub(super) struct Attributes {
    arn: String,
    visible: u64,
    policy: String,
    pub(super) redrive: String,
}

type AttributesError =
    aws_sdk_sqs::error::SdkError<aws_sdk_sqs::operation::get_queue_attributes::GetQueueAttributesError>;

pub(super) async fn attributes(client: &Client, url: &str) -> Result<Attributes, AttributesError> {
    let names = [
        QueueAttributeName::Policy,
        QueueAttributeName::QueueArn,
        QueueAttributeName::ApproximateNumberOfMessages,
        QueueAttributeName::RedrivePolicy,
    ];
    let call = client.get_queue_attributes().queue_url(url).set_attribute_names(Some(names.to_vec()));
    let answer = call.send().await?;
    let text = |name| answer.attributes().and_then(|found| found.get(&name)).cloned().unwrap_or_default();
    Ok(Attributes {
        arn: text(QueueAttributeName::QueueArn),
        visible: text(QueueAttributeName::ApproximateNumberOfMessages).parse().unwrap_or(0),
        policy: text(QueueAttributeName::Policy),
        redrive: text(QueueAttributeName::RedrivePolicy),
    })
}

/// How often a redrive policy lets a message be received; `None`: there is no policy. SQS keeps the number as it was given, as
/// a text too.
pub(super) fn max_receives(redrive: &str) -> Result<Option<u32>, String> {
    if redrive.is_empty() {
        return Ok(None);
    }
    let policy: Value = serde_json::from_str(redrive).map_err(|error| error.to_string())?;
    let count = &policy["maxReceiveCount"];
    let number = match count.as_str() {
        Some(text) => text.parse().ok(),
        None => count.as_u64().and_then(|number| u32::try_from(number).ok()),
    };
    number.map(Some).ok_or_else(|| "it has no maxReceiveCount".to_owned())
}

/// A queue's policy, of which we know our own statement alone.
struct Policy(Option<Value>);

impl Policy {
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        match value.get("Statement") {
            Some(Value::Array(_)) => Ok(Self(Some(value))),
            Some(_) | None => Err("its Statement is no list".to_owned()),
        }
    }

    fn statements(&self) -> impl Iterator<Item = &Value> {
        self.0.iter().flat_map(|policy| policy["Statement"].as_array()).flatten()
    }

    fn has_ours(&self) -> bool {
        self.statements().any(is_ours)
    }

    fn with_ours(self, arn: &str) -> String {
        let statement =
            json!({ "Sid": SID, "Effect": "Deny", "Principal": "*", "Action": DATA_PLANE, "Resource": arn });
        let mut policy = self.0.unwrap_or_else(|| json!({ "Version": "2012-10-17", "Statement": [] }));
        policy["Statement"].as_array_mut().expect("`read` has looked").push(statement);
        policy.to_string()
    }

    /// Empty where nothing else is left: that takes a policy away.
    fn without_ours(self) -> String {
        let Some(mut policy) = self.0 else { return String::new() };
        let statements = policy["Statement"].as_array_mut().expect("`read` has looked");
        statements.retain(|statement| !is_ours(statement));
        if statements.is_empty() { String::new() } else { policy.to_string() }
    }
}

fn is_ours(statement: &Value) -> bool {
    statement.get("Sid").and_then(Value::as_str) == Some(SID)
}

/// Adds our statement to the policy, unless it is there.
pub async fn deny(aws: &Aws, url: &str) -> Outcome {
    change_policy(aws, url, |policy, arn| (!policy.has_ours()).then(|| policy.with_ours(arn))).await
}

/// Takes our statement out of the policy, if it is there.
pub async fn allow(aws: &Aws, url: &str) -> Outcome {
    change_policy(aws, url, |policy, _| policy.has_ours().then(|| policy.without_ours())).await
}

async fn change_policy(aws: &Aws, url: &str, change: impl FnOnce(Policy, &str) -> Option<String>) -> Outcome {
    let attributes = match attributes(&aws.sqs, url).await {
        Ok(attributes) => attributes,
        Err(error) => return aws::outcome(&format!("GetQueueAttributes {url}"), &error),
    };
    let policy = match Policy::read(&attributes.policy) {
        Ok(policy) => policy,
        Err(reason) => return Outcome::Refused { reason: format!("the policy of {url}: {reason}"), retry: false },
    };
    let Some(text) = change(policy, &attributes.arn) else { return changed() };
    let call = aws.changes.sqs.set_queue_attributes().queue_url(url).attributes(QueueAttributeName::Policy, text);
    call.send().await.map_or_else(|error| aws::outcome(&format!("SetQueueAttributes {url}"), &error), |_| changed())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:sqs:us-east-1:000000000000:tasks";

    fn policy(text: &str) -> Policy {
        Policy::read(text).expect("a policy")
    }

    #[test]
    fn our_statement_comes_and_goes_and_nothing_else_changes() {
        let other = r#"{"Id":"x","Statement":[{"Action":"sqs:*","Effect":"Allow","Principal":"*","Sid":"s"}],"Version":"2012-10-17"}"#;
        for before in ["", other] {
            assert!(!policy(before).has_ours());
            let denied = policy(before).with_ours(ARN);
            assert!(policy(&denied).has_ours(), "{denied}");
            let read: Value = serde_json::from_str(&denied).expect("JSON");
            let last = read["Statement"].as_array().and_then(|all| all.last()).expect("a statement");
            assert_eq!((&last["Effect"], &last["Resource"]), (&json!("Deny"), &json!(ARN)));
            assert!(!last["Action"].to_string().contains("SetQueueAttributes"), "healing must stay possible");
            assert_eq!(policy(&denied).without_ours(), before);
        }
        assert_eq!(policy("").without_ours(), "");
    }

    #[test]
    fn a_redrive_policy_says_how_often_a_message_may_be_received() {
        for (text, expected) in [
            ("", Ok(None)),
            (r#"{"deadLetterTargetArn":"arn","maxReceiveCount":3}"#, Ok(Some(3))),
            (r#"{"deadLetterTargetArn":"arn","maxReceiveCount":"1"}"#, Ok(Some(1))),
            (r#"{"deadLetterTargetArn":"arn"}"#, Err("it has no maxReceiveCount".to_owned())),
        ] {
            assert_eq!(max_receives(text), expected, "{text}");
        }
        assert!(max_receives("{").is_err());
    }

    #[test]
    fn what_cannot_be_read_is_not_touched() {
        assert!(Policy::read("{").is_err());
        assert!(Policy::read(r#"{"Statement":{"Sid":"x"}}"#).is_err());
    }
}
