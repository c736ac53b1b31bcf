//! What EC2's errors mean: its code, a sentence, and whether the call certainly changed nothing.

use std::fmt;

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::{ErrorMetadata, metadata::ProvideErrorMetadata};

use super::super::aws;
use crate::model::{Outcome, Why, WhyKind};

/// Why a call to EC2 has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Ec2Error {
    /// `None`: it was not EC2 that refused.
    pub code: Option<ErrorCode>,
    pub why: Why,
    /// The call certainly changed nothing. Without this, it may have been carried out.
    pub refused: bool,
}

/// EC2's code, as far as it changes what we do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorCode {
    /// `InvalidPermission.Duplicate`: a rule to authorize is there already, and no rule of the call was added.
    PermissionDuplicate,
    /// `InvalidPermission.NotFound`: a rule to revoke is not there, and no rule of the call was taken away.
    PermissionNotFound,
    /// `InvalidGroup.NotFound`, `InvalidGroupId.NotFound`, `InvalidSecurityGroupID.NotFound`
    GroupNotFound,
    /// `RulesPerSecurityGroupLimitExceeded`
    TooManyRules,
    /// `UnauthorizedOperation`
    Unauthorized,
    /// `DryRunOperation`: the success of a dry run. Our client never hands it out as an error of one.
    DryRun,
    /// `RequestLimitExceeded` and its like.
    Throttled,
    Other(String),
}

impl Ec2Error {
    /// An answer that cannot be read.
    pub(super) fn unreadable(action: &str, message: &str) -> Self {
        let why = Why { kind: WhyKind::Protocol, message: format!("EC2 {action}: {message}") };
        Self { code: None, why, refused: false }
    }

    /// A call that was not even sent.
    pub(super) fn unsent(action: &str, kind: WhyKind, message: &str) -> Self {
        Self { code: None, why: Why { kind, message: format!("EC2 {action}: {message}") }, refused: true }
    }

    pub(super) fn from_sdk(action: &str, error: &SdkError<ServiceError, HttpResponse>) -> Self {
        let mut why = aws::why(&format!("EC2 {action}"), error);
        let Some(service) = error.as_service_error() else {
            let refused = why.kind == WhyKind::Unauthorized && never_sent(error);
            return Self { code: None, why, refused };
        };
        let Some(code) = service.code() else {
            let kind = if service.status < 500 { WhyKind::Protocol } else { WhyKind::ServerError };
            let message = format!("EC2 {action}: HTTP {} without an error of EC2's", service.status);
            return Self { code: None, why: Why { kind, message }, refused: false };
        };
        let code = ErrorCode::of(code);
        if code == ErrorCode::Throttled {
            why.kind = WhyKind::Throttled;
        }
        // What EC2 answers with 4xx it has judged and refused. A throttled call was not even judged.
        let refused = service.status < 500 || code == ErrorCode::Throttled;
        Self { code: Some(code), why, refused }
    }

    /// As the outcome of an effect.
    pub fn outcome(&self) -> Outcome {
        let reason = self.why.message.clone();
        if !self.refused {
            return Outcome::Unknown { reason };
        }
        match self.why.kind {
            WhyKind::Throttled => Outcome::Refused { reason, retry: true },
            WhyKind::Unauthorized
            | WhyKind::NotFound
            | WhyKind::ServerError
            | WhyKind::Unreachable
            | WhyKind::TimedOut
            | WhyKind::Protocol
            | WhyKind::Awaited
            | WhyKind::Mismatch
            | WhyKind::NotLoaded => Outcome::Refused { reason, retry: false },
        }
    }
}

/// No credentials, no region: the call failed while it was put together.
fn never_sent(error: &SdkError<ServiceError, HttpResponse>) -> bool {
    match error {
        SdkError::ConstructionFailure(_) => true,
        // The identity is resolved in this phase; what breaks on the way has a kind that says whether to retry.
        SdkError::DispatchFailure(failure) => failure.is_other() && failure.as_other().is_none(),
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) | SdkError::ServiceError(_) | _ => false,
    }
}

impl ErrorCode {
    fn of(code: &str) -> Self {
        match code {
            "InvalidPermission.Duplicate" => Self::PermissionDuplicate,
            "InvalidPermission.NotFound" => Self::PermissionNotFound,
            "InvalidGroup.NotFound" | "InvalidGroupId.NotFound" | "InvalidSecurityGroupID.NotFound" => {
                Self::GroupNotFound
            }
            "RulesPerSecurityGroupLimitExceeded" => Self::TooManyRules,
            "UnauthorizedOperation" => Self::Unauthorized,
            "DryRunOperation" => Self::DryRun,
            _ if aws_runtime::retries::classifiers::THROTTLING_ERRORS.contains(&code) => Self::Throttled,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// An error answer of EC2's as the SDK's runtime wants it.
#[derive(Debug)]
pub struct ServiceError {
    pub(super) status: u16,
    pub(super) metadata: ErrorMetadata,
}

impl ProvideErrorMetadata for ServiceError {
    fn meta(&self) -> &ErrorMetadata {
        &self.metadata
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {}: {}", self.status, self.metadata)
    }
}

impl std::error::Error for ServiceError {}
