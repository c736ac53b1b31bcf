//! The answers, as far as we read them: errors, groups and rules here, what is around them in `surroundings`. Pure.

mod surroundings;

use indexmap::IndexMap;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
pub use surroundings::{network_acls, network_interfaces, subnets};

use super::xml::{Element, Malformed, children, items, parsed, root, some_text, text};
use crate::model::{Protocol, RulePeer, SecurityGroup, SecurityGroupRule};

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

/// The code and the message of an error answer. `None`: it is none.
pub fn error(document: &str) -> Option<(String, String)> {
    let mut found = None;
    root(document, "Response", |name, errors| {
        if name != "Errors" {
            return Ok(());
        }
        children(errors, |_, error| {
            let (mut code, mut message) = (String::new(), String::new());
            children(error, |name, value| {
                match name {
                    "Code" => code = text(value)?,
                    "Message" => message = text(value)?,
                    _ => {}
                }
                Ok(())
            })?;
            found = Some((code, message)).filter(|(code, _)| !code.is_empty());
            Ok(())
        })
    })
    .ok()?;
    found
}

pub fn security_groups(document: &str) -> Result<Page<SecurityGroup>, Malformed> {
    page(document, "DescribeSecurityGroupsResponse", "securityGroupInfo", |item| {
        let mut group = SecurityGroup {
            id: String::new(),
            name: String::new(),
            description: String::new(),
            owner: String::new(),
            vpc: None,
            tags: IndexMap::new(),
        };
        children(item, |name, value| {
            match name {
                "groupId" => group.id = text(value)?,
                "groupName" => group.name = text(value)?,
                "groupDescription" => group.description = text(value)?,
                "ownerId" => group.owner = text(value)?,
                "vpcId" => group.vpc = some_text(value)?,
                "tagSet" => group.tags = tags(value)?,
                _ => {}
            }
            Ok(())
        })?;
        required("groupId", &group.id)?;
        Ok(group)
    })
}

pub fn security_group_rules(document: &str) -> Result<Page<SecurityGroupRule>, Malformed> {
    page(document, "DescribeSecurityGroupRulesResponse", "securityGroupRuleSet", rule)
}

/// The rules that an Authorize call made, each with its id.
pub fn authorized(document: &str, action: &str) -> Result<Vec<SecurityGroupRule>, Malformed> {
    changed(document, action, "securityGroupRuleSet", rule)
}

/// How many permissions a Revoke call did not find and left out, in an answer that is no error.
pub fn unknown_permissions(document: &str, action: &str) -> Result<usize, Malformed> {
    Ok(changed(document, action, "unknownIpPermissionSet", |_| Ok(()))?.len())
}

/// Checks that a call without an answer of its own says that it was carried out.
pub fn done(document: &str, action: &str) -> Result<(), Malformed> {
    changed(document, action, "", |_| Ok(())).map(|_| ())
}

/// The id of the ACL that a CreateNetworkAcl call made.
pub fn created_acl(document: &str) -> Result<String, Malformed> {
    let mut id = String::new();
    root(document, "CreateNetworkAclResponse", |name, value| {
        if name == "networkAcl" {
            children(value, |name, value| {
                if name == "networkAclId" {
                    id = text(value)?;
                }
                Ok(())
            })?;
        }
        Ok(())
    })?;
    required("networkAclId", &id)?;
    Ok(id)
}

/// Checks that an association was replaced: it has a new id.
pub fn replaced(document: &str) -> Result<(), Malformed> {
    let mut id = String::new();
    root(document, "ReplaceNetworkAclAssociationResponse", |name, value| {
        if name == "newAssociationId" {
            id = text(value)?;
        }
        Ok(())
    })?;
    required("newAssociationId", &id)
}

fn page<T>(
    document: &str,
    name: &str,
    set: &str,
    read: impl Fn(&mut Element<'_, '_>) -> Result<T, Malformed>,
) -> Result<Page<T>, Malformed> {
    let (mut found, mut next) = (None, None);
    root(document, name, |name, value| {
        if name == set {
            found = Some(items(value, &read)?);
        } else if name == "nextToken" {
            next = some_text(value)?;
        }
        Ok(())
    })?;
    let items = found.ok_or_else(|| Malformed(format!("it has no `{set}`")))?;
    Ok(Page { items, next })
}

/// The answer of a call that changes something: `return` is true, and a list may be there.
fn changed<T>(
    document: &str,
    action: &str,
    set: &str,
    read: impl Fn(&mut Element<'_, '_>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let (mut done, mut found) = (false, vec![]);
    root(document, &format!("{action}Response"), |name, value| {
        if name == "return" {
            done = parsed(value)?;
        } else if name == set {
            found = items(value, &read)?;
        }
        Ok(())
    })?;
    if done { Ok(found) } else { Err(Malformed("it does not say that it was done".to_owned())) }
}

fn rule(item: &mut Element<'_, '_>) -> Result<SecurityGroupRule, Malformed> {
    let (mut group, mut egress, mut protocol, mut peer) = (String::new(), None, None, None);
    let (mut from_port, mut to_port, mut description, mut rule_id) = (None, None, None, None);
    let mut found = IndexMap::new();
    children(item, |name, value| {
        match name {
            "groupId" => group = text(value)?,
            "isEgress" => egress = Some(parsed::<bool>(value)?),
            "ipProtocol" => protocol = Some(parsed::<Protocol>(value)?),
            "fromPort" => from_port = Some(parsed::<i32>(value)?),
            "toPort" => to_port = Some(parsed::<i32>(value)?),
            "cidrIpv4" => peer = Some(RulePeer::Ipv4(parsed::<Ipv4Net>(value)?)),
            "cidrIpv6" => peer = Some(RulePeer::Ipv6(parsed::<Ipv6Net>(value)?)),
            "prefixListId" => peer = Some(RulePeer::PrefixList(text(value)?)),
            "referencedGroupInfo" => peer = Some(referenced_group(value)?),
            "description" => description = some_text(value)?,
            "securityGroupRuleId" => rule_id = some_text(value)?,
            "tagSet" => found = tags(value)?,
            _ => {}
        }
        Ok(())
    })?;
    required("groupId", &group)?;
    let rule_name = rule_id.clone().unwrap_or_default();
    let absent = |field: &str| Malformed(format!("rule {rule_name} has no `{field}`"));
    let protocol = protocol.ok_or_else(|| absent("ipProtocol"))?;
    let (egress, peer) = (egress.ok_or_else(|| absent("isEgress"))?, peer.ok_or_else(|| absent("cidrIpv4"))?);
    Ok(SecurityGroupRule { group, egress, protocol, from_port, to_port, peer, description, tags: found, rule_id })
}

fn referenced_group(element: &mut Element<'_, '_>) -> Result<RulePeer, Malformed> {
    let (mut id, mut account) = (String::new(), None);
    children(element, |name, value| {
        match name {
            "groupId" => id = text(value)?,
            "userId" => account = some_text(value)?,
            _ => {}
        }
        Ok(())
    })?;
    required("groupId", &id)?;
    Ok(RulePeer::Group { id, account })
}

/// One field of each item.
fn fields(element: &mut Element<'_, '_>, field: &str) -> Result<Vec<String>, Malformed> {
    let mut found = vec![];
    items(element, |item| {
        children(item, |name, value| {
            if name == field {
                found.push(text(value)?);
            }
            Ok(())
        })
    })?;
    Ok(found)
}

fn tags(element: &mut Element<'_, '_>) -> Result<IndexMap<String, String>, Malformed> {
    let pairs = items(element, |item| {
        let (mut key, mut tag) = (String::new(), String::new());
        children(item, |name, value| {
            match name {
                "key" => key = text(value)?,
                "value" => tag = text(value)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok((key, tag))
    })?;
    Ok(pairs.into_iter().collect())
}

/// Addresses and blocks, each once.
fn blocks(texts: &[String]) -> Result<Vec<IpNet>, Malformed> {
    let mut found = texts.iter().map(|text| block(text)).collect::<Result<Vec<IpNet>, Malformed>>()?;
    found.sort();
    found.dedup();
    Ok(found)
}

fn block(text: &str) -> Result<IpNet, Malformed> {
    let single = |_| text.parse().map(|address: std::net::IpAddr| IpNet::from(address));
    text.parse().or_else(single).map_err(|_| Malformed(format!("`{text}` is no address")))
}

fn required(field: &str, value: &str) -> Result<(), Malformed> {
    if value.is_empty() { Err(Malformed(format!("an item has no `{field}`"))) } else { Ok(()) }
}
