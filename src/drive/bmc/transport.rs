//! How requests reach a BMC: over the network, or within the process where it is simulated.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;

use crate::drive::process::{Output, ProcessError};
use crate::model::Secret;

#[derive(Clone, Debug, Default)]
pub enum Transport {
    #[default]
    Network,
    Local(Arc<dyn LocalBmc>),
}

pub trait LocalBmc: Send + Sync + fmt::Debug {
    fn redfish(&self, request: Request) -> Exchange<'_>;
    /// The certificate that it would show (SHA-256, hex).
    fn certificate(&self) -> String;
    /// Answers one call of `ipmitool` as the program would; a BMC without IPMI says nothing.
    fn ipmitool<'a>(&'a self, _args: &'a [String], _password: &'a Secret) -> IpmiCall<'a> {
        let silent = ProcessError::TimedOut("ipmitool".into(), Duration::ZERO);
        Box::pin(std::future::ready(Err(silent)))
    }
}

pub type Exchange<'a> = Pin<Box<dyn Future<Output = Result<Response, NoResponse>> + Send + 'a>>;

/// What a call of `ipmitool` comes to.
pub type IpmiCall<'a> = Pin<Box<dyn Future<Output = Result<Output, ProcessError>> + Send + 'a>>;

#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, `POST`, `PATCH`, `DELETE`.
    pub method: Method,
    pub path: String,
    /// Header names in lower case, and values; the latter may be secret.
    pub headers: Vec<(&'static str, String)>,
    /// JSON, if any.
    pub body: Option<Vec<u8>>,
}

/// A Redfish service's answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    /// Header names in lower case, and values.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Clone, Debug)]
pub enum NoResponse {
    /// None in time.
    Timeout,
    /// The connection could not be made, or broke.
    Connection,
    Refused,
    Tls(rustls::Error),
    /// The certificate is not the one expected: SHA-256 of that and of the one shown, in hex.
    Certificate {
        expected: String,
        shown: String,
    },
    /// The answer is larger than [`BODY_CAP`].
    TooLarge,
}

/// The largest answer of a Redfish service that is read, in bytes.
pub const BODY_CAP: usize = 4 << 20;
