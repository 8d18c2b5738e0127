//! `POST /checkin/dnsmasq`: the lease notices of a site's own dnsmasq, as PVC's lease script sends them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value};

use super::checkin::{LIMIT, address, mac, object, quoted, text};
use super::{App, busy, message, read_body};
use crate::model::{Event, LeaseOrigin, Time, Verdict};
use crate::serve::trace::CheckinOutcome;
use crate::settings::DhcpMode;

/// How long a lease lasts when the notice does not say, or says something in the past.
const DEFAULT_LEASE: Duration = Duration::from_secs(3600);
/// How long a lease without end is believed; also the longest believed at all.
const LONGEST_LEASE: Duration = Duration::from_secs(366 * 86400);

/// Reads a notice; `None` for one that tells nothing about a lease (`tftp`, `init`, ARP and IPv6 notices).
pub fn parse_notice(body: &[u8], now: Time) -> Result<Option<Event>, String> {
    let fields = object(body)?;
    let action = text(&fields, "action")?.ok_or("`action` is missing")?.to_ascii_lowercase();
    let adds = match action.as_str() {
        "add" | "old" => true,
        "del" => false,
        "tftp" | "init" | "arp-add" | "arp-del" | "arp-old" | "relay-snoop" => return Ok(None),
        _ => return Err(format!("`action` {} is not known", quoted(&action))),
    };
    let ip = match address(&fields, "ipaddr")?.ok_or("`ipaddr` is missing")? {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(_) => return Ok(None),
    };
    let mac = mac(&fields, "macaddr")?.ok_or("`macaddr` is missing")?;
    if mac.is_multicast() {
        return Err("`macaddr` is a group address, no machine's".into());
    }
    Ok(Some(if adds {
        Event::Leased { mac, ip, until: expiry(&fields, now)?, by: LeaseOrigin::Dnsmasq }
    } else {
        Event::Released { mac, ip }
    }))
}

/// `expiry`: seconds since the epoch, as number or text; 0 means without end.
fn expiry(fields: &Map<String, Value>, now: Time) -> Result<Time, String> {
    let bad = || "`expiry` is not a number of seconds since 1970".to_owned();
    let seconds = match fields.get("expiry") {
        None | Some(Value::Null) => None,
        Some(Value::Number(number)) => Some(number.as_i64().ok_or_else(bad)?),
        Some(Value::String(text)) if text.trim().is_empty() => None,
        Some(Value::String(text)) => Some(text.trim().parse::<i64>().map_err(|_| bad())?),
        Some(_) => return Err(bad()),
    };
    let longest = now + LONGEST_LEASE;
    Ok(match seconds.map(|seconds| Time(seconds.saturating_mul(1000))) {
        Some(Time(0)) => longest,
        Some(until) if until > now => until.min(longest),
        // The other server's clock may be wrong; the lease is real.
        _ => now + DEFAULT_LEASE,
    })
}

pub(super) async fn post(State(app): State<Arc<App>>, body: Body) -> Response {
    let body = match read_body(body, LIMIT).await {
        Ok(body) => body,
        Err(response) => return *response,
    };
    let (outcome, response) = take(&app, &body).await;
    app.metrics.checkin("dnsmasq", outcome);
    response
}

async fn take(app: &App, body: &[u8]) -> (CheckinOutcome, Response) {
    let received = || (CheckinOutcome::Accepted, message(StatusCode::OK, "received checkin from DNSMasq"));
    let event = match parse_notice(body, app.ctx.now()) {
        Ok(Some(event)) => event,
        Ok(None) => return received(),
        Err(reason) => return (CheckinOutcome::Invalid, message(StatusCode::BAD_REQUEST, reason)),
    };
    if app.ctx.settings.network.dhcp_mode == DhcpMode::Full {
        let reason = "network.dhcp.mode is full: addresses are leased here, so another server's leases do not count";
        return (CheckinOutcome::Refused, message(StatusCode::CONFLICT, reason));
    }
    match app.ctx.inbox.tell(event).await {
        Ok(Verdict::Ok) => received(),
        Ok(Verdict::Refused(reason)) => (CheckinOutcome::Refused, message(StatusCode::CONFLICT, reason)),
        Err(_) => (CheckinOutcome::Busy, busy()),
    }
}
