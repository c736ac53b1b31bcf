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
        let still = format!("run {} of {} is still {}", run.run.run_id, run.name(), run.run.status);
        let steps = by_step(run)
            .into_iter()
            .filter_map(|(step, events)| Open::of(run, step, &events, &records, census.taken_at));
        let mut entries: Vec<Finding> = steps
            .map(|step| {
                let message = format!("{still}: {}", step.says(census.taken_at));
                let (kind, level) = (FindingKind::Unfinished, Level::Step);
                step_finding(generation, run, step.name, level, kind, step.attempts, message)
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

/// That it was open when it was looked at last: what happened until then happened meanwhile.
fn still_open(at: Timestamp) -> Attempt {
    Attempt { what: "still open".into(), at, task: None, worker: None }
}

/// A step that began and has not ended, or waits for its retry.
struct Open<'a> {
    name: &'a str,
    kind: StepEventKind,
    since: Timestamp,
    /// Who began it last, where that is known.
    by: Option<String>,
    /// By Dagster's log and by the workers' records, in the order of time.
    attempts: Vec<Attempt>,
    /// A worker has recorded its end: who and when, as far as is known.
    recorded: Option<(String, Option<Timestamp>)>,
}

impl<'a> Open<'a> {
    /// `None`: it has ended, or nobody began it.
    fn of(
        run: &'a RunRecord,
        name: &'a str,
        events: &[&StepEvent],
        records: &OfSteps<'_>,
        now: Timestamp,
    ) -> Option<Self> {
        let last = events.iter().rev().find(|event| event.kind != StepEventKind::Claimed)?;
        // A worker that died leaves its start behind: whoever completed the step may have begun before it.
        if last.kind.is_end() || events.iter().any(|event| event.kind == StepEventKind::Succeeded) {
            return None;
        }
        let records = records.get(&(run.run.run_id.as_str(), name)).map_or(&[][..], Vec::as_slice);
        let mut attempts = executions::attempts(events);
        let by = by(&attempts, records);
        attempts.extend(completions::attempts(records));
        attempts.sort_by_key(|attempt| attempt.at);
        attempts.push(still_open(now));
        let done = records.iter().find(|record| record.is_completed());
        let recorded = done.map(|record| (record.worker.as_deref().unwrap_or("a worker").to_owned(), record.finished));
        Some(Self { name, kind: last.kind, since: last.at, by, attempts, recorded })
    }

    /// In words, as of the last look.
    fn says(&self, now: Timestamp) -> String {
        let Self { name, since, .. } = self;
        let waited = Span::from_millis(now.since(*since).as_millis() as u64);
        if self.kind == StepEventKind::UpForRetry {
            return format!("its step {name} waits for its retry since {since}, {waited}");
        }
        let by = self.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
        let mut text = format!("its step {name}, started at {since}{by}, had not ended {waited} later");
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
    let Some(task) = begins.clone().next_back()?.task.as_ref() else {
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
