//! `POST /checkin/host[/<token>]`: PVC's check-in, and our own action `claim`.
//!
//! The nodes' side is a shell script with curl: no escaping, no retry, perhaps no Content-Type, empty fields where a
//! tool had nothing to say. So the body is read as JSON whatever it claims to be, and only what is there is judged.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use super::{App, Peer, busy, message, read_body};
use crate::model::{CheckIn, CheckInAction, ClaimBy, Event, Mac, Token, Verdict, World};
use crate::plan::boot::{Decision, decide};
use crate::serve::Context;
use crate::serve::claim::{ClaimError, mint, record};
use crate::serve::trace::{CheckinAsked, CheckinOutcome, Exchange};

/// Octets of a check-in.
pub(super) const LIMIT: usize = 64 << 10;
/// Longest SSH public key: 8192 bits of RSA, in base64, with its comment.
const KEY_LENGTH: usize = 2048;
/// Longest hostname (RFC 1035 section 2.3.4).
const HOSTNAME_LENGTH: usize = 253;

/// What a check-in's body and path say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    Report(CheckIn),
    Claim {
        mac: Mac,
    },
    /// A good body behind a path that holds no token of ours.
    WrongToken {
        action: CheckInAction,
    },
}

impl Parsed {
    fn action(&self) -> CheckinAsked {
        match self {
            Parsed::Report(report) => CheckinAsked::Report(report.action),
            Parsed::Claim { .. } => CheckinAsked::Claim,
            Parsed::WrongToken { action } => CheckinAsked::Report(*action),
        }
    }
}

/// Reads a check-in. The error is a sentence for whoever looks at the machine's console.
pub fn parse_checkin(body: &[u8], token: Option<&str>, source: IpAddr) -> Result<Parsed, String> {
    let fields = object(body)?;
    let word = text(&fields, "action")?.ok_or("`action` is missing")?.to_ascii_lowercase();
    let host_mac = mac(&fields, "host_macaddr")?;
    let (host_ip, bmc_ip) = (address(&fields, "host_ipaddr")?, address(&fields, "bmc_ipaddr")?);
    let (hostname, bmc_mac) = (hostname(&fields)?, mac(&fields, "bmc_macaddr")?);
    if host_mac.is_some_and(Mac::is_multicast) {
        return Err("`host_macaddr` is a group address, no machine's".into());
    }
    if word == "claim" {
        return Ok(Parsed::Claim { mac: host_mac.ok_or("a claim needs `host_macaddr`")? });
    }
    let action = CheckInAction::parse(&word).ok_or_else(|| format!("`action` {} is not known", quoted(&word)))?;
    let token = match token.filter(|text| !text.is_empty()).map(Token::parse) {
        Some(None) => return Ok(Parsed::WrongToken { action }),
        token => token.flatten().map(|token| token.id()),
    };
    let ssh_host_key = text(&fields, "ssh_host_key")?.filter(|key| key.len() <= KEY_LENGTH).map(str::to_owned);
    // A BMC without a MAC of its own must not cost us the report: ipmitool then prints zeros or ones.
    let bmc_mac = bmc_mac.filter(|mac| !mac.is_multicast());
    Ok(Parsed::Report(CheckIn { token, action, hostname, host_mac, host_ip, bmc_mac, bmc_ip, ssh_host_key, source }))
}

/// The body as a JSON object; octets that are not UTF-8 become replacement characters.
pub(super) fn object(body: &[u8]) -> Result<Map<String, Value>, String> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let text = String::from_utf8_lossy(body);
    match serde_json::from_str(text.trim_matches(|c: char| c.is_whitespace() || c == '\0')) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err("the body is not a JSON object".into()),
        Err(error) => Err(format!("the body is not JSON (line {}, column {})", error.line(), error.column())),
    }
}

/// A text field; absent, null and blank are the same.
pub(super) fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, String> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
        Some(_) => Err(format!("`{name}` is not a string")),
    }
}

/// A MAC field; all zeros is how firmware says that there is none.
pub(super) fn mac(fields: &Map<String, Value>, name: &str) -> Result<Option<Mac>, String> {
    let Some(written) = text(fields, name)? else { return Ok(None) };
    let mac: Mac = written.parse().map_err(|_| format!("`{name}` {} is not a MAC address", quoted(written)))?;
    Ok(Some(mac).filter(|mac| !mac.is_zero()))
}

/// An address field; a prefix length (`ip -br address` prints one) is cut off, the unspecified address is none.
pub(super) fn address(fields: &Map<String, Value>, name: &str) -> Result<Option<IpAddr>, String> {
    let Some(written) = text(fields, name)? else { return Ok(None) };
    let bare = written.split('/').next().unwrap_or(written);
    let ip: IpAddr = bare.parse().map_err(|_| format!("`{name}` {} is not an IP address", quoted(written)))?;
    Ok(Some(ip.to_canonical()).filter(|ip| !ip.is_unspecified()))
}

fn hostname(fields: &Map<String, Value>) -> Result<Option<String>, String> {
    match text(fields, "hostname")? {
        Some(name) if name.len() > HOSTNAME_LENGTH || name.chars().any(char::is_control) => {
            Err("`hostname` is not a host name".into())
        }
        name => Ok(name.map(str::to_owned)),
    }
}

/// A stranger's text, cut short and made harmless for logs and terminals.
pub(super) fn quoted(text: &str) -> String {
    format!("{:?}", text.chars().take(64).collect::<String>())
}

/// `GET /checkin…`: a person looks whether somebody is there.
pub(super) async fn hello() -> Response {
    message(StatusCode::OK, "rackwright API Checkin interface")
}

pub(super) async fn plain(State(app): State<Arc<App>>, Extension(peer): Extension<Peer>, body: Body) -> Response {
    take(&app, peer, None, body).await
}

/// `POST /checkin/host/<token>`
pub(super) async fn with_token(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    token: Result<Path<String>, PathRejection>,
    body: Body,
) -> Response {
    // What is not even text is no token of ours either.
    let token = token.map_or_else(|_| "?".to_owned(), |Path(token)| token);
    take(&app, peer, Some(&token), body).await
}

async fn take(app: &App, peer: Peer, token: Option<&str>, body: Body) -> Response {
    let body = match read_body(body, LIMIT).await {
        Ok(body) => body,
        Err(response) => {
            app.metrics.checkin("unknown", CheckinOutcome::Invalid);
            return *response;
        }
    };
    let parsed = match parse_checkin(&body, token, peer.ip()) {
        Ok(parsed) => parsed,
        Err(reason) => {
            app.metrics.checkin("unknown", CheckinOutcome::Invalid);
            tracing::info!(source = %peer.ip(), reason, "check-in not understood");
            return message(StatusCode::BAD_REQUEST, reason);
        }
    };
    let action = parsed.action();
    let (outcome, response) = match parsed {
        Parsed::Report(report) => report_in(&app.ctx, report).await,
        Parsed::Claim { mac } => claim_token(&app.ctx, mac, peer.0).await,
        Parsed::WrongToken { .. } => refused("wrong token: this is no token of ours".into()),
    };
    app.metrics.checkin(action.as_str(), outcome);
    app.ctx.note_at(peer.ip(), || Exchange::Checkin { asked: action, outcome });
    if outcome != CheckinOutcome::Accepted {
        tracing::info!(source = %peer.ip(), %action, %outcome, "check-in not taken");
    }
    response
}

async fn report_in(ctx: &Context, report: CheckIn) -> (CheckinOutcome, Response) {
    match ctx.inbox.tell(Event::CheckedIn(report)).await {
        Ok(Verdict::Ok) => (CheckinOutcome::Accepted, message(StatusCode::OK, "received checkin from Host")),
        Ok(Verdict::Refused(reason)) => refused(reason),
        Err(_) => (CheckinOutcome::Busy, busy()),
    }
}

fn refused(reason: String) -> (CheckinOutcome, Response) {
    (CheckinOutcome::Refused, message(StatusCode::CONFLICT, reason))
}

/// Gives an installer its token: only to a machine that is to be installed now, by an installer that claims this way,
/// at the address leased to it.
async fn claim_token(ctx: &Context, mac: Mac, peer: SocketAddr) -> (CheckinOutcome, Response) {
    let world = ctx.world();
    if let Err(reason) = may_claim(&world, decide(&world, mac), mac, peer.ip()) {
        return refused(reason);
    }
    let token = match mint() {
        Ok(token) => token,
        Err(_) => return (CheckinOutcome::Busy, busy()),
    };
    match record(ctx, mac, peer, &token).await {
        Ok(()) => (CheckinOutcome::Accepted, granted(&world, &token)),
        Err(ClaimError::Refused(reason)) => refused(reason),
        Err(ClaimError::Busy | ClaimError::NoRandomness) => (CheckinOutcome::Busy, busy()),
    }
}

/// The only answer that carries a token, and where to check in with it from now on.
fn granted(world: &World, token: &Token) -> Response {
    let token = token.reveal();
    let uri = format!("{}/checkin/host/{token}", world.policy.site.http_base());
    let answer = serde_json::json!({ "message": "claim accepted", "token": token, "checkin_uri": uri });
    ([(header::CACHE_CONTROL, "no-store")], axum::Json(answer)).into_response()
}

/// Whether a claim by check-in is good, given what `plan::boot` decided for the MAC; the error is the reason.
pub fn may_claim(world: &World, decision: Decision, mac: Mac, source: IpAddr) -> Result<(), String> {
    let host = match decision {
        Decision::Install { host } => host,
        Decision::Local { why, .. } => return Err(format!("not to be installed: {why}")),
    };
    if world.spec(&host).is_none_or(|spec| spec.claim != ClaimBy::CheckIn) {
        return Err("this host's installer claims by reading its answer file".into());
    }
    match world.leases.of(mac) {
        Some(lease) if IpAddr::V4(lease.ip) == source => Ok(()),
        None if !world.policy.site.leases_are_ours => Ok(()),
        _ => Err(format!("{source} is not the address leased to {mac}")),
    }
}
