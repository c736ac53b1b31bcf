//! `dagstorm top`: a live view of a data folder, from what is published there. It writes nothing.

mod chosen;
mod details;
mod follow;
mod seen;
#[cfg(test)]
mod tests;
mod view;

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::Args;
use ratatui::{
    Terminal,
    backend::TestBackend,
    buffer::Buffer,
    crossterm::{
        event::{self, Event, KeyEventKind},
        terminal,
    },
};
use tokio::sync::watch;

use super::{Exit, is_colored, print, shutdown};
use crate::world::{Clock, SystemClock};
use chosen::{Action, Chosen};
use follow::Follower;
use seen::Seen;
use view::Look;

/// The folder is read this often.
const REFRESH: Duration = Duration::from_millis(500);
/// A key is waited for this long, so that the end of the process is noticed.
const KEY_WITHIN: Duration = Duration::from_millis(100);
/// The width of a frame that is printed to no terminal.
const PLAIN_WIDTH: u16 = 120;

/// Watch a data folder live: scenarios, their load, faults and verdicts so far, and what happened last.
///
/// It reads what the operator (or `dagstorm run`) publishes in its data folder, changes nothing, and waits for a folder that
/// is not there yet. Keys: arrows or j and k choose a scenario, Enter shows its details, ? all keys, q ends.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes of --once say what it sees: 1 a scenario has failed (or has so far), 4 something keeps a \
scenario from going on, everything is halted, no operator is there any more or a file cannot be read, 3 a verdict is Unknown \
or there is nothing to see, 0 otherwise. The first of these that is true counts; deleted scenarios do not.

Examples:
  dagstorm top --data data
  dagstorm top --data data --scenario nightly
  dagstorm top --data data --once
  watch -n 5 dagstorm top --data data --once"
)]
pub struct Arguments {
    /// The operator's data folder.
    #[arg(long, value_name = "DIR", env = "DAGSTORM_DATA", default_value = "dagstorm-data")]
    data: PathBuf,
    /// Print one frame as plain text and end; so it does, too, where stdout is no terminal.
    #[arg(long)]
    once: bool,
    /// Only scenarios whose name contains this; may be repeated. The key / does so, too.
    #[arg(long = "scenario", value_name = "TEXT")]
    scenarios: Vec<String>,
}

pub async fn execute(arguments: Arguments) -> anyhow::Result<Exit> {
    let mut follower = Follower::new(arguments.data.clone());
    if arguments.once || !io::stdout().is_terminal() {
        let mut seen = follower.read(SystemClock.now());
        seen.keep(|name| is_wanted(&arguments.scenarios, name));
        let width = if io::stdout().is_terminal() {
            terminal::size().map_or(PLAIN_WIDTH, |(width, _)| width)
        } else {
            PLAIN_WIDTH
        };
        print(&plain(&seen, &arguments.data, width))?;
        return Ok(verdict(&seen));
    }
    let look = Look { colored: is_colored(&io::stdout()) };
    let ended = shutdown()?;
    let live = tokio::task::spawn_blocking(move || live(&mut follower, &arguments, look, &ended));
    live.await.context("the view fell")?.context("the terminal cannot be used; `--once` prints one frame")?;
    Ok(Exit::Passed)
}

/// Takes the terminal, and gives it back whatever happens; a panic gives it back by itself.
fn live(follower: &mut Follower, arguments: &Arguments, look: Look, ended: &watch::Receiver<bool>) -> io::Result<()> {
    let mut terminal = ratatui::try_init()?;
    let outcome = follow(&mut terminal, follower, arguments, look, ended);
    ratatui::try_restore()?;
    outcome
}

fn follow(
    terminal: &mut ratatui::DefaultTerminal,
    follower: &mut Follower,
    arguments: &Arguments,
    look: Look,
    ended: &watch::Receiver<bool>,
) -> io::Result<()> {
    let mut chosen = Chosen::default();
    let mut all = follower.read(SystemClock.now());
    let mut read_at = Instant::now();
    while !*ended.borrow() {
        if read_at.elapsed() >= REFRESH {
            all = follower.read(SystemClock.now());
            read_at = Instant::now();
        }
        let mut seen = all.clone();
        seen.keep(|name| is_wanted(&arguments.scenarios, name) && name.contains(&chosen.filter));
        chosen.keep_within(&seen);
        terminal.draw(|frame| view::draw(frame, &seen, &arguments.data, &mut chosen, look))?;
        // A resize ends the wait too, and the next frame has the new size.
        if event::poll(KEY_WITHIN)?
            && let Event::Key(key) = event::read()?
            && key.kind != KeyEventKind::Release
            && chosen.press(key, &seen) == Action::End
        {
            return Ok(());
        }
    }
    Ok(())
}

fn is_wanted(wanted: &[String], name: &str) -> bool {
    wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()))
}

/// What a frame says, as an exit code.
fn verdict(seen: &Seen) -> Exit {
    let living = || seen.scenarios.iter().filter(|scenario| !scenario.status.deleted);
    let says = |word: &str| living().any(|scenario| scenario.verdict().starts_with(word));
    let is_silent =
        seen.operator.as_ref().is_some_and(|operator| !operator.ended && operator.silent_s >= follow::SILENT_S);
    let is_kept = living().any(seen::Scenario::is_kept);
    if says("Failed") {
        Exit::Failed
    } else if is_kept || is_silent || seen.halted.is_some() || !seen.troubles.is_empty() {
        Exit::Environment
    } else if says("Unknown") || seen.scenarios.is_empty() {
        Exit::Unknown
    } else {
        Exit::Passed
    }
}

/// One frame as text, as high as it needs to be.
fn plain(seen: &Seen, data: &Path, width: u16) -> String {
    let height = view::height(seen);
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("memory is no terminal that could fail");
    let mut chosen = Chosen { is_plain: true, ..Chosen::default() };
    let draw = |frame: &mut ratatui::Frame<'_>| view::draw(frame, seen, data, &mut chosen, Look { colored: false });
    terminal.draw(draw).expect("memory is no terminal that could fail");
    text(terminal.backend().buffer())
}

/// The lines of a buffer, without the spaces at their ends.
fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width);
    let mut text = String::new();
    for line in buffer.content.chunks(width) {
        let line: String = line.iter().map(ratatui::buffer::Cell::symbol).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    format!("{}\n", text.trim_end())
}
