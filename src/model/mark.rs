//! The mark that a fault leaves on every AWS object that it changes: who, until when, and the way back.
//!
//! It is set before the change and taken away after the restore, so that an operator without any record can find what
//! was left behind and take it back.

use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Effect, Timestamp, WriterId};

/// `scenario/generation/fault.occurrence`.
pub const FAULT_TAG: &str = "dagstorm:fault";
/// The id of the data folder whose dagstorm set the mark.
pub const WRITER_TAG: &str = "dagstorm:writer";
/// When the fault is to be over, in UTC.
pub const HEAL_BY_TAG: &str = "dagstorm:heal-by";
/// The way back, in pieces: `dagstorm:undo.0`, `dagstorm:undo.1` …
const UNDO_TAG: &str = "dagstorm:undo.";
/// On the copy of a network ACL: what it is a copy of.
pub const COPY_TAG: &str = "dagstorm:copy-of";
/// The longest value of a tag is 256 characters, in EC2, ECS and SQS.
const PIECE: usize = 250;
/// AWS takes 50 tags a resource; some are the user's.
const MOST_PIECES: usize = 36;
/// So many tags an object may have at most.
pub const MOST_TAGS: usize = 50;

/// An AWS object that a fault changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Object {
    /// By its id.
    SecurityGroup(String),
    /// By its id.
    Subnet(String),
    /// A fault's own copy of a network ACL, by its id.
    NetworkAcl(String),
    /// By its ARN.
    Service(String),
    /// A container instance, by its ARN.
    Instance(String),
    /// By its URL.
    Queue(String),
}

/// What the tags of an object say of a fault.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    pub fault: String,
    /// `None`: the mark is of a version that named no writer.
    pub writer: Option<WriterId>,
    /// `None`: it is absent or no time.
    pub heal_by: Option<Timestamp>,
    /// The way back, or why it cannot be read.
    pub undo: Result<Vec<Effect>, String>,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = |text: &str| text.rsplit('/').next().unwrap_or_default().to_owned();
        match self {
            Self::SecurityGroup(id) | Self::Subnet(id) | Self::NetworkAcl(id) => f.write_str(id),
            Self::Service(arn) => write!(f, "service {}", last(arn)),
            Self::Instance(arn) => write!(f, "container instance {}", last(arn)),
            Self::Queue(url) => write!(f, "queue {}", last(url)),
        }
    }
}

/// Whose mark it is.
#[derive(Debug, Clone, Copy)]
pub struct Signature<'a> {
    /// `scenario/generation/fault`.
    pub fault: &'a str,
    pub writer: Option<&'a WriterId>,
    /// When the fault is to be over.
    pub heal_by: Timestamp,
}

/// The tags of a mark.
///
/// # Errors
/// When the way back does not fit into tags: then nothing may be changed.
pub fn tags(signature: &Signature<'_>, undo: &[Effect]) -> Result<IndexMap<String, String>, String> {
    let Signature { fault, writer, heal_by } = signature;
    let text = serde_json::to_string(undo).expect("effects are JSON");
    let text = BASE64_URL_SAFE_NO_PAD.encode(text);
    let pieces: Vec<&str> =
        text.as_bytes().chunks(PIECE).map(|piece| std::str::from_utf8(piece).expect("base64 is ASCII")).collect();
    if pieces.len() > MOST_PIECES {
        return Err(format!(
            "the way back is {} bytes: it does not fit into the tags of the object, so it could not be healed without a \
             data folder",
            text.len()
        ));
    }
    let head = [(FAULT_TAG.to_owned(), (*fault).to_owned()), (HEAL_BY_TAG.to_owned(), heal_by.to_string())];
    let writer = writer.map(|writer| (WRITER_TAG.to_owned(), writer.to_string()));
    let pieces =
        pieces.into_iter().enumerate().map(|(number, piece)| (format!("{UNDO_TAG}{number}"), piece.to_owned()));
    Ok(head.into_iter().chain(writer).chain(pieces).collect())
}

/// All keys that a mark can have.
pub fn keys() -> Vec<String> {
    let head = [FAULT_TAG.to_owned(), HEAL_BY_TAG.to_owned(), WRITER_TAG.to_owned()];
    head.into_iter().chain((0..MOST_PIECES).map(|number| format!("{UNDO_TAG}{number}"))).collect()
}

/// What these tags of an object say; `None`: no fault has marked it.
pub fn read(object: &Object, tags: &IndexMap<String, String>) -> Option<Mark> {
    let fault = tags.get(FAULT_TAG)?.clone();
    let writer = tags.get(WRITER_TAG).and_then(|text| text.parse().ok());
    if let Object::NetworkAcl(_) = object {
        // A copy was made to be deleted; its subnets say the rest.
        let undo = Ok(vec![Effect::DeleteAcls { fault: fault.clone() }]);
        return Some(Mark { fault, writer, heal_by: None, undo });
    }
    let heal_by = tags.get(HEAL_BY_TAG).and_then(|text| text.parse().ok());
    let text: String = (0..).map_while(|number| tags.get(&format!("{UNDO_TAG}{number}")).cloned()).collect();
    Some(Mark { undo: undo(object, &fault, &text), fault, writer, heal_by })
}

fn undo(object: &Object, fault: &str, text: &str) -> Result<Vec<Effect>, String> {
    let wrong = |reason: String| format!("the tags of {object} do not say how to take fault {fault} back: {reason}");
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|error| wrong(error.to_string()))?;
    let effects: Vec<Effect> = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    match effects.iter().find(|effect| !concerns(effect, object, fault)) {
        // Whoever may write a tag shall not make us do more than the tag is about.
        Some(_) => Err(wrong("they name another object".to_owned())),
        None => Ok(effects),
    }
}

/// Whether an effect is a way back, and about this object alone.
fn concerns(effect: &Effect, object: &Object, fault: &str) -> bool {
    match (effect, object) {
        (Effect::AuthorizeRules { rules } | Effect::RevokeRules { rules }, Object::SecurityGroup(id)) => {
            rules.iter().all(|rule| rule.group == *id)
        }
        (Effect::SetDesiredCount { service, from: 0, .. }, Object::Service(arn)) => service == arn,
        (Effect::SetInstance { instance, draining: false, .. }, Object::Instance(arn)) => instance == arn,
        (Effect::SwapAcl { subnet, to: _ }, Object::Subnet(id)) => subnet == id,
        (Effect::DeleteAcls { fault: other }, Object::Subnet(_)) => other == fault,
        (Effect::AllowQueue { url }, Object::Queue(own)) => url == own,
        (Effect::Unmark { object: other }, own) => other == own,
        (_, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags_of(fault: &str, undo: &[Effect]) -> Result<IndexMap<String, String>, String> {
        let writer = "00000000000a".parse().expect("an id");
        let heal_by = "2026-11-26T10:00:00Z".parse().expect("a time");
        tags(&Signature { fault, writer: Some(&writer), heal_by }, undo)
    }

    #[test]
    fn what_is_written_into_tags_is_read_from_them() {
        let url = "http://127.0.0.1:4566/000000000000/tasks".to_owned();
        let object = Object::Queue(url.clone());
        let undo = vec![Effect::AllowQueue { url }, Effect::Unmark { object: object.clone() }];
        let tags = tags_of("storm/abc-1/deny", &undo).expect("they fit");
        assert!(tags.values().all(|value| value.len() <= 256));
        assert!(tags.keys().all(|key| keys().contains(key)), "{tags:?}");
        let mark = read(&object, &tags).expect("a mark");
        assert_eq!(mark.fault, "storm/abc-1/deny");
        assert_eq!(mark.writer.expect("a writer").to_string(), "00000000000a");
        assert_eq!(mark.heal_by, Some("2026-11-26T10:00:00Z".parse().expect("a time")));
        assert_eq!(mark.undo, Ok(undo));
        assert_eq!(read(&object, &IndexMap::new()), None);
    }

    #[test]
    fn tags_never_make_us_touch_another_object() {
        let undo = vec![Effect::AllowQueue { url: "http://x/other".to_owned() }];
        let tags = tags_of("storm/abc-1/deny", &undo).expect("they fit");
        let mark = read(&Object::Queue("http://x/tasks".to_owned()), &tags).expect("a mark");
        assert!(mark.undo.expect_err("another queue").contains("another object"));
        for (effect, object) in [
            (Effect::DenyQueue { url: "q".to_owned() }, Object::Queue("q".to_owned())),
            (Effect::DeleteAcls { fault: "other".to_owned() }, Object::Subnet("subnet-1".to_owned())),
            (
                Effect::SetDesiredCount { cluster: "c".to_owned(), service: "s".to_owned(), from: 2, to: 0 },
                Object::Service("s".to_owned()),
            ),
        ] {
            assert!(!concerns(&effect, &object, "own"), "{effect:?}");
        }
    }

    #[test]
    fn a_way_back_that_does_not_fit_is_refused_and_a_broken_one_is_told() {
        let undo = vec![Effect::AllowQueue { url: "x".repeat(8_000) }];
        assert!(tags_of("f", &undo).expect_err("too long").contains("does not fit"));
        let object = Object::Subnet("subnet-1".to_owned());
        let broken = [(FAULT_TAG.to_owned(), "f".to_owned()), (format!("{UNDO_TAG}0"), "%".to_owned())];
        let mark = read(&object, &broken.into_iter().collect()).expect("a mark");
        assert!(mark.undo.is_err() && mark.heal_by.is_none());
    }
}
