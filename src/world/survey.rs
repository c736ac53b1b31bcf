//! Looks at AWS that join several calls: who we are, the network around a partition, objects with marks; and whether EC2 would
//! permit a change. The operator and `dagstorm plan` both use them. Nothing here changes anything.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_sts::config::ProvideCredentials;
use ipnet::IpNet;

use super::{
    LiveWorld, aws,
    ec2::{Ec2, Ec2Error, ErrorCode, Groups, Verb},
    ecs,
    live::undeclared,
};
use crate::model::{
    NetworkAcl, NetworkInterface, NetworkView, Object, ObjectsView, RulePeer, SecurityGroup, SecurityGroupRule, Target,
    Why, WhyKind,
    mark::FAULT_TAG,
    network::{SubnetsView, batches},
    target::{NetworkTarget, Peer, Place},
};

/// Whose credentials these are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub account: String,
    pub arn: String,
}

/// What EC2 says to a change that is only asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permitted {
    Yes,
    /// With EC2's words: they name the action and the resource.
    No(String),
    /// It could not be found out.
    Unknown(Why),
}

impl LiveWorld {
    /// Whether there are credentials at all. Nothing is asked of AWS itself, unless they come from there.
    pub async fn credentials(&self, target: &Target) -> Result<(), Why> {
        let none = |message: String| Why { kind: WhyKind::Unauthorized, message };
        let clients = self.clients(target);
        let clients = clients.aws().await;
        let provider = clients.config.credentials_provider();
        let provider = provider.ok_or_else(|| none("no AWS credentials are configured".to_owned()))?;
        match provider.provide_credentials().await {
            Ok(_) => Ok(()),
            Err(error) => Err(none(format!("no AWS credentials: {}", deepest(&error)))),
        }
    }

    /// The region of all AWS calls, if one is configured.
    pub async fn region(&self, target: &Target) -> Option<String> {
        self.clients(target).aws().await.config.region().map(ToString::to_string)
    }

    /// Asks STS. It needs no permission.
    pub async fn identity(&self, target: &Target) -> Result<Identity, Why> {
        let clients = self.clients(target);
        let clients = clients.aws().await;
        let answer = clients.sts.get_caller_identity().send().await;
        let answer = answer.map_err(|error| aws::why("STS GetCallerIdentity", &error))?;
        match (answer.account(), answer.arn()) {
            (Some(account), Some(arn)) => Ok(Identity { account: account.to_owned(), arn: arn.to_owned() }),
            (_, _) => Err(Why {
                kind: WhyKind::Protocol,
                message: "STS GetCallerIdentity: the answer names no account".to_owned(),
            }),
        }
    }

    /// Looks up all that a partition of the workers from this peer is computed from. `hard`: with subnets and ACLs.
    pub async fn network(&self, target: &Target, peer: &str, hard: bool) -> Result<NetworkView, Why> {
        let network = target.network.as_ref().ok_or_else(|| undeclared(target, "network"))?;
        let place = network.peers.get(peer).ok_or_else(|| undeclared(target, &format!("network.peers.{peer}")))?;
        let clients = self.clients(target);
        let clients = clients.aws().await;
        let ec2 = clients.ec2.as_ref().map_err(Clone::clone)?;
        // The interfaces first: a task that starts in between is not known to be one, and the look is taken again.
        let mut view = around(ec2, network, place, hard).await.map_err(|error| error.why)?;
        if let Some(ecs) = &target.ecs {
            let services = ecs.services.values().map(String::as_str);
            view.tasks = ecs::interfaces(self.ecs(clients, &ecs.cluster).await, services).await?;
        }
        Ok(view)
    }

    /// Looks up groups and subnets by their ids. What does not exist any more is absent.
    pub async fn objects(&self, target: &Target, objects: &[Object]) -> Result<ObjectsView, Why> {
        let clients = self.clients(target);
        let ec2 = clients.aws().await.ec2.as_ref().map_err(Clone::clone)?;
        named(ec2, objects).await.map_err(|error| error.why)
    }

    /// Asks EC2 whether these rules might be authorized or revoked: one answer for each call that it would take.
    pub async fn would_permit(&self, target: &Target, verb: Verb, rules: &[SecurityGroupRule]) -> Vec<Permitted> {
        let clients = self.clients(target);
        let clients = clients.aws().await;
        let ec2 = match &clients.ec2 {
            Ok(ec2) => ec2,
            Err(why) => return vec![Permitted::Unknown(why.clone())],
        };
        let mut answers = vec![];
        for batch in batches(rules) {
            let answer = match verb {
                Verb::Authorize => ec2.authorize(&batch, true).await.map(|_| ()),
                Verb::Revoke => ec2.revoke(&batch, true).await.map(|_| ()),
            };
            answers.push(permitted(answer));
        }
        answers
    }
}

fn permitted(answer: Result<(), Ec2Error>) -> Permitted {
    let Err(error) = answer else { return Permitted::Yes };
    match error.code {
        // It judges permissions before it looks at the rules.
        Some(ErrorCode::PermissionDuplicate | ErrorCode::PermissionNotFound) => Permitted::Yes,
        Some(ErrorCode::Throttled) | None => Permitted::Unknown(error.why),
        Some(
            ErrorCode::Unauthorized
            | ErrorCode::GroupNotFound
            | ErrorCode::TooManyRules
            | ErrorCode::DryRun
            | ErrorCode::Other(_),
        ) if error.refused => Permitted::No(error.why.message),
        Some(_) => Permitted::Unknown(error.why),
    }
}

async fn around(ec2: &Ec2, network: &NetworkTarget, peer: &Peer, hard: bool) -> Result<NetworkView, Ec2Error> {
    let workers = group(ec2, &network.workers_group).await?;
    let peer = rule_peer(ec2, &peer.place).await?;
    let own = match &network.own {
        Some(place) => Some(rule_peer(ec2, place).await?),
        None => None,
    };
    let mut worn = vec![workers.id.clone()];
    for interface in ec2.describe_network_interfaces(&worn).await? {
        worn.extend(interface.groups);
    }
    worn.sort();
    worn.dedup();
    let rules = ec2.describe_security_group_rules(&worn).await?;
    let mut named: Vec<String> = vec![workers.id.clone()];
    for end in rules.iter().map(|rule| &rule.peer).chain([&peer]).chain(&own) {
        if let RulePeer::Group { id, account: _ } = end {
            named.push(id.clone());
        }
    }
    named.sort();
    named.dedup();
    let interfaces = ec2.describe_network_interfaces(&named).await?;
    let carriers = named.into_iter().map(|group| {
        let carries = |one: &&NetworkInterface| one.groups.contains(&group);
        let found = interfaces.iter().filter(carries).cloned().collect();
        (group, found)
    });
    let carriers: BTreeMap<String, Vec<NetworkInterface>> = carriers.collect();
    let around = if hard { Some(subnets(ec2, &carriers[&workers.id]).await?) } else { None };
    Ok(NetworkView { carriers, workers, rules, peer, own, tasks: BTreeSet::new(), around })
}

async fn named(ec2: &Ec2, objects: &[Object]) -> Result<ObjectsView, Ec2Error> {
    let (mut view, mut subnets) = (ObjectsView::default(), vec![]);
    for object in objects {
        match object {
            Object::SecurityGroup(id) => {
                let ids = vec![id.clone()];
                match ec2.describe_security_groups(&Groups::Ids(ids.clone())).await {
                    Ok(groups) => view.groups.extend(groups),
                    Err(error) if error.code == Some(ErrorCode::GroupNotFound) => continue,
                    Err(error) => return Err(error),
                }
                view.rules.extend(ec2.describe_security_group_rules(&ids).await?);
            }
            Object::Subnet(id) => subnets.push(id.clone()),
            Object::NetworkAcl(_) | Object::Service(_) | Object::Instance(_) | Object::Queue(_) => {}
        }
    }
    if !subnets.is_empty() {
        view.subnets = ec2.describe_subnets(&subnets).await?;
        view.acls = judging(ec2, &subnets).await?;
    }
    Ok(view)
}

/// What judges these subnets, and all copies that faults have made.
async fn judging(ec2: &Ec2, subnets: &[String]) -> Result<Vec<NetworkAcl>, Ec2Error> {
    let mut acls = ec2.describe_network_acls(subnets).await?;
    for copy in ec2.tagged_acls(FAULT_TAG).await? {
        if acls.iter().all(|acl| acl.id != copy.id) {
            acls.push(copy);
        }
    }
    Ok(acls)
}

/// The subnets of these interfaces, what judges them and who else is in them; and all copies that faults have made.
async fn subnets(ec2: &Ec2, interfaces: &[NetworkInterface]) -> Result<SubnetsView, Ec2Error> {
    let ids: BTreeSet<String> = interfaces.iter().map(|interface| interface.subnet.clone()).collect();
    let ids: Vec<String> = ids.into_iter().filter(|id| !id.is_empty()).collect();
    if ids.is_empty() {
        return Ok(SubnetsView::default());
    }
    Ok(SubnetsView {
        subnets: ec2.describe_subnets(&ids).await?,
        acls: judging(ec2, &ids).await?,
        interfaces: ec2.describe_interfaces_in(&ids).await?,
    })
}

async fn rule_peer(ec2: &Ec2, place: &Place) -> Result<RulePeer, Ec2Error> {
    Ok(match place {
        Place::SecurityGroup(name) => RulePeer::Group { id: group(ec2, name).await?.id, account: None },
        Place::Cidr(IpNet::V4(net)) => RulePeer::Ipv4(*net),
        Place::Cidr(IpNet::V6(net)) => RulePeer::Ipv6(*net),
        Place::PrefixList(id) => RulePeer::PrefixList(id.clone()),
    })
}

/// A group by its id, or by its name: no name begins like an id.
async fn group(ec2: &Ec2, name: &str) -> Result<SecurityGroup, Ec2Error> {
    let named = vec![name.to_owned()];
    let groups = if name.starts_with("sg-") { Groups::Ids(named) } else { Groups::Names(named) };
    let found = ec2.describe_security_groups(&groups).await?;
    let wrong = |message: String| Ec2Error {
        code: Some(ErrorCode::GroupNotFound),
        why: Why { kind: WhyKind::NotFound, message },
        refused: true,
    };
    match &found[..] {
        [one] => Ok(one.clone()),
        [] => Err(wrong(format!("no security group is named `{name}`"))),
        several => Err(wrong(format!("{} security groups are named `{name}`: name it by its id", several.len()))),
    }
}

/// The innermost cause: the others only say that something failed.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_judgement_of_permissions_is_a_yes_or_a_no() {
        let error = |code: Option<ErrorCode>, refused: bool| {
            Err(Ec2Error { code, refused, why: Why { kind: WhyKind::ServerError, message: "its words".to_owned() } })
        };
        for (answer, word) in [
            (Ok(()), "yes"),
            (error(Some(ErrorCode::PermissionDuplicate), true), "yes"),
            (error(Some(ErrorCode::PermissionNotFound), true), "yes"),
            (error(Some(ErrorCode::Unauthorized), true), "no"),
            (error(Some(ErrorCode::GroupNotFound), true), "no"),
            (error(Some(ErrorCode::Other("InvalidParameterValue".to_owned())), true), "no"),
            (error(Some(ErrorCode::Other("InternalError".to_owned())), false), "unknown"),
            (error(Some(ErrorCode::Throttled), true), "unknown"),
            (error(None, true), "unknown"),
            (error(None, false), "unknown"),
        ] {
            let said = format!("{answer:?}");
            let found = match permitted(answer) {
                Permitted::Yes => "yes",
                Permitted::No(message) if message == "its words" => "no",
                Permitted::Unknown(why) if why.message == "its words" => "unknown",
                Permitted::No(_) | Permitted::Unknown(_) => "something else",
            };
            assert_eq!(found, word, "{said}");
        }
    }
}
