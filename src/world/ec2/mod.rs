//! The EC2 client: rules of security groups and what is around them, without the whole of aws-sdk-ec2.
//!
//! Requests and answers are written out for these operations alone, on the crates that AWS's own clients stand on; tests
//! compare the requests with botocore's. Each call has the time-outs of the configuration it was made from.

mod acl;
mod answer;
mod endpoint;
mod error;
mod request;
mod transport;
mod xml;

use aws_config::SdkConfig;
pub use endpoint::regional;
pub use error::{Ec2Error, ErrorCode};
use indexmap::IndexMap;
pub use request::{Groups, Request, Tagged, Verb};
use transport::Transport;
use xml::Malformed;

use crate::model::{NetworkAcl, NetworkInterface, SecurityGroup, SecurityGroupRule, Subnet, Why, WhyKind};

/// The encoded requests, for the test that compares them with botocore's.
pub mod requests {
    pub use super::request::{
        change_rules, create_network_acl, create_network_acl_entry, create_tags, delete_network_acl, delete_tags,
        describe_network_acls, describe_network_interfaces, describe_network_interfaces_by_id,
        describe_network_interfaces_by_subnet, describe_security_group_rules, describe_security_groups,
        describe_subnets, describe_tagged, replace_network_acl_association,
    };
}

/// More pages than this are no list but a fault of the server's.
const MOST_PAGES: usize = 100;

/// EC2 of one account and region.
#[derive(Debug, Clone)]
pub struct Ec2 {
    transport: Transport,
}

/// What a Revoke call left out, in an answer that is no error: EC2 does so in a default VPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoked {
    /// How many of the rules were not there.
    pub absent: usize,
}

impl Ec2 {
    /// Makes a client. It fails where the configuration names neither a region nor an endpoint.
    pub fn new(config: &SdkConfig) -> Result<Self, Why> {
        Ok(Self { transport: Transport::new(config)? })
    }

    /// The groups, without their rules. A group named by id that does not exist is an error (`ErrorCode::GroupNotFound`).
    pub async fn describe_security_groups(&self, groups: &Groups) -> Result<Vec<SecurityGroup>, Ec2Error> {
        let named = match groups {
            Groups::Ids(named) | Groups::Names(named) => named,
        };
        let page = |page: Option<&str>| request::describe_security_groups(groups, page);
        self.pages(named, page, answer::security_groups).await
    }

    /// All rules of these groups, both directions. A group that does not exist is an error here too: EC2's own filter
    /// would answer with an empty list.
    pub async fn describe_security_group_rules(&self, groups: &[String]) -> Result<Vec<SecurityGroupRule>, Ec2Error> {
        let page = |page: Option<&str>| request::describe_security_group_rules(groups, page);
        let rules = self.pages(groups, page, answer::security_group_rules).await?;
        let silent: Vec<String> =
            groups.iter().filter(|group| rules.iter().all(|rule| rule.group != **group)).cloned().collect();
        if !silent.is_empty() {
            self.describe_security_groups(&Groups::Ids(silent)).await?;
        }
        Ok(rules)
    }

    /// Every interface that carries one of these groups.
    pub async fn describe_network_interfaces(&self, groups: &[String]) -> Result<Vec<NetworkInterface>, Ec2Error> {
        let page = |page: Option<&str>| request::describe_network_interfaces(groups, page);
        self.pages(groups, page, answer::network_interfaces).await
    }

    /// The interfaces with these ids; those that do not exist are absent.
    pub async fn describe_network_interfaces_by_id(&self, ids: &[String]) -> Result<Vec<NetworkInterface>, Ec2Error> {
        let page = |page: Option<&str>| request::describe_network_interfaces_by_id(ids, page);
        self.pages(ids, page, answer::network_interfaces).await
    }

    /// The subnets with these ids; those that do not exist are absent.
    pub async fn describe_subnets(&self, ids: &[String]) -> Result<Vec<Subnet>, Ec2Error> {
        self.pages(ids, |page| request::describe_subnets(ids, page), answer::subnets).await
    }

    /// The ACLs that judge these subnets.
    pub async fn describe_network_acls(&self, subnets: &[String]) -> Result<Vec<NetworkAcl>, Ec2Error> {
        self.pages(subnets, |page| request::describe_network_acls(subnets, page), answer::network_acls).await
    }

    /// Adds rules, with descriptions and tags, and returns them with their ids; nothing for a dry run.
    ///
    /// All or nothing: one that is there already is `ErrorCode::PermissionDuplicate` and no other is added. The rules are
    /// of one group, direction and set of tags (`model::network::batches`).
    pub async fn authorize(
        &self,
        rules: &[SecurityGroupRule],
        dry_run: bool,
    ) -> Result<Vec<SecurityGroupRule>, Ec2Error> {
        let request = checked(Verb::Authorize, rules, dry_run)?;
        let action = request.action;
        let answer = self.change(request).await?;
        answer.map_or(Ok(vec![]), |document| read(action, answer::authorized(&document, action)))
    }

    /// Takes rules away by content; their ids and descriptions do not count.
    ///
    /// All or nothing: one that is not there is `ErrorCode::PermissionNotFound` and no other is taken away. In a default
    /// VPC it is counted in the answer instead.
    pub async fn revoke(&self, rules: &[SecurityGroupRule], dry_run: bool) -> Result<Revoked, Ec2Error> {
        let request = checked(Verb::Revoke, rules, dry_run)?;
        let action = request.action;
        let answer = self.change(request).await?;
        let absent = answer.map_or(Ok(0), |document| read(action, answer::unknown_permissions(&document, action)))?;
        Ok(Revoked { absent })
    }

    /// Sets tags; those that are there with another value are overwritten.
    pub async fn create_tags(
        &self,
        resources: &[String],
        tags: &IndexMap<String, String>,
        dry_run: bool,
    ) -> Result<(), Ec2Error> {
        let request = request::create_tags(resources, tags, dry_run);
        self.tag(request, resources.is_empty() || tags.is_empty()).await
    }

    /// Deletes tags by key, whatever their values; those that are absent are no error.
    pub async fn delete_tags(&self, resources: &[String], keys: &[String], dry_run: bool) -> Result<(), Ec2Error> {
        let request = request::delete_tags(resources, keys, dry_run);
        self.tag(request, resources.is_empty() || keys.is_empty()).await
    }

    async fn tag(&self, request: Request, is_empty: bool) -> Result<(), Ec2Error> {
        let action = request.action;
        if is_empty {
            // EC2 would take "no key" for "all tags".
            return Err(Ec2Error::unsent(action, WhyKind::Protocol, "it names no resource or no tag"));
        }
        let answer = self.change(request).await?;
        answer.map_or(Ok(()), |document| read(action, answer::done(&document, action)))
    }

    /// Reads a list to its end. What names nothing is refused: without a filter EC2 would list everything.
    async fn pages<T>(
        &self,
        named: &[String],
        request: impl Fn(Option<&str>) -> Request,
        decode: impl Fn(&str) -> Result<answer::Page<T>, Malformed>,
    ) -> Result<Vec<T>, Ec2Error> {
        let (mut found, mut next): (Vec<T>, Option<String>) = (vec![], None);
        for _ in 0..MOST_PAGES {
            let asked = request(next.as_deref());
            let action = asked.action;
            if named.is_empty() {
                return Err(Ec2Error::unsent(action, WhyKind::Protocol, "it names nothing to look at"));
            }
            let page = read(action, decode(&self.transport.send(asked).await?))?;
            found.extend(page.items);
            if page.next.is_none() {
                return Ok(found);
            }
            next = page.next;
        }
        let message = format!("there is no end after {MOST_PAGES} pages");
        Err(Ec2Error::unreadable(request(None).action, &message))
    }

    /// Sends a change. `None`: it was a dry run, and would have succeeded.
    async fn change(&self, request: Request) -> Result<Option<String>, Ec2Error> {
        let (action, dry_run) = (request.action, request.dry_run);
        match self.transport.send(request).await {
            Ok(_) if dry_run => {
                Err(Ec2Error::unreadable(action, "a dry run was answered as if it had been carried out"))
            }
            Ok(document) => Ok(Some(document)),
            Err(error) if dry_run && error.code == Some(ErrorCode::DryRun) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The request, if one call can carry these rules.
fn checked(verb: Verb, rules: &[SecurityGroupRule], dry_run: bool) -> Result<Request, Ec2Error> {
    let what = match verb {
        Verb::Authorize => "AuthorizeSecurityGroup",
        Verb::Revoke => "RevokeSecurityGroup",
    };
    let fits = |first: &SecurityGroupRule, rule: &SecurityGroupRule| {
        let tags = verb == Verb::Revoke || first.tags == rule.tags;
        tags && (&first.group, first.egress) == (&rule.group, rule.egress)
    };
    match rules.first() {
        None => Err(Ec2Error::unsent(what, WhyKind::Protocol, "it names no rule")),
        Some(first) if rules.iter().all(|rule| fits(first, rule)) => Ok(request::change_rules(verb, rules, dry_run)),
        Some(_) => Err(Ec2Error::unsent(what, WhyKind::Protocol, "its rules do not fit one call")),
    }
}

fn read<T>(action: &str, result: Result<T, Malformed>) -> Result<T, Ec2Error> {
    result.map_err(|error| Ec2Error::unreadable(action, &error.to_string()))
}
