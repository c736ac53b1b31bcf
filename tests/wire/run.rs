//! A whole scenario over the wire: secrets, certificates, an old Dagster, an image without certificates.

use std::{collections::BTreeMap, fs, net::SocketAddr, sync::Arc};

use axum::serve::Listener;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{PrivateKeyDer, pem::PemObject},
    },
    server::TlsStream,
};

use crate::{
    dagster::{Dagster, Quirks},
    judge::{self, Journal},
    rig::{Operator, scenario, target},
    schema::Sdl,
};

const SECRET: &str = "hushhush-0123456789";

/// Runs six keys to their verdict; the status, the journal and the server must agree on it.
async fn run_to_the_end(operator: &mut Operator, dagster: &Dagster, url: &str, more: &str) {
    operator.write("target.yaml", &target(url, "2s", "4s", more));
    operator.write("small.yaml", &scenario("small", 1, "3s", "constant: { rate: 2/s }", "fast_job: 1, slow_job: 1"));
    operator.start();
    let status = operator.verdict("small").await;
    assert_eq!((&status["phase"], &status["dagsterVersion"]), (&json!("Passed"), &json!(dagster.version())));
    assert!(operator.stop().await.success(), "{}", operator.log());
    let journals = BTreeMap::from([("small".to_owned(), Journal::read(&operator.path("data"), "small").await)]);
    assert_eq!(judge::launches(&journals, &dagster.runs()).acknowledged, 6);
    judge::verdict(&operator.path("data"), "small", &status, &journals["small"], &dagster.runs());
    judge::events(&operator.path("data"), &journals, &dagster.runs());
    assert_eq!(dagster.truth.lock().unwrap().misfits, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_dagster_is_served_as_the_newest() {
    for sdl in [Sdl::oldest(), Sdl::installed()] {
        let dagster = Dagster::new(sdl, 1, Quirks::default());
        let url = dagster.listen().await;
        run_to_the_end(&mut Operator::new(), &dagster, &url, "").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_reach_the_server_and_are_written_nowhere() {
    // Answers that quote what they were sent, as some gateways do.
    let quoted = format!("no such token: Bearer {SECRET}");
    let refused = (401, json!({ "errors": [{ "message": quoted }] }));
    let failed = (500, json!({ "data": { "launchRun": { "__typename": "PythonError", "message": quoted } } }));
    let quirks = Quirks { looks: vec![refused], launches: vec![failed], ..Quirks::default() };
    let dagster = Dagster::new(Sdl::installed(), 1, quirks);
    let url = dagster.listen().await;
    let mut operator = Operator::new().with("WIRE_TOKEN", &format!("Bearer {SECRET}")).with("DAGSTORM_LOG", "trace");
    let headers = ", headersFromEnv: { Authorization: WIRE_TOKEN }";
    run_to_the_end(&mut operator, &dagster, &url, headers).await;

    let seen = std::mem::take(&mut dagster.truth.lock().unwrap().headers);
    assert!(seen.len() > 10);
    assert!(seen.iter().all(|headers| headers["authorization"] == format!("Bearer {SECRET}")));
    let files = operator.files();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(files.len() > 5 && files.iter().any(|(_, bytes)| text(bytes).contains("no such token: Bearer ***")));
    for (path, bytes) in files {
        assert!(!text(&bytes).contains(SECRET), "{} holds the secret", path.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_without_its_variable_is_said_and_nothing_is_sent() {
    let dagster = Dagster::new(Sdl::installed(), 1, Quirks::default());
    let mut operator = Operator::new();
    let headers = ", headersFromEnv: { Authorization: WIRE_TOKEN }";
    operator.write("target.yaml", &target(&dagster.listen().await, "2s", "4s", headers));
    operator.write("small.yaml", &scenario("small", 1, "3s", "constant: { rate: 2/s }", "fast_job: 1"));
    operator.start();
    let ready = operator.condition("small", "Ready", |ready| ready["status"] == "False").await;
    assert_eq!(ready["reason"], "DagsterUnauthorized");
    assert_eq!(ready["message"], "header Authorization: the environment has no variable WIRE_TOKEN");
    assert!(dagster.truth.lock().unwrap().headers.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_ca_is_refused_until_it_is_named() {
    let authority = authority();
    let dagster = Dagster::new(Sdl::installed(), 1, Quirks::default());
    let url = listen_with_tls(&dagster, &authority).await;
    let mut operator = Operator::new();
    operator.write("target.yaml", &target(&url, "2s", "4s", ""));
    operator.write("small.yaml", &scenario("small", 1, "3s", "constant: { rate: 2/s }", "fast_job: 1, slow_job: 1"));
    operator.start();
    let ready = operator.condition("small", "Ready", |ready| ready["status"] == "False").await;
    assert_eq!(ready["reason"], "DagsterUnreachable");
    let expected = format!(
        "{url} cannot be reached: nobody whom we trust issued its certificate; if a private CA did, add it to this \
         machine's CA certificates, or to those in SSL_CERT_FILE"
    );
    assert_eq!(ready["message"], expected);
    assert!(dagster.truth.lock().unwrap().headers.is_empty(), "nothing was sent over a connection that is not trusted");
    operator.kill();

    let file = operator.path("ca.pem");
    fs::write(&file, authority.pem()).unwrap();
    let mut operator = operator.with("SSL_CERT_FILE", file.to_str().unwrap());
    run_to_the_end(&mut operator, &dagster, &url, "").await;
}

#[test]
fn a_machine_without_certificates_is_told_so_at_once() {
    let mut operator = Operator::new().with("SSL_CERT_FILE", "/dev/null");
    operator.start();
    assert_eq!(operator.wait().code(), Some(4));
    let expected = "dagstorm: there are no CA certificates, so no TLS connection can be made: install the machine's (the \
                    package ca-certificates), or name a file of them in SSL_CERT_FILE\n";
    assert_eq!(operator.log(), expected);
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Listens with a certificate of this authority; returns the GraphQL endpoint.
async fn listen_with_tls(dagster: &Dagster, authority: &Authority) -> String {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    dagster.serve(Tls { listener, acceptor: TlsAcceptor::from(Arc::new(config.unwrap())) });
    format!("https://localhost:{port}/graphql")
}

/// Lets in whoever goes through with the handshake.
struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (socket, address) = self.listener.accept().await.unwrap();
            if let Ok(stream) = self.acceptor.accept(socket).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
