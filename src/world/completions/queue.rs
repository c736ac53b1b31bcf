//! An SQS queue with a record a message. It is read to its end and then left as it was: a message is only hidden while it is
//! read, so that a reader that dies loses nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use aws_sdk_sqs::{
    Client,
    types::{ChangeMessageVisibilityBatchRequestEntry, Message, QueueAttributeName},
};
use tokio::time::Instant;

use super::protocol;
use crate::{
    model::{Gathering, Why, WhyKind},
    world::{aws, queue::url_of},
};

/// For so long nobody else gets what is being read.
const HELD_S: i32 = 600;
/// Reading must end within this, while what was read first is still hidden.
const READ_WITHIN: Duration = Duration::from_secs(540);
/// What one call receives at most.
const BATCH: i32 = 10;
/// How long one call waits for messages, in seconds.
const WAIT_S: i32 = 1;
/// SQS hides so many messages of a queue at most.
const MOST_HELD: usize = 120_000;

/// Whether the queue is there and may be read without harm.
pub async fn check(client: &Client, name: &str) -> Result<(), Why> {
    let url = url_of(client, name).await?;
    let attributes = attributes(client, name, &url).await?;
    if attributes.contains_key(&QueueAttributeName::RedrivePolicy) {
        let message = format!(
            "SQS queue {name} has a redrive policy: reading it would in the end move records to its dead-letter queue; \
             give the records a queue without one"
        );
        return Err(Why { kind: WhyKind::Mismatch, message });
    }
    Ok(())
}

async fn attributes(client: &Client, name: &str, url: &str) -> Result<BTreeMap<QueueAttributeName, String>, Why> {
    let what = format!("SQS queue {name}");
    let answer = client
        .get_queue_attributes()
        .queue_url(url)
        .attribute_names(QueueAttributeName::All)
        .send()
        .await
        .map_err(|error| aws::why(&what, &error))?;
    Ok(answer.attributes.unwrap_or_default().into_iter().collect())
}

/// Reads every message once, and makes all of them visible again.
pub async fn read(
    client: &Client,
    name: &str,
    runs: &BTreeSet<String>,
    gathering: &mut Gathering<'_>,
) -> Result<(), Why> {
    check(client, name).await?;
    let url = url_of(client, name).await?;
    // By the message's id: its last receipt handle.
    let mut held: BTreeMap<String, String> = BTreeMap::new();
    let read = read_all(client, name, &url, &mut held, |id, text| {
        gathering.take(text, Some(id), &|| format!("queue {name}, message {id}"), &|run| runs.contains(run));
    });
    let read = read.await;
    release(client, &url, held).await;
    read
}

async fn read_all(
    client: &Client,
    name: &str,
    url: &str,
    held: &mut BTreeMap<String, String>,
    mut take: impl FnMut(&str, &str),
) -> Result<(), Why> {
    let what = format!("SQS queue {name}");
    let ends_at = Instant::now() + READ_WITHIN;
    loop {
        let request = client.receive_message().queue_url(url).max_number_of_messages(BATCH);
        let answer = request.visibility_timeout(HELD_S).wait_time_seconds(WAIT_S).send().await;
        let messages = answer.map_err(|error| aws::why(&what, &error))?.messages.unwrap_or_default();
        let is_empty = messages.is_empty();
        for message in messages {
            let Message { message_id: Some(id), receipt_handle: Some(handle), body, .. } = message else {
                return Err(protocol(format!("{what}: a message without an id")));
            };
            if held.insert(id.clone(), handle).is_none() {
                take(&id, body.as_deref().unwrap_or_default());
            }
        }
        if is_empty && is_read(client, name, url, held.len()).await? {
            return Ok(());
        }
        if held.len() >= MOST_HELD {
            let message = format!(
                "{what} has more messages than SQS lets anyone read at once ({MOST_HELD}): use a table or files"
            );
            return Err(Why { kind: WhyKind::Mismatch, message });
        }
        if Instant::now() > ends_at {
            let message = format!("{what} could not be read to its end within {}s", READ_WITHIN.as_secs());
            return Err(Why { kind: WhyKind::TimedOut, message });
        }
    }
}

/// Nothing is left that could be received, and nobody else holds a message: an earlier reader's come back by themselves.
async fn is_read(client: &Client, name: &str, url: &str, held: usize) -> Result<bool, Why> {
    let attributes = attributes(client, name, url).await?;
    let number = |attribute: QueueAttributeName| {
        let text = attributes.get(&attribute);
        text.and_then(|text| text.parse::<usize>().ok())
            .ok_or_else(|| protocol(format!("SQS queue {name}: the answer has no {attribute}")))
    };
    let visible = number(QueueAttributeName::ApproximateNumberOfMessages)?;
    let delayed = number(QueueAttributeName::ApproximateNumberOfMessagesDelayed)?;
    let hidden = number(QueueAttributeName::ApproximateNumberOfMessagesNotVisible)?;
    Ok(visible == 0 && delayed == 0 && hidden <= held)
}

/// What fails here comes back by itself when its time is over.
async fn release(client: &Client, url: &str, held: BTreeMap<String, String>) {
    let handles: Vec<String> = held.into_values().collect();
    for some in handles.chunks(BATCH as usize) {
        let entry = |(number, handle): (usize, &String)| {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(number.to_string());
            entry.receipt_handle(handle).visibility_timeout(0).build().expect("id and handle are given")
        };
        let entries: Vec<_> = some.iter().enumerate().map(entry).collect();
        let request = client.change_message_visibility_batch().queue_url(url).set_entries(Some(entries));
        if let Err(error) = request.send().await {
            let why = aws::why("the workers' records", &error);
            tracing::warn!(%why, "what was read stays hidden for up to {HELD_S}s");
        }
    }
}
