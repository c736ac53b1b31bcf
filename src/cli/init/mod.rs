//! `dagstorm init`: a Target and a Scenario to begin with, from what there is.

mod choose;
mod find;
mod scenario;
mod target;

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;
use indexmap::IndexMap;

use self::{
    choose::Choice,
    find::{Findings, find},
};
use super::{
    Exit,
    check::check,
    draft::{Draft, remark},
    files::Given,
    print, say,
    scenarios::usual_url,
};
use crate::spec::Kind;

/// Write a Target and a Scenario to begin with: target.yaml and scenario.yaml.
///
/// It looks around and asks nothing: Dagster tells its code locations and jobs; with AWS credentials (environment,
/// profile, task role) ECS, SQS and EC2 tell what the workers are. Nothing is changed there. What could not be found out
/// stands in the files as a comment, and is said. An existing file is never overwritten.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dagstorm init
  dagstorm init manifests.d --dagster-url http://dagster.internal:3000/graphql --cluster production
  dagstorm init --header Dagster-Cloud-Api-Token=DAGSTER_TOKEN --location etl --workers taskiq-worker")]
pub struct Arguments {
    /// Where the two files are written; made if it is not there
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// Overwrite files that are there
    #[arg(long)]
    force: bool,
    /// The name of the Target
    #[arg(long, default_value = "mine")]
    name: String,
    /// Dagster's GraphQL endpoint [env: DAGSTER_GRAPHQL_URL] [default: http://127.0.0.1:3000/graphql]
    #[arg(long, value_name = "URL", help_heading = "Dagster")]
    dagster_url: Option<String>,
    /// The code location [default: the first that has jobs]
    #[arg(long, value_name = "NAME", help_heading = "Dagster")]
    location: Option<String>,
    /// An HTTP header, and the environment variable that holds its value; may be repeated
    #[arg(long, value_name = "HEADER=VARIABLE", help_heading = "Dagster", value_parser = header)]
    header: Vec<(String, String)>,
    /// The ECS cluster [default: the one with workers]
    #[arg(long, value_name = "NAME", help_heading = "AWS")]
    cluster: Option<String>,
    /// The ECS service of the workers [default: the one that is called like it]
    #[arg(long, value_name = "SERVICE", help_heading = "AWS")]
    workers: Option<String>,
    /// The ECS service of the autoscaler [default: the one that is called like it]
    #[arg(long, value_name = "SERVICE", help_heading = "AWS")]
    autoscaler: Option<String>,
    /// The SQS queue that feeds the workers [default: the one that is called like it]
    #[arg(long, value_name = "NAME", help_heading = "AWS")]
    queue: Option<String>,
    /// The workers' security group [default: that of their service]
    #[arg(long, value_name = "ID", help_heading = "AWS")]
    workers_group: Option<String>,
    /// The region [default: as AWS's own tools find it]
    #[arg(long, value_name = "REGION", help_heading = "AWS")]
    region: Option<String>,
}

const TARGET: &str = "target.yaml";
const SCENARIO: &str = "scenario.yaml";

fn header(text: &str) -> Result<(String, String), String> {
    let (header, variable) =
        text.split_once('=').ok_or("write HEADER=VARIABLE, as in `Dagster-Cloud-Api-Token=DAGSTER_TOKEN`")?;
    Ok((header.trim().to_owned(), variable.trim().to_owned()))
}

pub async fn execute(arguments: &Arguments) -> anyhow::Result<Exit> {
    let is_here = arguments.folder == Path::new(".");
    let paths = [TARGET, SCENARIO].map(|name| if is_here { PathBuf::from(name) } else { arguments.folder.join(name) });
    let present: Vec<String> =
        paths.iter().filter(|path| path.symlink_metadata().is_ok()).map(|path| path.display().to_string()).collect();
    if !present.is_empty() && !arguments.force {
        let (are, them) = if present.len() == 1 { ("is", "it") } else { ("are", "them") };
        say(&format!(
            "{} {are} there already: nothing was written; choose another folder, or overwrite {them} by --force",
            present.join(" and ")
        ));
        return Ok(Exit::Usage);
    }
    let url = arguments.dagster_url.clone().unwrap_or_else(usual_url);
    let headers: IndexMap<String, String> = arguments.header.iter().cloned().collect();
    // What the flags alone make is judged before anything is asked.
    if !is_good(arguments, &url, &headers, &Findings::of_flags(arguments)) {
        return Ok(Exit::Usage);
    }
    let findings = find(arguments, &url, &headers).await;
    if !is_good(arguments, &url, &headers, &findings) {
        return Ok(Exit::Usage);
    }
    fs::create_dir_all(&arguments.folder)
        .with_context(|| format!("the folder {} cannot be made", arguments.folder.display()))?;
    for (path, text) in paths.iter().zip(texts(arguments, &url, &headers, &findings)) {
        write(path, &text, arguments.force).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    notes(&findings).iter().for_each(|note| say(note));
    print(&summary(&paths, &url, &findings))?;
    Ok(Exit::Passed)
}

fn texts(arguments: &Arguments, url: &str, headers: &IndexMap<String, String>, findings: &Findings) -> [String; 2] {
    [target::render(&arguments.name, url, headers, findings), scenario::render(&arguments.name, findings)]
}

/// Judges the two files as `dagstorm validate` does, and says what is wrong in the words of the flags.
fn is_good(arguments: &Arguments, url: &str, headers: &IndexMap<String, String>, findings: &Findings) -> bool {
    let mut draft = Draft::new(Kind::Target);
    for (path, flag) in [
        ("metadata.name", "--name"),
        ("spec.dagster.url", "--dagster-url"),
        ("spec.dagster.location", "--location"),
        ("spec.dagster.headersFromEnv", "--header"),
        ("spec.ecs.cluster", "--cluster"),
        ("spec.ecs.services.workers", "--workers"),
        ("spec.ecs.services.autoscaler", "--autoscaler"),
        ("spec.queues", "--queue"),
        ("spec.network.workers", "--workers-group"),
        ("spec.guard.region", "--region"),
    ] {
        draft.flag(path, flag);
    }
    let names = [TARGET, SCENARIO].map(str::to_owned);
    let contents = texts(arguments, url, headers, findings).map(|text| Ok(text.into_bytes()));
    let given = Given::of(names.into_iter().zip(contents).collect());
    let checked = check(&given);
    // A name that is none is wrong in both files: once is enough.
    for file in &checked {
        let findings: Vec<_> = file.documents.iter().flat_map(|document| &document.findings).collect();
        if !findings.is_empty() {
            findings.iter().for_each(|finding| draft.wrong(&finding.error, file.file.text()).say());
            return false;
        }
    }
    true
}

/// Without `force` a file that has come meanwhile is not overwritten either.
fn write(path: &Path, text: &str, force: bool) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    if force {
        options.write(true).create(true).truncate(true);
    } else {
        options.write(true).create_new(true);
    }
    options.open(path)?.write_all(text.as_bytes())
}

/// One line for each thing that was not found out, with the flag that says it.
fn notes(findings: &Findings) -> Vec<String> {
    let mut notes = vec![];
    let broken = findings.code.iter().flat_map(|found| &found.broken);
    notes.extend(broken.map(|(name, error)| {
        format!("code location `{name}` is passed over, because it is not loaded: {}", remark(error))
    }));
    match &findings.code {
        Ok(found) if found.ready.is_empty() => {
            let location = &found.code.location;
            notes.push(format!(
                "no job of code location `{location}` can be launched without a run config: name one in {SCENARIO}, or \
                 another location by --location"
            ));
        }
        Ok(found) if !found.code.others.is_empty() => {
            let (location, others) = (&found.code.location, found.code.others.join(", "));
            notes.push(format!("code location `{location}` was taken; there are also {others}: --location chooses"));
        }
        Ok(_) => {}
        Err(why) => {
            let why = remark(why);
            notes.push(match &findings.location {
                Some(_) => format!("no job: {why}; give --dagster-url, or write a job into {SCENARIO}"),
                None => format!("no code location: {why}; give --dagster-url, or --location"),
            });
        }
    }
    if let Some(why) = &findings.no_aws {
        let flags = "--cluster with --workers, --queue, --workers-group";
        let why = remark(why);
        notes.push(format!("nothing of AWS: {why}; give credentials (as to the AWS CLI) and --region, or {flags}"));
        return notes;
    }
    if findings.account.is_none() {
        notes.push(format!("no account: STS did not tell it; write it into {TARGET}, under guard.account"));
    }
    let workers = |one: &choose::Workers| format!("{}/{}", one.cluster, one.service);
    notes.extend(missing(&findings.workers, "ECS service of the workers", workers, "--cluster and --workers"));
    notes.extend(missing(&findings.queue, "SQS queue", |queue| queue.name.clone(), "--queue"));
    notes.extend(missing(&findings.group, "security group of the workers", Clone::clone, "--workers-group"));
    notes
}

fn missing<T>(choice: &Choice<T>, what: &str, name: impl Fn(&T) -> String, flag: &str) -> Option<String> {
    match choice {
        Choice::One(_) => None,
        Choice::Several(several) => {
            let names: Vec<String> = several.iter().map(name).collect();
            Some(format!("the {what} may be {}; choose by {flag}", names.join(" or ")))
        }
        Choice::None(why) => Some(format!("no {what}: {}; give {flag}", remark(why))),
    }
}

/// What was written, and what to do next.
fn summary(paths: &[PathBuf; 2], url: &str, findings: &Findings) -> String {
    let [target, scenario] = paths.each_ref().map(|path| path.display().to_string());
    let mut where_ = match &findings.code {
        Ok(found) => format!("Dagster at {url}, code location {}", found.code.location),
        Err(_) => match &findings.location {
            Some(location) => format!("Dagster at {url}, code location {location}"),
            None => format!("Dagster at {url}; write the code location into it"),
        },
    };
    if let Choice::One(workers) = &findings.workers {
        where_ += &format!("; ECS cluster {}, workers {}", workers.cluster, workers.service);
    }
    if let Choice::One(queue) = &findings.queue {
        where_ += &format!("; queue {}", queue.name);
    }
    let what = match scenario::job(findings) {
        (job, true) => format!("6 runs of {job} in a minute, nothing is broken"),
        (_, false) => "6 runs in a minute, nothing is broken; write the name of a job into it".to_owned(),
    };
    format!(
        "{target}: {where_}
{scenario}: {what}

Next:
  dagstorm validate {target} {scenario}
  dagstorm run {target} {scenario}
"
    )
}
