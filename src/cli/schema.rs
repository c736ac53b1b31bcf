//! `dagstorm schema`: what editors complete and check manifests with, and what a report holds to.

use clap::{Args, ValueEnum};

use super::{Exit, print};
use crate::{publish, spec};

/// Print the JSON Schema (draft-07) of the manifests, or of report.json.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dagstorm schema > dagstorm.schema.json
  dagstorm schema scenario | jq .properties.spec
  dagstorm schema report > report.schema.json

For editors with the YAML language server, as the first line of a manifest:
  # yaml-language-server: $schema=dagstorm.schema.json")]
pub struct Arguments {
    /// One kind only; both manifests, told apart by `kind`, if it is left out.
    #[arg(value_name = "KIND", ignore_case = true)]
    kind: Option<Kind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Scenario,
    Target,
    /// What a run comes to: report.json.
    Report,
}

pub fn execute(arguments: &Arguments) -> anyhow::Result<Exit> {
    let schema = match arguments.kind {
        None => spec::schema(None),
        Some(Kind::Scenario) => spec::schema(Some(spec::Kind::Scenario)),
        Some(Kind::Target) => spec::schema(Some(spec::Kind::Target)),
        Some(Kind::Report) => publish::report_schema(),
    };
    print(&format!("{schema:#}\n"))?;
    Ok(Exit::Passed)
}
