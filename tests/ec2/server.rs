//! A server that answers as it was told to, one answer after the other, and keeps what it was asked.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, Response, StatusCode},
};
use dagstorm::world::ec2::Ec2;
use futures::{StreamExt, stream};

pub enum Answer {
    Xml(u16, String),
    /// Headers, half of the body, then the connection breaks.
    Half(String),
    /// Headers, and then nothing for ever.
    Stalled,
    /// Nothing for ever.
    Silent,
}

#[derive(Debug)]
pub struct Asked {
    pub headers: HeaderMap,
    pub body: String,
}

#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

pub struct Server {
    pub url: String,
    script: Script,
}

impl Server {
    pub async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let script = Script { answers: Arc::new(Mutex::new(answers.into_iter().collect())), ..Script::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(script.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, script }
    }

    pub fn config(&self) -> aws_types::sdk_config::Builder {
        let retries = RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(1));
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(2))
            .operation_attempt_timeout(Duration::from_secs(10))
            .operation_timeout(Duration::from_secs(20))
            .build();
        let credentials =
            Credentials::new("AKIDEXAMPLE", "secret", Some("session".to_owned()), None, "a test of dagstorm");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .endpoint_url(&self.url)
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .retry_config(retries)
            .timeout_config(timeouts)
    }

    pub fn client(&self) -> Ec2 {
        Ec2::new(&self.config().build()).unwrap()
    }

    /// A client that does not wait long for an answer.
    pub fn impatient_client(&self) -> Ec2 {
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(Duration::from_millis(300))
            .operation_timeout(Duration::from_secs(5));
        Ec2::new(&self.config().timeout_config(timeouts.build()).build()).unwrap()
    }

    /// What was asked since the last call, and that nothing is left to answer.
    pub fn asked(&self) -> Vec<Asked> {
        assert!(self.script.answers.lock().unwrap().is_empty(), "fewer questions than answers");
        std::mem::take(&mut self.script.asked.lock().unwrap())
    }
}

async fn answer(State(script): State<Script>, headers: HeaderMap, body: String) -> Response<Body> {
    script.asked.lock().unwrap().push(Asked { headers, body });
    let next = script.answers.lock().unwrap().pop_front();
    let respond = |status: u16, body: Body| {
        let builder = Response::builder().status(StatusCode::from_u16(status).unwrap());
        builder.header("content-type", "text/xml;charset=UTF-8").body(body).unwrap()
    };
    match next {
        Some(Answer::Xml(status, text)) => respond(status, Body::from(text)),
        Some(Answer::Half(text)) => {
            let half = text[..text.len() / 2].to_owned();
            let broken = stream::once(async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Err(std::io::Error::other("broken"))
            });
            respond(200, Body::from_stream(stream::iter([Ok(half)]).chain(broken)))
        }
        Some(Answer::Stalled) => {
            let begun = stream::iter([Ok::<_, Infallible>("<".to_owned())]).chain(stream::pending());
            respond(200, Body::from_stream(begun))
        }
        Some(Answer::Silent) => std::future::pending().await,
        None => panic!("one question more than answers"),
    }
}
