//! One exchange with a Redfish service: over HTTPS, or within the process for simulated ones.

use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::Client;

use super::super::endpoint::{Endpoint, Tls};
use super::super::transport::{BODY_CAP, LocalBmc, NoResponse, Request, Response, Transport};
use super::tls::Verifier;
use crate::model::{Fault, Reason};

pub(super) enum HttpClient {
    Network { client: Client, base: String, verifier: Arc<Verifier> },
    Local { service: Arc<dyn LocalBmc>, expected: Option<String> },
}

impl HttpClient {
    pub(super) async fn new(endpoint: &Endpoint) -> Result<Self, Fault> {
        if let Transport::Local(service) = &endpoint.transport {
            let expected = match &endpoint.tls {
                // Within one session the certificate must stay the same even when none was pinned yet.
                Tls::Pin(pin) => Some(pin.clone().unwrap_or_else(|| service.certificate())),
                Tls::Ca(_) | Tls::Insecure => None,
            };
            return Ok(HttpClient::Local { service: service.clone(), expected });
        }
        let verifier = Verifier::new(&endpoint.tls).await?;
        let client = Client::builder()
            .tls_backend_preconfigured(verifier.client()?)
            .https_only(true)
            .no_proxy()
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(endpoint.timeouts.request)
            .timeout(endpoint.timeouts.request)
            .build()
            .map_err(|error| Fault::permanent(Reason::TlsUnsupported, error.to_string()))?;
        let base = format!("https://{}", SocketAddr::new(endpoint.address, endpoint.port));
        Ok(HttpClient::Network { client, base, verifier })
    }

    /// The certificate that was shown (SHA-256, hex).
    pub(super) fn pin(&self) -> Option<String> {
        match self {
            HttpClient::Network { verifier, .. } => verifier.seen(),
            HttpClient::Local { service, .. } => Some(service.certificate()),
        }
    }

    /// Sends and reads, whatever the status.
    pub(super) async fn exchange(&self, request: Request) -> Result<Response, NoResponse> {
        match self {
            HttpClient::Network { client, base, verifier } => {
                let answer = over_network(client, base, request).await;
                answer.map_err(|no_response| match verifier.mismatch() {
                    Some((expected, shown)) => NoResponse::Certificate { expected, shown },
                    None => no_response,
                })
            }
            HttpClient::Local { service, expected } => {
                let shown = service.certificate();
                match expected {
                    Some(expected) if *expected != shown => {
                        Err(NoResponse::Certificate { expected: expected.clone(), shown })
                    }
                    _ => service.redfish(request).await,
                }
            }
        }
    }
}

async fn over_network(client: &Client, base: &str, request: Request) -> Result<Response, NoResponse> {
    let mut builder = client.request(request.method, format!("{base}{}", request.path));
    for (name, value) in request.headers {
        builder = builder.header(name, value);
    }
    if let Some(body) = request.body {
        builder = builder.body(body);
    }
    let mut response = builder.send().await.map_err(|error| no_response(&error))?;
    let status = response.status().as_u16();
    let headers = response.headers().iter();
    let headers = headers.filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())));
    let headers = headers.collect();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| no_response(&error))? {
        if body.len() + chunk.len() > BODY_CAP {
            return Err(NoResponse::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Response { status, headers, body })
}

type Cause = dyn std::error::Error + 'static;

fn no_response(error: &reqwest::Error) -> NoResponse {
    let refused = |cause: &Cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused)
    };
    match causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
        Some(tls) => NoResponse::Tls(tls.clone()),
        None if error.is_timeout() => NoResponse::Timeout,
        None if causes(error).any(refused) => NoResponse::Refused,
        None => NoResponse::Connection,
    }
}

/// What led to an error: its sources, and what is inside of I/O errors.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &Cause> {
    std::iter::successors(error.source(), |error: &&Cause| {
        let error = *error;
        match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner as &Cause),
            None => error.source(),
        }
    })
}
