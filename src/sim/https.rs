//! TLS in front of a simulated BMC: a self-signed certificate, as most BMCs have, and a router behind it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum_server::Handle;
use axum_server::tls_rustls::{RustlsConfig, from_tcp_rustls};
use futures_util::stream;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::bmc::{Request, Response};

/// The largest request body that is read.
const BODY_CAP: usize = 1 << 20;

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

    /// The certificate in DER.
    pub fn der(&self) -> &[u8] {
        &self.certificate
    }
}

/// Stops its server, connections included, when it is dropped.
pub struct Stop(Handle<SocketAddr>, RustlsConfig);

impl Stop {
    /// Shows another identity to whoever connects from now on.
    pub fn show(&self, identity: &Identity) {
        self.1.reload_from_config(identity.config.clone());
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.shutdown();
    }
}

/// Serves until the returned [`Stop`]'s twin is dropped. `answer` gives how long to wait, and then the answer or
/// nothing: the connection breaks.
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
    let handle = Handle::new();
    let service = Router::new().fallback(move |request: axum::extract::Request| {
        let answer = answer.clone();
        async move {
            let Some(request) = read(request).await else { return StatusCode::BAD_REQUEST.into_response() };
            let (delay, response) = answer(request).await;
            tokio::time::sleep(delay).await;
            write(response)
        }
    });
    let shown = RustlsConfig::from_config(identity.config.clone());
    let server = from_tcp_rustls(listener, shown.clone())?.handle(handle.clone());
    Ok((Stop(handle, shown), server.serve(service.into_make_service())))
}

async fn read(request: axum::extract::Request) -> Option<Request> {
    let (parts, body) = request.into_parts();
    let headers = parts.headers.iter();
    let headers = headers.filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())));
    Some(Request {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        headers: headers.collect(),
        body: to_bytes(body, BODY_CAP).await.ok()?.to_vec(),
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
