//! The Dagster client: launches, look-ups by tag, and the event log, over GraphQL.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use reqwest::{StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::graphql::{self, Answer, EventsData, LaunchData, RunIdsData, RunsData, TerminateData};
use super::{
    answers::launched,
    outgoing::{Outgoing, SentAt},
    partitions::select_assets,
    proxy::is_loopback,
};
use crate::model::{
    Acted, DagsterView, GenerationId, Outcome, Receipt, RunRecord, Runs, ScenarioName, Seen, StepEvent, Timestamp, Why,
    WhyKind, tags, target::DagsterTarget,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection that was idle for longer is not used again. Servers end idle connections without a word (uvicorn after
/// 5 s, some after 1 s), and a request that meets such an end is in doubt.
const IDLE_AT_MOST: Duration = Duration::from_millis(500);
/// Runs of one page of a look-up.
const PAGE: usize = 500;
const EVENTS_OF_A_RUN: usize = 1_000;
/// Words of a header's value that are shorter are no secret, and may be anything in an answer.
const SHORTEST_SECRET: usize = 8;
/// How much of a foreign answer an error message quotes, in characters.
const QUOTE: usize = 200;

/// One Dagster. Holds a connection pool; clones share it.
#[derive(Clone)]
pub struct Dagster {
    http: reqwest::Client,
    pub(super) target: DagsterTarget,
    /// What no message may repeat, should an answer quote it.
    secrets: Vec<String>,
}

/// What went wrong with a call, and whether it can have had an effect.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) why: Why,
    /// The request certainly had no effect.
    refused: bool,
}

/// What to make of an answer that has both data and errors: a launch's data says what became of it, a part of a list
/// must not be taken for the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Partial {
    Taken,
    Refused,
}

/// What a page of runs shall hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct With {
    /// So many runs at most.
    pub(super) runs: usize,
    /// The names of the code location's jobs.
    pub(super) jobs: bool,
    /// The runs' events; `true`: in pages.
    pub(super) events: Option<bool>,
}

impl With {
    pub(super) fn look() -> Self {
        Self { runs: PAGE, jobs: false, events: None }
    }
}

impl Dagster {
    /// Makes a client. The headers' values are read from the environment now.
    ///
    /// # Errors
    /// When a header's variable is missing, or its value cannot be a header.
    pub fn new(target: &DagsterTarget) -> Result<Self, Why> {
        let wrong = |message: String| Why { kind: WhyKind::Unauthorized, message };
        let mut headers = header::HeaderMap::new();
        let mut secrets = vec![];
        for (name, variable) in &target.headers_from_env {
            let value = std::env::var(variable)
                .map_err(|_| wrong(format!("header {name}: the environment has no variable {variable}")))?;
            secrets.extend(value.split(' ').filter(|word| word.len() >= SHORTEST_SECRET).map(str::to_owned));
            let name: header::HeaderName =
                name.parse().map_err(|_| wrong(format!("`{name}` cannot be the name of a header")))?;
            let mut value: header::HeaderValue =
                value.parse().map_err(|_| wrong(format!("the value of {variable} cannot be a header")))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let builder = reqwest::Client::builder();
        let builder = if is_loopback(&target.url) { builder.no_proxy() } else { builder };
        let http = builder
            .default_headers(headers)
            .connect_timeout(CONNECT_TIMEOUT.min(target.request_timeout.duration()))
            .timeout(target.request_timeout.duration())
            .pool_idle_timeout(IDLE_AT_MOST)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| wrong(format!("no HTTP client: {}", root_cause(&error))))?;
        Ok(Self { http, target: target.clone(), secrets })
    }

    /// Launches one run, once.
    pub async fn launch(
        &self,
        job: &str,
        assets: &[String],
        tags: impl Iterator<Item = (&String, &String)>,
        run_config: &Value,
    ) -> Acted {
        let tags: Vec<Value> = tags.map(|(key, value)| json!({ "key": key, "value": value })).collect();
        let mut selector = json!({
            "jobName": job,
            "repositoryName": self.target.repository,
            "repositoryLocationName": self.target.location,
        });
        select_assets(&mut selector, assets);
        let params = json!({
            "selector": selector,
            "runConfigData": run_config,
            "executionMetadata": { "tags": tags },
        });
        let (variables, sent_at) = (json!({ "params": params }), SentAt::default());
        let called: Result<LaunchData, Failure> =
            self.call_noting(graphql::LAUNCH, &variables, Partial::Taken, &sent_at).await;
        let outcome = match called {
            Ok(data) => launched(data),
            Err(Failure { why, refused: true }) => {
                let retry = why.kind != WhyKind::Protocol;
                Outcome::Refused { reason: why.message, retry }
            }
            Err(Failure { why, refused: false }) => Outcome::Unknown { reason: why.message },
        };
        Acted { outcome, sent_at: sent_at.get() }
    }

    /// Ends one run that is under way, as far as its launcher can: asked for, not waited for.
    pub async fn terminate(&self, run_id: &str) -> Outcome {
        let called = self.call::<TerminateData>(graphql::TERMINATE, &json!({ "runId": run_id }), Partial::Taken).await;
        let member = match called {
            Ok(data) => data.terminate_run,
            Err(Failure { why, .. }) => return Outcome::Unknown { reason: why.message },
        };
        let reason = format!("{}: {}", member.typename, quote(member.message.as_deref().unwrap_or_default()));
        match member.typename.as_str() {
            "TerminateRunSuccess" => Outcome::Done(Receipt::Terminating),
            // It has ended meanwhile, or its launcher does not know it (yet): a look tells.
            "TerminateRunFailure" | "RunNotFoundError" => Outcome::Refused { reason, retry: true },
            "UnauthorizedError" => Outcome::Refused { reason, retry: false },
            _ => Outcome::Unknown { reason },
        }
    }

    /// Finds every run of a generation by its tags; with `jobs`, says how the code location stands that shall have them.
    pub async fn look(
        &self,
        scenario: &ScenarioName,
        generation: &GenerationId,
        jobs: &[String],
        since: Option<Timestamp>,
    ) -> Seen<DagsterView> {
        match self.try_look(scenario, generation, jobs, since).await {
            Ok(view) => Seen::Fresh(view),
            Err(why) => Seen::Unavailable(why),
        }
    }

    async fn try_look(
        &self,
        scenario: &ScenarioName,
        generation: &GenerationId,
        jobs: &[String],
        since: Option<Timestamp>,
    ) -> Result<DagsterView, Why> {
        let with_jobs = !jobs.is_empty();
        let mut filter = json!({ "tags": of(generation) });
        if let Some(since) = since {
            filter["updatedAfter"] = json!(since.as_micros() as f64 / 1e6);
        }
        let first = self.filtered_page(&filter, None, With { jobs: with_jobs, ..With::look() }).await?;
        let location = if with_jobs { Some(self.location_view(&first, jobs).await?) } else { None };
        let version = first.version.clone();
        let mut runs = Runs::default();
        let mut page = first.runs_or_error.results;
        let mut cursors = vec![];
        loop {
            runs.extend(page.iter().filter(|run| run.is_of(scenario)).map(graphql::Run::view));
            let Some(last) = page.last().filter(|_| page.len() == PAGE) else { break };
            let next = self.filtered_page(&filter, Some(&last.run_id), With::look()).await?;
            cursors.push(last.run_id.clone());
            page = next.runs_or_error.results;
        }
        self.check_cursors(&cursors).await?;
        Ok(DagsterView { version, runs, since, location })
    }

    /// Reads some runs of a generation with their step events: once, for it is tried again later.
    pub async fn steps(
        &self,
        scenario: &ScenarioName,
        generation: &GenerationId,
        version: &str,
        run_ids: &[String],
    ) -> Result<Vec<RunRecord>, Why> {
        let with = With { runs: run_ids.len(), jobs: false, events: Some(graphql::has_event_pages(version)) };
        let filter = json!({ "tags": of(generation), "runIds": run_ids });
        let page = self.filtered_page(&filter, None, with).await?.runs_or_error.results;
        let mut records = vec![];
        for run in page.into_iter().filter(|run| run.is_of(scenario)) {
            records.push(self.record(run).await?);
        }
        Ok(records)
    }

    /// A run with its events: the first page of them came with it, the others are fetched.
    async fn record(&self, run: graphql::Run) -> Result<RunRecord, Why> {
        let view = run.view();
        let mut page = run.event_connection.ok_or_else(|| Why {
            kind: WhyKind::Protocol,
            message: format!("run {} came without its events", run.run_id),
        })?;
        let mut events: Vec<StepEvent> = vec![];
        let (mut failure, mut retry_refused) = (None, None);
        loop {
            events.extend(page.events.iter().filter_map(graphql::Event::step_event));
            failure = page.events.iter().filter_map(graphql::Event::run_failure).next_back().or(failure);
            retry_refused = page.events.iter().find_map(graphql::Event::retry_refusal).or(retry_refused);
            if !page.has_more {
                return Ok(RunRecord { run: view, events, failure, retry_refused });
            }
            let variables = json!({ "runId": run.run_id, "after": page.cursor, "limit": EVENTS_OF_A_RUN });
            let read = async || {
                let data: Result<EventsData, Failure> = self.call(graphql::EVENTS, &variables, Partial::Refused).await;
                data.map_err(|failure| failure.why)
            };
            let data = read.retry(census_retry()).sleep(tokio::time::sleep).when(is_passing).await?;
            if data.logs_for_run.typename != "EventConnection" {
                return Err(server_error(&data.logs_for_run.typename, data.logs_for_run.message.as_deref()));
            }
            page = data.logs_for_run.fields;
        }
    }

    /// The ids of at most `limit` runs that fit the filter, the newest first.
    pub(super) async fn page_of_ids(
        &self,
        filter: &Value,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Why> {
        let variables = json!({ "filter": filter, "cursor": cursor, "limit": limit });
        let data: Result<RunIdsData, Failure> = self.call(graphql::RUN_IDS, &variables, Partial::Refused).await;
        let answer = data.map_err(|failure| failure.why)?.run_ids_or_error;
        if answer.typename != "RunIds" {
            return Err(server_error(&answer.typename, answer.message.as_deref()));
        }
        Ok(answer.fields.results)
    }

    /// Whether the pages that began after these runs are whole. Of a run that was deleted Dagster does not know what comes after
    /// it, and answers with nothing.
    ///
    /// # Errors
    /// When one of the runs is gone, or this cannot be asked.
    pub(super) async fn check_cursors(&self, cursors: &[String]) -> Result<(), Why> {
        if cursors.is_empty() {
            return Ok(());
        }
        let there = self.page_of_ids(&json!({ "runIds": cursors }), None, cursors.len()).await?;
        match cursors.iter().find(|cursor| !there.contains(cursor)) {
            None => Ok(()),
            Some(gone) => Err(Why {
                kind: WhyKind::ServerError,
                message: format!("run {gone} was deleted while Dagster's runs were read; they are read again"),
            }),
        }
    }

    pub(super) async fn filtered_page(
        &self,
        filter: &Value,
        cursor: Option<&str>,
        with: With,
    ) -> Result<RunsData, Why> {
        let variables = json!({
            "filter": filter,
            "cursor": cursor,
            "limit": with.runs,
            "location": self.target.location,
            "repository": self.target.repository,
            "withJobs": with.jobs,
            "withEvents": with.events.is_some(),
        });
        let document = if with.events == Some(true) { graphql::RUNS_IN_PAGES } else { graphql::RUNS };
        let data: RunsData = self.call(document, &variables, Partial::Refused).await.map_err(|failure| failure.why)?;
        if data.runs_or_error.typename != "Runs" {
            return Err(server_error(&data.runs_or_error.typename, data.runs_or_error.message.as_deref()));
        }
        Ok(data)
    }

    /// Asks one document once.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        document: &str,
        variables: &Value,
        partial: Partial,
    ) -> Result<T, Failure> {
        self.call_noting(document, variables, partial, &SentAt::default()).await
    }

    /// Likewise; notes when it went out.
    async fn call_noting<T: DeserializeOwned>(
        &self,
        document: &str,
        variables: &Value,
        partial: Partial,
        sent_at: &SentAt,
    ) -> Result<T, Failure> {
        let body = json!({ "query": document, "variables": variables });
        let (status, text) = match self.post(&body, sent_at).await {
            // The server ended the connection under the request. Reading changes nothing, so it is read again at once.
            Err(error) if !is_mutation(document) && is_reset(&error) => self.post(&body, sent_at).await,
            answer => answer,
        }
        .map_err(|error| self.lost(&error))?;
        let text = self.secrets.iter().fold(text, |text, secret| text.replace(secret, "***"));
        match serde_json::from_str::<Answer<T>>(&text) {
            Ok(Answer { data: Some(data), errors }) if errors.is_empty() || partial == Partial::Taken => Ok(data),
            Ok(Answer { errors, .. }) if !errors.is_empty() => {
                let message = errors.into_iter().map(|error| error.message).collect::<Vec<_>>().join("; ");
                Err(self.answered(status, &message))
            }
            Ok(_) => Err(self.answered(status, &quote(&text))),
            Err(error) if status.is_success() => Err(Failure {
                why: Why {
                    kind: WhyKind::Protocol,
                    message: format!(
                        "{} does not answer as Dagster's GraphQL does ({error}): {}",
                        self.target.url,
                        quote(&text)
                    ),
                },
                refused: false,
            }),
            Err(_) => Err(self.answered(status, &quote(&text))),
        }
    }

    async fn post(&self, body: &Value, sent_at: &SentAt) -> Result<(StatusCode, String), reqwest::Error> {
        let outgoing = Outgoing::new(body.to_string().into_bytes(), sent_at.clone());
        let request = self.http.post(&self.target.url).header(header::CONTENT_TYPE, "application/json");
        let response = request.body(reqwest::Body::wrap(outgoing)).send().await?;
        Ok((response.status(), response.text().await?))
    }

    /// An error answer. What it means for a launch: 401, 403, 404 and 429 were turned away before anything was done.
    fn answered(&self, status: StatusCode, message: &str) -> Failure {
        let kind = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => WhyKind::Unauthorized,
            StatusCode::NOT_FOUND => WhyKind::NotFound,
            StatusCode::TOO_MANY_REQUESTS => WhyKind::Throttled,
            _ if status.is_server_error() => WhyKind::ServerError,
            _ => WhyKind::Protocol,
        };
        let refused = match kind {
            WhyKind::Unauthorized | WhyKind::NotFound | WhyKind::Throttled => true,
            WhyKind::ServerError
            | WhyKind::Protocol
            | WhyKind::Mismatch
            | WhyKind::Awaited
            | WhyKind::Unreachable
            | WhyKind::TimedOut
            | WhyKind::NotLoaded => false,
        };
        Failure { why: Why { kind, message: format!("{} answered {status}: {message}", self.target.url) }, refused }
    }

    /// No answer. Only where no connection was made is it certain that nothing was done.
    fn lost(&self, error: &reqwest::Error) -> Failure {
        let cause = root_cause(error);
        let url = &self.target.url;
        let (kind, message) = if error.is_connect() && cause.contains(UNKNOWN_ISSUER) {
            let way_out = "if a private CA did, add it to this machine's CA certificates, or to those in SSL_CERT_FILE";
            (
                WhyKind::Unreachable,
                format!("{url} cannot be reached: nobody whom we trust issued its certificate; {way_out}"),
            )
        } else if error.is_connect() {
            (WhyKind::Unreachable, format!("{url} cannot be reached: {cause}"))
        } else if error.is_timeout() {
            (WhyKind::TimedOut, format!("{url} did not answer within {}", self.target.request_timeout))
        } else {
            (WhyKind::Unreachable, format!("{url}: the answer was lost: {cause}"))
        };
        Failure { why: Why { kind, message }, refused: error.is_connect() || error.is_builder() }
    }
}

/// What rustls says of a certificate whose chain ends at nobody that is trusted; it has no type that could be asked for.
const UNKNOWN_ISSUER: &str = "UnknownIssuer";

pub(super) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

fn is_mutation(document: &str) -> bool {
    document.trim_start().starts_with("mutation")
}

/// Whether the connection ended under a request: not one that could not be made, and not one that took too long.
fn is_reset(error: &reqwest::Error) -> bool {
    !error.is_connect() && !error.is_timeout() && (error.is_request() || error.is_body() || error.is_decode())
}

/// How a census reads a page again: three times, after about 0.5, 1 and 2 s.
pub(super) fn census_retry() -> ExponentialBuilder {
    ExponentialBuilder::default().with_min_delay(Duration::from_millis(500)).with_max_times(3).with_jitter()
}

/// Whether the same call may succeed a little later.
pub(super) fn is_passing(why: &Why) -> bool {
    match why.kind {
        WhyKind::Unreachable
        | WhyKind::TimedOut
        | WhyKind::Throttled
        | WhyKind::ServerError
        | WhyKind::Awaited
        | WhyKind::NotLoaded => true,
        WhyKind::Unauthorized | WhyKind::NotFound | WhyKind::Protocol | WhyKind::Mismatch => false,
    }
}

pub(super) fn server_error(typename: &str, message: Option<&str>) -> Why {
    Why {
        kind: WhyKind::ServerError,
        message: format!("Dagster answered {typename}: {}", quote(message.unwrap_or_default())),
    }
}

pub(super) fn quote(text: &str) -> String {
    let text = text.trim();
    let mut short: String = text.chars().take(QUOTE).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// The tag of a generation's runs. Scenarios of one spec share it: [`graphql::Run::is_of`] tells them apart. With a second tag and
/// a cursor SQLite compares every run with every other one: 14 s a page at 10,000 runs.
pub(super) fn of(generation: &GenerationId) -> Value {
    json!([{ "key": tags::GENERATION, "value": generation.to_string() }])
}
