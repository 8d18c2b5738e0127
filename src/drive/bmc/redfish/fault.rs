//! What an answer that is not the one hoped for comes to.

use reqwest::StatusCode;
use serde_json::Value;

use super::exchange::Reply;
use super::session::{Auth, Session};
use super::tls::Tls;
use super::wire::Broken;
use crate::model::{Fault, Reason};

/// Messages of refusals that pass by themselves, by the end of their ids, and where each was seen.
const LATER: &[(&str, &str)] = &[
    // iLO 5 and 6 take no boot override during the power-on self test.
    ("UnableToModifyDuringSystemPOST", "ironcore-dev/metal-operator #997"),
    // Base registry (DSP8011).
    ("ResourceInUse", "DSP8011, Base 1.x"),
    ("ServiceInUnknownState", "DSP8011, Base 1.x"),
    ("ServiceTemporarilyUnavailable", "DSP8011, Base 1.x"),
    ("ServiceShuttingDown", "DSP8011, Base 1.x"),
];

/// What an error body says (DSP0266, "Error responses").
#[derive(Debug, Default)]
pub(super) struct Said {
    ids: Vec<String>,
    /// The first message, shortened.
    pub text: String,
}

impl Said {
    /// Whether one of the messages has an id that ends so.
    pub(super) fn any(&self, ends: &[&str]) -> bool {
        self.ids.iter().any(|id| ends.iter().any(|end| id.ends_with(end)))
    }

    /// Whether it says that another time would do.
    pub(super) fn later(&self) -> bool {
        LATER.iter().any(|(end, _)| self.any(&[end]))
    }
}

/// Reads an error body, whatever its shape; old HP services spell `MessageID`.
pub(super) fn said(body: &Value) -> Said {
    let infos = body.pointer("/error/@Message.ExtendedInfo").and_then(Value::as_array);
    let infos = infos.map(Vec::as_slice).unwrap_or_default();
    let ids = infos.iter().filter_map(|info| info["MessageId"].as_str().or_else(|| info["MessageID"].as_str()));
    let code = body.pointer("/error/code").and_then(Value::as_str);
    let text = infos.iter().find_map(|info| info["Message"].as_str());
    let ids: Vec<_> = ids.chain(code).map(str::to_owned).collect();
    let text = text.or_else(|| body.pointer("/error/message").and_then(Value::as_str));
    // An iLO sends ids without words.
    let text = text.filter(|text| !text.starts_with("See @Message")).or(ids.first().map(String::as_str));
    Said { text: clip(text.unwrap_or_default()), ids }
}

/// At most 200 printable characters of something a BMC said.
pub(super) fn clip(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

impl Session {
    /// A good answer, or the fault that it is.
    pub(super) fn accept(&self, reply: Reply, path: &str) -> Result<Reply, Fault> {
        if reply.status.is_success() {
            return Ok(reply);
        }
        let words = said(&reply.body);
        if words.later() {
            return Err(self.transient(Reason::BmcBusy, format!("not now: {}", words.text)));
        }
        Err(self.refused(reply.status, path, &words.text))
    }

    /// A good answer with a resource in it. A web server that runs before its service answers 200 with a page.
    pub(super) fn accept_json(&self, reply: Reply, path: &str) -> Result<Reply, Fault> {
        let reply = self.accept(reply, path)?;
        if reply.body.is_object() {
            return Ok(reply);
        }
        let why = "was answered with something other than a resource; the BMC may be starting, or have no Redfish \
                   (then write `bmc.protocol: ipmi`)";
        Err(self.transient(Reason::BmcNotReady, format!("{} {why}", clip(path))))
    }

    pub(super) fn refused(&self, status: StatusCode, path: &str, said: &str) -> Fault {
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        let message = format!("{} was answered with {}{said}", clip(path), status.as_u16());
        match (status.as_u16(), &self.auth) {
            (401, Auth::Token { .. }) => {
                self.transient(Reason::SessionLost, format!("the BMC no longer knows the session: {message}"))
            }
            (401, Auth::Basic) => self.not_allowed(),
            // The account was accepted and may not do this: a role, a licence, a lock-down mode.
            (403, _) => {
                self.permanent(Reason::Forbidden, format!("the account's privileges do not suffice: {message}"))
            }
            (408 | 409 | 412 | 423 | 425 | 429, _) => self.transient(Reason::BmcBusy, message),
            (500..=599, _) => self.transient(Reason::BmcError, message),
            _ => self.permanent(Reason::BmcRefused, message),
        }
    }

    pub(super) fn not_allowed(&self) -> Fault {
        let message = format!("{}: the BMC refuses the user `{}`", self.place(), self.target.username);
        Fault::operator(Reason::AuthenticationFailed, format!("{message}; correct bmc.username or bmc.password"))
    }

    /// A request that got no answer.
    pub(super) fn broken(&self, broken: Broken, path: &str) -> Fault {
        match broken {
            Broken::Certificate { expected, shown } => Fault::operator(
                Reason::CertificateChanged,
                format!(
                    "{}: the certificate {expected} is trusted, but {shown} was shown: where that is right, write \
                     `bmc.fingerprint: {shown}` in bootstrap.yml; where it is not, find out who answers there, or put the \
                     old one back",
                    self.place()
                ),
            ),
            Broken::Tls(tls) => self.no_tls(&tls),
            Broken::TooLarge => {
                self.permanent(Reason::BmcNonsense, format!("the answer to {} is too large", clip(path)))
            }
            Broken::Timeout => self.transient(Reason::Unreachable, format!("{}: no answer in time", clip(path))),
            Broken::Refused => self.transient(Reason::ConnectionRefused, "nobody listens at its HTTPS port"),
            Broken::Connection => {
                self.transient(Reason::Unreachable, format!("{}: the connection failed or broke", clip(path)))
            }
        }
    }

    /// Which of TLS's failures mean that the BMC is too old for us, and what can be done.
    fn no_tls(&self, error: &rustls::Error) -> Fault {
        use rustls::{AlertDescription as Alert, CertificateError, Error};
        let old_certificate = |error: &CertificateError| {
            match error {
                // By the wrong authority, where there is one.
                CertificateError::BadSignature => !matches!(self.target.tls, Tls::Ca(_)),
                CertificateError::BadEncoding => true,
                // webpki's error, which rustls only wraps.
                CertificateError::Other(inner) => inner.to_string().contains("UnsupportedCertVersion"),
                _ => false,
            }
        };
        let certificate = "its certificate is not one that TLS libraries still take (X.509 v1, or a key or signature \
                           too weak): have the BMC make a new one, or update its firmware";
        let (reason, advice) = match error {
            Error::InvalidCertificate(why) if old_certificate(why) => (Reason::TlsTooOld, certificate),
            Error::InvalidCertificate(_) => (Reason::TlsFailed, "the certificate is not acceptable"),
            Error::PeerIncompatible(_)
            | Error::AlertReceived(
                Alert::HandshakeFailure
                | Alert::ProtocolVersion
                | Alert::InsufficientSecurity
                | Alert::IllegalParameter,
            ) => (Reason::TlsTooOld, "it speaks no TLS 1.2 or 1.3 with forward secrecy: update the BMC's firmware"),
            Error::InvalidMessage(_) => (Reason::NoTls, "what answers there does not speak TLS"),
            _ => (Reason::TlsFailed, "what answers there does not speak TLS as it should"),
        };
        self.permanent(reason, format!("{error}: {advice}; or write `bmc.protocol: ipmi`"))
    }

    /// A fault that may pass, with the BMC's address.
    pub(super) fn transient(&self, reason: Reason, message: impl std::fmt::Display) -> Fault {
        Fault::transient(reason, format!("{}: {message}", self.place()))
    }

    /// A refusal, with the BMC's address.
    pub(super) fn permanent(&self, reason: Reason, message: impl std::fmt::Display) -> Fault {
        Fault::permanent(reason, format!("{}: {message}", self.place()))
    }

    fn place(&self) -> String {
        format!("BMC of {} at {}", self.target.host, self.target.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn refusals_that_pass_are_known_by_their_ids() {
        let ilo = json!({ "error": { "code": "iLO.0.10.ExtendedInfo", "message": "See @Message.ExtendedInfo for more.",
            "@Message.ExtendedInfo": [{ "MessageId": "iLO.2.37.UnableToModifyDuringSystemPOST" }] } });
        assert!(said(&ilo).later());
        assert_eq!(said(&ilo).text, "iLO.2.37.UnableToModifyDuringSystemPOST");
        let old = json!({ "error": { "@Message.ExtendedInfo": [{ "MessageID": "iLO.0.10.InvalidOperationForSystemState" }] } });
        assert!(!said(&old).later() && said(&old).any(&["InvalidOperationForSystemState"]));
        assert!(!said(&Value::Null).later());
        assert!(LATER.iter().all(|(_, source)| !source.is_empty()));
    }
}
