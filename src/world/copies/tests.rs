use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
};

use super::{super::testing, *};

const URL: &str = "https://sqs.us-east-1.amazonaws.com/000000000000/tasks";
const THROTTLED: (u16, &str) = (400, r#"{"__type": "ThrottlingException", "message": "Rate exceeded"}"#);
const BROKEN: (u16, &str) = (500, "");
const RELEASED: (u16, &str) = (200, r#"{"Successful": [{"Id": "0"}, {"Id": "1"}], "Failed": []}"#);
const SENT: (u16, &str) = (
    200,
    r#"{"Successful": [{"Id": "0", "MessageId": "c0", "MD5OfMessageBody": "9dd4e461268c8034f5c8564e155c67a6"},
      {"Id": "1", "MessageId": "c1", "MD5OfMessageBody": "9dd4e461268c8034f5c8564e155c67a6"}], "Failed": []}"#,
);

/// SQS with two messages, and with a script for each call that changes something.
#[derive(Clone)]
struct Script {
    redrive: &'static str,
    received: Arc<Mutex<bool>>,
    sends: Arc<Mutex<VecDeque<(u16, &'static str)>>>,
    releases: Arc<Mutex<VecDeque<(u16, &'static str)>>>,
}

async fn answer(State(script): State<Script>, headers: HeaderMap) -> (StatusCode, String) {
    let next = |answers: &Mutex<VecDeque<(u16, &'static str)>>| {
        let (status, body) = answers.lock().expect("no holder panics").pop_front().expect("no call more than answers");
        (status, body.to_owned())
    };
    let target = headers["x-amz-target"].to_str().expect("text");
    let (status, body) = match target.rsplit('.').next().expect("a last part") {
        "GetQueueAttributes" => {
            let attributes = serde_json::json!({ "QueueArn": "arn", "RedrivePolicy": script.redrive });
            (200, serde_json::json!({ "Attributes": attributes }).to_string())
        }
        "ReceiveMessage" if std::mem::replace(&mut *script.received.lock().expect("no holder panics"), true) => {
            (200, "{}".to_owned())
        }
        "ReceiveMessage" => (200, serde_json::json!({ "Messages": [raw("m0", "1"), raw("m1", "2")] }).to_string()),
        "SendMessageBatch" => next(&script.sends),
        "ChangeMessageVisibilityBatch" => next(&script.releases),
        other => panic!("{other} is not asked for"),
    };
    (StatusCode::from_u16(status).expect("a status"), body)
}

fn raw(id: &str, receives: &str) -> serde_json::Value {
    serde_json::json!({ "MessageId": id, "ReceiptHandle": id, "Body": "x",
        "Attributes": { "ApproximateReceiveCount": receives } })
}

/// What copying two messages comes to, and whether all answers were asked for.
async fn copied(redrive: &'static str, sends: &[(u16, &'static str)], releases: &[(u16, &'static str)]) -> Outcome {
    let queue = |answers: &[(u16, &'static str)]| Arc::new(Mutex::new(answers.iter().copied().collect()));
    let script = Script { redrive, received: Arc::default(), sends: queue(sends), releases: queue(releases) };
    let aws = testing::aws(Router::new().fallback(answer).with_state(script.clone())).await;
    let outcome = copy(&aws, URL, 2).await;
    for left in [&script.sends, &script.releases] {
        assert!(left.lock().expect("no holder panics").is_empty(), "{outcome:?}");
    }
    outcome
}

fn done(copies: Copies) -> Outcome {
    Outcome::Done(Receipt::Copied(Copies { wanted: 2, received: 2, ..copies }))
}

#[tokio::test]
async fn a_message_is_proved_to_be_twice_in_the_queue_by_three_answers() {
    let [none, some] = [Copies::default(), Copies { messages: 1, ..Copies::default() }];
    let two = r#"{"maxReceiveCount": "2"}"#;
    let gone = (
        200,
        r#"{"Successful": [{"Id": "0"}], "Failed": [{"Id": "1", "SenderFault": true, "Code": "ReceiptHandleIsInvalid"}]}"#,
    );
    let silent = (
        200,
        r#"{"Successful": [{"Id": "0"}], "Failed": [{"Id": "1", "SenderFault": false, "Code": "InternalError"}]}"#,
    );
    let dropped = (
        200,
        r#"{"Successful": [{"Id": "0", "MessageId": "c0", "MD5OfMessageBody": ""}, {"Id": "1", "MessageId": "m1", "MD5OfMessageBody": ""}], "Failed": []}"#,
    );
    let refused = (
        200,
        r#"{"Successful": [{"Id": "0", "MessageId": "c0", "MD5OfMessageBody": ""}], "Failed": [{"Id": "1", "SenderFault": true, "Code": "InvalidMessageContents", "Message": "no"}]}"#,
    );
    let unsure = (
        200,
        r#"{"Successful": [{"Id": "0", "MessageId": "c0", "MD5OfMessageBody": ""}], "Failed": [{"Id": "1", "SenderFault": false, "Code": "InternalError", "Message": "no"}]}"#,
    );
    let trouble = |text: &str| Some(text.to_owned());
    for (what, redrive, sent, released, expected) in [
        ("all", "", SENT, RELEASED, Copies { messages: 2, ..none.clone() }),
        (
            "the redrive policy permits a receive more",
            r#"{"maxReceiveCount": 3}"#,
            SENT,
            RELEASED,
            Copies { messages: 2, ..none.clone() },
        ),
        ("the second had its last receive", two, SENT, RELEASED, Copies { spent: 1, ..some.clone() }),
        ("the second was deleted", "", SENT, gone, Copies { gone: 1, ..some.clone() }),
        ("the second was deleted before its last receive told", two, SENT, gone, Copies { gone: 1, ..some.clone() }),
        ("no word of the second", "", SENT, silent, Copies { unreleased: 1, ..some.clone() }),
        ("no word of both", "", SENT, BROKEN, Copies { unreleased: 2, ..none.clone() }),
        (
            "a duplicate",
            "",
            dropped,
            RELEASED,
            Copies { uncopied: 1, trouble: trouble("SQS dropped a copy as a duplicate"), ..some.clone() },
        ),
        (
            "one refused",
            "",
            refused,
            RELEASED,
            Copies { uncopied: 1, trouble: trouble("SendMessage: InvalidMessageContents: no"), ..some.clone() },
        ),
        (
            "one in doubt",
            "",
            unsure,
            RELEASED,
            Copies { in_doubt: 1, trouble: trouble("SendMessage: InternalError: no"), ..some.clone() },
        ),
    ] {
        assert_eq!(copied(redrive, &[sent], &[released]).await, done(expected), "{what}");
    }
}

#[tokio::test]
async fn what_copied_nothing_is_no_success_and_is_not_received_again() {
    let refused = copied("", &[THROTTLED, THROTTLED, THROTTLED], &[RELEASED]).await;
    let Outcome::Refused { reason, retry: false } = refused else { panic!("{refused:?}") };
    assert!(reason.starts_with("0 of 2 received are proved to be twice in the queue; 2 without a copy"), "{reason}");
    let unknown = copied("", &[BROKEN], &[RELEASED]).await;
    let Outcome::Unknown { reason } = unknown else { panic!("{unknown:?}") };
    assert!(reason.contains("2 whose copy may be there or not"), "{reason}");
    // One attempt was not even judged, the next may have been carried out.
    let unknown = copied("", &[THROTTLED, BROKEN], &[RELEASED]).await;
    assert!(matches!(unknown, Outcome::Unknown { .. }), "{unknown:?}");
    let again = copied("", &[THROTTLED, THROTTLED, SENT], &[RELEASED]).await;
    assert_eq!(again, done(Copies { messages: 2, ..Copies::default() }));
}

#[tokio::test]
async fn a_queue_that_permits_one_receive_is_not_received_from() {
    let refused = copied(r#"{"maxReceiveCount": 1}"#, &[], &[]).await;
    assert!(matches!(refused, Outcome::Refused { retry: false, .. }), "{refused:?}");
}

fn held(body: usize) -> Held {
    let message = Message::builder().body("x".repeat(body)).build();
    Held { message, sent: Sent::NotYet, released: Released::Unknown }
}

#[test]
fn a_batch_holds_what_one_call_takes() {
    for (sizes, expected) in [
        (vec![1; 25], vec![10, 10, 5]),
        (vec![100 * 1024; 5], vec![2, 2, 1]),
        (vec![1, 600 * 1024, 1, 1], vec![1, 1, 2]),
    ] {
        let mut all: Vec<Held> = sizes.into_iter().map(held).collect();
        let numbers: Vec<usize> = batches(&mut all).iter().map(|batch| batch.len()).collect();
        assert_eq!(numbers, expected);
    }
}
