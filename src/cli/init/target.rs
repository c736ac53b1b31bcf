//! The Target that `dagstorm init` writes: what was found, and what is to be filled in as comments. Pure.

use std::fmt::Write;

use indexmap::IndexMap;

use super::{
    choose::{Choice, Workers},
    find::Findings,
};
use crate::{
    cli::draft::{remark, text},
    world::Queue,
};

/// What a location is called as long as nobody has said which.
pub const SOME_LOCATION: &str = "your-location";
/// The repository of a `Definitions` object: the default of the field.
const USUAL_REPOSITORY: &str = "__repository__";
/// The tag that the shipped examples and the local stack use.
const READY: (&str, &str) = ("dagstorm-ready", "true");

/// The whole file.
pub fn render(name: &str, url: &str, headers: &IndexMap<String, String>, findings: &Findings) -> String {
    let mut out = format!(
        "# Where dagstorm acts. Written by `dagstorm init`: change what is wrong, fill in what is a comment.
# Every field: dagstorm explain target.spec
apiVersion: dagstorm.dev/v1alpha1
kind: Target
metadata: {{ name: {} }}
spec:
",
        text(name)
    );
    out += &dagster(url, headers, findings);
    out += "\n";
    out += &ecs(findings);
    out += "\n";
    out += &queues(findings);
    out += "\n";
    out += &network(findings);
    out += "
  # metrics: { namespace: dagstorm, dimensions: { stack: production } } # CloudWatch; without it they are logged

";
    out += &guard(findings);
    out
}

fn dagster(url: &str, headers: &IndexMap<String, String>, findings: &Findings) -> String {
    let mut out = format!("  dagster:\n    url: {}\n", text(url));
    match &findings.code {
        Ok(found) => {
            let others = match found.code.others.as_slice() {
                [] => String::new(),
                others => format!(" # there are also: {}", remark(&others.join(", "))),
            };
            let _ = writeln!(out, "    location: {}{others}", text(&found.code.location));
            if found.code.repository != USUAL_REPOSITORY {
                let _ = writeln!(out, "    repository: {}", text(&found.code.repository));
            }
        }
        Err(why) => {
            let _ = writeln!(out, "    # Not found out: {}", remark(why));
            let _ = match &findings.location {
                Some(location) => writeln!(out, "    location: {}", text(location)),
                None => {
                    writeln!(out, "    location: {SOME_LOCATION} # the code location that holds the jobs: change this")
                }
            };
        }
    }
    out += "    # requestTimeout: 30s
    # settle: 65s # how long after its last attempt a launch can still appear; 35s more than requestTimeout fits a stock Dagster
";
    if headers.is_empty() {
        out += "    # headersFromEnv: { Dagster-Cloud-Api-Token: DAGSTER_TOKEN } # a header, and the variable that holds its value\n";
    } else {
        let pairs: Vec<String> =
            headers.iter().map(|(header, name)| format!("{}: {}", text(header), text(name))).collect();
        let _ = writeln!(out, "    headersFromEnv: {{ {} }}", pairs.join(", "));
    }
    out
}

fn ecs(findings: &Findings) -> String {
    let what = "The ECS cluster and its services, for faults and for the number of workers";
    match &findings.workers {
        Choice::One(workers) => one_cluster(workers),
        Choice::Several(several) => {
            let mut out = format!("  # {what}. Choose one of them:\n");
            for Workers { cluster, service, .. } in several {
                let (cluster, service) = (text(cluster), text(service));
                let _ = writeln!(out, "  # ecs: {{ cluster: {cluster}, services: {{ workers: {service} }} }}");
            }
            out
        }
        Choice::None(reason) => format!(
            "  # {what}. Not found out: {}\n  # ecs: {{ cluster: CLUSTER, services: {{ workers: SERVICE, autoscaler: SERVICE }} }}\n",
            remark(reason)
        ),
    }
}

fn one_cluster(workers: &Workers) -> String {
    let mut out = format!(
        "  ecs:\n    cluster: {}\n    services: # role: service; faults name roles\n      workers: {}\n",
        text(&workers.cluster),
        text(&workers.service)
    );
    if let Some(autoscaler) = &workers.autoscaler {
        let _ = writeln!(out, "      autoscaler: {}", text(autoscaler));
    }
    if !workers.others.is_empty() {
        let _ = writeln!(out, "      # other services of this cluster: {}", remark(&workers.others.join(", ")));
    }
    out
}

fn queues(findings: &Findings) -> String {
    let what = "The SQS queue that feeds the workers, for its depth and for its faults";
    let line = |queue: &Queue| {
        let dead = queue.dead_letters.iter().map(|dead| format!(", deadLetters: {}", text(dead)));
        format!("queues: {{ tasks: {{ name: {}{} }} }}\n", text(&queue.name), dead.collect::<String>())
    };
    match &findings.queue {
        Choice::One(queue) => format!("  {}", line(queue)),
        Choice::Several(several) => {
            let lines = several.iter().map(|queue| format!("  # {}", line(queue)));
            format!("  # {what}. Choose one of them:\n{}", lines.collect::<String>())
        }
        Choice::None(reason) => format!(
            "  # {what}. Not found out: {}\n  # queues: {{ tasks: {{ name: QUEUE, deadLetters: QUEUE }} }}\n",
            remark(reason)
        ),
    }
}

fn network(findings: &Findings) -> String {
    let what = "The workers' security group, for partitions, which take its rules away for a while";
    let example = "sqs: { securityGroup: sg-0123456789abcdef0, port: 443 }";
    let group = match &findings.group {
        Choice::One(group) => group,
        Choice::Several(several) => {
            let lines = several.iter().map(|group| format!("  #   workers: {{ securityGroup: {} }}\n", text(group)));
            let lines: String = lines.collect();
            return format!("  # {what}. Choose one of them:\n  # network:\n{lines}  #   peers: {{ {example} }}\n");
        }
        Choice::None(reason) => {
            return format!(
                "  # {what}. Not found out: {}\n  # network:\n  #   workers: {{ securityGroup: sg-0123456789abcdef0 }}\n  #   peers: {{ {example} }}\n",
                remark(reason)
            );
        }
    };
    let mut out = format!("  network:\n    workers: {{ securityGroup: {} }}\n", text(group));
    if findings.peers.is_empty() {
        let _ =
            writeln!(out, "    # peers: {{ {example} }} # what the workers can be cut off from, by a name of yours");
    } else {
        out += "    # What the workers can be cut off from, by names of yours; these are the ends of their group's rules:\n    # peers:\n";
        for peer in &findings.peers {
            let description = remark(&peer.description);
            let note = if description.is_empty() { String::new() } else { format!(" # {description}") };
            let _ = writeln!(out, "    #   {}: {{ {}, port: {} }}{note}", peer.name, peer.place, peer.port);
        }
    }
    out
}

fn guard(findings: &Findings) -> String {
    let mut out = "  guard: # what a fault may never exceed\n".to_owned();
    let _ = match &findings.account {
        Some(account) => writeln!(out, "    account: {}", text(account)),
        None => writeln!(out, "    # account: \"123456789012\" # only in this AWS account"),
    };
    let _ = match &findings.region {
        Some(region) => writeln!(out, "    region: {}", text(region)),
        None => writeln!(out, "    # region: eu-central-1 # only in this region"),
    };
    let is_tagged = match &findings.workers {
        Choice::One(workers) => workers.tags.get(READY.0).is_some_and(|value| value == READY.1),
        Choice::Several(_) | Choice::None(_) => false,
    };
    let (key, value) = READY;
    let _ = if is_tagged {
        writeln!(out, "    requireTag: {{ {key}: \"{value}\" }} # only tasks that carry it")
    } else {
        writeln!(out, "    # requireTag: {{ {key}: \"{value}\" }} # only tasks that carry it: tag what may be broken")
    };
    out += "    maxAffected: 50%\n    minHealthy: 1\n";
    out
}
