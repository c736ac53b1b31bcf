//! A frame: scenarios, what a person should know of them, and the last events.

use std::path::Path;

use ratatui::{
    Frame,
    layout::{Alignment, Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span as Piece},
    widgets::{Block, Cell, Clear, HighlightSpacing, Padding, Paragraph, Row, Table, TableState},
};

use super::{
    chosen::{Chosen, KEYS},
    details,
    follow::SILENT_S,
    seen::{EventLine, Scenario, Seen},
};
use crate::model::Span;

/// Notes beyond so many are counted only.
const MOST_NOTES: usize = 8;
/// So many events a printed frame has at most.
const PLAIN_EVENTS: usize = 12;
/// From so many columns on there is room for more.
const WIDE: u16 = 100;
const WIDEST: u16 = 130;
/// So wide is the next turn.
const NEXT: u16 = 14;
const NARROW_NEXT: u16 = 8;

/// Whether there are colors. They are never the only sign.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    pub colored: bool,
}

impl Look {
    pub fn color(self, color: Color) -> Style {
        if self.colored { Style::new().fg(color) } else { Style::new() }
    }

    /// Of a phase, a verdict or a state.
    pub fn of(self, word: &str) -> Style {
        let has = |parts: &[&str]| parts.iter().any(|part| word.starts_with(part));
        let color = if has(&["Failed", "NotRecovered", "Refused"]) {
            Color::Red
        } else if has(&["Passed", "ok", "Healed"]) {
            Color::Green
        } else if has(&["Unknown", "Stalled", "InPlace", "Injecting", "Healing", "Skipped"]) {
            Color::Yellow
        } else if has(&["Running", "Settling", "Auditing", "Recovered"]) {
            Color::Cyan
        } else {
            return Style::new();
        };
        self.color(color)
    }
}

/// How many lines a printed frame has.
pub fn height(seen: &Seen) -> u16 {
    let lines = 5
        + usize::from(seen.halted.is_some())
        + seen.scenarios.len()
        + notes(seen).len().min(MOST_NOTES + 1)
        + 2
        + seen.events.len().min(PLAIN_EVENTS)
        + 1;
    u16::try_from(lines).unwrap_or(u16::MAX)
}

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, seen: &Seen, data: &Path, chosen: &mut Chosen, look: Look) {
    let footer = u16::from(!chosen.is_plain);
    let banner = u16::from(seen.halted.is_some());
    let parts = [Constraint::Length(1), Constraint::Length(banner), Constraint::Min(0), Constraint::Length(footer)];
    let [title, halted, body, keys] = Layout::vertical(parts).areas(frame.area());
    frame.render_widget(Paragraph::new(heading(seen, data, look)), title);
    if let Some(message) = &seen.halted {
        let style = look.color(Color::Red).add_modifier(Modifier::BOLD | Modifier::REVERSED);
        let text = fit(&format!("!! HALTED !! {message}"), usize::from(halted.width));
        frame.render_widget(Paragraph::new(text).style(style), halted);
    }
    match seen.scenarios.get(chosen.row).filter(|_| chosen.is_open) {
        Some(scenario) => details::draw(frame, body, seen, scenario, &mut chosen.scrolled, look),
        None => overview(frame, body, seen, chosen, look),
    }
    let hint = match (chosen.is_open, chosen.is_typing, chosen.filter.is_empty()) {
        (true, _, _) => "j k scroll · Esc back · ? help · q end".to_owned(),
        (false, true, _) => format!("/{}▏ Enter keeps it · Esc shows all", chosen.filter),
        (false, false, false) => {
            format!("/{} · j k choose · Enter details · Esc shows all · ? help · q end", chosen.filter)
        }
        (false, false, true) => "j k choose · Enter details · / filter · ? help · q end".to_owned(),
    };
    frame.render_widget(Paragraph::new(hint).style(Style::new().add_modifier(Modifier::DIM)), keys);
    if chosen.is_help {
        help(frame);
    }
}

fn heading(seen: &Seen, data: &Path, look: Look) -> Line<'static> {
    let mut phases: Vec<(&str, usize)> = vec![];
    for scenario in &seen.scenarios {
        let phase = phase(scenario);
        match phases.iter_mut().find(|(known, _)| *known == phase) {
            Some((_, count)) => *count += 1,
            None => phases.push((phase, 1)),
        }
    }
    let phases: Vec<String> = phases.into_iter().map(|(phase, count)| format!("{count} {phase}")).collect();
    let mut pieces = vec![
        Piece::styled("dagstorm top", Style::new().add_modifier(Modifier::BOLD)),
        Piece::raw(format!(" {}", data.display())),
    ];
    if !phases.is_empty() {
        pieces.push(Piece::raw(format!(" · {}", phases.join(", "))));
    }
    pieces.push(match &seen.operator {
        Some(operator) if operator.ended => {
            Piece::raw(format!(" · {} ended {} ago", operator.who, Span::from_secs(operator.silent_s)))
        }
        Some(operator) if operator.silent_s < SILENT_S => Piece::raw(format!(" · operator {}", operator.who)),
        Some(operator) => {
            let silent = Span::from_secs(operator.silent_s);
            Piece::styled(format!(" · ! no operator for {silent}"), look.color(Color::Yellow))
        }
        None => Piece::raw(""),
    });
    Line::from(pieces)
}

fn overview(frame: &mut Frame<'_>, area: Rect, seen: &Seen, chosen: &Chosen, look: Look) {
    let notes = notes(seen);
    let noted = match notes.len() {
        0 => 0,
        some if some > MOST_NOTES => MOST_NOTES + 2,
        some => some + 1,
    } as u16;
    let rows = seen.scenarios.len().max(1) as u16 + 2;
    // Where there is not room for all, events keep a few lines.
    let rows = if chosen.is_plain { rows } else { rows.min(area.height.saturating_sub(noted + 5).max(4)) };
    let [table, middle, bottom] =
        Layout::vertical([Constraint::Length(rows), Constraint::Length(noted), Constraint::Min(0)]).areas(area);
    match &seen.waiting {
        Some(waiting) => frame.render_widget(Paragraph::new(format!("\n  {waiting} …")), table),
        None => scenarios(frame, table, seen, chosen, look),
    }
    frame.render_widget(Paragraph::new(lines(notes, middle.width, look)), middle);
    let room = usize::from(bottom.height.saturating_sub(2));
    let shown = &seen.events[seen.events.len().saturating_sub(if chosen.is_plain { PLAIN_EVENTS } else { room })..];
    if !shown.is_empty() && room > 0 {
        let mut text = vec![Line::raw(""), Line::styled("Last events", Style::new().add_modifier(Modifier::BOLD))];
        text.extend(shown.iter().map(|event| event_line(event, true, bottom.width, look)));
        frame.render_widget(Paragraph::new(text), bottom);
    }
}

/// What a person should know, a line each, with its sign.
fn notes(seen: &Seen) -> Vec<(char, String)> {
    let mut notes: Vec<(char, String)> = seen.troubles.iter().map(|trouble| ('!', trouble.clone())).collect();
    for scenario in &seen.scenarios {
        let name = scenario.name();
        // A halt has its banner, a turn its column.
        let is_shown = |reason: &str| !["Halted", "Scheduled", "WaitingForScenarios"].contains(&reason);
        if let Some(condition) = scenario.trouble().filter(|condition| is_shown(&condition.reason)) {
            notes.push(('!', format!("{name}: {}: {}", condition.reason, condition.message)));
        }
        for fault in scenario.status.faults.iter().filter(|fault| fault.is_open()) {
            let reason = fault.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            notes.push(('~', format!("{name}: {} {}: {}{reason}", fault.name, fault.state, fault.what)));
        }
        let findings = scenario.told("findings");
        if let Some(first) = findings.first() {
            let more = findings.len() - 1;
            let rest = if more > 0 { format!(" (and {more} more)") } else { String::new() };
            notes.push(('✗', format!("{name}: {first}{rest}")));
        }
    }
    notes
}

fn lines(notes: Vec<(char, String)>, width: u16, look: Look) -> Vec<Line<'static>> {
    let more = notes.len().saturating_sub(MOST_NOTES);
    let shown = notes.into_iter().take(MOST_NOTES).map(|(sign, text)| {
        let style = if sign == '✗' { look.color(Color::Red) } else { look.color(Color::Yellow) };
        Line::from(vec![
            Piece::styled(format!("{sign} "), style),
            Piece::raw(fit(&text, usize::from(width).saturating_sub(2))),
        ])
    });
    let mut lines: Vec<Line<'static>> = [Line::raw("")].into_iter().chain(shown).collect();
    if more > 0 {
        lines.push(Line::raw(format!("  … and {more} more")));
    }
    lines
}

fn scenarios(frame: &mut Frame<'_>, area: Rect, seen: &Seen, chosen: &Chosen, look: Look) {
    let columns = columns(area.width, seen);
    let header = Row::new(columns.iter().map(|column| cell(column.head.to_owned(), column, Style::new())));
    let rows = seen.scenarios.iter().map(|scenario| {
        Row::new(columns.iter().map(|column| {
            let text = (column.text)(scenario, seen);
            let style = if column.is_word { look.of(&text) } else { Style::new() };
            cell(fit(&text, usize::from(column.width)), column, style)
        }))
    });
    let table = Table::new(rows, columns.iter().map(|column| Constraint::Length(column.width)))
        .header(header.style(Style::new().add_modifier(Modifier::BOLD)))
        .block(Block::new().padding(Padding::top(1)))
        .highlight_symbol("› ")
        .highlight_spacing(HighlightSpacing::Always)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::new().with_selected((!chosen.is_plain).then_some(chosen.row));
    frame.render_stateful_widget(table, area, &mut state);
}

fn cell(text: String, column: &Column, style: Style) -> Cell<'static> {
    let side = if column.is_number { Alignment::Right } else { Alignment::Left };
    Cell::new(Line::from(text).alignment(side)).style(style)
}

struct Column {
    head: &'static str,
    width: u16,
    is_number: bool,
    /// It is painted as what it says.
    is_word: bool,
    text: fn(&Scenario, &Seen) -> String,
}

/// As many as there is room for, in the order of what a person asks first.
fn columns(width: u16, seen: &Seen) -> Vec<Column> {
    let number = |head, width, text| Column { head, width, is_number: true, is_word: false, text };
    let word = |head, width, text| Column { head, width, is_number: false, is_word: true, text };
    let name = |scenario: &Scenario, _: &Seen| scenario.name().to_owned();
    let mut columns = vec![
        Column { head: "SCENARIO", width: 8, is_number: false, is_word: false, text: name },
        word("PHASE", 9, |scenario, _| phase(scenario).to_owned()),
        number("SENT", 9, |scenario, _| of_load(scenario, |load| format!("{}/{}", load.attempted, load.planned))),
        number("ACK", 5, |scenario, _| of_load(scenario, |load| load.acknowledged.to_string())),
        number("DONE", 5, |scenario, _| {
            scenario.status.runs.map_or(NOTHING.to_owned(), |runs| runs.ended().to_string())
        }),
        number("FLY", 4, |scenario, _| {
            scenario.status.runs.map_or(NOTHING.to_owned(), |runs| runs.in_flight().to_string())
        }),
        number("DUP", 4, |scenario, _| scenario.duplicated().map_or(NOTHING.to_owned(), |count| count.to_string())),
        number("FAULTS", 6, faults),
        word("VERDICT", 10, |scenario, _| verdict(scenario)),
    ];
    if seen.scenarios.iter().any(|scenario| next(scenario, seen).is_some()) {
        let next = |scenario: &Scenario, seen: &Seen| next(scenario, seen).unwrap_or(NOTHING.to_owned());
        let room = if width >= WIDE { NEXT } else { NARROW_NEXT };
        columns.push(Column { head: "NEXT", width: room, is_number: false, is_word: false, text: next });
    }
    if width >= WIDE {
        columns.insert(6, number("QUEUE", 6, |scenario, _| gauge(scenario.status.gauges.queue_depth)));
        columns.insert(7, number("WORKERS", 7, |scenario, _| gauge(scenario.status.gauges.workers)));
    }
    if width >= WIDEST {
        columns.insert(2, Column { head: "", width: BAR as u16, is_number: false, is_word: false, text: bar });
        columns.push(number("DOUBT", 5, |scenario, _| of_load(scenario, |load| load.indeterminate.to_string())));
        columns.push(number("LATE", 5, |scenario, _| of_load(scenario, |load| load.late.to_string())));
        columns.push(number("TIME", 9, elapsed));
    }
    // The names have what is left; two columns are the sign of the chosen one.
    let taken = 2 + columns.iter().skip(1).map(|column| column.width + 1).sum::<u16>();
    let longest = seen.scenarios.iter().map(|scenario| scenario.name().chars().count()).max().unwrap_or(0) as u16;
    columns[0].width = longest.min(width.saturating_sub(taken)).max(8);
    columns
}

const NOTHING: &str = "–";
const BAR: usize = 10;

fn of_load(scenario: &Scenario, text: fn(&super::seen::Load) -> String) -> String {
    scenario.status.load.as_ref().map_or(NOTHING.to_owned(), text)
}

/// How much of the way is gone: arrivals that were sent and runs that have ended, of all that are planned.
fn bar(scenario: &Scenario, _: &Seen) -> String {
    let planned = scenario.status.load.map_or(0, |load| load.planned);
    let gone =
        scenario.status.load.map_or(0, |load| load.attempted) + scenario.status.runs.map_or(0, |runs| runs.ended());
    let full = (gone as usize * BAR).checked_div(2 * planned as usize).unwrap_or(0).min(BAR);
    format!("{}{}", "█".repeat(full), "░".repeat(BAR - full))
}

fn gauge(value: Option<f64>) -> String {
    value.map_or(NOTHING.to_owned(), |value| format!("{value}"))
}

/// `Deleted`, once all is over with it: the verdict has a column of its own.
fn phase(scenario: &Scenario) -> &str {
    let is_over = ["Passed", "Failed", "Unknown", "Stopped"].contains(&scenario.status.phase.as_str());
    if scenario.status.deleted && is_over { "Deleted" } else { &scenario.status.phase }
}

/// When its next turn comes, if one does.
fn next(scenario: &Scenario, seen: &Seen) -> Option<String> {
    let next = &scenario.status.next;
    match next.at {
        Some(at) => Some(format!("in {}", Span::from_secs(at.since(seen.now).as_secs()))),
        None if !next.after.is_empty() => Some(format!("after {}", next.after.join(", "))),
        None => None,
    }
}

/// Those that are healed, of all that are planned.
fn faults(scenario: &Scenario, _: &Seen) -> String {
    let all = &scenario.status.faults;
    if all.is_empty() {
        return NOTHING.to_owned();
    }
    format!("{}/{}", all.iter().filter(|fault| fault.is_healed()).count(), all.len())
}

/// With `…` while it is only so far.
fn verdict(scenario: &Scenario) -> String {
    let verdict = scenario.verdict();
    match verdict.strip_suffix("so far") {
        Some("nothing wrong ") => "ok…".to_owned(),
        Some(so_far) => format!("{}…", so_far.trim()),
        None if verdict.is_empty() => NOTHING.to_owned(),
        None => verdict,
    }
}

fn elapsed(scenario: &Scenario, seen: &Seen) -> String {
    let is_over = ["Passed", "Failed", "Unknown", "Stopped"].contains(&scenario.status.phase.as_str());
    let started = scenario.status.started_at.filter(|_| !is_over);
    started.map_or(NOTHING.to_owned(), |started| Span::from_secs(seen.now.since(started).as_secs()).to_string())
}

/// One event on one line; of one scenario its name is left out.
pub fn event_line(event: &EventLine, with_name: bool, width: u16, look: Look) -> Line<'static> {
    let time = event.time.get(11..19).unwrap_or(&event.time);
    let is_warning = event.kind == "Warning";
    let name = if with_name && !event.scenario.is_empty() { format!("{}: ", event.scenario) } else { String::new() };
    let times = if event.count > 1 { format!(" ×{}", event.count) } else { String::new() };
    let text = format!("{name}{}{times}: {}", event.reason, event.message);
    let style = if is_warning { look.color(Color::Yellow) } else { Style::new() };
    Line::from(vec![
        Piece::raw(format!("{time} ")),
        Piece::styled(if is_warning { "! " } else { "  " }, style),
        Piece::raw(fit(&text, usize::from(width).saturating_sub(11))),
    ])
}

/// Cut to a width, with a sign that it was; on one line.
pub fn fit(text: &str, width: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= width {
        return line;
    }
    let mut cut: String = line.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

fn help(frame: &mut Frame<'_>) {
    let mut text = vec![Line::raw("")];
    text.extend(KEYS.map(|(keys, meaning)| Line::raw(format!("  {keys:12} {meaning}"))));
    text.extend(
        [
            "",
            "  SENT of all that are planned · ACK Dagster has launched it",
            "  DONE runs that ended · FLY queued or running · DUP duplicates",
            "  FAULTS healed of all planned · VERDICT with … is only so far",
        ]
        .map(Line::raw),
    );
    let area = frame.area();
    let (width, height) = (66.min(area.width), (text.len() as u16 + 3).min(area.height));
    let place = Rect::new((area.width - width) / 2, (area.height - height) / 2, width, height);
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(text).block(Block::bordered().title(" dagstorm top ")), place);
}
