//! The live display: one line a scenario on a terminal, plain lines elsewhere. It reads what was published.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    model::{Phase, ScenarioName},
    publish::{Folder, Judgement, Status},
};

const REFRESH: Duration = Duration::from_millis(200);
/// Without a terminal, a line a scenario at most this often, and at every change of its phase.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// A display that runs beside the operator.
pub struct Display {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// Starts the display on stdout.
pub fn start(folder: Folder) -> Display {
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(show(folder, stopped));
    Display { stop, task }
}

impl Display {
    /// Shows the last state and ends.
    pub async fn finish(self) {
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

async fn show(folder: Folder, mut stopped: oneshot::Receiver<()>) {
    let mut screen: Box<dyn Screen + Send> =
        if std::io::stdout().is_terminal() { Box::new(Terminal::default()) } else { Box::new(Plain::default()) };
    loop {
        let last = tokio::select! {
            _ = &mut stopped => true,
            () = tokio::time::sleep(REFRESH) => false,
        };
        for (name, status) in folder.latest() {
            screen.draw(&name, &status);
        }
        if last {
            screen.end();
            return;
        }
    }
}

trait Screen {
    fn draw(&mut self, name: &ScenarioName, status: &Status);
    fn end(&mut self);
}

#[derive(Default)]
struct Terminal {
    all: MultiProgress,
    bars: BTreeMap<ScenarioName, ProgressBar>,
}

impl Screen for Terminal {
    fn draw(&mut self, name: &ScenarioName, status: &Status) {
        let width = name.as_str().len().max(16);
        let bar = self.bars.entry(name.clone()).or_insert_with(|| {
            let style = ProgressStyle::with_template(&format!("{{prefix:{width}}} {{bar:24.cyan/blue}} {{msg}}"));
            let bar = ProgressBar::new(1).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            self.all.add(bar.with_prefix(name.to_string()))
        });
        let (done, total) = share(status);
        bar.set_length(total);
        bar.set_position(done);
        bar.set_message(line(status));
    }

    fn end(&mut self) {
        for bar in self.bars.values() {
            bar.abandon();
        }
    }
}

#[derive(Default)]
struct Plain {
    shown: BTreeMap<ScenarioName, (Phase, String, Instant)>,
}

impl Plain {
    fn print(&mut self, name: &ScenarioName, phase: Phase, line: String) {
        // Whoever reads may have gone: that must not stop the scenario.
        let _ = writeln!(anstream::stdout(), "{name:16} {line}");
        self.shown.insert(name.clone(), (phase, line, Instant::now()));
    }
}

impl Screen for Plain {
    fn draw(&mut self, name: &ScenarioName, status: &Status) {
        let (phase, line) = (status.status.phase, line(status));
        let due = match self.shown.get(name) {
            None => true,
            Some((last, text, at)) => *last != phase || (*text != line && at.elapsed() >= PLAIN_EVERY),
        };
        if due {
            self.print(name, phase, line);
        }
    }

    fn end(&mut self) {}
}

/// How far: arrivals that have a fate and runs that are done, of all that are planned.
fn share(status: &Status) -> (u64, u64) {
    let planned = status.status.load.as_ref().map_or(0, |load| load.planned);
    let attempted = status.status.load.as_ref().map_or(0, |load| load.attempted);
    let done = status.status.runs.map_or(0, |runs| runs.done());
    (u64::from(attempted + done), u64::from(planned * 2).max(1))
}

fn line(status: &Status) -> String {
    let body = &status.status;
    let mut parts = vec![format!("{:9}", body.phase.to_string())];
    if let Some(Judgement::Final(audit)) = &body.audit {
        parts.push(audit.message.clone());
        return parts.join(" ");
    }
    if let Some(load) = &body.load {
        parts.push(format!("arrivals {}/{} · acknowledged {}", load.attempted, load.planned, load.acknowledged));
        for (word, count) in [
            ("rejected", load.rejected),
            ("in doubt", load.indeterminate),
            ("late", load.late),
            ("dropped", load.dropped),
        ] {
            if count > 0 {
                parts.push(format!("· {word} {count}"));
            }
        }
        if let Some(most) = load.rejections.first() {
            parts.push(format!("· {}", shortened(&most.reason)));
        }
    }
    if let Some(runs) = body.runs {
        parts.push(format!("· running {} · done {}", runs.unfinished() - runs.retrying, runs.done()));
        if runs.retrying > 0 {
            parts.push(format!("· {} wait for a retry that Dagster has announced", runs.retrying));
        }
    }
    if let Some(Judgement::SoFar(so_far)) = &body.audit {
        parts.push(match so_far.findings.first() {
            None => "· so far nothing wrong".to_owned(),
            Some(first) => format!("· failed so far: {first}"),
        });
    }
    for fault in &body.faults {
        parts.push(format!("· {} {}", fault.name, fault.state));
    }
    if let Some(condition) = status.trouble() {
        parts.push(format!("· {}: {}", condition.reason, condition.message.lines().next().unwrap_or_default()));
    }
    parts.join(" ")
}

/// So much of a reason is shown, in characters.
const REASON: usize = 80;

/// The first line of a reason, as far as it fits.
fn shortened(reason: &str) -> String {
    let line = reason.lines().next().unwrap_or_default();
    if line.chars().count() <= REASON {
        return line.to_owned();
    }
    line.chars().take(REASON).chain(['…']).collect()
}
