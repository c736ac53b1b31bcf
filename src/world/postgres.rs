//! Connections to PostgreSQL: over TLS where the server has it, with the machine's own CA certificates.

use std::{sync::Arc, time::Duration};

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use tokio_postgres::{Client, Config, error::SqlState};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::dagster::root_cause;
use crate::model::{Why, WhyKind};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one statement may take until its first row.
const STATEMENT_TIMEOUT: &str = "SET statement_timeout = '300s'";

/// Connects to the database whose address the variable holds. The connection ends with the client.
pub async fn connect(variable: &str) -> Result<Client, Why> {
    let url = std::env::var(variable).map_err(|_| Why {
        kind: WhyKind::Unauthorized,
        message: format!("PostgreSQL: the environment has no variable {variable}"),
    })?;
    let mut config: Config = plain(&url).parse().map_err(|_| Why {
        kind: WhyKind::Mismatch,
        // Never the value: it holds a password.
        message: format!(
            "the value of {variable} is no address of PostgreSQL: write it as in `postgresql://user:password@host/name`"
        ),
    })?;
    config.connect_timeout(CONNECT_TIMEOUT).application_name("dagstorm");
    let what = format!("PostgreSQL ({variable})");
    let (client, connection) = config.connect(tls()).await.map_err(|error| why(&what, &error))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            // Whoever reads sees it too, as the error of his query.
            tracing::debug!(%error, "a connection to PostgreSQL ended");
        }
    });
    client.batch_execute(STATEMENT_TIMEOUT).await.map_err(|error| why(&what, &error))?;
    Ok(client)
}

/// As Dagster and SQLAlchemy write it (`postgresql+psycopg2://`), and with the words of libpq that mean less than what is
/// always done here: a certificate is verified, or the connection is not made.
fn plain(url: &str) -> String {
    let url = match url.split_once("://") {
        Some((scheme, rest)) => format!("{}://{rest}", scheme.split('+').next().unwrap_or(scheme)),
        None => url.to_owned(),
    };
    url.replace("sslmode=verify-full", "sslmode=require").replace("sslmode=verify-ca", "sslmode=require")
}

fn tls() -> MakeRustlsConnect {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has the default protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    MakeRustlsConnect::new(config)
}

/// Why a call failed. `what` names the thing that was asked about.
pub fn why(what: &str, error: &tokio_postgres::Error) -> Why {
    let (kind, text) = match error.as_db_error() {
        Some(answer) => (kind(answer.code()), answer.message().to_owned()),
        None => (WhyKind::Unreachable, root_cause(error)),
    };
    Why { kind, message: format!("{what}: {text}") }
}

fn kind(state: &SqlState) -> WhyKind {
    if [SqlState::INVALID_PASSWORD, SqlState::INVALID_AUTHORIZATION_SPECIFICATION, SqlState::INSUFFICIENT_PRIVILEGE]
        .contains(state)
    {
        WhyKind::Unauthorized
    } else if [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN, SqlState::INVALID_CATALOG_NAME].contains(state) {
        WhyKind::NotFound
    } else if *state == SqlState::QUERY_CANCELED {
        WhyKind::TimedOut
    } else {
        WhyKind::ServerError
    }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn addresses_are_taken_as_others_write_them() {
        for (url, taken) in [
            ("postgresql+psycopg2://u:p@h/d", "postgresql://u:p@h/d"),
            ("postgres://u:p+q@h/d?sslmode=verify-full", "postgres://u:p+q@h/d?sslmode=require"),
            ("host=/run user=x", "host=/run user=x"),
        ] {
            assert_eq!(plain(url), taken);
        }
        assert!(plain("postgresql+psycopg2:///d?host=/run/pg&user=u").parse::<tokio_postgres::Config>().is_ok());
    }
}
