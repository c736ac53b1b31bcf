//! What is around security groups: interfaces, subnets, network ACLs.

use indexmap::IndexMap;

use super::{
    super::xml::{Element, Malformed, children, items, parsed, some_text, text},
    Page, block, blocks, fields, page, required, tags,
};
use crate::model::{
    NetworkAcl, NetworkInterface, Protocol, Subnet,
    network::{NetworkAclAssociation, NetworkAclEntry},
};

pub fn network_interfaces(document: &str) -> Result<Page<NetworkInterface>, Malformed> {
    page(document, "DescribeNetworkInterfacesResponse", "networkInterfaceSet", interface)
}

pub fn subnets(document: &str) -> Result<Page<Subnet>, Malformed> {
    page(document, "DescribeSubnetsResponse", "subnetSet", |item| {
        let (mut id, mut vpc, mut zone) = (String::new(), String::new(), String::new());
        let (mut ranges, mut found) = (vec![], IndexMap::new());
        children(item, |name, value| {
            match name {
                "subnetId" => id = text(value)?,
                "vpcId" => vpc = text(value)?,
                "availabilityZone" => zone = text(value)?,
                "cidrBlock" => ranges.extend(some_text(value)?),
                "ipv6CidrBlockAssociationSet" => ranges.extend(fields(value, "ipv6CidrBlock")?),
                "tagSet" => found = tags(value)?,
                _ => {}
            }
            Ok(())
        })?;
        required("subnetId", &id)?;
        Ok(Subnet { id, vpc, zone, blocks: blocks(&ranges)?, tags: found })
    })
}

pub fn network_acls(document: &str) -> Result<Page<NetworkAcl>, Malformed> {
    page(document, "DescribeNetworkAclsResponse", "networkAclSet", |item| {
        let mut acl = NetworkAcl {
            id: String::new(),
            vpc: String::new(),
            is_default: false,
            associations: vec![],
            entries: vec![],
            tags: IndexMap::new(),
        };
        children(item, |name, value| {
            match name {
                "networkAclId" => acl.id = text(value)?,
                "vpcId" => acl.vpc = text(value)?,
                "default" => acl.is_default = parsed(value)?,
                "associationSet" => acl.associations = items(value, acl_association)?,
                "entrySet" => acl.entries = items(value, acl_entry)?,
                "tagSet" => acl.tags = tags(value)?,
                _ => {}
            }
            Ok(())
        })?;
        required("networkAclId", &acl.id)?;
        Ok(acl)
    })
}

fn interface(item: &mut Element<'_, '_>) -> Result<NetworkInterface, Malformed> {
    let mut found = NetworkInterface {
        id: String::new(),
        description: String::new(),
        status: String::new(),
        interface_type: String::new(),
        requester_managed: false,
        subnet: String::new(),
        vpc: None,
        groups: vec![],
        inside: vec![],
        outside: vec![],
        tags: IndexMap::new(),
    };
    // Each address is told in several places.
    let (mut inside, mut outside) = (vec![], vec![]);
    children(item, |name, value| {
        match name {
            "networkInterfaceId" => found.id = text(value)?,
            "description" => found.description = text(value)?,
            "status" => found.status = text(value)?,
            "interfaceType" => found.interface_type = text(value)?,
            "requesterManaged" => found.requester_managed = parsed(value)?,
            "subnetId" => found.subnet = text(value)?,
            "vpcId" => found.vpc = some_text(value)?,
            "groupSet" => found.groups = fields(value, "groupId")?,
            "privateIpAddress" => inside.push(text(value)?),
            "privateIpAddressesSet" => {
                items(value, |address| private_address(address, &mut inside, &mut outside))?;
            }
            "ipv6AddressesSet" => inside.extend(fields(value, "ipv6Address")?),
            "ipv4PrefixSet" => inside.extend(fields(value, "ipv4Prefix")?),
            "ipv6PrefixSet" => inside.extend(fields(value, "ipv6Prefix")?),
            "association" => public_address(value, &mut outside)?,
            "tagSet" => found.tags = tags(value)?,
            _ => {}
        }
        Ok(())
    })?;
    required("networkInterfaceId", &found.id)?;
    (found.inside, found.outside) = (blocks(&inside)?, blocks(&outside)?);
    Ok(found)
}

fn private_address(
    item: &mut Element<'_, '_>,
    inside: &mut Vec<String>,
    outside: &mut Vec<String>,
) -> Result<(), Malformed> {
    children(item, |name, value| {
        match name {
            "privateIpAddress" => inside.push(text(value)?),
            "association" => public_address(value, outside)?,
            _ => {}
        }
        Ok(())
    })
}

/// A public address, or that of a carrier or a customer.
fn public_address(association: &mut Element<'_, '_>, outside: &mut Vec<String>) -> Result<(), Malformed> {
    children(association, |name, value| {
        if matches!(name, "publicIp" | "carrierIp" | "customerOwnedIp") {
            outside.extend(some_text(value)?);
        }
        Ok(())
    })
}

fn acl_association(item: &mut Element<'_, '_>) -> Result<NetworkAclAssociation, Malformed> {
    let (mut id, mut subnet) = (String::new(), String::new());
    children(item, |name, value| {
        match name {
            "networkAclAssociationId" => id = text(value)?,
            "subnetId" => subnet = text(value)?,
            _ => {}
        }
        Ok(())
    })?;
    required("networkAclAssociationId", &id)?;
    Ok(NetworkAclAssociation { id, subnet })
}

fn acl_entry(item: &mut Element<'_, '_>) -> Result<NetworkAclEntry, Malformed> {
    let (mut number, mut egress, mut action, mut protocol) = (None, None, String::new(), None);
    let (mut range, mut ports, mut icmp) = (None, None, None);
    children(item, |name, value| {
        match name {
            "ruleNumber" => number = Some(parsed::<i32>(value)?),
            "egress" => egress = Some(parsed::<bool>(value)?),
            "ruleAction" => action = text(value)?,
            "protocol" => protocol = Some(parsed::<Protocol>(value)?),
            "cidrBlock" | "ipv6CidrBlock" => range = Some(block(&text(value)?)?),
            "portRange" => ports = pair(value, "from", "to")?,
            "icmpTypeCode" => icmp = pair(value, "type", "code")?,
            _ => {}
        }
        Ok(())
    })?;
    let absent = |field: &str| Malformed(format!("an ACL's entry has no `{field}`"));
    let allow = match action.as_str() {
        "allow" => true,
        "deny" => false,
        _ => return Err(absent("ruleAction")),
    };
    Ok(NetworkAclEntry {
        number: number.ok_or_else(|| absent("ruleNumber"))?,
        egress: egress.ok_or_else(|| absent("egress"))?,
        allow,
        protocol: protocol.ok_or_else(|| absent("protocol"))?,
        block: range.ok_or_else(|| absent("cidrBlock"))?,
        ports,
        icmp,
    })
}

fn pair(element: &mut Element<'_, '_>, first: &str, second: &str) -> Result<Option<(i32, i32)>, Malformed> {
    let (mut a, mut b) = (None, None);
    children(element, |name, value| {
        if name == first {
            a = Some(parsed::<i32>(value)?);
        } else if name == second {
            b = Some(parsed::<i32>(value)?);
        }
        Ok(())
    })?;
    Ok(a.zip(b))
}
