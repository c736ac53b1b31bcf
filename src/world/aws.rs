//! What all AWS clients share: the configuration with its time-outs, and what their errors mean.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_ecs::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::{
    interceptors::context::InterceptorContext,
    orchestrator::HttpResponse,
    retries::classifiers::{ClassifyRetry, RetryAction, RetryClassifierPriority},
};

use crate::model::{Outcome, Why, WhyKind};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest that one call, with the SDK's own retries, can be in flight.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);
const ATTEMPTS: u32 = 3;

/// Loads the SDK's default chain: environment, profile, task role.
pub async fn config(region: Option<&str>) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .timeout_config(timeouts())
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS));
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    }
    loader.load().await
}

/// The time-outs of every call. The SDK sets none by itself.
pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build()
}

/// The clients for what changes something: an attempt that may have been carried out is their last.
///
/// The SDK tells of the last attempt alone: `Refused` after an attempt whose answer was lost would say that nothing was done,
/// and what was done would never be taken back.
pub struct Changes {
    pub ecs: aws_sdk_ecs::Client,
    pub sqs: aws_sdk_sqs::Client,
}

impl Changes {
    pub fn new(config: &SdkConfig) -> Self {
        let ecs = aws_sdk_ecs::config::Builder::from(config).retry_classifier(OnlyRefused).build();
        let sqs = aws_sdk_sqs::config::Builder::from(config).retry_classifier(OnlyRefused).build();
        Self { ecs: aws_sdk_ecs::Client::from_conf(ecs), sqs: aws_sdk_sqs::Client::from_conf(sqs) }
    }
}

/// Forbids to repeat what AWS has not answered with 4xx, whatever others say of it.
#[derive(Debug)]
struct OnlyRefused;

impl ClassifyRetry for OnlyRefused {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let refused = context.response().is_some_and(|response| response.status().is_client_error());
        if refused { RetryAction::NoActionIndicated } else { RetryAction::RetryForbidden }
    }

    fn name(&self) -> &'static str {
        "only what AWS has refused is repeated"
    }

    fn priority(&self) -> RetryClassifierPriority {
        RetryClassifierPriority::run_after(RetryClassifierPriority::transient_error_classifier())
    }
}

/// Says why a call failed. `what` names the thing that was asked about.
pub fn why<E, R>(what: &str, error: &SdkError<E, R>) -> Why
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    let text = match error.as_service_error() {
        Some(service) => {
            let code = service.code().unwrap_or("an error without a code");
            service.message().map_or_else(|| code.to_owned(), |message| format!("{code}: {message}"))
        }
        None => unanswered(error),
    };
    #[allow(clippy::wildcard_enum_match_arm, reason = "SdkError is open")]
    let kind = match error {
        SdkError::TimeoutError(_) => WhyKind::TimedOut,
        SdkError::ServiceError(_) => service_kind(error.as_service_error().and_then(ProvideErrorMetadata::code)),
        // A missing credential or region shows only while a request is put together.
        SdkError::ConstructionFailure(_) => WhyKind::Unauthorized,
        SdkError::DispatchFailure(_) if text.contains("redential") || text.contains("egion") => WhyKind::Unauthorized,
        SdkError::ResponseError(_) => WhyKind::Protocol,
        _ => WhyKind::Unreachable,
    };
    Why { kind, message: format!("{what}: {text}") }
}

/// Why there was no answer, each cause by its first line.
fn unanswered(error: &dyn std::error::Error) -> String {
    let causes: Vec<String> =
        std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect();
    if causes.iter().any(|cause| cause.contains("no credentials found")) {
        return "no AWS credentials were found: neither in the environment nor in a profile, nor by a task role"
            .to_owned();
    }
    let mut lines: Vec<&str> = causes.iter().filter_map(|cause| cause.lines().next()).collect();
    lines.dedup();
    lines.join(": ")
}

/// What a call that changes something came to, when it is not `Ok`: AWS has judged and refused what it answers with 4xx.
pub fn outcome<E>(what: &str, error: &SdkError<E, HttpResponse>) -> Outcome
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let Why { kind, message: reason } = why(what, error);
    let refused = error.raw_response().is_some_and(|response| response.status().as_u16() < 500);
    match kind {
        WhyKind::Throttled => Outcome::Refused { reason, retry: true },
        WhyKind::Unauthorized | WhyKind::NotFound => Outcome::Refused { reason, retry: false },
        WhyKind::ServerError if refused && error.as_service_error().is_some() => {
            Outcome::Refused { reason, retry: false }
        }
        WhyKind::Unreachable
        | WhyKind::TimedOut
        | WhyKind::ServerError
        | WhyKind::Protocol
        | WhyKind::Awaited
        | WhyKind::Mismatch
        | WhyKind::NotLoaded => Outcome::Unknown { reason },
    }
}

fn service_kind(code: Option<&str>) -> WhyKind {
    let code = code.unwrap_or_default();
    let any = |words: &[&str]| words.iter().any(|word| code.contains(word));
    if any(&[
        "AccessDenied",
        "Unauthorized",
        "UnrecognizedClient",
        "InvalidClientTokenId",
        "Signature",
        "ExpiredToken",
        "AuthFailure",
    ]) {
        WhyKind::Unauthorized
    } else if any(&["NotFound", "DoesNotExist", "NonExistent", "NotActive"]) {
        WhyKind::NotFound
    } else if any(&["Throttl", "TooManyRequests", "RequestLimitExceeded", "SlowDown"]) {
        WhyKind::Throttled
    } else {
        WhyKind::ServerError
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_meanings() {
        for (code, kind) in [
            ("ClusterNotFoundException", WhyKind::NotFound),
            ("AWS.SimpleQueueService.NonExistentQueue", WhyKind::NotFound),
            ("QueueDoesNotExist", WhyKind::NotFound),
            ("UnrecognizedClientException", WhyKind::Unauthorized),
            ("SignatureDoesNotMatch", WhyKind::Unauthorized),
            ("ThrottlingException", WhyKind::Throttled),
            ("ServerException", WhyKind::ServerError),
            ("", WhyKind::ServerError),
        ] {
            assert_eq!(service_kind(Some(code)), kind, "{code}");
        }
    }
}
