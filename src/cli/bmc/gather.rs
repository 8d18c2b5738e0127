//! Asking many BMCs at once, each within a deadline, and what is made of their answers.

use std::net::IpAddr;
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use serde::Serialize;

use super::endpoint;
use crate::drive::bmc::manual::{
    self,
    types::{Depth, Look},
};
use crate::model::{Fault, HostFacts, HostSpec, Protocol, Reason, World};
use crate::plan;
use crate::settings::{BmcTls, Settings};

/// What is known of one BMC after it was asked.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    pub host: String,
    pub address: Option<IpAddr>,
    /// Whether anything answered there; `None` when nothing was sent.
    pub reachable: Option<bool>,
    pub protocol: Option<Protocol>,
    pub certificate: Certificate,
    pub account: Option<String>,
    /// Whether the account was accepted; `None` when none was tried.
    pub authenticated: Option<bool>,
    /// Whether an interface of it has the MAC in the repository; nothing when it does not say.
    pub mac_matches: Option<bool>,
    pub look: Option<Look>,
    pub fault: Option<Fault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Certificate {
    Unseen,
    Pinned,
    /// None is pinned yet: the daemon will trust the one it sees first.
    New,
    /// Another than the one that is pinned.
    Changed,
    /// Signed by the authority in the settings.
    Signed,
    /// It is not looked at (`bmc.tls: insecure`).
    Unchecked,
    /// The TLS handshake failed.
    Failed,
}

impl Certificate {
    pub fn as_str(self) -> &'static str {
        match self {
            Certificate::Unseen => "-",
            Certificate::Pinned => "pinned",
            Certificate::New => "not pinned yet",
            Certificate::Changed => "CHANGED",
            Certificate::Signed => "by the CA",
            Certificate::Unchecked => "not checked",
            Certificate::Failed => "FAILED",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct How {
    pub depth: Depth,
    /// Whether to try accounts that were refused before.
    pub force: bool,
}

/// Asks them all, so many at once as the settings allow. The answers are in the order of `specs`.
pub async fn all(settings: &Settings, world: &World, specs: &[Arc<HostSpec>], how: How) -> Vec<Answer> {
    let asking = specs.iter().map(|spec| one(settings, world, spec, how));
    stream::iter(asking).buffered(settings.bmc.concurrency.max(1)).collect().await
}

pub async fn one(settings: &Settings, world: &World, spec: &HostSpec, how: How) -> Answer {
    let facts = endpoint::facts(world, spec);
    let endpoint = match endpoint::endpoint(settings, spec, world, how.force) {
        Ok(endpoint) => endpoint,
        Err(fault) => return unasked(spec, &facts, Some(fault)),
    };
    let result = manual::look(&endpoint, how.depth).await;
    let answer = Answer { account: Some(endpoint.username), ..unasked(spec, &facts, None) };
    match result {
        Ok(look) => heard(answer, look, settings, spec, &facts),
        Err(fault) => refused(answer, fault),
    }
}

/// What is there before anybody was asked.
fn unasked(spec: &HostSpec, facts: &HostFacts, fault: Option<Fault>) -> Answer {
    let refused = fault.as_ref().is_some_and(|fault| fault.reason == Reason::AuthenticationFailed);
    Answer {
        host: spec.id.to_string(),
        address: plan::bmc::address(spec, facts),
        reachable: None,
        protocol: None,
        certificate: Certificate::Unseen,
        account: None,
        authenticated: refused.then_some(false),
        mac_matches: None,
        look: None,
        fault,
    }
}

fn heard(answer: Answer, look: Look, settings: &Settings, spec: &HostSpec, facts: &HostFacts) -> Answer {
    let certificate = match (&look.certificate, &settings.bmc.tls) {
        (None, _) => Certificate::Unseen,
        (Some(_), BmcTls::Insecure) => Certificate::Unchecked,
        (Some(_), BmcTls::Ca(_)) => Certificate::Signed,
        (Some(_), BmcTls::Pin) if plan::bmc::pin(spec, facts).is_some() => Certificate::Pinned,
        (Some(_), BmcTls::Pin) => Certificate::New,
    };
    Answer {
        reachable: Some(true),
        protocol: Some(look.protocol),
        certificate,
        authenticated: Some(true),
        mac_matches: (!look.macs.is_empty()).then(|| look.macs.contains(&spec.bmc_mac)),
        look: Some(look),
        fault: None,
        ..answer
    }
}

/// How far it got, by what stopped it.
fn refused(answer: Answer, fault: Fault) -> Answer {
    let (reachable, certificate, authenticated) = match fault.reason {
        Reason::Unreachable | Reason::Timeout => (Some(false), Certificate::Unseen, None),
        Reason::BmcInUse | Reason::StateDirUnusable => (None, Certificate::Unseen, None),
        Reason::CertificateChanged => (Some(true), Certificate::Changed, None),
        Reason::TlsFailed | Reason::TlsUnsupported | Reason::BadCertificateAuthority => {
            (Some(true), Certificate::Failed, None)
        }
        Reason::AuthenticationFailed => (Some(true), Certificate::Unseen, Some(false)),
        _ => (Some(true), Certificate::Unseen, None),
    };
    Answer { reachable, certificate, authenticated, fault: Some(fault), ..answer }
}
