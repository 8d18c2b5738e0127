//! Which certificates of BMCs are trusted. Most are self-signed for ever, so the first one seen is pinned.

use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use sha2::{Digest as _, Sha256};

use super::super::endpoint::Tls;
use crate::model::{Fault, Reason};

/// The largest CA file that is read.
const CA_CAP: u64 = 1 << 20;

/// Checks one BMC's certificate during one action, and remembers what it saw.
#[derive(Debug)]
pub(super) struct Verifier {
    provider: Arc<CryptoProvider>,
    check: Check,
    seen: OnceLock<String>,
    changed: OnceLock<String>,
}

#[derive(Debug)]
enum Check {
    Pin(Option<String>),
    Ca(Arc<WebPkiServerVerifier>),
    Nothing,
}

impl Verifier {
    pub(super) async fn new(tls: &Tls) -> Result<Arc<Self>, Fault> {
        let provider = Arc::new(ring::default_provider());
        let check = match tls {
            Tls::Pin(pin) => Check::Pin(pin.as_ref().map(|pin| pin.to_ascii_lowercase())),
            Tls::Insecure => Check::Nothing,
            Tls::Ca(path) => {
                let bad = |why: String| {
                    Fault::operator(Reason::BadCertificateAuthority, format!("bmc.tls.ca {}: {why}", path.display()))
                };
                let size = tokio::fs::metadata(path).await.map_err(|error| bad(error.to_string()))?.len();
                if size > CA_CAP {
                    return Err(bad("is too large".into()));
                }
                let pem = tokio::fs::read(path).await.map_err(|error| bad(error.to_string()))?;
                let mut roots = RootCertStore::empty();
                for cert in CertificateDer::pem_slice_iter(&pem) {
                    let added = cert.map_err(|error| bad(error.to_string()))?;
                    roots.add(added).map_err(|error| bad(error.to_string()))?;
                }
                let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
                Check::Ca(builder.build().map_err(|error| bad(error.to_string()))?)
            }
        };
        Ok(Arc::new(Verifier { provider, check, seen: OnceLock::new(), changed: OnceLock::new() }))
    }

    /// A TLS client that asks this verifier. Sessions are not resumed: every connection shows its certificate.
    pub(super) fn client(self: &Arc<Self>) -> Result<ClientConfig, Fault> {
        let builder = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| Fault::permanent(Reason::TlsUnsupported, error.to_string()))?;
        let mut config = builder.dangerous().with_custom_certificate_verifier(self.clone()).with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        Ok(config)
    }

    /// SHA-256 of the certificate that was shown, in hex.
    pub(super) fn seen(&self) -> Option<String> {
        self.seen.get().cloned()
    }

    /// The fingerprints expected and shown, when they differ.
    pub(super) fn mismatch(&self) -> Option<(String, String)> {
        let shown = self.changed.get()?.clone();
        let expected = match &self.check {
            Check::Pin(Some(pin)) => pin.clone(),
            _ => self.seen()?,
        };
        Some((expected, shown))
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = hex::encode(Sha256::digest(end_entity.as_ref()));
        match &self.check {
            Check::Ca(inner) => {
                inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
            }
            Check::Pin(Some(pin)) if *pin != shown => return Err(self.changed_to(shown)),
            Check::Pin(_) | Check::Nothing => {}
        }
        // Within one action the certificate must stay the same even when none was pinned yet.
        let first = self.seen.get_or_init(|| shown.clone());
        if matches!(self.check, Check::Pin(None)) && *first != shown {
            return Err(self.changed_to(shown));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl Verifier {
    fn changed_to(&self, shown: String) -> rustls::Error {
        let _ = self.changed.set(shown);
        rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)
    }
}
