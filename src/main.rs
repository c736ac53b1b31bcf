//! The `dagstorm` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    dagstorm::cli::main()
}
