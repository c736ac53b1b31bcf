//! Arrivals as blocks over time, and the faults below them on the same axis. Pure.

use std::time::Duration;

use super::preview::{FaultPreview, PhasePreview, Preview};
use crate::model::Span;

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// How much of a line a name may take.
const LONGEST_LABEL: usize = 20;
/// The digits of the greatest total.
const TOTALS: usize = 7;
const GAP: usize = 2;
/// How many columns may lie between two ticks; a label needs most of eight.
const TICKS_APART: [u32; 8] = [8, 10, 12, 15, 16, 20, 24, 30];
const ALL: &str = "all";

/// How a line of the chart is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    label: usize,
    /// At most so many columns.
    pub columns: usize,
}

impl Layout {
    /// For lines of this width, with these names before them.
    pub fn new<'a>(width: usize, names: impl Iterator<Item = &'a str>) -> Self {
        let longest = names.map(|name| name.chars().count()).max().unwrap_or_default().max(ALL.len());
        let label = longest.min(LONGEST_LABEL);
        Self { label, columns: width.saturating_sub(label + TOTALS + 2 * GAP).max(10) }
    }

    fn line(&self, name: &str, content: &str) -> String {
        let mut name: String = name.to_owned();
        if name.chars().count() > self.label {
            name = name.chars().take(self.label - 1).chain(['…']).collect();
        }
        format!("{name:label$}{:GAP$}{content}", "", label = self.label).trim_end().to_owned()
    }
}

/// The lines: phases, all of them together if they are several, the axis, one for each declared fault.
pub fn chart(layout: &Layout, preview: &Preview, faults: &[FaultPreview]) -> Vec<String> {
    let columns = preview.columns.len();
    let top = preview.columns.iter().copied().max().unwrap_or_default();
    let row = |name: &str, counts: &[u32], total: u32| {
        let bars: String = counts.iter().map(|count| block(*count, top)).collect();
        layout.line(name, &format!("{bars}{:GAP$}{total}", ""))
    };
    let phase = |one: &PhasePreview| row(&one.name, &one.columns, one.total);
    let mut lines: Vec<String> = preview.phases.iter().map(phase).collect();
    if preview.phases.len() > 1 {
        lines.push(row(ALL, &preview.columns, preview.total));
    }
    let (ticks, labels) = axis(preview.column.duration(), columns);
    lines.extend([layout.line("", &ticks), layout.line("", &labels)]);
    for name in declared(faults) {
        let own: Vec<&FaultPreview> = faults.iter().filter(|fault| fault.declared == name).collect();
        lines.push(layout.line(name, &marks(&own, preview.column.duration(), columns)));
    }
    lines
}

/// The names of the faults, each once, in the order in which they begin.
pub fn declared(faults: &[FaultPreview]) -> Vec<&str> {
    let mut names: Vec<&str> = vec![];
    for fault in faults {
        if !names.contains(&fault.declared.as_str()) {
            names.push(&fault.declared);
        }
    }
    names
}

/// Something is never nothing: one arrival shows beside a thousand.
fn block(count: u32, top: u32) -> char {
    if count == 0 {
        return ' ';
    }
    let eighths = (u64::from(count) * BLOCKS.len() as u64).div_ceil(u64::from(top.max(1)));
    BLOCKS[(eighths as usize).clamp(1, BLOCKS.len()) - 1]
}

/// A line with ticks at round times, and one with these times.
fn axis(column: Duration, columns: usize) -> (String, String) {
    // A round time apart if there is one, ten columns otherwise.
    let wide = TICKS_APART.into_iter().find(|wide| is_round(column * *wide)).unwrap_or(10);
    let (step, wide) = (column * wide, wide as usize);
    let mut ticks = String::new();
    let mut labels = String::new();
    for at in 0..columns {
        ticks.push(if at % wide == 0 { '┬' } else { '─' });
    }
    for tick in 0..=columns / wide {
        let text = Span::new(step * tick as u32).to_string();
        let at = tick * wide;
        // The last label may stand below the totals, and not beyond them.
        if at < columns && at + text.chars().count() <= columns + TOTALS {
            let used = labels.chars().count();
            labels.extend(std::iter::repeat_n(' ', at.saturating_sub(used)));
            labels.push_str(&text);
        }
    }
    (ticks, labels)
}

/// Whether one would count in this: 10s, 15s, 1m, 5m, 1h, 6h …
fn is_round(time: Duration) -> bool {
    const ROUND_S: [u64; 22] = [
        1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1_200, 1_800, 3_600, 7_200, 10_800, 14_400, 21_600, 43_200,
        86_400, 604_800,
    ];
    match time.subsec_nanos() {
        0 => ROUND_S.contains(&time.as_secs()),
        _ => time.as_secs() == 0 && [10, 20, 50, 100, 200, 500].contains(&time.subsec_millis()),
    }
}

/// Where the occurrences of a fault are: a mark for one that is done at once, a bar for one that stays.
fn marks(faults: &[&FaultPreview], column: Duration, columns: usize) -> String {
    if let Some(when) = faults.iter().find_map(|fault| fault.when.as_ref()) {
        return format!("when {when}");
    }
    let mut line = vec![' '; columns];
    let place = |time: Duration| ((time.as_micros() / column.as_micros()) as usize).min(columns - 1);
    for fault in faults {
        let begin = place(fault.after.duration());
        match fault.length {
            None => line[begin] = '▼',
            Some(length) => {
                let end = fault.after.duration() + length.duration();
                let last = place(end.saturating_sub(Duration::from_micros(1)));
                line[begin..=last].fill('■');
            }
        }
    }
    line.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(column: &str, columns: &[u32], faults: &[(&str, &str, Option<&str>)], width: usize) -> String {
        let column: Span = column.parse().expect(column);
        let faults: Vec<FaultPreview> = faults
            .iter()
            .map(|(name, after, length)| FaultPreview {
                name: format!("{name}#1"),
                declared: (*name).to_owned(),
                after: after.parse().expect(after),
                when: after.starts_with("0s").then(|| "queueDepth > 5".to_owned()).filter(|_| *name == "deep"),
                length: length.map(|length| length.parse().expect(length)),
                does: String::new(),
            })
            .collect();
        let total = columns.iter().sum();
        let phase = PhasePreview {
            name: "base".to_owned(),
            after: Span::ZERO,
            length: Span::new(column.duration() * columns.len() as u32),
            shape: String::new(),
            total,
            columns: columns.to_vec(),
        };
        let preview = Preview {
            total,
            mean_rate: String::new(),
            most_in_a_second: 0,
            most_in_a_minute: 0,
            first: None,
            last: None,
            column,
            columns: columns.to_vec(),
            phases: vec![phase],
            jobs: vec![],
            selections: vec![],
        };
        let layout = Layout::new(width, ["base"].into_iter().chain(faults.iter().map(|fault| fault.declared.as_str())));
        chart(&layout, &preview, &faults).join("\n")
    }

    #[test]
    fn a_chart_shows_what_and_when() {
        let counts = [0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1000];
        let faults =
            [("kill", "50s", None), ("cut", "1m", Some("25s")), ("deep", "0s", None), ("last", "3m29s", Some("10s"))];
        assert_eq!(
            drawn("10s", &counts, &faults, 60),
            "base   ▁▁▁▁▁▁▁▁          ▁█  1037
      ┬───────────┬────────
      0s          2m
kill       ▼
cut         ■■■
deep  when queueDepth > 5
last                      ■"
        );
        assert_eq!(drawn("1s", &[1, 2, 3, 4, 5, 6, 7, 8], &[], 60).lines().next(), Some("base  ▁▂▃▄▅▆▇█  36"));
    }

    #[test]
    fn names_and_axes_keep_their_places() {
        let layout = Layout::new(80, ["a-very-long-name-of-a-phase"].into_iter());
        assert_eq!((layout.label, layout.columns), (20, 49));
        assert_eq!(layout.line("a-very-long-name-of-a-phase", "x"), "a-very-long-name-of…  x");
        for (column, columns, labels) in [
            ("1s", 40, "0s        10s       20s       30s"),
            ("30s", 60, "0s        5m        10m       15m       20m       25m"),
            ("30m", 48, "0s      4h      8h      12h     16h     20h"),
            ("500ms", 20, "0s        5s"),
            ("3d", 11, "0s        30d"),
        ] {
            let column: Span = column.parse().expect(column);
            let found = axis(column.duration(), columns).1;
            assert_eq!(found, labels, "{column}");
        }
    }
}
