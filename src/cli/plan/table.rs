//! A plan for people: a chart and a few words for each scenario, a tick or a cross for each thing that was looked at.

use std::fmt::Write;

use super::{
    Report, ScenarioPlan,
    chart::{Layout, chart, declared},
    looks::{DryRun, FaultLook, ServiceLook, TargetLooks},
    preview::{FaultPreview, Preview},
    whole_seconds,
};
use crate::{
    model::Span,
    spec::{AbortOn, Contract, Limits},
};

const INDENT: &str = "  ";
/// Where the words after `jobs`, `faults` and the like begin.
const FIELD: usize = 10;
/// More occurrences of one fault than this are not all listed.
const LISTED: usize = 6;
const SHOWN_OF_MANY: usize = 3;
const GOOD: char = '✓';
const BAD: char = '✗';
const NOTE: char = '!';
const ABSENT: char = '?';

/// The whole of it, in lines of this width where words can be broken.
pub fn render(report: &Report, width: usize) -> String {
    let mut page = Page { out: String::new(), width };
    for scenario in &report.scenarios {
        page.scenario(scenario);
    }
    for target in &report.targets {
        page.target(target);
    }
    page.end(report);
    page.out
}

/// Colors what a person looks for first. Whoever writes to no terminal takes the colors out again.
pub fn paint(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 16);
    for line in text.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        let word = line.trim_start();
        let indent = &line[..line.len() - word.len()];
        let mark = word.chars().next();
        let color = match mark {
            Some(GOOD) => "32",
            Some(BAD) => "1;31",
            Some(NOTE | ABSENT) => "33",
            Some(_) if indent.is_empty() => "1",
            Some(_) | None => "",
        };
        // A heading is painted whole, a mark alone.
        let painted = if indent.is_empty() { word } else { &word[..mark.map_or(0, char::len_utf8)] };
        let _ = if color.is_empty() {
            write!(out, "{line}{end}")
        } else {
            write!(out, "{indent}\u{1b}[{color}m{painted}\u{1b}[0m{}{end}", &word[painted.len()..])
        };
    }
    out
}

struct Page {
    out: String,
    width: usize,
}

impl Page {
    fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "{}", text.trim_end());
    }

    /// Words under a label, broken so that all lines begin at the same place.
    fn field(&mut self, label: &str, text: &str) {
        self.hanging(&format!("{INDENT}{label:FIELD$}"), text);
    }

    fn marked(&mut self, mark: char, text: &str) {
        self.hanging(&format!("{INDENT}{mark} "), text);
    }

    fn hanging(&mut self, head: &str, text: &str) {
        let hang = head.chars().count();
        let room = self.width.saturating_sub(hang).max(20);
        for (index, line) in wrap(text, room).iter().enumerate() {
            let begin = if index == 0 { head.to_owned() } else { " ".repeat(hang) };
            self.line(&format!("{begin}{line}"));
        }
    }

    fn scenario(&mut self, plan: &ScenarioPlan) {
        self.line(&format!("{} · target {} · {} · seed {}", plan.name, plan.target, plan.generation, plan.seed));
        let arrivals = &plan.arrivals;
        let starts_at = plan
            .starts_at
            .map(|at| format!(", next at {}", whole_seconds(at)))
            .filter(|_| !plan.start.starts_with("at "));
        self.field("start", &format!("{}{}; {} of load", plan.start, starts_at.unwrap_or_default(), plan.lasts));
        self.field("arrivals", &amounts(arrivals));
        self.line("");
        let names = arrivals.phases.iter().map(|phase| phase.name.as_str());
        let layout = Layout::new(self.width, names.chain(plan.faults.iter().map(|fault| fault.declared.as_str())));
        for line in chart(&layout, arrivals, &plan.faults) {
            self.line(&format!("{INDENT}{line}"));
        }
        self.line("");
        for (index, phase) in arrivals.phases.iter().enumerate() {
            let span = format!("{} to {}", phase.after, Span::new(phase.after.duration() + phase.length.duration()));
            let label = if index == 0 { "phases" } else { "" };
            self.field(label, &format!("{}: {}, {span}, {}", phase.name, phase.shape, many(phase.total, "arrival")));
        }
        self.field("jobs", &jobs(arrivals));
        for selection in &arrivals.selections {
            self.field("", &selection.describe());
        }
        for (index, line) in occurrences(&plan.faults).iter().enumerate() {
            self.field(if index == 0 { "faults" } else { "" }, line);
        }
        self.field("expect", &expectations(plan));
        let limits = limits(&plan.limits);
        if !limits.is_empty() {
            self.field("limits", &limits.join(", "));
        }
        for note in &plan.notes {
            self.marked(NOTE, &format!("{}: {}", note.path, note.message));
        }
        self.line("");
    }

    fn target(&mut self, target: &TargetLooks) {
        self.line(&format!("target {} · looked at in {}", target.name, target.took));
        if let Some(dagster) = &target.dagster {
            let answers = match &dagster.jobs[..] {
                [] => format!("Dagster {} answers", dagster.version),
                jobs => format!("Dagster {}: location {} has {}", dagster.version, dagster.location, jobs.join(", ")),
            };
            self.marked(GOOD, &answers);
        }
        for look in &target.partitions {
            self.marked(GOOD, &look.describe());
        }
        if let Some(identity) = &target.identity {
            let region = identity.region.as_deref().unwrap_or("no region");
            self.marked(GOOD, &format!("AWS account {} in {region}, as {}", identity.account, identity.arn));
        }
        for service in &target.services {
            self.service(service);
        }
        if let Some(queue) = &target.queue {
            let oldest = queue.oldest.as_ref().map(|age| format!(", the oldest {age} old")).unwrap_or_default();
            let (name, visible, in_flight) = (&queue.name, queue.visible, queue.in_flight);
            let about = format!("queue {name}: about {visible} waiting, {in_flight} in flight{oldest}");
            self.marked(GOOD, &about);
        }
        for fault in &target.faults {
            self.fault(fault);
        }
        for note in &target.notes {
            self.marked(NOTE, note);
        }
        for unreached in &target.unreached {
            self.marked(ABSENT, &format!("{} was not looked at: {}", unreached.what, unreached.why));
        }
        for problem in &target.problems {
            self.marked(BAD, problem);
        }
        self.line("");
    }

    fn service(&mut self, service: &ServiceLook) {
        let ServiceLook { role, service: name, desired, running, tasks } = service;
        self.marked(GOOD, &format!("{role}: service {name} runs {running} of {desired} tasks"));
        for task in tasks {
            let may = match (task.permitted, task.protected) {
                (true, false) => "may be stopped",
                (true, true) => "may be stopped, is protected now",
                (false, _) => "is not touched",
            };
            let tags: Vec<String> = task.tags.iter().map(|(tag, value)| format!("{tag}={value}")).collect();
            self.hanging(&format!("{INDENT}{INDENT}  {}  {may}  ", task.id), &tags.join(" "));
        }
    }

    fn fault(&mut self, look: &FaultLook) {
        self.marked('·', &format!("{}/{} would {}", look.scenario, look.fault, look.would));
        let Some(rules) = &look.rules else { return };
        for (sign, rules) in [('-', &rules.revoke), ('+', &rules.authorize)] {
            for rule in rules {
                self.hanging(&format!("{INDENT}{INDENT}  {sign} "), rule);
            }
        }
        for DryRun { call, permitted, message } in &rules.dry_runs {
            let (mark, word) = match permitted {
                Some(true) => (GOOD, "permitted"),
                Some(false) => (BAD, "denied"),
                None => (ABSENT, "not known"),
            };
            let message = message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
            self.hanging(&format!("{INDENT}{INDENT}  {mark} "), &format!("dry run of {call}: {word}{message}"));
        }
    }

    fn end(&mut self, report: &Report) {
        let policy = match &report.policy {
            Some(policy) => {
                let actions: std::collections::BTreeSet<&str> =
                    policy.statement.iter().flat_map(|statement| statement.action.iter().copied()).collect();
                format!("The least IAM policy has {} actions; `--policy` prints it. ", actions.len())
            }
            None => String::new(),
        };
        self.hanging(INDENT, &format!("{policy}Nothing was launched, stopped or changed."));
        let problems = report.targets.iter().map(|target| target.problems.len()).sum::<usize>();
        if problems > 0 {
            let things = if problems == 1 { "thing stands" } else { "things stand" };
            self.marked(BAD, &format!("{problems} {things} in the way, as said above."));
        }
    }
}

fn many(count: u32, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

fn amounts(seen: &Preview) -> String {
    let top = seen.columns.iter().max().copied().unwrap_or_default();
    format!(
        "{}, mean {}, peak {} in a second, {} in a minute (a column is {}, █ is {top})",
        seen.total, seen.mean_rate, seen.most_in_a_second, seen.most_in_a_minute, seen.column
    )
}

fn jobs(seen: &Preview) -> String {
    let total = f64::from(seen.total.max(1));
    let share = |runs: u32| f64::from(runs) * 100.0 / total;
    let jobs: Vec<String> =
        seen.jobs.iter().map(|job| format!("{} {} ({:.0}%)", job.job, job.runs, share(job.runs))).collect();
    jobs.join(", ")
}

/// A line each, fault by fault; of one that comes often the first ones and the last.
fn occurrences(faults: &[FaultPreview]) -> Vec<String> {
    let names = faults.iter().map(|fault| fault.name.chars().count()).max().unwrap_or_default();
    let line = |fault: &FaultPreview| format!("{:names$}  {}: {}", fault.name, time(fault), fault.does);
    let mut lines = vec![];
    for name in declared(faults) {
        let own: Vec<&FaultPreview> = faults.iter().filter(|fault| fault.declared == name).collect();
        if let [first @ .., last] = &own[..]
            && own.len() > LISTED
        {
            let (shown, hidden) = first.split_at(SHOWN_OF_MANY);
            lines.extend(shown.iter().map(|fault| line(fault)));
            let every = Span::new(own[1].after.duration() - own[0].after.duration());
            lines.push(format!("{:names$}  … {} more, one every {every}", "", hidden.len()));
            lines.push(line(last));
        } else {
            lines.extend(own.into_iter().map(line));
        }
    }
    lines
}

fn time(fault: &FaultPreview) -> String {
    let begin = match &fault.when {
        None => format!("at {}", fault.after),
        Some(when) if fault.after == Span::ZERO => format!("when {when}"),
        Some(_) => format!("{} after #1", fault.after),
    };
    fault.length.map_or(begin.clone(), |length| format!("{begin} for {length}"))
}

fn expectations(plan: &ScenarioPlan) -> String {
    let contract = match plan.contract {
        Contract::ExactlyOnce => "exactlyOnce",
        Contract::AtLeastOnce => "atLeastOnce",
        Contract::AtMostOnce => "atMostOnce",
    };
    let mut parts = vec![contract.to_owned(), format!("audited after {} of quiet", plan.quiet)];
    parts.extend(plan.thresholds.iter().cloned());
    parts.join(", ")
}

fn limits(limits: &Limits) -> Vec<String> {
    let Limits { max_in_flight, max_runs, max_duration, abort_on } = limits;
    let mut parts = vec![];
    parts.extend(max_in_flight.map(|most| format!("maxInFlight {most}")));
    parts.extend(max_runs.map(|most| format!("maxRuns {most}")));
    parts.extend(max_duration.map(|most| format!("maxDuration {most}")));
    if let Some(AbortOn { alarm, when, duplicate, grace }) = abort_on {
        parts.extend(alarm.as_ref().map(|alarm| format!("abortOn alarm {alarm}")));
        let grace = grace.map(|grace| format!(" for {grace}")).unwrap_or_default();
        parts.extend(when.as_ref().map(|when| format!("abortOn {when}{grace}")));
        parts.extend(duplicate.then(|| "abortOn duplicate".to_owned()));
    }
    parts
}

/// Breaks between words. A word that is too long stays whole, and so do the spaces between words of one line.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is always a line");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width && !word.is_empty() {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{super::looks, *};
    use crate::model::Target;

    fn looks() -> TargetLooks {
        let target: Target = serde_json::from_str(
            r#"{"name":"local","dagster":{"url":"http://x","location":"l","repository":"r","requestTimeout":"1s","settle":"9s"}}"#,
        )
        .expect("a target");
        TargetLooks::of(&target)
    }

    fn shown(target: TargetLooks) -> String {
        render(&Report { scenarios: vec![], targets: vec![target], policy: None }, 60)
    }

    fn rules() -> looks::RulesLook {
        let dry_run = |permitted: Option<bool>, message: Option<&str>| DryRun {
            call: "RevokeSecurityGroupEgress",
            permitted,
            message: message.map(str::to_owned),
        };
        looks::RulesLook {
            revoke: vec!["egress tcp 0-65535 to sg-2 \"all\"".to_owned()],
            authorize: vec!["egress tcp 0-442 to sg-2".to_owned(), "egress tcp 444-65535 to sg-2".to_owned()],
            dry_runs: vec![
                dry_run(Some(true), None),
                dry_run(Some(false), Some("You are not authorized to do this")),
                dry_run(None, Some("throttled")),
            ],
        }
    }

    fn everything() -> TargetLooks {
        let task = |id: &str, permitted: bool| looks::TaskLook {
            id: id.to_owned(),
            permitted,
            protected: id == "0003",
            tags: [("ready".to_owned(), permitted.to_string()), ("team".to_owned(), "data".to_owned())]
                .into_iter()
                .collect(),
        };
        let fault = |would: &str, rules: Option<looks::RulesLook>| FaultLook {
            scenario: "night".parse().expect("a name"),
            fault: "cut".to_owned(),
            would: would.to_owned(),
            tasks: None,
            rules,
        };
        TargetLooks {
            took: Span::from_millis(120),
            dagster: Some(looks::DagsterLook {
                version: "1.13.27".to_owned(),
                location: "demo".to_owned(),
                jobs: vec!["a".to_owned(), "b".to_owned()],
            }),
            identity: Some(looks::IdentityLook {
                account: "000000000000".to_owned(),
                arn: "arn:x".to_owned(),
                region: Some("us-east-1".to_owned()),
            }),
            services: vec![ServiceLook {
                role: "workers".to_owned(),
                service: "w".to_owned(),
                desired: 2,
                running: 1,
                tasks: vec![task("1", true), task("2", false)],
            }],
            queue: Some(looks::QueueLook {
                name: "q".to_owned(),
                visible: 3,
                in_flight: 1,
                oldest: Some("1m30s".to_owned()),
            }),
            faults: vec![fault("stop one of 1 running → 1", None), fault("change sg-1", Some(rules()))],
            notes: vec!["Dagster holds runs already".to_owned()],
            unreached: vec![looks::Unreached { what: "STS", why: "nobody answers".to_owned() }],
            problems: vec!["job `c` does not exist".to_owned(), "another".to_owned()],
            ..looks()
        }
    }

    #[test]
    fn everything_that_was_seen_is_said() {
        let expected = "target local · looked at in 120ms
  ✓ Dagster 1.13.27: location demo has a, b
  ✓ AWS account 000000000000 in us-east-1, as arn:x
  ✓ workers: service w runs 1 of 2 tasks
      1  may be stopped  ready=true team=data
      2  is not touched  ready=false team=data
  ✓ queue q: about 3 waiting, 1 in flight, the oldest 1m30s
    old
  · night/cut would stop one of 1 running → 1
  · night/cut would change sg-1
      - egress tcp 0-65535 to sg-2 \"all\"
      + egress tcp 0-442 to sg-2
      + egress tcp 444-65535 to sg-2
      ✓ dry run of RevokeSecurityGroupEgress: permitted
      ✗ dry run of RevokeSecurityGroupEgress: denied: You
        are not authorized to do this
      ? dry run of RevokeSecurityGroupEgress: not known:
        throttled
  ! Dagster holds runs already
  ? STS was not looked at: nobody answers
  ✗ job `c` does not exist
  ✗ another

  Nothing was launched, stopped or changed.
  ✗ 2 things stand in the way, as said above.
";
        assert_eq!(shown(everything()), expected);
    }

    #[test]
    fn marks_and_headings_are_painted_and_nothing_else() {
        for (line, painted) in [
            ("target local\n", "\u{1b}[1mtarget local\u{1b}[0m\n"),
            ("  ✓ good\n", "  \u{1b}[32m✓\u{1b}[0m good\n"),
            ("      ✗ bad", "      \u{1b}[1;31m✗\u{1b}[0m bad"),
            ("  ! look\n", "  \u{1b}[33m!\u{1b}[0m look\n"),
            ("  base  ▁▂█  3\n", "  base  ▁▂█  3\n"),
            ("\n", "\n"),
        ] {
            assert_eq!(paint(line), painted);
            assert_eq!(anstream::adapter::strip_str(&paint(line)).to_string(), line, "without colors it is the same");
        }
    }

    #[test]
    fn words_are_kept_whole() {
        for (text, width, lines) in [
            ("a bc def", 4, &["a bc", "def"][..]),
            ("a  bc", 9, &["a  bc"]),
            ("abcdefgh ij", 4, &["abcdefgh", "ij"]),
            ("", 4, &[""]),
        ] {
            assert_eq!(wrap(text, width), lines);
        }
    }
}
