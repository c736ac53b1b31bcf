//! A fault's copies of network ACLs: made, put in place, taken out of it and deleted, however often that is asked for.

use sha2::{Digest, Sha256};

use super::{
    change::changed,
    ec2::{Ec2, Ec2Error, ErrorCode},
};
use crate::model::{
    AclName, NetworkAcl, NetworkAclEntry, Outcome,
    mark::{COPY_TAG, FAULT_TAG},
};

/// Makes the copy, or completes one that is there.
pub async fn copy(ec2: &Ec2, fault: &str, vpc: &str, of: &str, entries: &[NetworkAclEntry]) -> Outcome {
    outcome(try_copy(ec2, fault, vpc, of, entries).await)
}

async fn try_copy(ec2: &Ec2, fault: &str, vpc: &str, of: &str, entries: &[NetworkAclEntry]) -> Result<(), Ec2Error> {
    let known = copy_of(copies(ec2, fault).await?, of);
    let (id, present) = match known {
        Some(acl) => (acl.id, acl.entries),
        None => {
            let tags = [(FAULT_TAG.to_owned(), fault.to_owned()), (COPY_TAG.to_owned(), of.to_owned())];
            // Asked for again after an answer that was lost, EC2 gives the one that it has made.
            (ec2.create_network_acl(vpc, &tags.into_iter().collect(), &token(fault, of)).await?, vec![])
        }
    };
    for entry in entries {
        let same = |one: &&NetworkAclEntry| (one.number, one.egress) == (entry.number, entry.egress);
        if present.iter().any(|one| same(&one)) {
            continue;
        }
        match ec2.create_network_acl_entry(&id, entry).await {
            Ok(()) => {}
            Err(error) if is(&error, "NetworkAclEntryAlreadyExists") => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Lets the subnet be judged by an ACL, unless somebody else has chosen one meanwhile.
pub async fn swap(ec2: &Ec2, subnet: &str, to: &AclName) -> Outcome {
    let acls = match ec2.describe_network_acls(&[subnet.to_owned()]).await {
        Ok(acls) => acls,
        Err(error) => return looked(&error),
    };
    let association =
        |acl: &NetworkAcl| acl.associations.iter().find(|one| one.subnet == subnet).map(|one| one.id.clone());
    let Some((acl, association)) = acls.iter().find_map(|acl| Some((acl, association(acl)?))) else {
        return Outcome::Refused { reason: format!("no network ACL judges subnet {subnet}"), retry: true };
    };
    let (wanted, may) = match to {
        AclName::Id(id) => (id.clone(), acl.tags.contains_key(FAULT_TAG)),
        AclName::Copy { fault, of } => {
            let found = match copies(ec2, fault).await {
                Ok(found) => found,
                Err(error) => return looked(&error),
            };
            let Some(copy) = copy_of(found, of) else {
                return Outcome::Refused { reason: format!("the copy of {of} is not there yet"), retry: true };
            };
            (copy.id, acl.id == *of)
        }
    };
    if acl.id == wanted {
        return changed();
    }
    if !may {
        let reason = format!("subnet {subnet} is judged by network ACL {}, which somebody else has chosen", acl.id);
        return Outcome::Refused { reason, retry: false };
    }
    outcome(ec2.replace_network_acl_association(&association, &wanted).await)
}

/// Deletes all copies of a fault. One that still judges a subnet is refused.
pub async fn delete(ec2: &Ec2, fault: &str) -> Outcome {
    let found = match copies(ec2, fault).await {
        Ok(found) => found,
        Err(error) => return looked(&error),
    };
    for acl in found {
        match ec2.delete_network_acl(&acl.id).await {
            Ok(()) => {}
            Err(error) if is(&error, "InvalidNetworkAclID.NotFound") => {}
            Err(error) if is(&error, "DependencyViolation") => {
                return Outcome::Refused { reason: error.why.message, retry: true };
            }
            Err(error) => return error.outcome(),
        }
    }
    changed()
}

/// The copy of an ACL; should there be several, the one that says most: an empty one denies everything.
fn copy_of(copies: Vec<NetworkAcl>, of: &str) -> Option<NetworkAcl> {
    let is_copy = |acl: &NetworkAcl| acl.tags.get(COPY_TAG).is_some_and(|tag| tag == of);
    copies.into_iter().filter(is_copy).max_by_key(|acl| acl.entries.len())
}

/// One token a copy, at most 64 characters.
fn token(fault: &str, of: &str) -> String {
    let hash = Sha256::digest(format!("{fault} {of}"));
    hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

async fn copies(ec2: &Ec2, fault: &str) -> Result<Vec<NetworkAcl>, Ec2Error> {
    let tagged = ec2.tagged_acls(FAULT_TAG).await?;
    Ok(tagged.into_iter().filter(|acl| acl.tags.get(FAULT_TAG).is_some_and(|tag| tag == fault)).collect())
}

fn is(error: &Ec2Error, code: &str) -> bool {
    matches!(&error.code, Some(ErrorCode::Other(other)) if other == code)
}

fn outcome(answer: Result<(), Ec2Error>) -> Outcome {
    match answer {
        Ok(()) => changed(),
        // The subnet's association was replaced by somebody at the same time, or the copy is too new: look again.
        Err(error) if is(&error, "InvalidAssociationID.NotFound") || is(&error, "InvalidNetworkAclID.NotFound") => {
            Outcome::Refused { reason: error.why.message, retry: true }
        }
        Err(error) => error.outcome(),
    }
}

/// A look that failed has changed nothing.
fn looked(error: &Ec2Error) -> Outcome {
    Outcome::Refused { reason: error.why.message.clone(), retry: true }
}
