//! Targets.

use std::time::Duration;

use indexmap::IndexMap;
use ipnet::IpNet;

use super::{Path, Problem, Problems};
use crate::{
    fault::Pick,
    model::{
        CompletionsTarget, Guard, Span, Target,
        completion::{CompletionFields, CompletionSource},
        target::{
            Amount, DagsterTarget, DenyWindow, EcsTarget, MetricsTarget, NetworkTarget, Peer, Place, QueueTarget,
        },
    },
    spec::raw::{Raw, RawCompletionFields, RawCompletions, RawDagster, RawGuard, RawNetwork, RawTarget},
};

/// What may pass on a stock Dagster after a request's time-out until its run appears: the database's statement
/// time-out (15 s) and the code server's (20 s).
const STOCK_DAGSTER_SETTLE: Duration = Duration::from_secs(35);
const LEAST_TIMEOUT: Duration = Duration::from_millis(100);
/// The least time by which `settle` must exceed `requestTimeout`.
const LEAST_MARGIN: Duration = Duration::from_secs(1);
const ACCOUNT_DIGITS: usize = 12;

/// Makes a target valid, or names everything that is wrong with it.
pub fn target(raw: Raw<RawTarget>) -> Result<Target, Vec<Problem>> {
    let mut problems = Problems::default();
    let name = problems.name(&Path::root("metadata").key("name"), &raw.metadata.name);
    let at = Path::root("spec");
    let spec = raw.spec;
    let dagster = dagster(&mut problems, &at.key("dagster"), spec.dagster);
    if let Some(ecs) = &spec.ecs {
        problems.not_empty(&at.keys("ecs.cluster"), &ecs.cluster);
        for (role, service) in &ecs.services {
            problems.not_empty(&at.keys("ecs.services").key(role), service);
        }
    }
    if let Some(queues) = &spec.queues {
        problems.not_empty(&at.keys("queues.tasks.name"), &queues.tasks.name);
    }
    if let Some(metrics) = &spec.metrics {
        problems.not_empty(&at.keys("metrics.namespace"), &metrics.namespace);
    }
    let completions = spec.completions.and_then(|raw| completions(&mut problems, &at.key("completions"), raw));
    let network = spec.network.map(|raw| network(&mut problems, &at.key("network"), raw));
    let guard = guard(&mut problems, &at.key("guard"), spec.guard);
    let (Some(name), true) = (name, problems.0.is_empty()) else { return Err(problems.0) };
    Ok(Target {
        name,
        labels: raw.metadata.labels,
        dagster,
        ecs: spec.ecs.map(|ecs| EcsTarget { cluster: ecs.cluster, services: ecs.services }),
        queue: spec
            .queues
            .map(|queues| QueueTarget { name: queues.tasks.name, dead_letters: queues.tasks.dead_letters }),
        network,
        metrics: spec
            .metrics
            .map(|metrics| MetricsTarget { namespace: metrics.namespace, dimensions: metrics.dimensions }),
        completions,
        guard,
    })
}

fn dagster(problems: &mut Problems, at: &Path, raw: RawDagster) -> DagsterTarget {
    if let Err(message) = check_url(&raw.url) {
        problems.add(&at.key("url"), message);
    }
    problems.not_empty(&at.key("location"), &raw.location);
    let timeout = raw.request_timeout.duration();
    if timeout < LEAST_TIMEOUT {
        problems.add(&at.key("requestTimeout"), "a request gets at least 100ms");
    }
    if raw.max_concurrent_launches == 0 {
        problems.add(&at.key("maxConcurrentLaunches"), "at least 1");
    }
    let settle = raw.settle.unwrap_or(Span::new(timeout.saturating_add(STOCK_DAGSTER_SETTLE)));
    if settle.duration() < timeout.saturating_add(LEAST_MARGIN) {
        let message = format!(
            "{settle} is not longer than requestTimeout ({}) and what Dagster may need after it",
            raw.request_timeout
        );
        problems.add_with_help(&at.key("settle"), message, "35s more than requestTimeout fits a stock Dagster");
    }
    let mut headers: Vec<String> = vec![];
    for (header, variable) in &raw.headers_from_env {
        let here = at.key("headersFromEnv").key(header);
        let lower = header.to_ascii_lowercase();
        if headers.contains(&lower) {
            let message = format!("a second header `{header}`: upper and lower case make no difference");
            problems.0.push(Problem::new(here.clone(), message).on_key());
        }
        headers.push(lower);
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if header.is_empty() || !header.chars().all(is_token) {
            problems.0.push(Problem::new(here.clone(), format!("`{header}` cannot be the name of a header")).on_key());
        }
        variable_name(problems, &here, variable);
    }
    if let Some(log) = &raw.event_log {
        variable_name(problems, &at.keys("eventLog.urlFromEnv"), &log.url_from_env);
    }
    DagsterTarget {
        url: raw.url,
        location: raw.location,
        repository: raw.repository,
        request_timeout: raw.request_timeout,
        settle,
        max_concurrent_launches: raw.max_concurrent_launches,
        headers_from_env: raw.headers_from_env,
        event_log: raw.event_log.map(|log| log.url_from_env),
    }
}

fn variable_name(problems: &mut Problems, at: &Path, variable: &str) {
    if variable.contains("://") {
        let message = "an address holds a password, so it does not stand in a manifest";
        problems.add_with_help(at, message, "name the environment variable that holds it");
    } else if variable.is_empty() || variable.contains(['=', '\0', ' ']) {
        problems.add(at, format!("`{variable}` cannot be the name of an environment variable"));
    }
}

fn completions(problems: &mut Problems, at: &Path, raw: RawCompletions) -> Option<CompletionsTarget> {
    let given = [("postgres", raw.postgres.is_some()), ("jsonl", raw.jsonl.is_some()), ("queue", raw.queue.is_some())];
    if !problems.exactly_one(at, &given) {
        return None;
    }
    if raw.completed.is_empty() {
        problems.add(&at.key("completed"), "is empty: then nothing was ever completed");
    }
    let source = if let Some(table) = raw.postgres {
        variable_name(problems, &at.keys("postgres.urlFromEnv"), &table.url_from_env);
        if !is_table(&table.table) {
            let message = format!("`{}` is no name of a table", table.table);
            problems.add_with_help(
                &at.keys("postgres.table"),
                message,
                "write it as in `exec_attempts` or `audit.attempts`",
            );
        }
        CompletionSource::Postgres { url_from_env: table.url_from_env, table: table.table }
    } else if let Some(files) = raw.jsonl {
        problems.not_empty(&at.keys("jsonl.path"), &files.path);
        CompletionSource::Jsonl { path: files.path }
    } else {
        let queue = raw.queue?;
        problems.not_empty(&at.keys("queue.name"), &queue.name);
        CompletionSource::Queue { name: queue.name }
    };
    Some(CompletionsTarget {
        source,
        fields: fields(problems, &at.key("fields"), raw.fields),
        completed: raw.completed,
    })
}

fn is_table(name: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    name.split('.').count() <= 2 && name.split('.').all(is_word)
}

fn fields(problems: &mut Problems, at: &Path, raw: RawCompletionFields) -> CompletionFields {
    let stock = CompletionFields::default();
    let mut name = |part: &str, given: Option<String>, stock: String| {
        if let Some(given) = &given {
            problems.not_empty(&at.key(part), given);
        }
        given.unwrap_or(stock)
    };
    CompletionFields {
        id: name("id", raw.id, stock.id),
        run: name("run", raw.run, stock.run),
        step: name("step", raw.step, stock.step),
        key: name("key", raw.key, stock.key),
        worker: name("worker", raw.worker, stock.worker),
        task: name("task", raw.task, stock.task),
        started: name("started", raw.started, stock.started),
        finished: name("finished", raw.finished, stock.finished),
        outcome: name("outcome", raw.outcome, stock.outcome),
    }
}

fn check_url(url: &str) -> Result<(), String> {
    match reqwest::Url::parse(url) {
        Ok(parsed) if matches!(parsed.scheme(), "http" | "https") && parsed.has_host() => {
            match (parsed.username(), parsed.password()) {
                ("", None) => Ok(()),
                (_, _) => Err("an address holds no password: use headersFromEnv".to_owned()),
            }
        }
        Ok(_) => Err(format!("`{url}` is not an http or https address")),
        Err(_) => Err(format!("`{url}` is not an address: write it as in `http://127.0.0.1:3000/graphql`")),
    }
}

fn network(problems: &mut Problems, at: &Path, raw: RawNetwork) -> NetworkTarget {
    problems.not_empty(&at.keys("workers.securityGroup"), &raw.workers.security_group);
    let mut peers = IndexMap::new();
    for (name, peer) in raw.peers {
        let here = at.key("peers").key(&name);
        if peer.port == 0 {
            problems.add(&here.key("port"), "is from 1 to 65535");
        }
        let place = place(problems, &here, peer.security_group, peer.cidr, Some(peer.prefix_list));
        peers.extend(place.map(|place| (name, Peer { place, port: peer.port })));
    }
    let own = raw.own.and_then(|own| place(problems, &at.key("self"), own.security_group, own.cidr, None));
    NetworkTarget { workers_group: raw.workers.security_group, peers, own }
}

/// `prefix_list` is `None` where no prefix list may stand.
#[allow(clippy::option_option, reason = "not allowed here, allowed and absent, given: three cases")]
fn place(
    problems: &mut Problems,
    at: &Path,
    group: Option<String>,
    cidr: Option<String>,
    prefix_list: Option<Option<String>>,
) -> Option<Place> {
    let mut given = vec![("securityGroup", group.is_some()), ("cidr", cidr.is_some())];
    given.extend(prefix_list.as_ref().map(|list| ("prefixList", list.is_some())));
    if !problems.exactly_one(at, &given) {
        return None;
    }
    if let Some(group) = group {
        problems.not_empty(&at.key("securityGroup"), &group);
        return Some(Place::SecurityGroup(group));
    }
    if let Some(cidr) = cidr {
        return match cidr.parse::<IpNet>() {
            Ok(net) if net.trunc() == net => Some(Place::Cidr(net)),
            Ok(net) => {
                let message = format!("`{cidr}` has bits below its prefix");
                problems.add_with_help(&at.key("cidr"), message, format!("did you mean `{}`?", net.trunc()));
                None
            }
            Err(_) => {
                let message = format!("`{cidr}` is no block of addresses: write it as in `10.0.3.0/24`");
                problems.add(&at.key("cidr"), message);
                None
            }
        };
    }
    let list = prefix_list.flatten()?;
    problems.not_empty(&at.key("prefixList"), &list);
    Some(Place::PrefixList(list))
}

fn guard(problems: &mut Problems, at: &Path, raw: RawGuard) -> Guard {
    if let Some(account) = &raw.account
        && (account.len() != ACCOUNT_DIGITS || !account.bytes().all(|byte| byte.is_ascii_digit()))
    {
        problems.add(&at.key("account"), format!("`{account}` is no account: it has {ACCOUNT_DIGITS} digits"));
    }
    if let Some(region) = &raw.region {
        problems.not_empty(&at.key("region"), region);
    }
    for (index, window) in raw.deny_windows.iter().enumerate() {
        if window.length == Span::ZERO {
            problems.add(&at.key("denyWindows").index(index).key("for"), "a window lasts longer than 0s");
        }
    }
    Guard {
        account: raw.account,
        region: raw.region,
        require_tag: raw.require_tag,
        max_affected: raw.max_affected.map(|limit| match limit {
            Pick::Some(amount) => amount,
            Pick::All => Amount::Percent(100),
            Pick::One => Amount::Count(1),
        }),
        min_healthy: raw.min_healthy,
        deny_windows: raw
            .deny_windows
            .into_iter()
            .map(|window| DenyWindow { cron: window.cron, length: window.length })
            .collect(),
    }
}
