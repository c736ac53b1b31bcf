//! What a run that has not ended hangs on.

use super::{
    Attempt, Audit, Finding, FindingKind, Level,
    completions::{self, OfSteps, of_steps},
    executions::{self, by_step, step_finding},
    submissions::finding,
};
use crate::{
    journal::Generation,
    model::{Census, CompletionRecord, RunRecord, Span, StepEvent, StepEventKind, Timestamp},
};

/// `open`: the runs that keys still wait for. Each is a gap, and has an entry for each of its open steps.
pub fn judge(generation: &Generation, census: &Census, open: &[&RunRecord], audit: &mut Audit) {
    if open.is_empty() {
        return;
    }
    let records = of_steps(census);
    for run in open {
        if run.run.status.is_terminal() {
            awaits_retry(run, census.taken_at, audit);
            continue;
        }
        let still = format!("run {} of {} is still {}", run.run.run_id, run.name(), run.run.status);
        let mut entries: Vec<Finding> = open_steps(run, &records, census.taken_at)
            .map(|step| {
                let message = format!("{still}: {}", step.says(census.taken_at));
                step.finding(generation, run, message)
            })
            .collect();
        if entries.is_empty() {
            entries.push(of_run(run, format!("{still}: {}", between(run)), census.taken_at));
        }
        let mut message = entries[0].message.clone();
        if let more @ 1.. = entries.len() - 1 {
            message.push_str(&format!("; further steps of it that are open: {more}"));
        }
        audit.gap("Unfinished", message);
        audit.unfinished.append(&mut entries);
    }
}

/// It failed, and Dagster has announced to run it again.
fn awaits_retry(run: &RunRecord, now: Timestamp, audit: &mut Audit) {
    let message = format!(
        "run {} of {} is {}, and the retry that Dagster has announced (dagster/will_retry) has not come",
        run.run.run_id,
        run.name(),
        run.run.status
    );
    audit.gap("RetryAwaited", message.clone());
    audit.unfinished.push(of_run(run, message, now));
}

/// That it was open when it was looked at last: what happened until then happened meanwhile.
fn still_open(at: Timestamp) -> Attempt {
    Attempt { what: "still open".into(), at, task: None, worker: None }
}

/// Those that Dagster's log names, and those that a worker alone has recorded: it was cut off from Dagster when it began.
fn open_steps<'a>(run: &'a RunRecord, records: &OfSteps<'a>, now: Timestamp) -> impl Iterator<Item = Open<'a>> {
    let mut steps = by_step(run);
    let run_id = run.run.run_id.as_str();
    for (&(_, step), _) in records.range((run_id, "")..).take_while(|((of, _), _)| *of == run_id) {
        steps.entry(step).or_default();
    }
    steps.into_iter().filter_map(move |(step, events)| {
        let of_step = records.get(&(run_id, step)).map_or(&[][..], Vec::as_slice);
        Open::of(step, &events, of_step, now)
    })
}

/// A step that began and has not ended, or waits for its retry.
struct Open<'a> {
    name: &'a str,
    kind: StepEventKind,
    since: Timestamp,
    /// Dagster's log tells that it began.
    logged: bool,
    /// Who began it last, where that is known.
    by: Option<String>,
    /// By Dagster's log and by the workers' records, in the order of time.
    attempts: Vec<Attempt>,
    /// A worker has recorded its end: who and when, as far as is known.
    recorded: Option<(String, Option<Timestamp>)>,
}

impl<'a> Open<'a> {
    /// `None`: it has ended, or nobody began it.
    fn of(name: &'a str, events: &[&StepEvent], records: &[&CompletionRecord], now: Timestamp) -> Option<Self> {
        // A worker that died leaves its start behind: whoever completed the step may have begun before it.
        if events.iter().any(|event| event.kind == StepEventKind::Succeeded) {
            return None;
        }
        let last = events.iter().rev().find(|event| event.kind != StepEventKind::Claimed);
        let (kind, since) = match last {
            Some(last) if last.kind.is_end() => return None,
            Some(last) => (last.kind, last.at),
            None => (StepEventKind::Started, records.iter().filter_map(|record| record.started).max()?),
        };
        let mut attempts = executions::attempts(events);
        let by = by(&attempts, records);
        attempts.extend(completions::attempts(records));
        attempts.sort_by_key(|attempt| attempt.at);
        attempts.push(still_open(now));
        let done = records.iter().find(|record| record.is_completed());
        let recorded = done.map(|record| (record.worker.as_deref().unwrap_or("a worker").to_owned(), record.finished));
        Some(Self { name, kind, since, logged: last.is_some(), by, attempts, recorded })
    }

    /// What stopped the worker of its last attempt, or was in place since: what an earlier one met explains nothing.
    fn finding(self, generation: &Generation, run: &RunRecord, message: String) -> Finding {
        let (kind, level) = (FindingKind::Unfinished, Level::Step);
        let began = self.attempts.iter().rposition(|attempt| attempt.is_begin() && attempt.at <= self.since);
        let last = self.attempts[began.unwrap_or(0)..].to_vec();
        Finding { attempts: self.attempts, ..step_finding(generation, run, self.name, level, kind, last, message) }
    }

    /// In words, as of the last look.
    fn says(&self, now: Timestamp) -> String {
        let Self { name, since, logged, .. } = self;
        let waited = Span::from_millis(now.since(*since).as_millis() as u64);
        if self.kind == StepEventKind::UpForRetry {
            return format!("its step {name} waits for its retry since {since}, {waited}");
        }
        let by = self.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
        let alone = if *logged { "" } else { " as its record says and Dagster's log does not" };
        let mut text = format!("its step {name}, started at {since}{by}{alone}, had not ended {waited} later");
        if let Some((by, at)) = &self.recorded {
            let at = at.map(|at| format!(" at {at}")).unwrap_or_default();
            text.push_str(&format!(", though {by} recorded its end{at}"));
        }
        text
    }
}

/// Who began the last attempt: the task that Dagster's log names, as it calls itself where it has a record. Where the log names
/// none, the last record tells, unless there are fewer of them than begins: it may be an earlier attempt's.
fn by(begun: &[Attempt], records: &[&CompletionRecord]) -> Option<String> {
    let begins = begun.iter().filter(|attempt| attempt.is_begin());
    let Some(task) = begins.clone().next_back().and_then(|last| last.task.as_ref()) else {
        let last = records.iter().max_by_key(|record| record.started).filter(|_| records.len() >= begins.count())?;
        return last.worker.as_deref().map(str::to_owned);
    };
    let own = records.iter().find(|record| record.task.as_ref() == Some(task));
    own.and_then(|record| record.worker.as_deref().map(str::to_owned)).or_else(|| Some(format!("task {}", task.id())))
}

/// No step of it is open.
fn between(run: &RunRecord) -> String {
    let last = run.events.iter().filter(|event| event.kind.is_end()).max_by_key(|event| event.at);
    match last {
        Some(last) => format!("no step of it is open, the last one, {}, ended at {}", last.step, last.at),
        None => "no step of it has begun".to_owned(),
    }
}

fn of_run(run: &RunRecord, message: String, now: Timestamp) -> Finding {
    let started = run.run.started_at.map(|at| Attempt { what: "run started".into(), at, task: None, worker: None });
    Finding {
        attempts: started.into_iter().chain([still_open(now)]).collect(),
        ..finding(FindingKind::Unfinished, run.run.key.clone(), std::slice::from_ref(run), message)
    }
}
