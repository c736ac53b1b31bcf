//! The SQS client: the depth of a queue.

use aws_sdk_sqs::{Client, types::QueueAttributeName};

use super::aws;
use crate::model::{QueueView, Seen, Why, WhyKind};

/// Reads the depth. SQS's numbers are approximate by design.
pub async fn look(client: &Client, name: &str) -> Seen<QueueView> {
    match try_look(client, name).await {
        Ok(view) => Seen::Fresh(view),
        Err(why) => Seen::Unavailable(why),
    }
}

async fn try_look(client: &Client, name: &str) -> Result<QueueView, Why> {
    let what = format!("SQS queue {name}");
    let found = client.get_queue_url().queue_name(name).send().await.map_err(|error| aws::why(&what, &error))?;
    let (visible, in_flight) =
        (QueueAttributeName::ApproximateNumberOfMessages, QueueAttributeName::ApproximateNumberOfMessagesNotVisible);
    let answer = client
        .get_queue_attributes()
        .set_queue_url(found.queue_url)
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
