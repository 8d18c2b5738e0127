//! `GET /`: the rack as one HTML page, for somebody who stands in front of it with a phone: first what waits for a
//! person, why, and how to find the machine. Works without scripts; with them it follows `/api/v1/events`.

use std::fmt::{self, Display, Write as _};

use super::rack::{ForeignDhcp, FullRange, Rack};
use crate::model::status::{ClusterStatus, Condition, Endpoint, HostStatus};
use crate::model::{ConditionStatus, Finding, Reason, Stamp, TaskResult, Time};

/// Shows any text as HTML text or attribute value.
struct Safe<T>(T);

impl<T: Display> Display for Safe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaper(f), "{}", self.0)
    }
}

struct Escaper<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Escaper<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| match c {
            '&' => self.0.write_str("&amp;"),
            '<' => self.0.write_str("&lt;"),
            '>' => self.0.write_str("&gt;"),
            '"' => self.0.write_str("&quot;"),
            '\'' => self.0.write_str("&#39;"),
            other => self.0.write_char(other),
        })
    }
}

/// The page. `nonce` lets its one script run (see [`content_security_policy`]).
pub fn render(rack: &Rack, now: Time, nonce: &str) -> String {
    let mut html = String::with_capacity(8 << 10);
    // Writing into a String cannot fail.
    let _ = write(&mut html, rack, now, nonce);
    html
}

/// Nothing from anywhere else, and no script but the page's own.
pub fn content_security_policy(nonce: &str) -> String {
    format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'nonce-{nonce}'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

fn write(html: &mut String, rack: &Rack, now: Time, nonce: &str) -> fmt::Result {
    write!(
        html,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>rackwright</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><style>{STYLE}</style>\
         <noscript><meta http-equiv=\"refresh\" content=\"15\"></noscript></head>\n<body>"
    )?;
    html.push_str("<main id=\"rack\">\n<header><h1>rackwright</h1>");
    match &rack.revision {
        Some(revision) => write!(html, "<p>revision <code>{}</code>, seen {}</p>", Safe(revision.short()), Safe(now))?,
        None => write!(html, "<p>no revision in force, seen {}</p>", Safe(now))?,
    }
    tally(html, rack)?;
    html.push_str("</header>\n");
    banners(html, rack, now)?;
    stalled(html, rack, now)?;
    for (cluster, hosts) in &rack.clusters {
        section(html, rack, cluster, hosts, now)?;
    }
    if rack.clusters.is_empty() {
        html.push_str("<p class=\"empty\">No clusters.</p>\n");
    }
    write!(html, "</main>\n<script nonce=\"{}\">{SCRIPT}</script>\n</body></html>\n", Safe(nonce))
}

/// How many hosts there are of each condition, worst first.
fn tally(html: &mut String, rack: &Rack) -> fmt::Result {
    let mut counts = [0usize; 3];
    for host in rack.clusters.iter().flat_map(|(_, hosts)| hosts) {
        counts[host.condition.status as usize] += 1;
    }
    html.push_str("<p class=\"tally\">");
    for (word, count) in CLASSES.into_iter().zip(counts) {
        if count > 0 {
            write!(html, "<span class=\"badge {word}\">{count} {word}</span> ")?;
        }
    }
    html.push_str("</p>");
    Ok(())
}

/// The CSS classes of [`ConditionStatus`], in its order.
const CLASSES: [&str; 3] = ["stalled", "reconciling", "ready"];

fn is_stalled(condition: &Condition) -> bool {
    condition.status == ConditionStatus::Stalled
}

/// Everything that waits for a person, before everything else.
fn stalled(html: &mut String, rack: &Rack, now: Time) -> fmt::Result {
    let clusters = rack.clusters.iter().map(|(cluster, _)| cluster).filter(|it| is_stalled(&it.condition));
    let hosts = rack.clusters.iter().flat_map(|(_, hosts)| hosts).filter(|it| is_stalled(&it.condition));
    let (clusters, hosts) = (clusters.collect::<Vec<_>>(), hosts.collect::<Vec<_>>());
    if clusters.is_empty() && hosts.is_empty() {
        return Ok(());
    }
    html.push_str("<section class=\"first\"><h2>Waiting for a person</h2>\n<ul>");
    for cluster in clusters {
        write!(html, "<li><strong>{}</strong> {}", Safe(&cluster.cluster), Safe(cluster.state))?;
        write!(html, " {}{}", badge(&cluster.condition), Why(&cluster.condition, now))?;
        write!(html, "<br><small>What you can do: {}</small></li>", Safe(cluster.condition.reason.advice()))?;
    }
    for host in hosts {
        let (cluster, name, state) = (Safe(&host.cluster), Safe(&host.host), Safe(host.state));
        write!(html, "<li><a href=\"#{cluster}/{name}\"><strong>{cluster}/{name}</strong></a> {state} ")?;
        write!(html, "{}{}", badge(&host.condition), Why(&host.condition, now))?;
        write!(html, "{}", Whereabouts(host))?;
        write!(html, "<br><small>What you can do: {}</small></li>", Safe(host.condition.reason.advice()))?;
    }
    html.push_str("</ul></section>\n");
    Ok(())
}

/// What a person should know before looking at hosts.
fn banners(html: &mut String, rack: &Rack, now: Time) -> fmt::Result {
    if !rack.armed {
        html.push_str(
            "<div class=\"banner\"><strong>Nothing will be installed:</strong> there was neither a journal nor a \
             status branch. If this rack is new, start once with <code>--first-run</code>.</div>\n",
        );
    }
    if let Some(rejected) = &rack.rejected {
        let (revision, since) = (Safe(rejected.revision.short()), When(rejected.since, now));
        write!(html, "<div class=\"banner\"><strong>Refused:</strong> revision <code>{revision}</code>, {since}")?;
        findings(html, &rejected.findings)?;
        html.push_str("</div>\n");
    }
    for trouble in &rack.troubles {
        let (action, message) = (Safe(trouble.action), Safe(&trouble.message));
        let (count, at) = (trouble.count, When(trouble.at, now));
        writeln!(
            html,
            "<div class=\"banner\"><strong>{action} fails:</strong> {message} ({count} in a row, last {at})</div>"
        )?;
    }
    if let Some(ForeignDhcp { server, seen }) = &rack.foreign_dhcp {
        let (server, seen) = (Safe(server), When(*seen, now));
        writeln!(
            html,
            "<div class=\"banner\"><strong>Another DHCP server</strong> answers: {server}, seen {seen}</div>"
        )?;
    }
    for FullRange { subnet, since } in &rack.full_ranges {
        let (subnet, since) = (Safe(subnet), When(*since, now));
        writeln!(
            html,
            "<div class=\"banner\"><strong>No address is free</strong> in the dynamic range of {subnet}, since {since}</div>"
        )?;
    }
    if !rack.unclaimed.is_empty() {
        let count = rack.unclaimed.len();
        write!(html, "<details><summary>{count} on the network are not in the repository</summary><ul>")?;
        for (mac, it) in &rack.unclaimed {
            writeln!(html, "<li>{mac} at {}, since {}</li>", Safe(&it.address), When(it.since, now))?;
        }
        html.push_str("</ul></details>\n");
    }
    if !rack.warnings.is_empty() {
        let count = rack.warnings.len();
        write!(html, "<details><summary>{count} warnings about the revision in force</summary>")?;
        findings(html, &rack.warnings)?;
        html.push_str("</details>\n");
    }
    Ok(())
}

fn findings(html: &mut String, findings: &[Finding]) -> fmt::Result {
    html.push_str("<ul>");
    for finding in findings {
        write!(html, "<li>{}", Safe(finding))?;
        if let Some(hint) = &finding.hint {
            write!(html, " <em>{}</em>", Safe(hint))?;
        }
        html.push_str("</li>");
    }
    html.push_str("</ul>");
    Ok(())
}

fn section(html: &mut String, rack: &Rack, cluster: &ClusterStatus, hosts: &[HostStatus], now: Time) -> fmt::Result {
    let (name, state, since) = (Safe(&cluster.cluster), Safe(cluster.state), When(cluster.since, now));
    write!(html, "<section><h2>{name} <small>{state} since {since}</small> {}</h2>", badge(&cluster.condition))?;
    writeln!(html, "<p>{}</p>", Why(&cluster.condition, now))?;
    html.push_str(
        "<table><thead><tr><th>Host</th><th>State</th><th>Condition</th><th>Since</th><th>Message</th></tr></thead><tbody>\n",
    );
    let mut hosts: Vec<&HostStatus> = hosts.iter().collect();
    hosts.sort_by_key(|host| host.condition.status);
    for host in hosts {
        row(html, rack, host, now)?;
    }
    html.push_str("</tbody></table>\n");
    tasks(html, cluster, now)?;
    for note in &cluster.notes {
        write!(html, "<p><small>{}</small></p>", Safe(note))?;
    }
    html.push_str("</section>\n");
    Ok(())
}

fn row(html: &mut String, rack: &Rack, host: &HostStatus, now: Time) -> fmt::Result {
    let (cluster, name, state) = (Safe(&host.cluster), Safe(&host.host), Safe(host.state));
    let since = When(host.since, now);
    write!(html, "<tr id=\"{cluster}/{name}\"><th scope=\"row\">{name}</th><td>{state}</td>")?;
    write!(html, "<td>{}</td><td>{since}</td>", badge(&host.condition))?;
    write!(html, "<td>{}", Why(&host.condition, now))?;
    if host.drift {
        html.push_str("<br><small>drift: the repository differs from what was installed</small>");
    }
    for note in &host.notes {
        write!(html, "<br><small>{}</small>", Safe(note))?;
    }
    if let Some(standing) = host.boot.mac.and_then(|mac| rack.standings.get(&mac)) {
        write!(html, "<br><small>Network boot: {}</small>", Safe(&standing.sentence))?;
    }
    writeln!(html, "{}</td></tr>", Whereabouts(host))
}

fn tasks(html: &mut String, cluster: &ClusterStatus, now: Time) -> fmt::Result {
    if cluster.tasks.is_empty() {
        return Ok(());
    }
    html.push_str("<ol class=\"tasks\">");
    for task in &cluster.tasks {
        write!(html, "<li>{}: {}", Safe(&task.name), Safe(task.result))?;
        if let Some(at) = &task.at {
            write!(html, " <small>{}</small>", When(*at, now))?;
        }
        if let Some(message) = &task.message {
            write!(html, " <small>{}</small>", Safe(message))?;
        }
        if let Some(at) = cluster.progress.as_ref().filter(|_| task.result == TaskResult::Running) {
            let (number, play, name) = (at.tasks, Safe(&at.play), Safe(&at.task));
            write!(html, " <small>task {number}: {name} ({play})</small>")?;
        }
        for (host, why) in &task.failed {
            write!(html, "<br><small>{}: {}</small>", Safe(host), Safe(why))?;
        }
        html.push_str("</li>");
    }
    html.push_str("</ol>\n");
    Ok(())
}

/// A phone shows no tooltips: the reason stands next to the condition.
fn badge(condition: &Condition) -> String {
    let class = CLASSES[condition.status as usize];
    let (reason, status) = (Safe(condition.reason), Safe(condition.status));
    match condition.reason == Reason::Done {
        true => format!("<span class=\"badge {class}\">{status}</span>"),
        false => format!("<span class=\"badge {class}\">{status}: {reason}</span>"),
    }
}

/// Why, and until when.
struct Why<'a>(&'a Condition, Time);

impl Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Why(condition, now) = self;
        write!(f, " {}", Safe(&condition.message))?;
        match &condition.until {
            // What stalls may still be tried again without anybody's help.
            Some(until) if is_stalled(condition) => write!(f, " <small>next try {}</small>", When(*until, *now)),
            Some(until) => write!(f, " <small>until {}</small>", When(*until, *now)),
            None => Ok(()),
        }
    }
}

/// How to find the machine: what its label says, and where it is on the network.
struct Whereabouts<'a>(&'a HostStatus);

impl Display for Whereabouts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.0;
        let mut parts = Vec::new();
        if let Some(inventory) = &host.inventory {
            let known = [("", &inventory.model), ("serial ", &inventory.serial), ("tag ", &inventory.sku)];
            parts.extend(known.iter().filter_map(|(word, value)| Some(format!("{word}{}", value.as_ref()?))));
            parts.extend(inventory.hardware());
        }
        parts.extend(host.bmc.as_ref().and_then(|bmc| place("BMC", bmc)));
        parts.extend(place("boots from", &host.boot));
        if parts.is_empty() { Ok(()) } else { write!(f, "<br><small>{}</small>", Safe(parts.join(", "))) }
    }
}

fn place(what: &str, end: &Endpoint) -> Option<String> {
    match (end.mac, &end.address) {
        (Some(mac), Some(address)) => Some(format!("{what} {mac} at {address}")),
        (Some(mac), None) => Some(format!("{what} {mac}")),
        (None, Some(address)) => Some(format!("{what} {address}")),
        (None, None) => None,
    }
}

/// An instant as people say it, with the exact one behind.
struct When(Stamp, Time);

impl Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let When(at, now) = self;
        if at.is_empty() {
            return Ok(());
        }
        let at = at.time();
        let (ahead, behind) = (at.since(*now), now.since(at));
        write!(f, "<time datetime=\"{}\">", Safe(at))?;
        match ahead.is_zero() {
            false => write!(f, "in {}", span(ahead.as_secs()))?,
            true => write!(f, "{} ago", span(behind.as_secs()))?,
        }
        write!(f, " ({})</time>", Safe(at))
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

const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");
