#![allow(clippy::unwrap_used)]

//! What an app is told of a client, over real sockets, with certificates made by openssl.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tower::{ServiceExt as _, service_fn};
use tower_layer::Layer as _;

use super::identity::{Identity, provider};
use crate::body::RequestBody;
use crate::config::Live;
use crate::serve::tests::LIMITS;
use crate::serve::{Incoming, Server, Tls};
use crate::{SteadfastLayer, UploadConfig};

/// One pair, whose certificate is its own authority, serves both ends.
fn make(dir: &Path) -> [PathBuf; 2] {
    let request = "req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -days 2 \
                   -keyout key.pem -out cert.pem -subj /CN=both -addext subjectAltName=DNS:here \
                   -addext basicConstraints=critical,CA:FALSE";
    let mut openssl = Command::new("openssl");
    let made = openssl.current_dir(dir).args(request.split_whitespace());
    let output = made.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    ["cert.pem", "key.pem"].map(|name| dir.join(name))
}

fn client([cert, key]: &[PathBuf; 2]) -> TlsConnector {
    let cert = CertificateDer::from_pem_file(cert).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![cert], PrivateKeyDer::from_pem_file(key).unwrap());
    TlsConnector::from(Arc::new(config.unwrap()))
}

/// Serves one request and answers what it bore.
async fn told(files: &[(&'static str, PathBuf)], pair: &[PathBuf; 2]) -> Option<Tls> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let app = service_fn(move |request: Request<Incoming>| {
        let tls = request.extensions().get::<Tls>().cloned();
        tell.send(tls).unwrap();
        async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::new()))) }
    });
    let identity = Identity::open(files).unwrap();
    let server = Server::new(LIMITS).secured(Arc::new(Live::new(Arc::new(identity))));
    let ask = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("here").unwrap();
        let mut stream = client(pair).connect(name, stream).await.unwrap();
        let head = b"GET / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n";
        stream.write_all(head).await.unwrap();
        let mut answer = String::new();
        // It fails unless the server ends in good order.
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    };
    let drained = server.run(listener, app, ask, async {}).await.unwrap();
    assert!(drained.is_complete());
    told.recv().await.unwrap()
}

#[tokio::test]
async fn an_app_is_told_of_a_verified_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let pair = make(dir.path());
    let mut files = vec![
        ("server.tls_cert", pair[0].clone()),
        ("server.tls_key", pair[1].clone()),
    ];
    let tls = told(&files, &pair).await.unwrap();
    assert_eq!(tls.server_name.as_deref(), Some("here"));
    assert_eq!(tls.client_certificate, None, "nobody has asked for it");
    files.push(("server.tls_client_ca", pair[0].clone()));
    let tls = told(&files, &pair).await.unwrap();
    let own = CertificateDer::from_pem_file(&pair[0]).unwrap();
    assert_eq!(tls.client_certificate.as_deref(), Some(&own[..]));
}

/// By another accept loop than ours, it would be reached by anybody.
#[tokio::test]
async fn what_is_to_be_secured_and_is_not_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let [cert, key] = make(dir.path());
    let mut config = UploadConfig::default();
    config.uploads.state_dir = dir.path().join("state");
    config.uploads.min_free_space = 0;
    config.security.enabled = false;
    config.security.protect = vec!["/own".to_owned()];
    (config.server.tls_cert, config.server.tls_key) = (Some(cert), Some(key));
    let (layer, _driver) = SteadfastLayer::from_config(config).await.unwrap();
    let app = service_fn(|_: Request<RequestBody<Full<Bytes>>>| async {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
    });
    let app = layer.layer(app);
    let send = async |tls: Option<Tls>| {
        let create = Request::post("/upload/chunked").header("x-filename", "a");
        let create = create.header("x-total-size", "1");
        let mut create = create.body(Full::new(Bytes::new())).unwrap();
        tls.map(|tls| create.extensions_mut().insert(tls));
        app.clone().oneshot(create).await.unwrap().status()
    };
    assert_eq!(send(None).await, 500);
    let tls = Tls {
        server_name: None,
        client_certificate: None,
    };
    assert_eq!(send(Some(tls)).await, 201);
}

#[test]
fn half_a_pair_is_no_identity() {
    for key in ["server.tls_cert", "server.tls_key", "server.tls_client_ca"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "").unwrap();
        let error = Identity::open(&[(key, path)]).err().unwrap();
        assert!(error.to_string().contains("both"), "{error}");
    }
}
