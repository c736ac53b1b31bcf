//! A faulty proxy: what becomes of a request is drawn from a seed, by the key that it launches and how often it was sent.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex},
    time::Duration,
};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// The longest that a request is held back before it is passed on.
pub const LONGEST_DELAY: Duration = Duration::from_millis(600);
/// The client does not wait so long for an answer.
const TOO_LATE: std::ops::Range<u64> = 600..1_000;
/// So often at most a launch of one key is kept from the server: after five attempts the operator gives a key up.
const MOST_KEPT: u32 = 2;
/// Of a hundred launches so many are passed on as they are, and of a hundred look-ups.
const SPARED: u32 = 45;
const SPARED_LOOKS: u32 = 30;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The connection is closed, or reset, or nothing ever comes; the server hears nothing.
    RequestDropped,
    RequestReset,
    RequestSwallowed,
    Throttled,
    ErrorPage,
    ErrorInJson,
    Unavailable,
    /// The server hears it late, and the client is gone by then.
    RequestLate,
    /// The server does as it was asked; then the connection is closed, or reset, or something else is said.
    AnswerDropped,
    AnswerReset,
    AnswerLate,
    AnswerHalf,
    ErrorAfterwards,
    ErrorPageAfterwards,
}

const KEPT: [Fault; 7] = [
    Fault::RequestDropped,
    Fault::RequestReset,
    Fault::RequestSwallowed,
    Fault::Throttled,
    Fault::ErrorPage,
    Fault::ErrorInJson,
    Fault::Unavailable,
];
const PASSED_ON: [Fault; 7] = [
    Fault::RequestLate,
    Fault::AnswerDropped,
    Fault::AnswerReset,
    Fault::AnswerLate,
    Fault::AnswerHalf,
    Fault::ErrorAfterwards,
    Fault::ErrorPageAfterwards,
];

/// A running proxy. It ends with the test.
#[derive(Clone)]
pub struct Proxy {
    upstream: String,
    seed: u64,
    http: reqwest::Client,
    state: Arc<Mutex<Progress>>,
}

#[derive(Default)]
struct Progress {
    is_calm: bool,
    /// By what a request is about: how often it came, and how often it was kept from the server.
    seen: BTreeMap<String, (u32, u32)>,
    /// What was done to launches.
    launches: BTreeMap<Fault, u32>,
}

impl Proxy {
    pub fn new(upstream: &str, seed: u64) -> Self {
        Self { upstream: upstream.to_owned(), seed, http: reqwest::Client::new(), state: Arc::default() }
    }

    /// Listens; returns the GraphQL endpoint.
    pub async fn listen(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let proxy = self.clone();
        drop(tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                tokio::spawn(proxy.clone().converse(socket));
            }
        }));
        format!("http://{address}/graphql")
    }

    /// From now on everything is passed on.
    pub fn calm(&self) {
        self.state.lock().unwrap().is_calm = true;
    }

    /// The faults that launches met with, and how often.
    pub fn launches(&self) -> BTreeMap<Fault, u32> {
        self.state.lock().unwrap().launches.clone()
    }

    pub fn all_faults() -> Vec<Fault> {
        KEPT.into_iter().chain(PASSED_ON).collect()
    }

    async fn converse(self, mut socket: TcpStream) {
        let mut buffer = vec![];
        while let Some(body) = read_request(&mut socket, &mut buffer).await {
            // The client may die at any time: what it asked for goes on without it.
            let (fault, mut rng) = self.draw(&body);
            let may_go_on = match fault {
                None => respond(&mut socket, 200, &self.pass_on(body).await).await,
                Some(fault) => self.fail(fault, &mut rng, body, &mut socket).await,
            };
            if !may_go_on {
                return;
            }
        }
    }

    fn draw(&self, body: &str) -> (Option<Fault>, ChaCha8Rng) {
        let parsed: serde_json::Value = serde_json::from_str(body).unwrap();
        let tags = parsed["variables"]["params"]["executionMetadata"]["tags"].as_array();
        let key = tags.and_then(|tags| tags.iter().find(|tag| tag["key"] == crate::dagster::KEY_TAG));
        let key = key.and_then(|tag| tag["value"].as_str());
        let mut state = self.state.lock().unwrap();
        let is_calm = state.is_calm;
        let (came, kept) = state.seen.entry(key.unwrap_or("a look").to_owned()).or_default();
        *came += 1;
        let mut hasher = DefaultHasher::new();
        (self.seed, key, *came).hash(&mut hasher);
        let mut rng = ChaCha8Rng::seed_from_u64(hasher.finish());
        let spared = if key.is_some() { SPARED } else { SPARED_LOOKS };
        if is_calm || rng.random_range(0..100) < spared {
            return (None, rng);
        }
        let fault = if rng.random() && (key.is_none() || *kept < MOST_KEPT) {
            *kept += 1;
            KEPT[rng.random_range(0..KEPT.len())]
        } else {
            PASSED_ON[rng.random_range(0..PASSED_ON.len())]
        };
        if key.is_some() {
            *state.launches.entry(fault).or_default() += 1;
        }
        (Some(fault), rng)
    }

    /// Returns whether the connection is still good.
    async fn fail(&self, fault: Fault, rng: &mut ChaCha8Rng, body: String, socket: &mut TcpStream) -> bool {
        match fault {
            Fault::RequestDropped => false,
            Fault::RequestReset => reset(socket),
            Fault::RequestSwallowed => {
                // Until the client hangs up.
                let _ = socket.read(&mut [0]).await;
                false
            }
            Fault::Throttled => respond(socket, 429, "slow down").await,
            Fault::ErrorPage => respond(socket, 500, "<html>Internal Server Error</html>").await,
            Fault::ErrorInJson => respond(socket, 500, r#"{"errors":[{"message":"database is locked"}]}"#).await,
            Fault::Unavailable => respond(socket, 503, "no healthy upstream").await,
            Fault::RequestLate => {
                tokio::time::sleep(LONGEST_DELAY.mul_f64(rng.random_range(0.0..=1.0))).await;
                respond(socket, 200, &self.pass_on(body).await).await
            }
            Fault::AnswerDropped => {
                self.pass_on(body).await;
                false
            }
            Fault::AnswerReset => {
                self.pass_on(body).await;
                reset(socket)
            }
            Fault::AnswerLate => {
                let answer = self.pass_on(body).await;
                tokio::time::sleep(Duration::from_millis(rng.random_range(TOO_LATE))).await;
                respond(socket, 200, &answer).await
            }
            Fault::AnswerHalf => {
                let answer = self.pass_on(body).await;
                let head = head(200, answer.len());
                let _ = socket.write_all(format!("{head}{}", &answer[..answer.len() / 2]).as_bytes()).await;
                false
            }
            Fault::ErrorAfterwards => {
                self.pass_on(body).await;
                let error = r#"{"data":{"launchRun":{"__typename":"PythonError","message":"OperationalError","className":"OperationalError"}}}"#;
                respond(socket, 500, error).await
            }
            Fault::ErrorPageAfterwards => {
                self.pass_on(body).await;
                respond(socket, 502, "<html>Bad Gateway</html>").await
            }
        }
    }

    pub async fn pass_on(&self, body: String) -> String {
        let request = self.http.post(&self.upstream).header("content-type", "application/json").body(body);
        request.send().await.unwrap().text().await.unwrap()
    }
}

/// The body of the next request; `None` when the client is gone, also in the middle of it.
pub async fn read_request(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(buffer[..end].to_vec()).unwrap().to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).unwrap();
            let whole = end + 4 + length.trim().parse::<usize>().unwrap();
            if buffer.len() >= whole {
                let body = String::from_utf8(buffer[end + 4..whole].to_vec()).unwrap();
                buffer.drain(..whole);
                return Some(body);
            }
        }
        match socket.read_buf(buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

fn head(status: u16, length: usize) -> String {
    format!("HTTP/1.1 {status} said\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n")
}

pub async fn respond(socket: &mut TcpStream, status: u16, body: &str) -> bool {
    socket.write_all(format!("{}{body}", head(status, body.len())).as_bytes()).await.is_ok()
}

/// The connection ends with RST instead of FIN.
pub fn reset(socket: &TcpStream) -> bool {
    socket.set_zero_linger().unwrap();
    false
}
