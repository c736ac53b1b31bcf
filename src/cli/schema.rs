//! `dagstorm schema`: what editors complete and check manifests with.

use clap::{Args, ValueEnum};

use super::{Exit, print};
use crate::spec;

/// Print the JSON Schema (draft-07) of the manifests.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dagstorm schema > dagstorm.schema.json
  dagstorm schema scenario | jq .properties.spec

For editors with the YAML language server, as the first line of a manifest:
  # yaml-language-server: $schema=dagstorm.schema.json")]
pub struct Arguments {
    /// One kind only; both, told apart by `kind`, if it is left out.
    #[arg(value_name = "KIND", ignore_case = true)]
    kind: Option<Kind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Scenario,
    Target,
}

pub fn execute(arguments: &Arguments) -> anyhow::Result<Exit> {
    let kind = arguments.kind.map(|kind| match kind {
        Kind::Scenario => spec::Kind::Scenario,
        Kind::Target => spec::Kind::Target,
    });
    print(&format!("{:#}\n", spec::schema(kind)))?;
    Ok(Exit::Passed)
}
