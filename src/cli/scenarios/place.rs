//! Where a ready-made scenario acts: the Target of a file, or one that is made from flags for a quick start.

use std::{env, fmt::Write, path::PathBuf};

use clap::Args;

use super::target_of;
use crate::{
    cli::{
        check::{CheckedDocument, Severity, check},
        draft::{Draft, Wrong, text, value},
        files::Given,
    },
    model::Target,
    spec::{Kind, Manifest, document_text, help_for},
};

/// Where the runs are launched.
#[derive(Debug, Args)]
#[command(next_help_heading = "Where")]
pub struct Place {
    /// The file of the Target, as `dagstorm init` writes it [env: DAGSTORM_TARGET]
    #[arg(long, value_name = "FILE")]
    target: Option<PathBuf>,
    /// Which Target, if the file holds several
    #[arg(long, value_name = "NAME", conflicts_with_all = ["dagster_url", "location"])]
    target_name: Option<String>,
    /// Without a file: Dagster's GraphQL endpoint [env: DAGSTER_GRAPHQL_URL] [default: http://127.0.0.1:3000/graphql]
    #[arg(long, value_name = "URL", conflicts_with = "target")]
    dagster_url: Option<String>,
    /// Without a file: the code location that holds the jobs
    #[arg(long, value_name = "NAME", conflicts_with = "target")]
    location: Option<String>,
    /// Without a file: an HTTP header, and the environment variable that holds its value; may be repeated
    #[arg(long, value_name = "HEADER=VARIABLE", conflicts_with = "target")]
    header: Vec<String>,
    /// Without a file: the ECS cluster
    #[arg(long, value_name = "NAME", conflicts_with = "target")]
    cluster: Option<String>,
    /// Without a file: the ECS service of the workers
    #[arg(long, value_name = "SERVICE", requires = "cluster")]
    workers: Option<String>,
    /// Without a file: the SQS queue that feeds the workers
    #[arg(long, value_name = "NAME", conflicts_with = "target")]
    queue: Option<String>,
    /// Without a file: the AWS region [default: as AWS's own tools find it]
    #[arg(long, value_name = "REGION", conflicts_with = "target")]
    region: Option<String>,
}

/// What a fault may not exceed, in a Target that is made from flags.
#[derive(Debug, Args)]
#[command(next_help_heading = "Guard, without a file")]
pub struct Guard {
    /// Most tasks of a service that are affected at once: a number or a share [default: 50%]
    #[arg(long, value_name = "AMOUNT", conflicts_with = "target")]
    max_affected: Option<String>,
    /// Fewest tasks of a service that stay running [default: 1]
    #[arg(long, value_name = "NUMBER", conflicts_with = "target")]
    min_healthy: Option<String>,
    /// Only tasks that carry this tag; may be repeated
    #[arg(long, value_name = "KEY=VALUE", conflicts_with = "target")]
    require_tag: Vec<String>,
    /// Only in this AWS account
    #[arg(long, value_name = "ACCOUNT", conflicts_with = "target")]
    account: Option<String>,
}

/// The path that is cut, in a Target that is made from flags.
#[derive(Debug, Args)]
#[command(next_help_heading = "Network, without a file")]
pub struct Path {
    /// The workers' security group
    #[arg(long, value_name = "ID", requires = "peer_at", conflicts_with = "target")]
    workers_group: Option<String>,
    /// Where the peer is: a security group, a block of addresses or a prefix list, and its port, as in sg-0123:443
    #[arg(long, value_name = "PLACE:PORT", requires = "workers_group")]
    peer_at: Option<String>,
}

/// What to do when nobody said where.
pub const WHERE: &str = "say where: --target FILE (or DAGSTORM_TARGET) names the file of a Target, which `dagstorm init` \
writes; --dagster-url URL and --location NAME do without a file";
/// The Target that the shipped scenarios name, and the name of one that is made from flags.
const SHIPPED: &str = "local";
const MADE: &str = "mine";
const URL: &str = "http://127.0.0.1:3000/graphql";
/// A Target that is made from flags is as careful as those that are written by hand.
const MAX_AFFECTED: &str = "50%";
const MIN_HEALTHY: &str = "1";
const TARGET_VARIABLE: &str = "DAGSTORM_TARGET";
const URL_VARIABLE: &str = "DAGSTER_GRAPHQL_URL";

impl Guard {
    fn is_described(&self) -> bool {
        [&self.max_affected, &self.min_healthy, &self.account].into_iter().any(Option::is_some)
            || !self.require_tag.is_empty()
    }
}

impl Path {
    fn is_described(&self) -> bool {
        self.workers_group.is_some()
    }
}

/// The Target, as far as one was named.
#[derive(Debug)]
pub enum Found {
    Nowhere,
    /// One document of a file.
    File {
        file: String,
        text: String,
        target: Box<Target>,
        /// The fields that stand in it as comments, each with its line, as `dagstorm init` writes them.
        commented: Vec<(String, usize)>,
    },
    /// Made from flags.
    Flags(Draft),
}

impl Found {
    /// What the scenario names.
    pub fn name(&self) -> &str {
        match self {
            Self::Nowhere => SHIPPED,
            Self::File { target, .. } => target.name.as_str(),
            Self::Flags(_) => MADE,
        }
    }

    /// The Target itself.
    ///
    /// # Errors
    /// All that is wrong with a Target that was made from flags; one of a file was judged before.
    pub fn target(&self) -> Result<Option<Target>, Vec<Wrong>> {
        match self {
            Self::Nowhere => Ok(None),
            Self::File { target, .. } => Ok(Some((**target).clone())),
            Self::Flags(draft) => target_of(draft).map(Some),
        }
    }
}

/// Dagster's address if no flag names it: the environment's, or that of a Dagster on this machine.
pub fn usual_url() -> String {
    env::var(URL_VARIABLE).ok().filter(|url| !url.is_empty()).unwrap_or_else(|| URL.to_owned())
}

impl Place {
    /// The Target that was named. The command line comes before the environment.
    pub fn find(&self, guard: Option<&Guard>, path: Option<(&str, &Path)>) -> Result<Found, Vec<Wrong>> {
        if let Some(file) = &self.target {
            return self.read(file.clone());
        }
        if self.is_described()
            || guard.is_some_and(Guard::is_described)
            || path.is_some_and(|(_, path)| path.is_described())
        {
            return self.draft(guard, path).map(Found::Flags);
        }
        match (env::var_os(TARGET_VARIABLE).filter(|file| !file.is_empty()), &self.target_name) {
            (Some(file), _) => self.read(file.into()),
            (None, Some(_)) => {
                Err(vec![Wrong::Flag("--target-name chooses a Target of a file: add --target FILE".to_owned())])
            }
            (None, None) => Ok(Found::Nowhere),
        }
    }

    /// Whether any flag says something of a Target without a file.
    fn is_described(&self) -> bool {
        let given = [&self.dagster_url, &self.location, &self.cluster, &self.queue, &self.region];
        given.into_iter().any(Option::is_some) || !self.header.is_empty()
    }

    /// The one Target of a file. Whatever else the file holds is not touched.
    fn read(&self, path: PathBuf) -> Result<Found, Vec<Wrong>> {
        let shown = path.display().to_string();
        let given = Given::read(&[path]);
        let checked = check(&given);
        // What could not be read at all may be the Target.
        let is_other = |document: &CheckedDocument<'_>| document.document.kind.as_deref() == Some("Scenario");
        let mut wrong = vec![];
        let mut targets = vec![];
        for file in &checked {
            for document in file.documents.iter().filter(|document| !is_other(document)) {
                let errors = document.findings.iter().filter(|finding| finding.severity == Severity::Error);
                let nobody = Draft::new(Kind::Target);
                wrong.extend(errors.map(|finding| nobody.wrong(&finding.error, file.file.text())));
                if let Ok(Manifest::Target(target)) = &document.document.content {
                    targets.push((file.file, document.document.number, target));
                }
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let names = targets.iter().map(|(_, _, target)| target.name.as_str());
        let chosen = match &self.target_name {
            Some(wanted) => targets.iter().find(|(_, _, target)| target.name.as_str() == wanted).ok_or_else(|| {
                format!("--target-name: no Target `{wanted}` is in {shown}; {}", help_for(wanted, names.clone()))
            }),
            None => match targets.as_slice() {
                [] => Err(format!("--target: no Target is in {shown}; `dagstorm init` writes one")),
                [only] => Ok(only),
                _ => {
                    let names: Vec<&str> = names.collect();
                    Err(format!("--target: several Targets are in {shown} ({}): add --target-name", names.join(", ")))
                }
            },
        };
        let (file, number, target) = chosen.map_err(|message| vec![Wrong::Flag(message)])?;
        let text = document_text(file.content.as_deref().unwrap_or_default(), *number);
        let text = text.expect("the number is that of a document which was read from this file").to_owned();
        let commented = commented(file.text(), &text);
        Ok(Found::File { file: file.name.clone(), text, target: (*target).clone(), commented })
    }

    fn draft(&self, guard: Option<&Guard>, path: Option<(&str, &Path)>) -> Result<Draft, Vec<Wrong>> {
        let Some(location) = &self.location else {
            let message = "--location is missing: say which code location of Dagster holds the jobs, or name the file \
                           of a Target by --target FILE";
            return Err(vec![Wrong::Flag(message.to_owned())]);
        };
        let url = self.dagster_url.clone().unwrap_or_else(usual_url);
        let mut draft = Draft::new(Kind::Target);
        let url_flag = if self.dagster_url.is_some() { "--dagster-url" } else { URL_VARIABLE };
        let mut out = format!(
            "# Where: from flags. `dagstorm init` writes a file to keep.
apiVersion: dagstorm.dev/v1alpha1
kind: Target
metadata: {{ name: {MADE} }}
spec:
  dagster:
    url: {}
    location: {}
",
            text(&url),
            text(location)
        );
        if !self.header.is_empty() {
            let _ = writeln!(out, "    headersFromEnv: {{ {} }}", pairs(&self.header)); // the values are never recorded
        }
        if let Some(cluster) = &self.cluster {
            let workers = self.workers.iter().map(|service| format!(", services: {{ workers: {} }}", text(service)));
            let _ = writeln!(out, "  ecs: {{ cluster: {}{} }}", text(cluster), workers.collect::<String>());
        }
        if let Some(queue) = &self.queue {
            let _ = writeln!(out, "  queues: {{ tasks: {{ name: {} }} }}", text(queue));
        }
        if let Some((peer, Path { workers_group: Some(group), peer_at: Some(at) })) = path {
            let _ = writeln!(
                out,
                "  network:\n    workers: {{ securityGroup: {} }}\n    peers: {{ {}: {{ {} }} }}",
                text(group),
                text(peer),
                peer_at(at)
            );
        }
        out += &self.guard(guard);
        for (path, flag) in [
            ("spec.dagster.url", url_flag),
            ("spec.dagster.location", "--location"),
            ("spec.dagster.headersFromEnv", "--header"),
            ("spec.ecs.cluster", "--cluster"),
            ("spec.ecs.services", "--workers"),
            ("spec.queues", "--queue"),
            ("spec.network.workers", "--workers-group"),
            ("spec.network.peers", "--peer-at"),
            ("spec.guard.account", "--account"),
            ("spec.guard.region", "--region"),
            ("spec.guard.requireTag", "--require-tag"),
            ("spec.guard.maxAffected", "--max-affected"),
            ("spec.guard.minHealthy", "--min-healthy"),
        ] {
            draft.flag(path, flag);
        }
        draft.text = out;
        Ok(draft)
    }

    fn guard(&self, guard: Option<&Guard>) -> String {
        let mut fields = vec![];
        if let Some(guard) = guard {
            fields.extend(guard.account.iter().map(|account| format!("account: {}", text(account))));
        }
        fields.extend(self.region.iter().map(|region| format!("region: {}", text(region))));
        if let Some(guard) = guard {
            if !guard.require_tag.is_empty() {
                fields.push(format!("requireTag: {{ {} }}", pairs(&guard.require_tag)));
            }
            fields.push(format!("maxAffected: {}", value(guard.max_affected.as_deref().unwrap_or(MAX_AFFECTED))));
            fields.push(format!("minHealthy: {}", value(guard.min_healthy.as_deref().unwrap_or(MIN_HEALTHY))));
        }
        if fields.is_empty() { String::new() } else { format!("  guard: {{ {} }}\n", fields.join(", ")) }
    }
}

/// The fields that are comments in one document of a file, with their lines in the file.
fn commented(file: &str, document: &str) -> Vec<(String, usize)> {
    let before = file.find(document).map_or(0, |at| file[..at].matches('\n').count());
    let field = |line: &str| {
        let (name, _) = line.trim().strip_prefix('#')?.trim_start().split_once(':')?;
        (!name.is_empty() && name.chars().all(char::is_alphanumeric)).then(|| name.to_owned())
    };
    document.lines().enumerate().filter_map(|(number, line)| Some((field(line)?, before + number + 1))).collect()
}

/// `KEY=VALUE`, several, as the inside of a map of texts.
fn pairs(given: &[String]) -> String {
    let pairs = given.iter().map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        format!("{}: {}", text(key.trim()), text(value.trim()))
    });
    pairs.collect::<Vec<_>>().join(", ")
}

/// `PLACE:PORT` as the inside of a peer. Addresses of IPv6 have colons too: the port is behind the last one.
fn peer_at(given: &str) -> String {
    let (place, port) = given.rsplit_once(':').unwrap_or((given, ""));
    let field = match place {
        _ if place.starts_with("pl-") => "prefixList",
        _ if place.contains('/') => "cidr",
        _ => "securityGroup",
    };
    format!("{field}: {}, port: {}", text(place), value(port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_are_comments_are_found_in_their_file() {
        let document = "\nkind: Target\nspec:\n  # The peers, by names of yours:\n  network:\n    # peers:\n    #   sqs: { port: 443 }\n";
        let file = format!("kind: Scenario\nmetadata: {{}}\n---{document}");
        let found = commented(&file, document);
        assert_eq!(found, [("peers".to_owned(), 8), ("sqs".to_owned(), 9)]);
    }

    #[test]
    fn peers_and_pairs() {
        for (given, expected) in [
            ("sg-0123:443", "securityGroup: sg-0123, port: 443"),
            ("10.0.3.0/24:5432", "cidr: \"10.0.3.0/24\", port: 5432"),
            ("fd00::/64:443", "cidr: \"fd00::/64\", port: 443"),
            ("pl-63a5400a:443", "prefixList: pl-63a5400a, port: 443"),
            ("sg-0123", "securityGroup: sg-0123, port: \"\""),
        ] {
            assert_eq!(peer_at(given), expected, "{given}");
        }
        let given = ["Token=NAME".to_owned(), "dagstorm-ready=true".to_owned(), "alone".to_owned()];
        assert_eq!(pairs(&given), "Token: NAME, dagstorm-ready: \"true\", alone: \"\"");
    }
}
