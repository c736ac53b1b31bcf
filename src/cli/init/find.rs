//! Looks around: Dagster and AWS at once, each within its time-outs. What a flag says is not looked for.

use std::time::Duration;

use futures::future::join_all;
use indexmap::IndexMap;
use tokio::time::timeout;

use super::{
    Arguments,
    choose::{self, Choice, Code, Workers},
};
use crate::{
    cli::draft::text,
    model::{RulePeer, Span, Why, network::Protocol, target::DagsterTarget},
    world::{Account, Dagster, JobCheck, Queue, Service},
};

const DAGSTER_TIMEOUT: Span = Span::from_secs(4);
/// AWS as a whole: many clusters, or an endpoint that swallows every call.
const AWS_TIMEOUT: Duration = Duration::from_secs(20);
const MOST_CLUSTERS: usize = 20;
/// So many jobs are asked whether they can run without a run config.
const MOST_JOBS: usize = 30;
const MOST_PEERS: usize = 12;

/// What was found, or why it was not.
#[derive(Debug)]
pub struct Findings {
    pub code: Result<Jobs, String>,
    /// The code location that a flag names, whether or not Dagster could be asked.
    pub location: Option<String>,
    /// Nothing of AWS answered, and why. The other fields hold what flags say then.
    pub no_aws: Option<String>,
    pub account: Option<String>,
    pub region: Option<String>,
    pub workers: Choice<Workers>,
    pub queue: Choice<Queue>,
    pub group: Choice<String>,
    /// Where the workers' group lets them connect to.
    pub peers: Vec<FoundPeer>,
}

/// A code location, its jobs told apart.
#[derive(Debug)]
pub struct Jobs {
    pub code: Code,
    /// They can be launched as they are.
    pub ready: Vec<String>,
    /// They need a run config, or a partition.
    pub demanding: Vec<String>,
    /// Code locations that Dagster could not load, with its error.
    pub broken: Vec<(String, String)>,
}

/// The other end of a rule of the workers' security group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundPeer {
    pub name: String,
    /// A field of a peer with its value: `securityGroup: sg-0123`.
    pub place: String,
    pub port: u16,
    pub description: String,
}

impl Findings {
    /// What flags alone say.
    pub fn of_flags(arguments: &Arguments) -> Self {
        nothing(arguments, String::new())
    }
}

/// Looks for everything. It always comes back, and within half a minute.
pub async fn find(arguments: &Arguments, url: &str, headers: &IndexMap<String, String>) -> Findings {
    let (code, aws) = tokio::join!(code(arguments, url, headers), timeout(AWS_TIMEOUT, aws(arguments)));
    let aws = aws.unwrap_or_else(|_| nothing(arguments, format!("AWS did not answer within {AWS_TIMEOUT:?}")));
    Findings { code, ..aws }
}

async fn code(arguments: &Arguments, url: &str, headers: &IndexMap<String, String>) -> Result<Jobs, String> {
    let at = |location: &str, repository: &str| {
        Dagster::new(&DagsterTarget {
            url: url.to_owned(),
            location: location.to_owned(),
            repository: repository.to_owned(),
            request_timeout: DAGSTER_TIMEOUT,
            settle: DAGSTER_TIMEOUT,
            max_concurrent_launches: 1,
            headers_from_env: headers.clone(),
            event_log: None,
        })
    };
    let words = |why: Why| why.message;
    let locations = at("", "").map_err(words)?.locations().await.map_err(words)?;
    let code = choose::code(&locations, arguments.location.as_deref())?;
    let dagster = at(&code.location, &code.repository).map_err(words)?;
    let asked: Vec<&String> = code.jobs.iter().take(MOST_JOBS).collect();
    let without = serde_json::json!({});
    let answers = join_all(asked.iter().map(|job| dagster.check(job, &[], &without))).await;
    let (mut ready, mut demanding) = (vec![], vec![]);
    for (job, answer) in asked.into_iter().zip(answers) {
        match answer {
            Ok(JobCheck { invalid: Some(_), .. } | JobCheck { is_partitioned: true, .. }) => {
                demanding.push(job.clone());
            }
            // A Dagster that cannot tell refuses the launch itself, and says why.
            Ok(JobCheck { invalid: None, is_partitioned: false }) | Err(_) => ready.push(job.clone()),
        }
    }
    let broken = locations.into_iter().filter_map(|location| Some((location.name, location.error?))).collect();
    Ok(Jobs { code, ready, demanding, broken })
}

/// What flags alone say.
fn nothing(arguments: &Arguments, why: String) -> Findings {
    let workers = match (&arguments.cluster, &arguments.workers) {
        (Some(cluster), Some(service)) => Choice::One(Workers {
            cluster: cluster.clone(),
            service: service.clone(),
            autoscaler: arguments.autoscaler.clone(),
            others: vec![],
            groups: vec![],
            tags: IndexMap::new(),
        }),
        (_, _) => Choice::None("AWS could not be asked".to_owned()),
    };
    let queue = arguments.queue.clone().map(|name| Queue { name, dead_letters: None });
    let unknown = || "AWS could not be asked".to_owned();
    Findings {
        code: Err(String::new()),
        location: arguments.location.clone(),
        no_aws: Some(why),
        account: None,
        region: arguments.region.clone(),
        workers,
        queue: Choice::of(queue.into_iter().collect(), unknown),
        group: Choice::of(arguments.workers_group.iter().cloned().collect(), unknown),
        peers: vec![],
    }
}

async fn aws(arguments: &Arguments) -> Findings {
    let account = Account::new(arguments.region.as_deref()).await;
    if account.region().is_none() {
        return nothing(arguments, "no region is known".to_owned());
    }
    let (number, clusters, queues) =
        tokio::join!(account.number(), clusters(&account, arguments.cluster.as_ref()), account.queues());
    if let (Err(why), Err(_), Err(_)) = (&number, &clusters, &queues) {
        return nothing(arguments, why.message.clone());
    }
    let workers = match &clusters {
        Ok(clusters) => choose::workers(clusters, arguments.workers.as_deref(), arguments.autoscaler.as_deref()),
        Err(why) => match nothing(arguments, String::new()).workers {
            Choice::One(said) => Choice::One(said),
            Choice::Several(_) | Choice::None(_) => Choice::None(why.message.clone()),
        },
    };
    let queue = match queues {
        Ok(queues) => choose::queue(&queues, arguments.queue.as_deref()),
        Err(why) => match &arguments.queue {
            Some(name) => Choice::One(Queue { name: name.clone(), dead_letters: None }),
            None => Choice::None(why.message),
        },
    };
    let group = group(&account, arguments.workers_group.as_ref(), &workers).await;
    let peers = match &group {
        Choice::One(group) => peers(&account, group).await,
        Choice::Several(_) | Choice::None(_) => vec![],
    };
    Findings {
        code: Err(String::new()),
        location: arguments.location.clone(),
        no_aws: None,
        account: number.ok(),
        region: account.region().map(str::to_owned),
        workers,
        queue,
        group,
        peers,
    }
}

async fn clusters(account: &Account, wanted: Option<&String>) -> Result<Vec<(String, Vec<Service>)>, Why> {
    let names = match wanted {
        Some(name) => vec![name.clone()],
        None => account.clusters().await?,
    };
    let mut found = vec![];
    for name in names.into_iter().take(MOST_CLUSTERS) {
        let services = account.services(&name).await?;
        found.push((name, services));
    }
    Ok(found)
}

async fn group(account: &Account, wanted: Option<&String>, workers: &Choice<Workers>) -> Choice<String> {
    if let Some(group) = wanted {
        return Choice::One(group.clone());
    }
    let Choice::One(workers) = workers else { return Choice::None("the workers' service is not known".to_owned()) };
    if !workers.groups.is_empty() {
        return Choice::of(workers.groups.clone(), String::new);
    }
    match account.groups_of_tasks(&workers.cluster, &workers.service).await {
        Ok(groups) => Choice::of(groups, || {
            format!("neither service {} nor its tasks name a security group of their own", workers.service)
        }),
        Err(why) => Choice::None(why.message),
    }
}

/// The ends of the rules that name one TCP port. They are only offered: that EC2 cannot tell is no matter.
async fn peers(account: &Account, group: &str) -> Vec<FoundPeer> {
    let rules = account.egress(group).await.unwrap_or_default();
    let mut peers: Vec<FoundPeer> = vec![];
    for rule in rules.into_iter().filter(|rule| rule.protocol == Protocol::Tcp) {
        let Some((first, last)) = rule.ports().filter(|(first, last)| first == last) else { continue };
        let Ok(port) = u16::try_from(last.min(first)) else { continue };
        let place = match &rule.peer {
            RulePeer::Group { id, account: _ } => format!("securityGroup: {}", text(id)),
            RulePeer::PrefixList(id) => format!("prefixList: {}", text(id)),
            RulePeer::Ipv4(net) => format!("cidr: \"{}\"", net.trunc()),
            RulePeer::Ipv6(net) => format!("cidr: \"{}\"", net.trunc()),
        };
        let description = rule.description.unwrap_or_default();
        let taken = |name: &str| peers.iter().any(|peer| peer.name == name);
        let word = name_of(port);
        let name = if taken(&word) { format!("{word}-{}", peers.len() + 1) } else { word };
        peers.push(FoundPeer { name, place, port, description });
    }
    peers.truncate(MOST_PEERS);
    peers
}

/// What listens on a port, by custom.
fn name_of(port: u16) -> String {
    match port {
        443 => "sqs".to_owned(),
        3000 => "dagster".to_owned(),
        5432 => "postgres".to_owned(),
        6379 => "redis".to_owned(),
        5671 | 5672 => "rabbitmq".to_owned(),
        _ => format!("port-{port}"),
    }
}
