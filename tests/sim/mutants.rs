//! Known-bad variants, made by wrapping what the code stands on: the quick ones. `mutants.py` builds many more.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    None,
    /// Acts before its intent is durable.
    NoWriteAhead,
    /// Sends again without waiting for what may still arrive.
    NoSettle,
    /// Takes a failed look for an empty answer.
    FailedLookIsEmpty,
    /// Takes an unknown outcome for a refusal.
    UnknownIsRefused,
    /// Counts like `stepStats`: a second completion is not seen.
    BlindAuditor,
    /// The baseline counts as restored while a task is still missing.
    HealedTooEarly,
    /// Takes it for final that Dagster finds no job while the code location reloads.
    BelievesNotFound,
}

impl Mutant {
    pub const ALL: [Self; 7] = [
        Self::NoWriteAhead,
        Self::NoSettle,
        Self::FailedLookIsEmpty,
        Self::UnknownIsRefused,
        Self::BlindAuditor,
        Self::HealedTooEarly,
        Self::BelievesNotFound,
    ];
}
