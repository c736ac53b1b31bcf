//! Targets.

use std::time::Duration;

use indexmap::IndexMap;
use ipnet::IpNet;

use super::{Judged, Path, Problem, Problems};
use crate::{
    fault::Pick,
    model::{
        CompletionsTarget, Guard, Span, Target,
        completion::{CompletionFields, CompletionSource},
        target::{
            Amount, DagsterTarget, DenyWindow, EcsTarget, MetricsTarget, NetworkTarget, Peer, Place, QueueTarget,
        },
    },
    spec::{
        left_out::LeftOut,
        outline::{Known, Names, Offers},
        raw::{Raw, RawCompletionFields, RawCompletions, RawDagster, RawEcs, RawGuard, RawNetwork, RawTarget},
    },
};

/// What may pass on a stock Dagster after a request's time-out until its run appears: the database's statement
/// time-out (15 s) and the code server's (20 s).
const STOCK_DAGSTER_SETTLE: Duration = Duration::from_secs(35);
const LEAST_TIMEOUT: Duration = Duration::from_millis(100);
/// The least time by which `settle` must exceed `requestTimeout`.
const LEAST_MARGIN: Duration = Duration::from_secs(1);
const ACCOUNT_DIGITS: usize = 12;

/// Makes a target valid, or names everything that is wrong with it.
///
/// `left_out` was wrong, or stands in something that was: whatever follows from it is not judged.
pub fn target(raw: Raw<RawTarget>, left_out: &LeftOut) -> Judged<Target, Offers> {
    let mut problems = Problems::new(left_out);
    let named = Path::root("metadata").key("name");
    let metadata = raw.metadata.0;
    let name = metadata.as_ref().and_then(|metadata| metadata.name.0.as_deref());
    let name = name.and_then(|name| problems.name(&named, name));
    let at = Path::root("spec");
    let Some(spec) = raw.spec.0 else {
        return Judged { problems: problems.found, ..Judged::default() };
    };
    let outline = offers(&spec, left_out);
    let dagster = spec.dagster.0.and_then(|raw| dagster(&mut problems, &at.key("dagster"), raw));
    let ecs = spec.ecs.and_then(|raw| ecs(&mut problems, &at.key("ecs"), raw));
    if let Some(queues) = &spec.queues {
        problems.not_empty(&at.keys("queues.tasks.name"), &queues.tasks.name);
    }
    if let Some(metrics) = &spec.metrics {
        problems.not_empty(&at.keys("metrics.namespace"), &metrics.namespace);
    }
    let completions = spec.completions.and_then(|raw| completions(&mut problems, &at.key("completions"), raw));
    let network = spec.network.and_then(|raw| network(&mut problems, &at.key("network"), raw));
    let guard = guard(&mut problems, &at.key("guard"), spec.guard);
    let value = match (metadata, name, dagster) {
        (Some(metadata), Some(name), Some(dagster)) => Some(Target {
            name,
            labels: metadata.labels,
            dagster,
            ecs,
            queue: spec
                .queues
                .map(|queues| QueueTarget { name: queues.tasks.name, dead_letters: queues.tasks.dead_letters }),
            network,
            metrics: spec
                .metrics
                .map(|metrics| MetricsTarget { namespace: metrics.namespace, dimensions: metrics.dimensions }),
            completions,
            guard,
        }),
        (_, _, _) => None,
    };
    let is_good = problems.found.is_empty();
    Judged {
        value: value.filter(|_| is_good),
        problems: problems.found,
        remarks: problems.remarks,
        outline: Some(outline),
    }
}

/// What it has, also where the rest of it is wrong.
fn offers(spec: &RawTarget, left_out: &LeftOut) -> Offers {
    let at = Path::root("spec");
    let names = |field: &str, names: Vec<String>| Names { names, is_whole: !left_out.touches(&at.keys(field)) };
    let roles = spec.ecs.as_ref().map(|ecs| names("ecs.services", ecs.services.keys().cloned().collect()));
    let network = spec.network.as_ref();
    let peers = network.map(|network| names("network.peers", network.peers.keys().cloned().collect()));
    let own = network.and_then(|network| network.own.as_ref()?.security_group.clone());
    let workers = network.and_then(|network| network.workers.0.as_ref()).map(|workers| &workers.security_group);
    Offers {
        roles: Known::of(roles, left_out.has(&at.key("ecs"))),
        queue: Known::of(spec.queues.as_ref().map(|_| ()), left_out.has(&at.key("queues"))),
        peers: Known::of(peers, left_out.has(&at.key("network"))),
        // A partition changes the rules of the workers' group: all that carries it loses the path.
        shared_group: own.filter(|own| workers == Some(own)),
    }
}

fn ecs(problems: &mut Problems<'_>, at: &Path, raw: RawEcs) -> Option<EcsTarget> {
    if let Some(cluster) = &raw.cluster.0 {
        problems.not_empty(&at.key("cluster"), cluster);
    }
    for (role, service) in &raw.services {
        problems.not_empty(&at.key("services").key(role), service);
    }
    Some(EcsTarget { cluster: raw.cluster.0?, services: raw.services })
}

fn dagster(problems: &mut Problems<'_>, at: &Path, raw: RawDagster) -> Option<DagsterTarget> {
    if let Some(Err(message)) = raw.url.0.as_deref().map(check_url) {
        problems.add(&at.key("url"), message);
    }
    if let Some(location) = &raw.location.0 {
        problems.not_empty(&at.key("location"), location);
    }
    let timeout = raw.request_timeout.duration();
    if timeout < LEAST_TIMEOUT {
        problems.add(&at.key("requestTimeout"), "a request gets at least 100ms");
    }
    if raw.max_concurrent_launches == 0 {
        problems.add(&at.key("maxConcurrentLaunches"), "is at least 1");
    }
    let settle = raw.settle.unwrap_or(Span::new(timeout.saturating_add(STOCK_DAGSTER_SETTLE)));
    let is_known = !problems.left_out.has(&at.key("requestTimeout")) && !problems.left_out.has(&at.key("settle"));
    if is_known && settle.duration() < timeout.saturating_add(LEAST_MARGIN) {
        let message = format!(
            "{settle} is not longer than requestTimeout ({}) and what Dagster may need after it",
            raw.request_timeout
        );
        problems.add_with_help(&at.key("settle"), message, "35s more than requestTimeout fits a stock Dagster");
    }
    headers(problems, &at.key("headersFromEnv"), &raw.headers_from_env);
    if let Some(log) = &raw.event_log {
        variable_name(problems, &at.keys("eventLog.urlFromEnv"), &log.url_from_env);
    }
    Some(DagsterTarget {
        url: raw.url.0?,
        location: raw.location.0?,
        repository: raw.repository,
        request_timeout: raw.request_timeout,
        settle,
        max_concurrent_launches: raw.max_concurrent_launches,
        headers_from_env: raw.headers_from_env,
        event_log: raw.event_log.map(|log| log.url_from_env),
    })
}

fn headers(problems: &mut Problems<'_>, at: &Path, written: &IndexMap<String, String>) {
    let mut headers: Vec<String> = vec![];
    for (header, variable) in written {
        let here = at.key(header);
        let lower = header.to_ascii_lowercase();
        if headers.contains(&lower) {
            let message = format!("a second header `{header}`: upper and lower case make no difference");
            problems.found.push(Problem::new(here.clone(), message).on_key());
        }
        headers.push(lower);
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if header.is_empty() || !header.chars().all(is_token) {
            let message = format!("`{header}` cannot be the name of a header");
            problems.found.push(Problem::new(here.clone(), message).on_key());
        }
        variable_name(problems, &here, variable);
    }
}

fn variable_name(problems: &mut Problems<'_>, at: &Path, variable: &str) {
    if variable.contains("://") {
        let message = "an address holds a password, so it does not stand in a manifest";
        problems.add_with_help(at, message, "name the environment variable that holds it");
    } else if variable.is_empty() || variable.contains(['=', '\0', ' ']) {
        problems.add(at, format!("`{variable}` cannot be the name of an environment variable"));
    }
}

fn completions(problems: &mut Problems<'_>, at: &Path, raw: RawCompletions) -> Option<CompletionsTarget> {
    let given = [("postgres", raw.postgres.is_some()), ("jsonl", raw.jsonl.is_some()), ("queue", raw.queue.is_some())];
    if !problems.exactly_one(at, &given) {
        return None;
    }
    if raw.completed.is_empty() && !problems.left_out.touches(&at.key("completed")) {
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

fn fields(problems: &mut Problems<'_>, at: &Path, raw: RawCompletionFields) -> CompletionFields {
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

fn network(problems: &mut Problems<'_>, at: &Path, raw: RawNetwork) -> Option<NetworkTarget> {
    if let Some(workers) = &raw.workers.0 {
        problems.not_empty(&at.keys("workers.securityGroup"), &workers.security_group);
    }
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
    Some(NetworkTarget { workers_group: raw.workers.0?.security_group, peers, own })
}

/// `prefix_list` is `None` where no prefix list may stand.
#[allow(clippy::option_option, reason = "not allowed here, allowed and absent, given: three cases")]
fn place(
    problems: &mut Problems<'_>,
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

fn guard(problems: &mut Problems<'_>, at: &Path, raw: RawGuard) -> Guard {
    if let Some(account) = &raw.account
        && (account.len() != ACCOUNT_DIGITS || !account.bytes().all(|byte| byte.is_ascii_digit()))
    {
        problems.add(&at.key("account"), format!("`{account}` is no account: it has {ACCOUNT_DIGITS} digits"));
    }
    if let Some(region) = &raw.region {
        problems.not_empty(&at.key("region"), region);
    }
    let windows = at.key("denyWindows");
    for (number, window) in raw.deny_windows.iter().enumerate() {
        if window.length == Span::ZERO {
            let index = problems.left_out.index(&windows, number);
            problems.add(&windows.index(index).key("for"), "a window lasts longer than 0s");
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
