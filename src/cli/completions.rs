//! `dagstorm completions`: what a shell completes the command line with.

use clap::Args;
use clap_complete::{Shell, generate};

use super::{Exit, command, print};

/// Print the completions of a shell.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dagstorm completions bash > ~/.local/share/bash-completion/completions/dagstorm
  dagstorm completions zsh > ~/.zfunc/_dagstorm
  dagstorm completions fish > ~/.config/fish/completions/dagstorm.fish")]
pub struct Arguments {
    shell: Shell,
}

pub fn execute(arguments: &Arguments) -> anyhow::Result<Exit> {
    let mut script = vec![];
    generate(arguments.shell, &mut command(), "dagstorm", &mut script);
    print(&String::from_utf8(script)?)?;
    Ok(Exit::Passed)
}
