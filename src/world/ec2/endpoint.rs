//! Where EC2 is: `AWS_ENDPOINT_URL_EC2`, `AWS_ENDPOINT_URL`, the profile, or AWS's own name for the region.

use aws_config::SdkConfig;
use aws_types::service_config::ServiceConfigKey;

/// A partition of AWS: how its regions begin, its domain, and that of its dual-stack endpoints.
type Partition = (&'static str, &'static str, &'static str);

const COMMERCIAL: Partition = ("", "amazonaws.com", "api.aws");
const PARTITIONS: [Partition; 6] = [
    ("cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    ("eusc-", "amazonaws.eu", "api.amazonwebservices.eu"),
    ("us-iso-", "c2s.ic.gov", "api.aws.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov", "api.aws.scloud"),
    ("eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
    ("us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
];

/// The URL of EC2 for this configuration. `None`: it has neither a region nor an endpoint.
pub fn endpoint(config: &SdkConfig) -> Option<String> {
    let overriding = if config.get_origin("endpoint_url").is_client_config() { None } else { of_service(config) };
    overriding.or_else(|| config.endpoint_url().map(str::to_owned)).or_else(|| {
        let region = config.region()?.as_ref();
        Some(regional(region, config.use_fips().unwrap_or(false), config.use_dual_stack().unwrap_or(false)))
    })
}

fn of_service(config: &SdkConfig) -> Option<String> {
    let key = ServiceConfigKey::builder().service_id("EC2").env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
    config.service_config()?.load_config(key.expect("all its fields are set"))
}

/// AWS's own endpoint of a region.
pub fn regional(region: &str, fips: bool, dual_stack: bool) -> String {
    let (_, domain, dual) =
        PARTITIONS.into_iter().find(|(begin, _, _)| region.starts_with(begin)).unwrap_or(COMMERCIAL);
    // All of GovCloud's IPv4 endpoints are FIPS endpoints, and have no name of their own for it.
    let is_govcloud = region.starts_with("us-gov-") && !dual_stack;
    let service = if fips && !is_govcloud { "ec2-fips" } else { "ec2" };
    format!("https://{service}.{region}.{}", if dual_stack { dual } else { domain })
}
