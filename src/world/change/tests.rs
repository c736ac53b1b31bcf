use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
};

use super::{
    super::{ecs, testing},
    *,
};
use crate::model::TaskArn;

const URL: &str = "https://sqs.us-east-1.amazonaws.com/000000000000/tasks";
const THROTTLED: (u16, &str) = (400, r#"{"__type": "ThrottlingException", "message": "Rate exceeded"}"#);
const BROKEN: (u16, &str) = (500, "");
const DONE: (u16, &str) = (200, "{}");

/// AWS with all that is looked at in order, and with a script for what changes it.
#[derive(Clone)]
struct Script {
    answers: Arc<Mutex<VecDeque<(u16, &'static str)>>>,
}

async fn answer(State(script): State<Script>, headers: HeaderMap) -> (StatusCode, &'static str) {
    let target = headers["x-amz-target"].to_str().expect("text");
    let (status, body) = match target.rsplit('.').next().expect("a last part") {
        "DescribeServices" => (200, r#"{"services": [{"status": "ACTIVE", "desiredCount": 3}]}"#),
        "DescribeContainerInstances" => (200, r#"{"containerInstances": [{"status": "ACTIVE"}]}"#),
        "GetQueueAttributes" => (200, r#"{"Attributes": {"QueueArn": "arn:aws:sqs:us-east-1:000000000000:tasks"}}"#),
        _ => script.answers.lock().expect("no holder panics").pop_front().expect("no call more than answers"),
    };
    (StatusCode::from_u16(status).expect("a status"), body)
}

async fn aws(script: &Script) -> Aws {
    testing::aws(Router::new().fallback(answer).with_state(script.clone())).await
}

/// Every effect that ECS or SQS carries out by one call.
fn effects() -> Vec<Effect> {
    let [cluster, service, instance] = ["demo", "worker", "i"].map(str::to_owned);
    let objects = [Object::Service(service.clone()), Object::Instance(instance.clone()), Object::Queue(URL.to_owned())];
    let tags = indexmap::IndexMap::from([("dagstorm:fault".to_owned(), "f.1".to_owned())]);
    let mut effects = vec![
        Effect::StopTask { task: TaskArn("task/demo/1".into()), reason: "a test".to_owned() },
        Effect::SetDesiredCount { cluster: cluster.clone(), service, from: 3, to: 0 },
        Effect::SetInstance { cluster, instance, draining: true },
        Effect::DenyQueue { url: URL.to_owned() },
    ];
    for object in objects {
        effects.push(Effect::Mark { object: object.clone(), tags: tags.clone() });
        effects.push(Effect::Unmark { object });
    }
    effects
}

/// What each effect comes to where AWS answers its call with these, one after the other, and how many were not asked for.
async fn outcomes(answers: &[(u16, &'static str)]) -> Vec<(Effect, Outcome, usize)> {
    let mut found = vec![];
    for effect in effects() {
        let script = Script { answers: Arc::new(Mutex::new(answers.iter().copied().collect())) };
        let aws = aws(&script).await;
        let outcome = if let Effect::StopTask { task, reason } = &effect {
            ecs::stop_task(&aws.changes.ecs, "demo", task, reason).await
        } else {
            act(&aws, &effect).await
        };
        let left = script.answers.lock().expect("no holder panics").len();
        found.push((effect, outcome, left));
    }
    found
}

#[tokio::test]
async fn what_may_have_been_carried_out_is_not_hidden_by_a_refusal() {
    for answers in [&[BROKEN, THROTTLED][..], &[THROTTLED, BROKEN, THROTTLED]] {
        for (effect, outcome, left) in outcomes(answers).await {
            assert!(matches!(outcome, Outcome::Unknown { .. }), "{effect:?}: {outcome:?}");
            assert_eq!(left, 1, "{effect:?}");
        }
    }
}

#[tokio::test]
async fn what_was_not_even_judged_is_repeated() {
    for (effect, outcome, left) in outcomes(&[THROTTLED, THROTTLED, DONE]).await {
        assert!(matches!(outcome, Outcome::Done(_)), "{effect:?}: {outcome:?}");
        assert_eq!(left, 0, "{effect:?}");
    }
    for (effect, outcome, left) in outcomes(&[THROTTLED, THROTTLED, THROTTLED]).await {
        assert!(matches!(outcome, Outcome::Refused { retry: true, .. }), "{effect:?}: {outcome:?}");
        assert_eq!(left, 0, "{effect:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_stood_still_in_the_midst_of_an_effect_sends_no_further_call() {
    let sent = std::cell::Cell::new(1);
    let mut effect = Box::pin(within(async {
        tokio::task::yield_now().await;
        sent.set(2);
        changed()
    }));
    assert!(futures::poll!(&mut effect).is_pending());
    tokio::time::advance(WITHIN).await;
    assert!(matches!(effect.await, Outcome::Unknown { .. }));
    assert_eq!(sent.get(), 1);
}
