//! `cut: hard`: the workers' subnets are judged by a copy of their network ACL that denies the path, and then again by
//! the ACL that they had. The ACL itself is never changed.
//!
//! An ACL knows no connections, so denying what goes out to the peer's port stops the established ones as well.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::{Addresses, Aim, Aiming, Injected, Progress, guard};
use crate::model::{
    AclName, Effect, NetworkAcl, NetworkAclEntry, NetworkView, Object, ObjectsView, Protocol, RulePeer, Undo,
    network::SubnetsView, target::Peer,
};

/// The entry that every ACL ends with; EC2 makes it.
const LAST: i32 = 32_767;
/// An ACL takes so many entries a direction, the last one included, unless AWS raised it.
const MOST_ENTRIES: usize = 20;

pub fn aim(aiming: &Aiming<'_>, view: &NetworkView, peer: &Peer) -> Result<Aim, Aim> {
    let around =
        view.around.as_ref().ok_or_else(|| Aim::Wait("the workers' subnets were not looked at yet".to_owned()))?;
    let blocks = blocks(view).map_err(Aim::Never)?;
    spares_others(view, around, &blocks)?;
    let copy = |acl: &NetworkAcl| AclName::Copy { fault: aiming.fault.clone(), of: acl.id.clone() };
    let mut judged: BTreeMap<&str, &NetworkAcl> = BTreeMap::new();
    for subnet in &around.subnets {
        let what = format!("subnet {}", subnet.id);
        guard::permits_tags(&aiming.target.guard, &subnet.tags, &what)?;
        guard::is_free(&subnet.tags, &aiming.fault, &what)?;
        let acl = acl_of(&around.acls, &subnet.id)
            .ok_or_else(|| Aim::Wait(format!("the network ACL of {what} was not seen")))?;
        has_room(acl, peer.port, &blocks)?;
        judged.insert(&subnet.id, acl);
    }
    let back =
        |subnet: &str, acl: &NetworkAcl| Effect::SwapAcl { subnet: subnet.to_owned(), to: AclName::Id(acl.id.clone()) };
    let delete = || Effect::DeleteAcls { fault: aiming.fault.clone() };
    let object = |subnet: &str| Object::Subnet(subnet.to_owned());
    let (mut inject, mut copies) = (vec![], BTreeMap::new());
    for (subnet, acl) in &judged {
        let undo = [back(subnet, acl), delete(), Effect::Unmark { object: object(subnet) }];
        let tags = aiming.mark(&undo)?;
        inject.push(Effect::Mark { object: object(subnet), tags });
        copies.insert(&acl.id, *acl);
    }
    inject.extend(copies.values().map(|acl| Effect::CloneAcl {
        fault: aiming.fault.clone(),
        vpc: acl.vpc.clone(),
        of: acl.id.clone(),
        entries: entries(acl, peer.port, &blocks),
    }));
    inject.extend(judged.iter().map(|(subnet, acl)| Effect::SwapAcl { subnet: (*subnet).to_owned(), to: copy(acl) }));
    let swaps = judged.iter().map(|(subnet, acl)| back(subnet, acl));
    let unmarks = judged.keys().map(|subnet| Effect::Unmark { object: object(subnet) });
    Ok(Aim::Ready {
        targets: vec![],
        objects: judged.keys().map(|subnet| object(subnet)).collect(),
        inject,
        undo: Undo { effects: swaps.chain([delete()]).chain(unmarks).collect(), steady: None },
    })
}

/// All addresses under which the peer is reached.
fn blocks(view: &NetworkView) -> Result<Vec<IpNet>, String> {
    let mut blocks = match &view.peer {
        RulePeer::Ipv4(net) => vec![IpNet::V4(net.trunc())],
        RulePeer::Ipv6(net) => vec![IpNet::V6(net.trunc())],
        RulePeer::PrefixList(id) | RulePeer::Group { id, account: _ } => {
            let members = view.carriers.get(id).map(|found| Addresses::of(found)).unwrap_or_default();
            members.inside.into_iter().chain(members.outside).collect()
        }
    };
    blocks.sort();
    blocks.dedup();
    match blocks.len() {
        0 => Err(format!("the addresses of {} are not known: a network ACL knows nothing else", view.peer)),
        _ => Ok(blocks),
    }
}

/// A subnet's ACL is everybody's who is in it: nobody but the workers may be. Inside of a subnet it judges nothing.
fn spares_others(view: &NetworkView, around: &SubnetsView, blocks: &[IpNet]) -> Result<(), Aim> {
    if around.subnets.is_empty() {
        return Err(Aim::Wait("the workers' interfaces are in no subnet that was seen".to_owned()));
    }
    if let Some(other) = around.interfaces.iter().find(|one| !one.groups.contains(&view.workers.id)) {
        return Err(Aim::Never(format!(
            "interface {} is in the workers' subnet {} and does not carry {}: it would be cut off too",
            other.id, other.subnet, view.workers.id
        )));
    }
    for subnet in &around.subnets {
        let inside = |block: &&IpNet| subnet.blocks.iter().any(|own| own.contains(*block) || block.contains(own));
        if let Some(block) = blocks.iter().find(inside) {
            return Err(Aim::Never(format!(
                "{block} of {} is in the workers' own subnet {}: a network ACL judges nothing inside of a subnet",
                view.peer, subnet.id
            )));
        }
    }
    Ok(())
}

fn acl_of<'a>(acls: &'a [NetworkAcl], subnet: &str) -> Option<&'a NetworkAcl> {
    acls.iter().find(|acl| acl.associations.iter().any(|association| association.subnet == subnet))
}

fn has_room(acl: &NetworkAcl, port: u16, blocks: &[IpNet]) -> Result<(), Aim> {
    let count = entries(acl, port, blocks).iter().filter(|entry| entry.egress).count() + 1;
    if count > MOST_ENTRIES {
        return Err(Aim::Never(format!(
            "a copy of network ACL {} that denies {} blocks of addresses has {count} egress entries, and may have {MOST_ENTRIES}",
            acl.id,
            blocks.len()
        )));
    }
    Ok(())
}

/// What the ACL says, behind what is denied; numbered anew, in the same order.
fn entries(acl: &NetworkAcl, port: u16, blocks: &[IpNet]) -> Vec<NetworkAclEntry> {
    let port = i32::from(port);
    let denied = blocks.iter().map(|block| NetworkAclEntry {
        number: 0,
        egress: true,
        allow: false,
        protocol: Protocol::Tcp,
        block: *block,
        ports: Some((port, port)),
        icmp: None,
    });
    let mut own: Vec<NetworkAclEntry> = acl.entries.iter().filter(|entry| entry.number < LAST).cloned().collect();
    own.sort_by_key(|entry| entry.number);
    let (mut inward, mut outward) = (0, 0);
    let number = |entry: NetworkAclEntry| {
        let count = if entry.egress { &mut outward } else { &mut inward };
        *count += 1;
        NetworkAclEntry { number: *count, ..entry }
    };
    denied.chain(own).map(number).collect()
}

pub fn progress(injected: &Injected<'_>, view: &ObjectsView) -> Progress {
    let is_copy = |acl: &NetworkAcl| injected.has_marked(&acl.tags);
    let is_there = |subnet: &str| view.subnets.iter().find(|one| one.id == subnet);
    let is_left = |object: &Object| matches!(object, Object::Subnet(id) if is_there(id).is_some());
    if !injected.objects.iter().any(is_left) && !view.acls.iter().any(is_copy) {
        return Progress::Gone;
    }
    let (mut all_back, mut none_marked, mut all_cut) = (!view.acls.iter().any(is_copy), true, true);
    for effect in &injected.undo.effects {
        let Effect::SwapAcl { subnet, to: AclName::Id(before) } = effect else { continue };
        // A subnet that is gone has nothing left to heal.
        let Some(found) = is_there(subnet) else { continue };
        let Some(acl) = acl_of(&view.acls, subnet) else { return Progress::Unseen };
        if acl.id != *before && !is_copy(acl) {
            return Progress::Foreign(format!(
                "subnet {subnet} is judged by network ACL {} now, which somebody else has chosen; it was {before}",
                acl.id
            ));
        }
        let marked = injected.has_marked(&found.tags);
        all_back &= acl.id == *before;
        none_marked &= !marked;
        all_cut &= is_copy(acl) && marked;
    }
    match (all_back, none_marked, all_cut) {
        (true, true, _) => Progress::Intact,
        (true, false, _) => Progress::Marked,
        (false, _, true) => Progress::Broken,
        (false, _, false) => Progress::NotYet,
    }
}
