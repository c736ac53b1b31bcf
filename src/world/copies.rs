//! Copies of messages, so that each is delivered twice; and what SQS's answers prove of each.
//!
//! A message is received and held, so that nobody else has it; its copy is sent; then the original is made visible. Each step
//! has an answer of its own, and only all three prove that the message is twice in the queue.

use std::time::Duration;

use aws_sdk_sqs::{
    Client,
    types::{
        BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, Message, MessageSystemAttributeName,
        MessageSystemAttributeNameForSends, MessageSystemAttributeValue, SendMessageBatchRequestEntry,
    },
};
use tokio::time::Instant;

use super::{aws, live::Aws, queue};
use crate::model::{Copies, Outcome, Receipt, Why, WhyKind};

/// What one call receives, sends or changes at most.
const BATCH: usize = 10;
/// What the messages of one call may hold together, in bytes.
const BATCH_BYTES: usize = 256 * 1024;
/// How long one call waits for messages: without waiting SQS asks only some of its servers.
const WAIT_S: i32 = 1;
/// So many calls in a row without a message: there are no more.
const EMPTY_AT_MOST: u32 = 2;
/// For so long nobody else gets a message that is being copied.
const HELD_S: i32 = 30;
/// Messages are received for so long, and copies sent until then: the calls of an effect must all have ended when its settle
/// has passed.
const RECEIVE_WITHIN: Duration = Duration::from_secs(5);
const COPY_WITHIN: Duration = Duration::from_secs(8);
/// What is not made visible by then becomes so by itself.
const RELEASE_WITHIN: Duration = Duration::from_secs(11);

/// A message that we hold, and what the answers say of it.
struct Held {
    message: Message,
    sent: Sent,
    released: Released,
}

/// What became of a message's copy.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Sent {
    NotYet,
    Taken,
    /// SQS took it for a message that it has already.
    Dropped,
    Refused(String),
    /// The call had no answer.
    InDoubt(String),
}

/// What became of the original.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Released {
    /// No answer says so.
    Unknown,
    /// It was where we held it, and is visible now.
    Visible,
    /// It was not: somebody deleted it, or it was visible before.
    Gone,
}

/// Copies up to `count` of the visible messages with all their attributes, and makes the originals visible again.
///
/// What it holds when it fails becomes visible by itself within half a minute. Nothing is sent twice. Where the redrive policy
/// permits one receive only, nothing is received: no original would be delivered any more.
pub async fn copy(aws: &Aws, url: &str, count: u32) -> Outcome {
    let attributes = match queue::attributes(&aws.sqs, url).await {
        Ok(attributes) => attributes,
        Err(error) => return aws::outcome(&format!("GetQueueAttributes {url}"), &error),
    };
    let max_receives = match queue::max_receives(&attributes.redrive) {
        Ok(Some(1)) => return Outcome::Refused { reason: only_one_receive(url), retry: false },
        Ok(max_receives) => max_receives,
        Err(reason) => {
            return Outcome::Refused { reason: format!("the redrive policy of {url}: {reason}"), retry: false };
        }
    };
    let (client, began) = (&aws.changes.sqs, Instant::now());
    let (mut held, unreceived) = receive_all(client, url, count as usize, began).await;
    if held.is_empty() {
        let Some(Why { kind, message: reason }) = unreceived else {
            return Outcome::Refused { reason: "no message could be received".to_owned(), retry: true };
        };
        return Outcome::Refused { reason, retry: !matches!(kind, WhyKind::Unauthorized | WhyKind::NotFound) };
    }
    let ids: Vec<String> = held.iter().filter_map(|one| one.message.message_id.clone()).collect();
    let mut unsent: Option<String> = None;
    for batch in batches(&mut held) {
        if unsent.is_none() && began.elapsed() < COPY_WITHIN {
            send(client, url, batch, &ids).await;
            unsent = batch.iter().find_map(|one| one.sent.trouble());
        }
        if began.elapsed() < RELEASE_WITHIN {
            release(client, url, batch).await;
        }
    }
    outcome(tally(&held, count, max_receives, unsent.or(unreceived.map(|why| why.message))))
}

fn only_one_receive(url: &str) -> String {
    format!(
        "the redrive policy of {url} permits one receive, and copying a message is one: no original would be delivered"
    )
}

/// What it came to. A message that was received is not received again for it: each receive counts for the redrive policy.
fn outcome(copies: Copies) -> Outcome {
    match (copies.taken(), copies.in_doubt) {
        (0, 0) => Outcome::Refused { reason: copies.sentence(), retry: false },
        (0, _) => Outcome::Unknown { reason: copies.sentence() },
        (_, _) => Outcome::Done(Receipt::Copied(copies)),
    }
}

/// Each message has one fate.
fn tally(held: &[Held], wanted: u32, max_receives: Option<u32>, trouble: Option<String>) -> Copies {
    let mut copies = Copies { wanted, received: held.len() as u32, trouble, ..Copies::default() };
    for one in held {
        let is_spent = max_receives.is_some_and(|most| receives(&one.message).is_none_or(|receives| receives >= most));
        let fate = match (&one.sent, one.released) {
            (Sent::NotYet | Sent::Dropped | Sent::Refused(_), _) => &mut copies.uncopied,
            (Sent::InDoubt(_), _) => &mut copies.in_doubt,
            (Sent::Taken, Released::Gone) => &mut copies.gone,
            (Sent::Taken, Released::Visible | Released::Unknown) if is_spent => &mut copies.spent,
            (Sent::Taken, Released::Unknown) => &mut copies.unreleased,
            (Sent::Taken, Released::Visible) => &mut copies.messages,
        };
        *fate += 1;
    }
    copies
}

/// How often it was received, this time included.
fn receives(message: &Message) -> Option<u32> {
    system(message, &MessageSystemAttributeName::ApproximateReceiveCount)?.parse().ok()
}

fn system(message: &Message, name: &MessageSystemAttributeName) -> Option<String> {
    message.attributes().and_then(|all| all.get(name)).cloned()
}

/// All are received before any is copied: a copy shall not be copied again.
async fn receive_all(client: &Client, url: &str, count: usize, began: Instant) -> (Vec<Held>, Option<Why>) {
    let (mut held, mut empty): (Vec<Held>, u32) = (vec![], 0);
    while held.len() < count && empty < EMPTY_AT_MOST && began.elapsed() < RECEIVE_WITHIN {
        let messages = match receive(client, url, (count - held.len()).min(BATCH)).await {
            Ok(messages) => messages,
            Err(why) => return (held, Some(why)),
        };
        empty = if messages.is_empty() { empty + 1 } else { 0 };
        for message in messages {
            // SQS may deliver a message twice by itself: the later handle counts.
            match held.iter_mut().find(|one| one.message.message_id == message.message_id) {
                Some(known) => known.message = message,
                None => held.push(Held { message, sent: Sent::NotYet, released: Released::Unknown }),
            }
        }
    }
    (held, None)
}

/// What is received and not answered is visible again soon.
async fn receive(client: &Client, url: &str, wanted: usize) -> Result<Vec<Message>, Why> {
    let call = client
        .receive_message()
        .queue_url(url)
        .max_number_of_messages(i32::try_from(wanted).unwrap_or(1))
        .visibility_timeout(HELD_S)
        .wait_time_seconds(WAIT_S)
        .message_attribute_names("All")
        .message_system_attribute_names(MessageSystemAttributeName::All);
    let answer = call.send().await.map_err(|error| aws::why("ReceiveMessage", &error))?;
    Ok(answer.messages.unwrap_or_default())
}

/// As many as one call takes, by number and by size.
fn batches(held: &mut [Held]) -> Vec<&mut [Held]> {
    let (mut found, mut rest) = (vec![], held);
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take(BATCH).take_while(|one| {
            bytes += size(&one.message);
            bytes <= BATCH_BYTES
        });
        // One that is larger than a batch goes alone.
        let number = fits.count().max(1);
        let (batch, others) = rest.split_at_mut(number);
        found.push(batch);
        rest = others;
    }
    found
}

/// What SQS counts of a message: its body, and names, types and values of its attributes.
fn size(message: &Message) -> usize {
    let attributes = message.message_attributes.iter().flatten().map(|(name, value)| {
        let text = value.string_value().map_or(0, str::len);
        let binary = value.binary_value().map_or(0, |bytes| bytes.as_ref().len());
        name.len() + value.data_type().len() + text + binary
    });
    message.body().map_or(0, str::len) + attributes.sum::<usize>()
}

/// Sends a copy of each. `ids`: of all messages that we hold.
async fn send(client: &Client, url: &str, batch: &mut [Held], ids: &[String]) {
    let entries: Result<Vec<_>, String> =
        batch.iter().enumerate().map(|(number, one)| entry(url, number, &one.message)).collect();
    let entries = match entries {
        Ok(entries) => entries,
        Err(reason) => return batch.iter_mut().for_each(|one| one.sent = Sent::Refused(reason.clone())),
    };
    let answer = match client.send_message_batch().queue_url(url).set_entries(Some(entries)).send().await {
        Ok(answer) => answer,
        Err(error) => {
            let sent = match aws::outcome("SendMessageBatch", &error) {
                Outcome::Refused { reason, .. } => Sent::Refused(reason),
                Outcome::Unknown { reason } => Sent::InDoubt(reason),
                Outcome::Done(_) => unreachable!("an error is none"),
            };
            return batch.iter_mut().for_each(|one| one.sent = sent.clone());
        }
    };
    for (number, one) in batch.iter_mut().enumerate() {
        let number = number.to_string();
        let failed = answer.failed.iter().find(|failed| failed.id == number);
        let taken = answer.successful.iter().find(|taken| taken.id == number).map(|taken| &taken.message_id);
        one.sent = match (taken, failed) {
            // A copy that was taken for a message that is there has its id.
            (Some(id), _) if ids.contains(id) => Sent::Dropped,
            (Some(_), _) => Sent::Taken,
            (None, Some(failed)) if failed.sender_fault => Sent::Refused(said(failed)),
            (None, Some(failed)) => Sent::InDoubt(said(failed)),
            (None, None) => Sent::InDoubt("SendMessageBatch does not say what became of a message".to_owned()),
        };
    }
}

fn said(failed: &BatchResultErrorEntry) -> String {
    format!("SendMessage: {}: {}", failed.code, failed.message.as_deref().unwrap_or("no message"))
}

fn entry(url: &str, number: usize, message: &Message) -> Result<SendMessageBatchRequestEntry, String> {
    let mut entry = SendMessageBatchRequestEntry::builder()
        .id(number.to_string())
        .message_body(message.body().unwrap_or_default())
        .set_message_attributes(message.message_attributes.clone());
    if let Some(trace) = system(message, &MessageSystemAttributeName::AwsTraceHeader) {
        let value = MessageSystemAttributeValue::builder().data_type("String").string_value(trace).build();
        let value = value.map_err(|error| error.to_string())?;
        entry = entry.message_system_attributes(MessageSystemAttributeNameForSends::AwsTraceHeader, value);
    }
    if let Some(group) = system(message, &MessageSystemAttributeName::MessageGroupId) {
        entry = entry.message_group_id(group);
    }
    entry = if url.ends_with(".fifo") {
        // The same one as before would be taken for the message itself, or for its last copy, and dropped.
        let id = message.message_id().unwrap_or_default();
        let times = system(message, &MessageSystemAttributeName::ApproximateReceiveCount).unwrap_or_default();
        entry.message_deduplication_id(format!("dagstorm-{id}-{times}"))
    } else {
        // The original is visible at once, whatever delay the queue has for new messages; so shall be the copy.
        entry.delay_seconds(0)
    };
    entry.build().map_err(|error| error.to_string())
}

/// Makes the originals visible again, and learns whether they were where we held them.
async fn release(client: &Client, url: &str, batch: &mut [Held]) {
    let entries: Vec<_> = batch
        .iter()
        .enumerate()
        .filter_map(|(number, one)| {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(number.to_string())
                .receipt_handle(one.message.receipt_handle()?)
                .visibility_timeout(0);
            entry.build().ok()
        })
        .collect();
    if entries.is_empty() {
        return;
    }
    let call = client.change_message_visibility_batch().queue_url(url).set_entries(Some(entries));
    let answer = match call.send().await {
        Ok(answer) => answer,
        Err(error) => {
            let why = aws::why("ChangeMessageVisibilityBatch", &error);
            tracing::debug!(url, %why, "they become visible by themselves");
            return;
        }
    };
    for (number, one) in batch.iter_mut().enumerate() {
        let number = number.to_string();
        let is_gone = answer.failed.iter().any(|failed| failed.id == number && is_gone(&failed.code));
        if answer.successful.iter().any(|done| done.id == number) {
            one.released = Released::Visible;
        } else if is_gone {
            one.released = Released::Gone;
        }
    }
}

/// What SQS says of a handle whose message was deleted, or is visible.
fn is_gone(code: &str) -> bool {
    ["MessageNotInflight", "ReceiptHandleIsInvalid", "InvalidParameterValue"].iter().any(|known| code.contains(known))
}

impl Sent {
    /// What stands against copying more.
    fn trouble(&self) -> Option<String> {
        match self {
            Self::NotYet | Self::Taken => None,
            Self::Dropped => Some("SQS dropped a copy as a duplicate".to_owned()),
            Self::Refused(reason) | Self::InDoubt(reason) => Some(reason.clone()),
        }
    }
}

#[cfg(test)]
mod tests;
