//! What a look shows of the code location that holds the jobs.

/// The target's code location, as a look shows it that names jobs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocationView {
    pub state: LocationState,
    /// Why Dagster refuses launches by these credentials; `None`: it permits them.
    pub forbidden: Option<String>,
}

/// Whether what a launch needs of a code location is there. Messages are for people; `known` is what there is instead.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LocationState {
    /// It is loaded and has every job of the query.
    #[default]
    Ready,
    /// It is loaded, and these jobs of the query are not in it. That is final.
    Lacks { jobs: Vec<String>, message: String, known: String },
    /// It is being loaded, or its last load failed. That may pass.
    NotLoaded(String),
    /// The workspace has no such location. That may pass: a workspace can be reloaded too.
    Absent(String),
}
