//! What became of the messages that a fault was to deliver once more: a number for each fate.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Every message that was received has one fate; `messages` alone counts as a proof.
///
/// A message counts as twice in the queue when SQS took its copy as a message of its own, then found the original where we
/// held it and made it visible, and the redrive policy lets that be received once more.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Copies {
    /// Proved to be twice in the queue.
    pub messages: u32,
    /// So many were to be copied.
    #[serde(default)]
    pub wanted: u32,
    /// So many were received, and held meanwhile. 0: an older dagstorm, which counted what it had sent.
    #[serde(default)]
    pub received: u32,
    /// Receiving it was the last receive that the redrive policy permits: the copy is delivered, the original goes to the
    /// dead letters.
    #[serde(default)]
    pub spent: u32,
    /// The copy is there; the original was deleted or received by somebody else meanwhile.
    #[serde(default)]
    pub gone: u32,
    /// The copy is there; no answer says that the original is visible.
    #[serde(default)]
    pub unreleased: u32,
    /// No answer says whether the copy is there.
    #[serde(default)]
    pub in_doubt: u32,
    /// There is no copy: SQS refused it or dropped it as a duplicate, or the time was over.
    #[serde(default)]
    pub uncopied: u32,
    /// What went wrong first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl Copies {
    /// How many copies SQS certainly took.
    pub fn taken(&self) -> u32 {
        self.messages + self.spent + self.gone + self.unreleased
    }

    /// Whether each message that was received is proved to be twice in the queue, and nothing else went wrong.
    pub fn is_whole(&self) -> bool {
        let counted = self.received == 0 || self.messages == self.received;
        counted && self.trouble.is_none()
    }

    /// In a sentence.
    pub fn sentence(&self) -> String {
        if self.received == 0 {
            return format!("{} were copied", self.messages);
        }
        let are = if self.messages == 1 { "is" } else { "are" };
        let mut parts =
            vec![format!("{} of {} received {are} proved to be twice in the queue", self.messages, self.received)];
        let fates = [
            (
                self.spent,
                "by the last receive that the redrive policy permits: the copy is delivered, the original is not",
            ),
            (self.gone, "whose original somebody else deleted or received meanwhile"),
            (self.unreleased, "whose original may not be visible"),
            (self.in_doubt, "whose copy may be there or not"),
            (self.uncopied, "without a copy"),
        ];
        parts.extend(fates.iter().filter(|(count, _)| *count > 0).map(|(count, fate)| format!("{count} {fate}")));
        parts.extend(self.trouble.clone());
        parts.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_says_how_many_are_twice_in_the_queue_and_what_became_of_the_others() {
        let copies = |messages, received| Copies { messages, wanted: received, received, ..Copies::default() };
        for (copies, is_whole, sentence) in [
            (copies(4, 4), true, "4 of 4 received are proved to be twice in the queue"),
            (
                Copies { uncopied: 1, trouble: Some("SendMessage: Throttled".to_owned()), ..copies(3, 4) },
                false,
                "3 of 4 received are proved to be twice in the queue; 1 without a copy; SendMessage: Throttled",
            ),
            (
                Copies { spent: 2, gone: 1, in_doubt: 1, unreleased: 1, ..copies(0, 5) },
                false,
                "0 of 5 received are proved to be twice in the queue; 2 by the last receive that the redrive policy permits: \
                 the copy is delivered, the original is not; 1 whose original somebody else deleted or received meanwhile; \
                 1 whose original may not be visible; 1 whose copy may be there or not",
            ),
            (
                Copies { trouble: Some("ReceiveMessage: denied".to_owned()), ..copies(4, 4) },
                false,
                "4 of 4 received are proved to be twice in the queue; ReceiveMessage: denied",
            ),
        ] {
            assert_eq!((copies.is_whole(), copies.sentence().as_str()), (is_whole, sentence));
        }
    }

    #[test]
    fn what_an_older_dagstorm_wrote_is_read() {
        let copies: Copies = serde_json::from_str(r#"{"messages":5}"#).expect("its fields");
        assert_eq!((copies.sentence().as_str(), copies.is_whole()), ("5 were copied", true));
    }
}
