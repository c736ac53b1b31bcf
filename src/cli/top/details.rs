//! One scenario in detail.

use ratatui::{
    Frame,
    layout::Rect,
    style::{Modifier, Style},
    text::{Line, Span as Piece},
    widgets::Paragraph,
};

use super::{
    seen::{Scenario, Seen},
    view::{Look, event_line},
};
use crate::model::Span;

/// So many events of its own.
const EVENTS: usize = 30;

pub fn draw(frame: &mut Frame<'_>, area: Rect, seen: &Seen, scenario: &Scenario, scrolled: &mut u16, look: Look) {
    let mut page = Page { lines: vec![], width: usize::from(area.width), look };
    page.scenario(seen, scenario);
    let beyond = page.lines.len().saturating_sub(usize::from(area.height));
    *scrolled = (*scrolled).min(u16::try_from(beyond).unwrap_or(u16::MAX));
    frame.render_widget(Paragraph::new(page.lines).scroll((*scrolled, 0)), area);
}

struct Page {
    lines: Vec<Line<'static>>,
    width: usize,
    look: Look,
}

impl Page {
    fn scenario(&mut self, seen: &Seen, scenario: &Scenario) {
        let status = &scenario.status;
        let generation = status.observed_generation.clone().unwrap_or_else(|| "no generation yet".to_owned());
        self.lines.push(Line::raw(""));
        self.lines.push(Line::from(vec![
            Piece::styled(scenario.name().to_owned(), Style::new().add_modifier(Modifier::BOLD)),
            Piece::raw(format!("  {generation}  ")),
            Piece::styled(status.phase.clone(), self.look.of(&status.phase)),
        ]));
        let started = status.started_at.map(|at| format!("started {at}"));
        let version = status.dagster_version.as_ref().map(|version| format!("Dagster {version}"));
        self.text("", &started.into_iter().chain(version).collect::<Vec<_>>().join(", "));
        self.numbers(scenario);
        self.audit(scenario);
        self.section("Faults", status.faults.is_empty());
        for fault in &status.faults {
            let reason = fault.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            let recovery = fault
                .intended_at
                .zip(fault.recovered_at)
                .map(|(from, to)| format!(", recovered after {}", Span::new(to.since(from)).rounded()));
            let rest = format!("{}: {}{reason}{}", fault.state, fault.what, recovery.unwrap_or_default());
            self.text(&format!("{} ", fault.name), &rest);
        }
        self.section("Conditions", status.conditions.is_empty());
        for condition in &status.conditions {
            let head = format!("{} {} ", condition.kind, condition.status);
            self.text(&head, &format!("{}: {}", condition.reason, condition.message));
        }
        self.section("Before", status.history.is_empty());
        for past in &status.history {
            let at = past.concluded_at.map(|at| format!(" at {at}")).unwrap_or_default();
            self.text("", &format!("{} {}{at}: {}", past.generation, past.verdict, past.message));
        }
        let events: Vec<_> = seen.events.iter().filter(|event| event.scenario == scenario.name()).collect();
        self.section("Its last events", events.is_empty());
        for event in &events[events.len().saturating_sub(EVENTS)..] {
            let width = u16::try_from(self.width).unwrap_or(u16::MAX);
            self.lines.push(event_line(event, false, width, self.look));
        }
    }

    fn numbers(&mut self, scenario: &Scenario) {
        let status = &scenario.status;
        let Some(load) = status.load else { return };
        self.section("Load", false);
        let said = |words: &[(&str, u64)]| -> String {
            words.iter().map(|(word, count)| format!("{word} {count}")).collect::<Vec<_>>().join(" · ")
        };
        let sent = [
            ("planned", load.planned),
            ("due", load.due),
            ("attempted", load.attempted),
            ("acknowledged", load.acknowledged),
        ];
        self.text("", &said(&sent));
        let not = [
            ("rejected", load.rejected),
            ("in doubt", load.indeterminate),
            ("late", load.late),
            ("dropped", load.dropped),
        ];
        self.text("", &said(&not));
        if let Some(runs) = status.runs {
            let runs = [
                ("queued", runs.queued),
                ("running", runs.running),
                ("succeeded", runs.succeeded),
                ("failed", runs.failed),
                ("canceled", runs.canceled),
            ];
            self.text("runs: ", &said(&runs));
        }
        let gauges = [("queue depth", status.gauges.queue_depth), ("workers", status.gauges.workers)];
        let gauges: Vec<String> =
            gauges.into_iter().filter_map(|(word, value)| Some(format!("{word} {}", value?))).collect();
        if !gauges.is_empty() {
            self.text("", &gauges.join(" · "));
        }
    }

    fn audit(&mut self, scenario: &Scenario) {
        let verdict = scenario.verdict();
        self.section("Verdict", verdict.is_empty());
        if !verdict.is_empty() {
            let message = scenario.message();
            self.text("", &if message.is_empty() { verdict } else { format!("{verdict} — {message}") });
        }
        if let Some(duplicated) = scenario.duplicated() {
            self.text("", &format!("duplicated {duplicated}"));
        }
        for (sign, word) in
            [("✗ ", "findings"), ("? ", "gaps"), ("· ", "tolerated"), ("· ", "recoveries"), ("· ", "effects")]
        {
            for sentence in scenario.told(word) {
                self.text(sign, &sentence);
            }
        }
    }

    fn section(&mut self, title: &'static str, is_empty: bool) {
        if !is_empty {
            self.lines.push(Line::raw(""));
            self.lines.push(Line::styled(title, Style::new().add_modifier(Modifier::BOLD)));
        }
    }

    /// Words behind a head, broken so that they stay within the width and behind the indent.
    fn text(&mut self, head: &str, text: &str) {
        let mut line = format!("  {head}");
        let indent = " ".repeat(4);
        let mut is_begin = true;
        for word in text.split_whitespace() {
            let length = line.chars().count() + word.chars().count() + usize::from(!is_begin);
            if length > self.width && line.trim() != "" {
                self.lines.push(Line::raw(std::mem::replace(&mut line, indent.clone())));
                is_begin = true;
            }
            if !is_begin {
                line.push(' ');
            }
            line.push_str(word);
            is_begin = false;
        }
        if !line.trim().is_empty() {
            self.lines.push(Line::raw(line));
        }
    }
}
