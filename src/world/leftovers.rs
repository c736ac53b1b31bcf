//! What faults left behind, found by their marks alone: no journal and no manifest is needed.

use aws_sdk_ecs::types::ServiceField;
use indexmap::IndexMap;

use super::{LiveWorld, aws, ecs, live::Aws, own::Own, queue};
use crate::model::{
    Mark, Object, Target, Why,
    mark::{self, FAULT_TAG},
};

/// What DescribeServices takes at most.
const SERVICES: usize = 10;

/// An object that carries a fault's mark.
#[derive(Debug, Clone, PartialEq)]
pub struct Leftover {
    pub object: Object,
    pub mark: Mark,
}

/// Objects with their tags.
type Tagged = Vec<(Object, IndexMap<String, String>)>;

/// Everything that carries a mark, and what could not be looked at.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Leftovers {
    pub found: Vec<Leftover>,
    pub unseen: Vec<Why>,
}

impl Leftovers {
    fn take(&mut self, seen: Result<Tagged, Why>) {
        match seen {
            Ok(seen) => self.found.extend(
                seen.into_iter()
                    .filter_map(|(object, tags)| Some(Leftover { mark: mark::read(&object, &tags)?, object })),
            ),
            Err(why) => self.unseen.push(why),
        }
    }
}

impl LiveWorld {
    /// Everything in the account and the region that carries a mark.
    pub async fn all_leftovers(&self, place: &Target) -> Leftovers {
        let clients = self.clients(place);
        let aws = clients.aws().await;
        let mut found = in_network(aws).await;
        match clusters(&aws.ecs).await {
            Ok(clusters) => {
                for cluster in clusters {
                    in_cluster(aws, &cluster, &mut found).await;
                }
            }
            Err(why) => found.unseen.push(why),
        }
        for one in queue::all_tagged(&aws.sqs).await {
            found.take(one.map(|one| vec![one]));
        }
        found
    }

    /// Everything that a target's faults can change and that carries a mark.
    pub(super) async fn leftovers_of(&self, target: &Target) -> Leftovers {
        // Where nothing of AWS is named, nothing of AWS is asked for: not even for a region or credentials.
        if target.network.is_none() && target.ecs.is_none() && target.queue.is_none() {
            return Leftovers::default();
        }
        let clients = self.clients(target);
        let aws = clients.aws().await;
        let mut found = if target.network.is_some() { in_network(aws).await } else { Leftovers::default() };
        if let Some(ecs) = &target.ecs {
            in_cluster(aws, &ecs.cluster, &mut found).await;
        }
        if let Some(queues) = &target.queue {
            let names = [Some(&queues.name), queues.dead_letters.as_ref()];
            found.take(queue::tagged(&aws.sqs, names.into_iter().flatten()).await);
        }
        found
    }
}

async fn in_network(aws: &Aws) -> Leftovers {
    let mut found = Leftovers::default();
    let ec2 = match &aws.ec2 {
        Ok(ec2) => ec2,
        Err(why) => {
            found.unseen.push(why.clone());
            return found;
        }
    };
    let groups = ec2.tagged_groups(FAULT_TAG).await.map_err(|error| error.why);
    found.take(groups.map(|all| all.into_iter().map(|one| (Object::SecurityGroup(one.id), one.tags)).collect()));
    let subnets = ec2.tagged_subnets(FAULT_TAG).await.map_err(|error| error.why);
    found.take(subnets.map(|all| all.into_iter().map(|one| (Object::Subnet(one.id), one.tags)).collect()));
    // Last: a copy can be deleted when its subnets are judged by others.
    let acls = ec2.tagged_acls(FAULT_TAG).await.map_err(|error| error.why);
    found.take(acls.map(|all| all.into_iter().map(|one| (Object::NetworkAcl(one.id), one.tags)).collect()));
    found
}

async fn in_cluster(aws: &Aws, cluster: &str, found: &mut Leftovers) {
    found.take(services(&aws.ecs, cluster).await);
    let instances = ecs::instances(ecs::Ecs { client: &aws.ecs, cluster, own: &Own::None }).await;
    found.take(instances.map(|all| all.into_iter().map(|one| (Object::Instance(one.arn), one.tags)).collect()));
}

async fn clusters(client: &aws_sdk_ecs::Client) -> Result<Vec<String>, Why> {
    let mut found = vec![];
    let mut pages = client.list_clusters().into_paginator().items().send();
    while let Some(arn) = pages.next().await {
        found.push(arn.map_err(|error| aws::why("ECS ListClusters", &error))?);
    }
    Ok(found)
}

async fn services(client: &aws_sdk_ecs::Client, cluster: &str) -> Result<Tagged, Why> {
    let what = format!("the services of cluster {cluster}");
    let mut arns = vec![];
    let mut pages = client.list_services().cluster(cluster).into_paginator().items().send();
    while let Some(arn) = pages.next().await {
        arns.push(arn.map_err(|error| aws::why(&what, &error))?);
    }
    let mut found = vec![];
    for chunk in arns.chunks(SERVICES) {
        let call = client.describe_services().cluster(cluster).set_services(Some(chunk.to_vec()));
        let answer = call.include(ServiceField::Tags).send().await.map_err(|error| aws::why(&what, &error))?;
        found.extend(answer.services().iter().filter_map(|service| {
            Some((Object::Service(service.service_arn()?.to_owned()), ecs::tags(service.tags())))
        }));
    }
    Ok(found)
}
