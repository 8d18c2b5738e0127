//! `GET /`: the rack as one HTML page (`templates/page/`), for somebody who stands in front of it with a phone: first what
//! waits for a person, why, and how to find the machine. Works without scripts; with them it follows `/api/v1/events`.

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;

use super::rack::Rack;
use crate::model::ConditionStatus::{self, Ready, Reconciling, Stalled};
use crate::model::status::{ClusterStatus, Endpoint, HostStatus};
use crate::model::{Finding, Reason, Stamp, Time};

const PAGE: &str = include_str!("../../../templates/page/rack.html");
const STYLE: &str = include_str!("../../../templates/page/page.css");
const SCRIPT: &str = include_str!("../../../templates/page/page.js");

#[derive(Serialize)]
struct Page<'a> {
    style: &'static str,
    script: &'static str,
    nonce: &'a str,
    now: Stamp,
    rack: &'a Rack,
    revision: Option<&'a str>,
    rejected: Option<Rejected<'a>>,
    warnings: Vec<Found<'a>>,
    /// How many hosts there are of each condition, worst first.
    tally: [(ConditionStatus, usize); 3],
    stalled_clusters: Vec<&'a ClusterStatus>,
    stalled_hosts: Vec<&'a Row<'a>>,
    clusters: &'a [(&'a ClusterStatus, Vec<Row<'a>>)],
}

#[derive(Serialize)]
struct Rejected<'a> {
    revision: &'a str,
    since: Stamp,
    findings: Vec<Found<'a>>,
}

#[derive(Serialize)]
struct Found<'a> {
    text: String,
    hint: Option<&'a str>,
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    status: &'a HostStatus,
    whereabouts: String,
    network_boot: Option<&'a str>,
}

/// The page. `nonce` lets its one script run (see [`content_security_policy`]).
pub fn render(rack: &Rack, now: Time, nonce: &str) -> Result<String, minijinja::Error> {
    let mut env = Environment::new();
    env.set_auto_escape_callback(|_| AutoEscape::Html);
    // A status leaves out what is not known.
    env.set_undefined_behavior(UndefinedBehavior::Chainable);
    env.add_filter("relative", move |text: &str| Time::parse(text).map(|at| relative(at, now)));
    env.add_filter("advice", |reason: &str| reason.parse::<Reason>().map_or("", Reason::advice));
    env.add_filter("shown", |reason: &str| reason.parse() != Ok(Reason::Done));
    let clusters: Vec<_> = rack.clusters.iter().map(|(cluster, hosts)| (cluster, rows(rack, hosts))).collect();
    let hosts = || clusters.iter().flat_map(|(_, rows)| rows);
    let of = |wanted| hosts().filter(move |row| row.status.condition.status == wanted);
    let page = Page {
        style: STYLE,
        script: SCRIPT,
        nonce,
        now: now.into(),
        rack,
        revision: rack.revision.as_ref().map(|revision| revision.short()),
        tally: [Stalled, Reconciling, Ready].map(|status| (status, of(status).count())),
        rejected: rack.rejected.as_ref().map(|it| Rejected {
            revision: it.revision.short(),
            since: it.since,
            findings: findings(&it.findings),
        }),
        warnings: findings(&rack.warnings),
        stalled_clusters: clusters.iter().map(|(it, _)| *it).filter(|it| it.condition.status == Stalled).collect(),
        stalled_hosts: of(Stalled).collect(),
        clusters: &clusters,
    };
    env.render_str(PAGE, Serde(&page))
}

/// Nothing from anywhere else, and no script but the page's own.
pub fn content_security_policy(nonce: &str) -> String {
    format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'nonce-{nonce}'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// A cluster's hosts, the most urgent first.
fn rows<'a>(rack: &'a Rack, hosts: &'a [HostStatus]) -> Vec<Row<'a>> {
    let row = |status: &'a HostStatus| {
        let standing = status.boot.mac.and_then(|mac| rack.standings.get(&mac));
        let network_boot = standing.map(|standing| standing.sentence.as_str());
        Row { status, whereabouts: whereabouts(status), network_boot }
    };
    let mut rows: Vec<Row<'_>> = hosts.iter().map(row).collect();
    rows.sort_by_key(|row| row.status.condition.status);
    rows
}

fn findings(findings: &[Finding]) -> Vec<Found<'_>> {
    findings.iter().map(|it| Found { text: it.to_string(), hint: it.hint.as_deref() }).collect()
}

/// How to find the machine: what its label says, and where it is on the network.
fn whereabouts(host: &HostStatus) -> String {
    let mut parts = Vec::new();
    if let Some(inventory) = &host.inventory {
        let known = [("", &inventory.model), ("serial ", &inventory.serial), ("tag ", &inventory.sku)];
        parts.extend(known.iter().filter_map(|(word, value)| Some(format!("{word}{}", value.as_ref()?))));
        parts.extend(inventory.hardware());
    }
    parts.extend(host.bmc.as_ref().and_then(|bmc| place("BMC", bmc)));
    parts.extend(place("boots from", &host.boot));
    parts.join(", ")
}

fn place(what: &str, end: &Endpoint) -> Option<String> {
    match (end.mac, &end.address) {
        (Some(mac), Some(address)) => Some(format!("{what} {mac} at {address}")),
        (Some(mac), None) => Some(format!("{what} {mac}")),
        (None, Some(address)) => Some(format!("{what} {address}")),
        (None, None) => None,
    }
}

/// An instant as people say it: `in 40 s`, `3 h 5 min ago`.
fn relative(at: Time, now: Time) -> String {
    match at.since(now).as_secs() {
        0 if at <= now => format!("{} ago", span(now.since(at).as_secs())),
        ahead => format!("in {}", span(ahead)),
    }
}

fn span(seconds: u64) -> String {
    match seconds {
        0..=99 => format!("{seconds} s"),
        100..=5999 => format!("{} min", seconds / 60),
        6000..=172_799 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d", seconds / 86400),
    }
}
