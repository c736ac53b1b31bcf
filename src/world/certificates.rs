//! The CA certificates that every TLS connection rests on: the machine's own, or those that `SSL_CERT_FILE` names.

/// There are none, as in small images.
#[derive(Debug, thiserror::Error)]
#[error(
    "there are no CA certificates, so no TLS connection can be made{reasons}: install the machine's (the package \
     ca-certificates), or name a file of them in SSL_CERT_FILE"
)]
pub struct NoCertificates {
    reasons: String,
}

/// Whether there are any. The HTTP clients of Dagster and AWS cannot be made without, not even for plain HTTP.
///
/// # Errors
/// When there are none.
pub fn check_certificates() -> Result<(), NoCertificates> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let reasons = found.errors.iter().map(|error| format!("; {error}")).collect();
        return Err(NoCertificates { reasons });
    }
    Ok(())
}
