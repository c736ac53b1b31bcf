//! What every fault asks before it touches an object: is it permitted, and is it free?

use indexmap::IndexMap;

use super::Aim;
use crate::model::{
    Guard, TaskArn,
    mark::{FAULT_TAG, MOST_TAGS, keys},
};

/// Whether the guard lets an object with this ARN and these tags be changed.
pub fn permits_arn(guard: &Guard, arn: &str, tags: &IndexMap<String, String>, what: &str) -> Result<(), Aim> {
    let arn = TaskArn(arn.into());
    let place = arn.region_and_account();
    let (region, account) = (place.map(|(region, _)| region), place.map(|(_, account)| account));
    let differs = |wanted: &Option<String>, found: Option<&str>| wanted.is_some() && wanted.as_deref() != found;
    if differs(&guard.region, region) {
        return Err(Aim::Never(format!("{what} is in region {}, which the guard does not permit", named(region))));
    }
    permits_account(guard, account, what)?;
    permits_tags(guard, tags, what)
}

pub fn permits_account(guard: &Guard, account: Option<&str>, what: &str) -> Result<(), Aim> {
    match &guard.account {
        Some(wanted) if Some(wanted.as_str()) != account => {
            Err(Aim::Never(format!("{what} is of account {}, which the guard does not permit", named(account))))
        }
        Some(_) | None => Ok(()),
    }
}

/// Whether it carries the tags by which its owner opted in.
pub fn permits_tags(guard: &Guard, tags: &IndexMap<String, String>, what: &str) -> Result<(), Aim> {
    match guard.require_tag.iter().find(|(tag, value)| tags.get(*tag) != Some(value)) {
        Some((tag, value)) => {
            Err(Aim::Never(format!("{what} does not carry the tag {tag}={value}, which the guard requires")))
        }
        None => Ok(()),
    }
}

/// Whether no other fault has it, and there is room for a mark.
pub fn is_free(tags: &IndexMap<String, String>, fault: &str, what: &str) -> Result<(), Aim> {
    if let Some(other) = tags.get(FAULT_TAG) {
        let whose = if other == fault { "an earlier life of this fault" } else { other.as_str() };
        return Err(Aim::Wait(format!("{what} is under fault {whose}, which is not healed")));
    }
    if tags.len() + keys().len() > MOST_TAGS {
        return Err(Aim::Never(format!("{what} carries {} tags: there is no room for the fault's own", tags.len())));
    }
    Ok(())
}

/// Why tasks of a service that is being deleted are let alone: the baseline would never come back.
pub fn nothing_replaces(what: &str) -> String {
    format!("{what} is DRAINING (it is being deleted): nothing would replace its tasks")
}

fn named(found: Option<&str>) -> &str {
    found.filter(|text| !text.is_empty()).unwrap_or("nobody knows which")
}
