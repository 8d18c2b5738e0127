//! `POST /hooks/push`: a forge says that the repository has news. Signed, or refused.
//!
//! GitHub: `X-Hub-Signature-256: sha256=<hex HMAC-SHA256 of the body>`; Gitea and Forgejo: the same, and
//! `X-Gitea-Signature`/`X-Forgejo-Signature: <hex>`; GitLab: `X-Gitlab-Token: <the secret>`, or with a signing token
//! the Standard Webhooks headers (`webhook-id`, `webhook-timestamp`, `webhook-signature: v1,<base64>`).

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use hmac::{Hmac, KeyInit, Mac as _};
use serde_json::Value;
use sha2::Sha256;

use super::{App, message, read_body};
use crate::model::{Event, Secret, Time};

/// Octets of a payload.
const LIMIT: usize = 1 << 20;
/// How old or new a Standard Webhooks timestamp may be.
const TOLERANCE: Duration = Duration::from_secs(300);

pub(super) async fn post(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Response {
    let Some(secret) = &app.secret else {
        let reason = "push hooks are refused: repository.webhook_secret_file is not set";
        return message(StatusCode::FORBIDDEN, reason);
    };
    let body = match read_body(body, LIMIT).await {
        Ok(body) => body,
        Err(response) => return *response,
    };
    if !signed(&headers, &body, secret, app.ctx.now()) {
        tracing::warn!("push hook with a missing or wrong signature");
        return message(StatusCode::UNAUTHORIZED, "the signature is missing or wrong");
    }
    if concerns(&body, &app.ctx.settings.repository.branch) {
        app.ctx.inbox.hint(Event::Woken);
        message(StatusCode::ACCEPTED, "fetching")
    } else {
        message(StatusCode::ACCEPTED, "not the watched branch: ignored")
    }
}

/// Whether the body was signed with the secret, in the way of any forge we know. The first signature found decides.
pub fn signed(headers: &HeaderMap, body: &[u8], secret: &Secret, now: Time) -> bool {
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let key = secret.reveal().as_bytes();
    if let Some(value) = header("x-hub-signature-256") {
        let digits = value.strip_prefix("sha256=").unwrap_or_default();
        hex::decode(digits).is_ok_and(|tag| mac_matches(key, &[body], &tag))
    } else if let Some(digits) = header("x-gitea-signature").or_else(|| header("x-forgejo-signature")) {
        hex::decode(digits).is_ok_and(|tag| mac_matches(key, &[body], &tag))
    } else if let Some(tags) = header("webhook-signature") {
        let (id, at) = (header("webhook-id").unwrap_or_default(), header("webhook-timestamp").unwrap_or_default());
        standard(key, id, at, body, tags, now)
    } else if let Some(token) = header("x-gitlab-token") {
        // Comparing MACs of both instead of the texts takes the same time wherever they differ.
        digest(key, token.as_bytes()).is_some_and(|tag| mac_matches(key, &[key], &tag))
    } else {
        false
    }
}

/// Standard Webhooks: the MAC is over `<id>.<timestamp>.<body>`, the key is base64 behind `whsec_`.
fn standard(key: &[u8], id: &str, at: &str, body: &[u8], tags: &str, now: Time) -> bool {
    let fresh = at.parse::<i64>().is_ok_and(|seconds| {
        let at = Time(seconds.saturating_mul(1000));
        now.since(at) <= TOLERANCE && at.since(now) <= TOLERANCE
    });
    let decoded = key.strip_prefix(b"whsec_").and_then(base64);
    let key = decoded.as_deref().unwrap_or(key);
    let signs = |tag: &str| {
        let tag = tag.strip_prefix("v1,").and_then(|tag| base64(tag.as_bytes()));
        tag.is_some_and(|tag| mac_matches(key, &[id.as_bytes(), b".", at.as_bytes(), b".", body], &tag))
    };
    fresh && !id.is_empty() && tags.split(' ').any(signs)
}

/// Whether `tag` is the HMAC-SHA256 of the parts, in constant time.
fn mac_matches(key: &[u8], parts: &[&[u8]], tag: &[u8]) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return false };
    parts.iter().for_each(|part| mac.update(part));
    mac.verify_slice(tag).is_ok()
}

fn digest(key: &[u8], text: &[u8]) -> Option<Vec<u8>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(text);
    Some(mac.finalize().into_bytes().to_vec())
}

/// Reads base64 (RFC 4648 section 4), padded or not.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let digits = match text {
        [rest @ .., b'=', b'='] | [rest @ .., b'='] | rest => rest,
    };
    let (mut octets, mut bits, mut held) = (Vec::with_capacity(digits.len()), 0u32, 0u32);
    for digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        held = (held << 6 | u32::from(value)) & 0xffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            octets.push((held >> bits & 0xff) as u8);
        }
    }
    (digits.len() % 4 != 1).then_some(octets)
}

/// Whether a payload may be about the watched branch: a `ref` that names another one is not; a payload that says
/// nothing (a ping, a form) may be.
pub fn concerns(body: &[u8], branch: &str) -> bool {
    let payload: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    match payload.get("ref").and_then(Value::as_str) {
        Some(name) => name.strip_prefix("refs/heads/").unwrap_or(name) == branch,
        None => true,
    }
}
