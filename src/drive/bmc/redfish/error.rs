//! Error answers of Redfish services (DSP0266, "Error responses"), and TLS failures, in words.

use serde_json::Value;

use super::super::endpoint::Tls;
use super::super::text::clip;
use super::json::array;
use crate::model::Reason;

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

#[derive(Debug, Default)]
pub(super) struct ErrorBody {
    ids: Vec<String>,
    /// The first message and its id, shortened.
    pub text: String,
}

impl ErrorBody {
    /// Reads an error body, whatever its shape; old HP services spell `MessageID`.
    pub(super) fn of(body: &Value) -> ErrorBody {
        let infos = array(&body["error"]["@Message.ExtendedInfo"]);
        let id = |info: &'_ Value| info["MessageId"].as_str().or_else(|| info["MessageID"].as_str()).map(str::to_owned);
        let code = body.pointer("/error/code").and_then(Value::as_str);
        let ids: Vec<_> = infos.iter().filter_map(id).chain(code.map(str::to_owned)).collect();
        let told = infos.iter().find_map(|info| Some((info["Message"].as_str()?, id(info))));
        let told = told.or_else(|| Some((body.pointer("/error/message")?.as_str()?, None)));
        // An iLO sends ids without words.
        let told = told.filter(|(text, _)| !text.starts_with("See @Message"));
        let text = match told {
            Some((text, Some(id))) => format!("{id}: {text}"),
            Some((text, None)) => text.to_owned(),
            None => ids.first().cloned().unwrap_or_default(),
        };
        ErrorBody { text: clip(&text), ids }
    }

    /// Whether one of the messages has an id that ends so.
    pub(super) fn any(&self, ends: &[&str]) -> bool {
        self.ids.iter().any(|id| ends.iter().any(|end| id.ends_with(end)))
    }

    /// Whether it says that another time would do.
    pub(super) fn later(&self) -> bool {
        LATER.iter().any(|(end, _)| self.any(&[end]))
    }
}

/// Reason and message of a TLS failure: which of them mean that the BMC is too old for us, and what can be done.
pub(super) fn tls_failure(error: &rustls::Error, tls: &Tls) -> (Reason, String) {
    use rustls::{AlertDescription as Alert, CertificateError, Error};
    let old_certificate = |error: &CertificateError| {
        match error {
            // By the wrong authority, where there is one.
            CertificateError::BadSignature => !matches!(tls, Tls::Ca(_)),
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
        Error::InvalidCertificate(_) => (Reason::TlsFailed, "bmc.tls does not accept the certificate"),
        Error::PeerIncompatible(_)
        | Error::AlertReceived(
            Alert::HandshakeFailure | Alert::ProtocolVersion | Alert::InsufficientSecurity | Alert::IllegalParameter,
        ) => (Reason::TlsTooOld, "it speaks no TLS 1.2 or 1.3 with forward secrecy: update the BMC's firmware"),
        Error::InvalidMessage(_) => (Reason::NoTls, "what answers there does not speak TLS"),
        _ => (Reason::TlsFailed, "what answers there does not speak TLS as it should"),
    };
    (reason, format!("{error}: {advice}; or write `bmc.protocol: ipmi`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn refusals_that_pass_are_known_by_their_ids() {
        let ilo = json!({ "error": { "code": "iLO.0.10.ExtendedInfo", "message": "See @Message.ExtendedInfo for more.",
            "@Message.ExtendedInfo": [{ "MessageId": "iLO.2.37.UnableToModifyDuringSystemPOST" }] } });
        assert!(ErrorBody::of(&ilo).later());
        assert_eq!(ErrorBody::of(&ilo).text, "iLO.2.37.UnableToModifyDuringSystemPOST");
        let old = json!({ "error": { "@Message.ExtendedInfo": [{ "MessageID": "iLO.0.10.InvalidOperationForSystemState" }] } });
        assert!(!ErrorBody::of(&old).later() && ErrorBody::of(&old).any(&["InvalidOperationForSystemState"]));
        assert!(!ErrorBody::of(&Value::Null).later());
        assert!(LATER.iter().all(|(_, source)| !source.is_empty()));
    }
}
