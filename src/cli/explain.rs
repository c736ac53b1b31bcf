//! `dagstorm explain`: a field of the manifests in words.

use clap::Args;

use super::{Exit, print, say};
use crate::spec;

/// Explain a field of the manifests: what it means, its type, its default, examples, and what lies below it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dagstorm explain
  dagstorm explain scenario.spec.load
  dagstorm explain spec.faults.stopTasks
  dagstorm explain target.spec.guard.maxAffected")]
pub struct Arguments {
    /// The field, as in `spec.load.arrivals`. It may begin with the kind; scenarios come first otherwise.
    #[arg(value_name = "FIELD.PATH")]
    path: Option<String>,
}

pub fn execute(arguments: &Arguments) -> anyhow::Result<Exit> {
    let explained = match &arguments.path {
        Some(path) => spec::explain(path),
        None => kinds(),
    };
    match explained {
        Ok(text) => {
            print(&text)?;
            Ok(Exit::Passed)
        }
        Err(message) => {
            say(&message);
            Ok(Exit::Usage)
        }
    }
}

/// Both kinds, from the spec down: the head is the same for all manifests.
fn kinds() -> Result<String, String> {
    let parts: Result<Vec<String>, String> =
        spec::Kind::ALL.into_iter().map(|kind| spec::explain(&format!("{}.spec", kind.word()))).collect();
    Ok(format!("{}\nGo on with a path, as in `dagstorm explain spec.load.arrivals`.\n", parts?.join("\n")))
}
