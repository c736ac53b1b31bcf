//! What a person asks of dagstorm beside the manifests: a halt, or the suspension of one scenario.

use std::fmt;

use super::Timestamp;

/// Why, who, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Empty: no reason was given.
    pub reason: String,
    /// `user@host`, or the file that asks.
    pub by: String,
    pub since: Timestamp,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.reason.is_empty() {
            write!(f, "{} ", self.reason)?;
        }
        write!(f, "(by {}, since {})", self.by, self.since)
    }
}
