//! The SQS client: the depth of a queue, its policy, and copies of its messages.

use std::time::Duration;

use aws_sdk_sqs::{
    Client,
    types::{
        Message, MessageSystemAttributeName, MessageSystemAttributeNameForSends, MessageSystemAttributeValue,
        QueueAttributeName,
    },
};
use indexmap::IndexMap;
use serde_json::{Value, json};

use super::{aws, change::changed, live::Aws};
use crate::model::{Object, Outcome, PolicyView, QueueView, Receipt, Seen, Why, WhyKind};

/// The id of our statement in a queue's policy: only dagstorm's own may be called so.
const SID: &str = "DagstormDenyDataPlane";
/// What workers do with a queue. Its administration stays open, so that healing always works.
const DATA_PLANE: [&str; 4] =
    ["sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"];
/// What one page lists at most.
const PAGE: i32 = 1_000;
/// What one call receives at most.
const BATCH: u32 = 10;
/// For so long nobody else gets a message that is being copied.
const HELD_S: i32 = 30;
/// Copying ends within this: the calls of an effect must all have ended when its settle has passed.
const COPY_WITHIN: Duration = Duration::from_secs(8);
/// What is not made visible by then becomes so by itself.
const RELEASE_WITHIN: Duration = Duration::from_secs(11);

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
    let Attributes { arn, visible, policy: _ } = attributes;
    Ok(PolicyView { url, arn, denied, unreadable, visible, tags })
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

struct Attributes {
    arn: String,
    visible: u64,
    policy: String,
}

type AttributesError =
    aws_sdk_sqs::error::SdkError<aws_sdk_sqs::operation::get_queue_attributes::GetQueueAttributesError>;

async fn attributes(client: &Client, url: &str) -> Result<Attributes, AttributesError> {
    let names =
        [QueueAttributeName::Policy, QueueAttributeName::QueueArn, QueueAttributeName::ApproximateNumberOfMessages];
    let call = client.get_queue_attributes().queue_url(url).set_attribute_names(Some(names.to_vec()));
    let answer = call.send().await?;
    let text = |name| answer.attributes().and_then(|found| found.get(&name)).cloned().unwrap_or_default();
    Ok(Attributes {
        arn: text(QueueAttributeName::QueueArn),
        visible: text(QueueAttributeName::ApproximateNumberOfMessages).parse().unwrap_or(0),
        policy: text(QueueAttributeName::Policy),
    })
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

/// Copies up to `count` of the visible messages with all their attributes, and makes the originals visible again.
///
/// What it holds when it fails becomes visible by itself within half a minute. `client` repeats nothing that may have been
/// carried out.
pub async fn copy(client: &Client, url: &str, count: u32) -> Outcome {
    let began = tokio::time::Instant::now();
    let is_late = || began.elapsed() >= COPY_WITHIN;
    // All are received before any is copied: a copy shall not be copied again.
    let mut held: Vec<Message> = vec![];
    let mut trouble = None;
    while (held.len() as u32) < count && !is_late() {
        let wanted = (count - held.len() as u32).min(BATCH);
        match receive(client, url, wanted).await {
            Ok(messages) if messages.is_empty() => break,
            Ok(messages) => held.extend(messages),
            Err(outcome) => {
                trouble = Some(outcome);
                break;
            }
        }
    }
    let mut copied = 0;
    for message in &held {
        if trouble.is_some() || is_late() {
            break;
        }
        match send(client, url, message).await {
            Ok(()) => copied += 1,
            Err(outcome) => trouble = Some(outcome),
        }
    }
    for message in held.iter().take_while(|_| began.elapsed() < RELEASE_WITHIN) {
        let Some(receipt) = message.receipt_handle() else { continue };
        let release = client.change_message_visibility().queue_url(url).receipt_handle(receipt).visibility_timeout(0);
        if let Err(error) = release.send().await {
            tracing::debug!(url, error = %aws::why("ChangeMessageVisibility", &error), "it becomes visible by itself");
        }
    }
    match (copied, trouble) {
        (0, Some(outcome)) => outcome,
        (0, None) => Outcome::Refused { reason: "no message could be received".to_owned(), retry: true },
        (messages, _) => Outcome::Done(Receipt::Copied { messages }),
    }
}

async fn receive(client: &Client, url: &str, wanted: u32) -> Result<Vec<Message>, Outcome> {
    let answer = client
        .receive_message()
        .queue_url(url)
        .max_number_of_messages(i32::try_from(wanted).unwrap_or(1))
        .visibility_timeout(HELD_S)
        .wait_time_seconds(0)
        .message_attribute_names("All")
        .message_system_attribute_names(MessageSystemAttributeName::All)
        .send()
        .await;
    match answer {
        Ok(answer) => Ok(answer.messages.unwrap_or_default()),
        // What was received and not answered is visible again soon: nothing was copied.
        Err(error) => {
            let Why { kind, message: reason } = aws::why("ReceiveMessage", &error);
            Err(Outcome::Refused { reason, retry: !matches!(kind, WhyKind::Unauthorized | WhyKind::NotFound) })
        }
    }
}

async fn send(client: &Client, url: &str, message: &Message) -> Result<(), Outcome> {
    let system = |name: MessageSystemAttributeName| message.attributes().and_then(|all| all.get(&name)).cloned();
    let mut call = client
        .send_message()
        .queue_url(url)
        .message_body(message.body().unwrap_or_default())
        .set_message_attributes(message.message_attributes.clone());
    if let Some(trace) = system(MessageSystemAttributeName::AwsTraceHeader) {
        let value = MessageSystemAttributeValue::builder().data_type("String").string_value(trace).build();
        let value = value.map_err(|error| Outcome::Refused { reason: error.to_string(), retry: false })?;
        call = call.message_system_attributes(MessageSystemAttributeNameForSends::AwsTraceHeader, value);
    }
    if let Some(group) = system(MessageSystemAttributeName::MessageGroupId) {
        call = call.message_group_id(group);
    }
    if url.ends_with(".fifo") {
        // The same one as before would be taken for the message itself, or for its last copy, and dropped.
        let id = message.message_id().unwrap_or_default();
        let times = system(MessageSystemAttributeName::ApproximateReceiveCount).unwrap_or_default();
        call = call.message_deduplication_id(format!("dagstorm-{id}-{times}"));
    }
    call.send().await.map(|_| ()).map_err(|error| aws::outcome("SendMessage", &error))
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
    fn what_cannot_be_read_is_not_touched() {
        assert!(Policy::read("{").is_err());
        assert!(Policy::read(r#"{"Statement":{"Sid":"x"}}"#).is_err());
    }
}
