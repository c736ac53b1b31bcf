//! Which addresses no proxy leads to: those of this very machine, whatever `HTTP_PROXY` says.

use std::net::IpAddr;

/// Whether a URL names this machine.
pub fn is_loopback(url: &str) -> bool {
    let Ok(url) = url.parse::<reqwest::Url>() else { return false };
    let Some(host) = url.host_str() else { return false };
    let host = host.trim_matches(['[', ']']).trim_end_matches('.');
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => address.to_canonical().is_loopback(),
        Ok(IpAddr::V4(address)) => address.is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_many_names() {
        for (url, expected) in [
            ("http://127.0.0.1:3000/graphql", true),
            ("http://127.8.9.1/graphql", true),
            ("http://localhost:3000/graphql", true),
            ("http://LocalHost./graphql", true),
            ("http://dagster.localhost/graphql", true),
            ("https://[::1]:3000/graphql", true),
            ("http://[::ffff:127.0.0.1]/graphql", true),
            ("http://dagster.internal/graphql", false),
            ("http://10.0.3.10:3000/graphql", false),
            ("http://localhost.example.org/graphql", false),
            ("http://notlocalhost/graphql", false),
            ("nowhere", false),
        ] {
            assert_eq!(is_loopback(url), expected, "{url}");
        }
    }
}
