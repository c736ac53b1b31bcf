//! Which ECS task is dagstorm's own: it is never a target.

use std::time::Duration;

use serde::Deserialize;

use crate::model::{TaskArn, Why, WhyKind};

/// Where ECS says what the task is that this process runs in.
const METADATA: &str = "ECS_CONTAINER_METADATA_URI_V4";
const TIMEOUT: Duration = Duration::from_secs(2);

/// What is known of the task that this process runs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Own {
    /// It runs in none.
    None,
    Task(TaskArn),
    /// It runs in one, and cannot find out in which: then every task may be it.
    Unknown,
}

impl Own {
    /// Whether it is this task, as far as is known.
    pub fn may_be(&self, task: &TaskArn) -> bool {
        match self {
            Self::None => false,
            Self::Task(own) => own == task,
            Self::Unknown => true,
        }
    }
}

/// What the task metadata endpoint says, as far as it matters here.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    #[serde(rename = "TaskARN")]
    task: String,
}

/// Asks the task metadata endpoint; `None`: this process runs in no ECS task.
///
/// # Errors
/// When it runs in one and cannot find out in which: then nobody may be stopped.
pub async fn task() -> Result<Option<TaskArn>, Why> {
    match std::env::var(METADATA) {
        Ok(base) if !base.is_empty() => ask(&base).await.map(Some),
        Ok(_) | Err(_) => Ok(None),
    }
}

async fn ask(base: &str) -> Result<TaskArn, Why> {
    let url = format!("{base}/task");
    let why = |kind: WhyKind, message: String| Why { kind, message: format!("our own task ({url}): {message}") };
    let unreachable = |error: reqwest::Error| {
        let kind = if error.is_timeout() { WhyKind::TimedOut } else { WhyKind::Unreachable };
        why(kind, error.without_url().to_string())
    };
    // It is link-local: no proxy leads there.
    let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build().map_err(unreachable)?;
    let answer = client.get(&url).send().await.and_then(reqwest::Response::error_for_status).map_err(unreachable)?;
    let metadata: Metadata =
        answer.json().await.map_err(|error| why(WhyKind::Protocol, error.without_url().to_string()))?;
    Ok(TaskArn(metadata.task.into()))
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// Serves one answer, and returns what was asked for.
    async fn served(answer: &'static str) -> (Result<TaskArn, Why>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}/v4/abc", listener.local_addr().expect("an address"));
        let server = tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.expect("a connection");
            let mut request = vec![0; 1024];
            let length = connection.read(&mut request).await.expect("a request");
            connection.write_all(answer.as_bytes()).await.expect("sent");
            String::from_utf8_lossy(&request[..length]).lines().next().unwrap_or_default().to_owned()
        });
        let found = ask(&base).await;
        (found, server.await.expect("served"))
    }

    #[tokio::test]
    async fn the_endpoint_names_the_task() {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 34\r\nConnection: close\r\n\r\n{\"Cluster\":\"demo\",\"TaskARN\":\"arn\"}";
        let (found, asked) = served(answer).await;
        assert_eq!((found, asked.as_str()), (Ok(TaskArn("arn".into())), "GET /v4/abc/task HTTP/1.1"));
    }

    #[tokio::test]
    async fn what_it_does_not_say_is_no_answer() {
        for (answer, kind) in [
            ("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", WhyKind::Unreachable),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}", WhyKind::Protocol),
        ] {
            let (found, _) = served(answer).await;
            assert_eq!(found.expect_err(answer).kind, kind);
        }
        assert_eq!(ask("http://127.0.0.1:9").await.expect_err("nobody there").kind, WhyKind::Unreachable);
    }
}
