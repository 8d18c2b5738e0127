//! One exchange with a Redfish service: over the network, or within the process for simulated ones.

use std::error::Error as _;
use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Method};

use super::super::ipmi::Call;
use super::super::{Target, Via};
use super::exchange::BODY_CAP;
use super::tls::Witness;
use crate::drive::process::ProcessError;
use crate::model::{Fault, Reason, Secret};

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, `POST`, `PATCH`, `DELETE`.
    pub method: Method,
    /// Path on the BMC.
    pub path: String,
    /// Header names in lower case, and values; the latter may be secret.
    pub headers: Vec<(&'static str, String)>,
    /// JSON, if any.
    pub body: Option<Vec<u8>>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Header names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Why there was no answer.
#[derive(Clone, Debug)]
pub enum Broken {
    /// None in time.
    Timeout,
    /// The connection could not be made, or broke.
    Connection,
    /// Nobody listens there.
    Refused,
    /// TLS failed.
    Tls(rustls::Error),
    /// The certificate is not the one expected: SHA-256 of that and of the one shown, in hex.
    Certificate {
        /// The one expected.
        expected: String,
        /// The one shown.
        shown: String,
    },
    /// The answer is larger than anything that is read.
    TooLarge,
}

/// What an exchange comes to, in time.
pub type Exchange<'a> = Pin<Box<dyn Future<Output = Result<Response, Broken>> + Send + 'a>>;

/// A BMC within the process.
pub trait Local: Send + Sync + fmt::Debug {
    /// Answers one request.
    fn redfish(&self, request: Request) -> Exchange<'_>;
    /// The certificate that it would show (SHA-256, hex).
    fn certificate(&self) -> String;
    /// Answers one call of `ipmitool` as the program would; a BMC without IPMI says nothing.
    fn ipmitool<'a>(&'a self, _args: &'a [String], _password: &'a Secret) -> Call<'a> {
        let silent = ProcessError::TimedOut("ipmitool".into(), Duration::ZERO);
        Box::pin(std::future::ready(Err(silent)))
    }
}

/// The way to one BMC.
pub(super) enum Wire {
    Network { client: Client, base: String, witness: Arc<Witness> },
    Local { service: Arc<dyn Local>, expected: Option<String> },
}

impl Wire {
    pub(super) async fn new(target: &Target) -> Result<Self, Fault> {
        if let Via::Local(service) = &target.via {
            let expected = match &target.tls {
                // Within one conversation the certificate must stay the same even when none was pinned yet.
                super::Tls::Pin(pin) => Some(pin.clone().unwrap_or_else(|| service.certificate())),
                super::Tls::Ca(_) | super::Tls::Insecure => None,
            };
            return Ok(Wire::Local { service: service.clone(), expected });
        }
        let witness = Witness::new(&target.tls).await?;
        let client = Client::builder()
            .tls_backend_preconfigured(witness.client()?)
            .https_only(true)
            .no_proxy()
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(target.patience.request)
            .timeout(target.patience.request)
            .build()
            .map_err(|error| Fault::permanent(Reason::TlsUnsupported, error.to_string()))?;
        let host = match target.address {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("[{v6}]"),
        };
        Ok(Wire::Network { client, base: format!("https://{host}:{}", target.port), witness })
    }

    /// The certificate that was shown (SHA-256, hex).
    pub(super) fn pin(&self) -> Option<String> {
        match self {
            Wire::Network { witness, .. } => witness.seen(),
            Wire::Local { service, .. } => Some(service.certificate()),
        }
    }

    /// Sends and reads, whatever the status.
    pub(super) async fn exchange(&self, request: Request) -> Result<Response, Broken> {
        match self {
            Wire::Network { client, base, witness } => {
                let answer = over_network(client, base, request).await;
                answer.map_err(|broken| match witness.mismatch() {
                    Some((expected, shown)) => Broken::Certificate { expected, shown },
                    None => broken,
                })
            }
            Wire::Local { service, expected } => {
                let shown = service.certificate();
                match expected {
                    Some(expected) if *expected != shown => {
                        Err(Broken::Certificate { expected: expected.clone(), shown })
                    }
                    _ => service.redfish(request).await,
                }
            }
        }
    }
}

async fn over_network(client: &Client, base: &str, request: Request) -> Result<Response, Broken> {
    let mut builder = client.request(request.method, format!("{base}{}", request.path));
    for (name, value) in request.headers {
        builder = builder.header(name, value);
    }
    if let Some(body) = request.body {
        builder = builder.body(body);
    }
    let mut response = builder.send().await.map_err(|error| broken(&error))?;
    let status = response.status().as_u16();
    let headers = response.headers().iter();
    let headers = headers.filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())));
    let headers = headers.collect();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error))? {
        if body.len() + chunk.len() > BODY_CAP {
            return Err(Broken::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Response { status, headers, body })
}

/// What became of a request that got no answer.
fn broken(error: &reqwest::Error) -> Broken {
    match tls_error(error) {
        Some(tls) => Broken::Tls(tls),
        None if error.is_timeout() => Broken::Timeout,
        None if is_refused(error) => Broken::Refused,
        None => Broken::Connection,
    }
}

/// Whether the machine is there and nobody listens at that port.
fn is_refused(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = error.source();
    while let Some(error) = cause {
        let io = error.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The TLS error inside a client's error, if that is what it is.
fn tls_error(error: &reqwest::Error) -> Option<rustls::Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = error.source();
    while let Some(error) = cause {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls.clone());
        }
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(tls) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Some(tls.clone());
        }
        cause = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}
