//! L8: the commands, one file each. Exit codes: 0 passed, 1 failed, 2 usage or bad manifest, 3 unknown, 4 environment.

mod audit;
mod check;
mod completions;
mod control;
mod draft;
mod explain;
mod files;
mod forget;
mod heal;
mod init;
mod known;
mod logging;
mod operator;
mod patience;
mod plan;
mod progress;
mod report;
mod run;
mod scenarios;
mod schema;
mod similar;
mod surprises;
#[cfg(feature = "tui")]
mod top;
mod validate;

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use clap::{
    CommandFactory, Parser, Subcommand, ValueEnum,
    error::{ContextKind, ContextValue, ErrorKind},
};
use serde::Serialize;
use tokio::sync::watch;

/// Load, faults and proof for Dagster on ECS.
#[derive(Debug, Parser)]
#[command(name = "dagstorm", version, about, long_about = None)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Operator(operator::Arguments),
    Run(Box<run::Arguments>),
    Plan(plan::Arguments),
    Heal(heal::Arguments),
    Audit(audit::Arguments),
    Report(report::Arguments),
    #[cfg(feature = "tui")]
    Top(top::Arguments),
    Halt(control::HaltArguments),
    Suspend(control::SuspendArguments),
    Resume(control::ResumeArguments),
    Forget(forget::Arguments),
    Validate(validate::Arguments),
    Explain(explain::Arguments),
    Schema(schema::Arguments),
    Init(init::Arguments),
    Completions(completions::Arguments),
}

/// How a result is written: `-o`, everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    #[value(alias = "text")]
    Table,
    /// For programs.
    Json,
    /// The same fields as JSON.
    Yaml,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Passed = 0,
    Failed = 1,
    Usage = 2,
    Unknown = 3,
    Environment = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The command line as clap describes it.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Parses the command line, runs the command and says how it ended.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // clap prints help to stdout (0) and mistakes to stderr (2).
        Err(error) => return refuse(error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&anyhow::Error::new(error).context("no runtime can be started")),
    };
    let ended = runtime.block_on(async {
        match cli.command {
            Command::Operator(arguments) => operator::execute(arguments).await,
            Command::Run(arguments) => run::execute(*arguments).await,
            Command::Plan(arguments) => plan::execute(arguments).await,
            Command::Heal(arguments) => heal::execute(arguments).await,
            Command::Audit(arguments) => audit::execute(&arguments).await,
            Command::Report(arguments) => report::execute(&arguments),
            #[cfg(feature = "tui")]
            Command::Top(arguments) => top::execute(arguments).await,
            Command::Halt(arguments) => control::halt(&arguments),
            Command::Suspend(arguments) => control::suspend(&arguments),
            Command::Resume(arguments) => control::resume(&arguments),
            Command::Forget(arguments) => forget::execute(arguments).await,
            Command::Validate(arguments) => validate::execute(&arguments).await,
            Command::Explain(arguments) => explain::execute(&arguments),
            Command::Schema(arguments) => schema::execute(&arguments),
            Command::Init(arguments) => init::execute(&arguments).await,
            Command::Completions(arguments) => completions::execute(&arguments),
        }
    });
    // A look that hangs in a blocking call must not hold up the end.
    runtime.shutdown_background();
    match ended {
        Ok(exit) => exit.into(),
        Err(error) => complain(&error),
    }
}

/// Shows help, or what is wrong with the command line.
fn refuse(mut error: clap::Error) -> ExitCode {
    let code = u8::try_from(error.exit_code()).unwrap_or(Exit::Usage as u8);
    suggest(&mut error);
    let hint =
        (error.kind() == ErrorKind::UnknownArgument).then(|| run::hint(&std::env::args_os().collect::<Vec<_>>()));
    match hint.flatten() {
        // A word that is no ready-made scenario has no flags: clap's own tips lead away from that.
        Some(hint) if hint.is_instead => say(&hint.message),
        hint => {
            let _ = error.print();
            hint.iter().for_each(|hint| say(&hint.message));
        }
    }
    ExitCode::from(code)
}

/// Puts our own suggestions in the place of clap's, which know nothing of drastic commands.
fn suggest(error: &mut clap::Error) {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return;
    }
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else { return };
    let command = Cli::command();
    let known = command.get_subcommands().map(clap::Command::get_name).chain(["help"]);
    let similar: Vec<String> = similar::similar(word, known).into_iter().map(str::to_owned).collect();
    if similar.is_empty() {
        error.remove(ContextKind::SuggestedSubcommand);
    } else {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(similar));
    }
}

fn complain(error: &anyhow::Error) -> ExitCode {
    say(&format!("{error:#}"));
    Exit::Environment.into()
}

/// Says something on stderr. If nobody listens there, nothing can be done about it.
fn say(message: &str) {
    let _ = writeln!(anstream::stderr(), "dagstorm: {message}");
}

/// Writes a result to stdout. A reader that has gone (`| head`) has had enough: that is no error.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("stdout cannot be written"))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes a result in one of its three forms.
fn print_as(output: Output, value: &impl Serialize, table: impl FnOnce() -> String) -> anyhow::Result<()> {
    match output {
        Output::Table => print(&table()),
        Output::Json => print(&format!("{}\n", serde_json::to_string_pretty(value)?)),
        Output::Yaml => print(&serde_saphyr::to_string(value)?),
    }
}

/// Whether colors belong on this stream: on a terminal, unless the environment says otherwise (NO_COLOR …).
fn is_colored(stream: &(impl anstream::stream::RawStream + IsTerminal)) -> bool {
    anstream::AutoStream::choice(stream) != anstream::ColorChoice::Never
}

/// Becomes true at the first SIGTERM or SIGINT; the second ends the process at once (the journal is made for it).
fn shutdown() -> anyhow::Result<watch::Receiver<bool>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if sender.send_replace(true) {
                std::process::exit(i32::from(Exit::Unknown as u8));
            }
        }
    });
    Ok(receiver)
}
