//! TLS in front of a simulated BMC: a self-signed certificate, as most BMCs have, and a router behind it.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use futures_util::stream;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::bmc::{Request, Response};

/// The largest request body that is read.
const BODY_CAP: usize = 1 << 20;
/// Time for a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A certificate and its key.
#[derive(Clone)]
pub struct Identity {
    config: Arc<ServerConfig>,
    certificate: CertificateDer<'static>,
}

impl Identity {
    /// A fresh self-signed certificate for this name or address.
    pub fn generate(name: &str) -> io::Result<Self> {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).map_err(io::Error::other)?;
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![certificate.clone()], key))
            .map_err(io::Error::other)?;
        Ok(Identity { config: Arc::new(config), certificate })
    }

    /// SHA-256 of the certificate, in hex.
    pub fn fingerprint(&self) -> String {
        hex::encode(Sha256::digest(&self.certificate))
    }
}

/// Stops its server, connections included, when it is dropped.
pub struct Stop(watch::Sender<Arc<ServerConfig>>);

impl Stop {
    /// Shows another identity to whoever connects from now on.
    pub fn show(&self, identity: &Identity) {
        self.0.send_replace(identity.config.clone());
    }
}

/// Serves until the returned [`Stop`] is dropped. `answer` gives how long to wait, and then the answer or nothing: the
/// connection breaks.
pub fn serve<F, A>(
    listener: TcpListener,
    identity: &Identity,
    answer: F,
) -> io::Result<(Stop, impl Future<Output = io::Result<()>> + use<F, A>)>
where
    F: Fn(Request) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = (Duration, Option<Response>)> + Send + 'static,
{
    listener.set_nonblocking(true)?;
    let (stop, mut shown) = watch::channel(identity.config.clone());
    let server = async move {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                changed = shown.changed() => if changed.is_err() { return Ok(()) },
                accepted = listener.accept() => {
                    let acceptor = TlsAcceptor::from(shown.borrow_and_update().clone());
                    connections.spawn(connection(accepted?.0, acceptor, answer.clone()));
                }
                Some(_) = connections.join_next() => {}
            }
        }
    };
    Ok((Stop(stop), server))
}

/// Serves one connection to its end.
async fn connection<F, A>(stream: tokio::net::TcpStream, acceptor: TlsAcceptor, answer: F)
where
    F: Fn(Request) -> A + Clone,
    A: Future<Output = (Duration, Option<Response>)>,
{
    let Ok(Ok(stream)) = timeout(HANDSHAKE, acceptor.accept(stream)).await else { return };
    let service = service_fn(|request: hyper::Request<Incoming>| async {
        let Some(request) = read(request).await else { return Ok(StatusCode::BAD_REQUEST.into_response()) };
        let (delay, response) = answer(request).await;
        tokio::time::sleep(delay).await;
        Ok::<_, Infallible>(write(response))
    });
    // A client that breaks off is its own affair.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn read(request: hyper::Request<Incoming>) -> Option<Request> {
    let (parts, body) = request.into_parts();
    let headers = parts.headers.iter();
    let headers = headers.filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())));
    Some(Request {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        headers: headers.collect(),
        body: to_bytes(Body::new(body), BODY_CAP).await.ok()?.to_vec(),
    })
}

fn write(response: Option<Response>) -> axum::response::Response {
    let Some(response) = response else {
        // A body that fails at once makes the server drop the connection before anything was sent.
        let broken = stream::iter([Err::<Vec<u8>, _>(io::Error::from(io::ErrorKind::ConnectionReset))]);
        return Body::from_stream(broken).into_response();
    };
    let mut builder = axum::http::Response::builder().status(response.status);
    let typed = response.headers.iter().any(|(name, _)| *name == "Content-Type");
    for (name, value) in response.headers {
        builder = builder.header(name, value);
    }
    let body = match response.body {
        Some(Value::String(text)) if typed => Body::from(text),
        Some(body) => {
            builder = builder.header("Content-Type", "application/json");
            Body::from(body.to_string())
        }
        None => Body::empty(),
    };
    builder.body(body).unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}
