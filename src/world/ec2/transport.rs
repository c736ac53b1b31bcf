//! How a request is sent: signed, with time-outs and retries, by the runtime that AWS's own clients stand on.

use aws_config::SdkConfig;
use aws_runtime::{
    auth::{SigV4OperationSigningConfig, sigv4},
    retries::classifiers::AwsErrorCodeClassifier,
    user_agent::{ApiMetadata, UserAgentInterceptor},
};
use aws_smithy_runtime::client::{
    identity::IdentityCache,
    orchestrator::operation::{Operation, OperationBuilder},
    retries::classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier},
};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        auth::{AuthSchemeOptionResolverParams, static_resolver::StaticAuthSchemeOptionResolver},
        behavior_version::BehaviorVersion,
        orchestrator::{HttpRequest, HttpResponse, OrchestratorError},
        runtime_components::RuntimeComponentsBuilder,
        runtime_plugin::StaticRuntimePlugin,
    },
};
use aws_smithy_types::{body::SdkBody, config_bag::Layer, error::ErrorMetadata, retry::RetryConfig};
use aws_types::{SigningName, region::SigningRegion};

use super::{
    super::aws,
    answer, endpoint,
    error::{Ec2Error, ServiceError},
    request::Request,
};
use crate::model::{Why, WhyKind};

type Query = Operation<Request, String, ServiceError>;

/// Two ways to send: what changes something is repeated only where EC2 did not even judge it.
///
/// A repeat after a lost answer would hide what the first attempt did: `InvalidPermission.Duplicate` could be our own
/// doing. So the last answer of a change is the only one that can have done something.
#[derive(Debug, Clone)]
pub struct Transport {
    look: Query,
    change: Query,
}

impl Transport {
    pub fn new(config: &SdkConfig) -> Result<Self, Why> {
        let Some(url) = endpoint::endpoint(config) else {
            let message = "EC2: no region is configured: name it in `spec.guard.region` or `AWS_REGION`".to_owned();
            return Err(Why { kind: WhyKind::Unauthorized, message });
        };
        let look = builder(config, &url)
            .retry_classifier(TransientErrorClassifier::<ServiceError>::new())
            .retry_classifier(HttpStatusCodeClassifier::default())
            .retry_classifier(AwsErrorCodeClassifier::<ServiceError>::new());
        let throttled = AwsErrorCodeClassifier::<ServiceError>::builder().transient_errors(vec![]).build();
        let change = builder(config, &url).retry_classifier(throttled);
        let finish = |builder: OperationBuilder| builder.serializer(serialize).deserializer(deserialize).build();
        Ok(Self { look: finish(look), change: finish(change) })
    }

    /// Sends a request and returns the document of its answer.
    pub async fn send(&self, request: Request) -> Result<String, Ec2Error> {
        let action = request.action;
        let way = if request.changes { &self.change } else { &self.look };
        way.invoke(request).await.map_err(|error| Ec2Error::from_sdk(action, &error))
    }
}

fn builder(config: &SdkConfig, url: &str) -> OperationBuilder {
    let retries = config.retry_config().cloned().unwrap_or_else(RetryConfig::standard);
    let mut builder = Operation::builder()
        .service_name("ec2")
        .operation_name("Query")
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(url)
        .timeout_config(config.timeout_config().cloned().unwrap_or_else(aws::timeouts))
        .standard_retry(&retries)
        .with_connection_poisoning()
        .interceptor(UserAgentInterceptor::new())
        .runtime_plugin(signing(config));
    if let Some(client) = config.http_client() {
        builder = builder.http_client(client);
    }
    if let Some(sleep) = config.sleep_impl() {
        builder = builder.sleep_impl(sleep);
    }
    if let Some(time) = config.time_source() {
        builder = builder.time_source(time);
    }
    builder
}

/// Signature version 4 with the configured credentials.
fn signing(config: &SdkConfig) -> StaticRuntimePlugin {
    let mut layer = Layer::new("ec2");
    layer.store_put(AuthSchemeOptionResolverParams::new(()));
    layer.store_put(SigV4OperationSigningConfig::default());
    layer.store_put(SigningName::from_static("ec2"));
    // Behind an endpoint of one's own there need not be a region; the signature names one all the same.
    let region = config.region().cloned().unwrap_or_else(|| aws_config::Region::new("us-east-1"));
    layer.store_put(SigningRegion::from(region));
    layer.store_put(ApiMetadata::new("ec2", env!("CARGO_PKG_VERSION")));
    if let Some(name) = config.app_name() {
        layer.store_put(name.clone());
    }
    let mut components = RuntimeComponentsBuilder::new("ec2");
    components.set_auth_scheme_option_resolver(Some(StaticAuthSchemeOptionResolver::new(vec![sigv4::SCHEME_ID])));
    components.push_auth_scheme(sigv4::SigV4AuthScheme::new());
    components.set_identity_cache(Some(config.identity_cache().unwrap_or_else(|| IdentityCache::lazy().build())));
    if let Some(credentials) = config.credentials_provider() {
        components.set_identity_resolver(sigv4::SCHEME_ID, credentials);
    }
    StaticRuntimePlugin::new().with_config(layer.freeze()).with_runtime_components(components)
}

fn serialize(request: Request) -> Result<HttpRequest, BoxError> {
    let mut http = HttpRequest::new(SdkBody::from(request.body));
    http.set_method("POST")?;
    http.headers_mut().try_insert("content-type", "application/x-www-form-urlencoded; charset=utf-8")?;
    Ok(http)
}

fn deserialize(response: &HttpResponse) -> Result<String, OrchestratorError<ServiceError>> {
    let body = String::from_utf8_lossy(response.body().bytes().unwrap_or_default());
    if response.status().is_success() {
        return Ok(body.into_owned());
    }
    let mut metadata = ErrorMetadata::builder();
    if let Some((code, message)) = answer::error(&body) {
        metadata = metadata.code(code).message(message);
    }
    let status = response.status().as_u16();
    Err(OrchestratorError::operation(ServiceError { status, metadata: metadata.build() }))
}
