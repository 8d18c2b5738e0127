//! `GET /`: the rack as one HTML page. Works without scripts; with them it follows `/api/v1/events`.

use std::fmt::{self, Display, Write as _};

use super::rack::Rack;
use crate::model::Time;
use crate::plan::report::{ClusterStatus, Condition, HostStatus, TaskStatus};

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
        Some(revision) => write!(html, "<p>revision <code>{}</code>, {}</p>", Safe(revision.short()), Safe(now))?,
        None => write!(html, "<p>no revision in force, {}</p>", Safe(now))?,
    }
    html.push_str("</header>\n");
    banners(html, rack)?;
    for (cluster, hosts) in &rack.clusters {
        section(html, cluster, hosts)?;
    }
    if rack.clusters.is_empty() {
        html.push_str("<p class=\"empty\">No clusters.</p>\n");
    }
    write!(html, "</main>\n<script nonce=\"{}\">{SCRIPT}</script>\n</body></html>\n", Safe(nonce))
}

/// What a person should know before looking at hosts.
fn banners(html: &mut String, rack: &Rack) -> fmt::Result {
    if !rack.armed {
        html.push_str(
            "<div class=\"banner\"><strong>Nothing will be installed:</strong> there was neither a journal nor a \
             status branch. If this rack is new, start once with <code>--first-run</code>.</div>\n",
        );
    }
    if let Some(rejected) = &rack.rejected {
        let (revision, since) = (Safe(rejected.revision.short()), Safe(&rejected.since));
        write!(
            html,
            "<div class=\"banner\"><strong>Refused:</strong> revision <code>{revision}</code> since {since}<ul>"
        )?;
        for finding in &rejected.findings {
            write!(html, "<li>{}", Safe(finding))?;
            if let Some(hint) = &finding.hint {
                write!(html, " <em>{}</em>", Safe(hint))?;
            }
            html.push_str("</li>");
        }
        html.push_str("</ul></div>\n");
    }
    for trouble in &rack.troubles {
        let (action, message) = (Safe(trouble.action), Safe(&trouble.message));
        let (count, at) = (trouble.count, Safe(&trouble.at));
        writeln!(
            html,
            "<div class=\"banner\"><strong>{action} fails:</strong> {message} ({count} in a row, last {at})</div>"
        )?;
    }
    if let Some((server, seen)) = &rack.foreign_dhcp {
        let (server, seen) = (Safe(server), Safe(seen));
        writeln!(
            html,
            "<div class=\"banner\"><strong>Another DHCP server</strong> answers: {server}, seen {seen}</div>"
        )?;
    }
    Ok(())
}

fn section(html: &mut String, cluster: &ClusterStatus, hosts: &[HostStatus]) -> fmt::Result {
    let (name, state, since) = (Safe(&cluster.cluster), Safe(&cluster.state), Safe(&cluster.since));
    write!(html, "<section><h2>{name} <small>{state} since {since}</small> {}</h2>", badge(&cluster.condition))?;
    writeln!(html, "<p>{}</p>", Safe(&cluster.condition.message))?;
    html.push_str(
        "<table><thead><tr><th>Host</th><th>State</th><th>Condition</th><th>Since</th><th>Message</th></tr></thead><tbody>\n",
    );
    for host in hosts {
        row(html, host)?;
    }
    html.push_str("</tbody></table>\n");
    tasks(html, &cluster.tasks)?;
    html.push_str("</section>\n");
    Ok(())
}

fn row(html: &mut String, host: &HostStatus) -> fmt::Result {
    let (name, state, since) = (Safe(&host.host), Safe(host.state), Safe(&host.since));
    write!(html, "<tr><th scope=\"row\">{name}</th><td>{state}</td><td>{}</td>", badge(&host.condition))?;
    write!(html, "<td>{since}</td><td>{}", Safe(&host.condition.message))?;
    if let Some(until) = &host.condition.until {
        write!(html, " <small>until {}</small>", Safe(until))?;
    }
    if host.drift {
        html.push_str("<br><small>drift: the repository differs from what was installed</small>");
    }
    for note in &host.notes {
        write!(html, "<br><small>{}</small>", Safe(note))?;
    }
    html.push_str("</td></tr>\n");
    Ok(())
}

fn tasks(html: &mut String, tasks: &[TaskStatus]) -> fmt::Result {
    if tasks.is_empty() {
        return Ok(());
    }
    html.push_str("<ol class=\"tasks\">");
    for task in tasks {
        write!(html, "<li>{}: {}", Safe(&task.name), Safe(&task.result))?;
        if let Some(message) = &task.message {
            write!(html, " <small>{}</small>", Safe(message))?;
        }
        html.push_str("</li>");
    }
    html.push_str("</ol>\n");
    Ok(())
}

fn badge(condition: &Condition) -> String {
    let class = match condition.status.as_str() {
        "Ready" => "ready",
        "Stalled" => "stalled",
        _ => "reconciling",
    };
    let (reason, status) = (Safe(&condition.reason), Safe(&condition.status));
    format!("<span class=\"badge {class}\" title=\"{reason}\">{status}</span>")
}

const STYLE: &str = "
:root{--bg:#fff;--fg:#1b1f24;--dim:#59636e;--line:#d1d9e0;--ok:#1a7f37;--go:#0969da;--bad:#cf222e;--note:#fff8c5}
@media(prefers-color-scheme:dark){:root{--bg:#0d1117;--fg:#e6edf3;--dim:#9198a1;--line:#3d444d;--ok:#3fb950;--go:#4493f8;--bad:#f85149;--note:#3b2e0a}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.45 system-ui,sans-serif}
main{max-width:72rem;margin:0 auto;padding:1rem}
h1{font-size:1.4rem;margin:0}h2{font-size:1.15rem;margin:1.5rem 0 .25rem}p{margin:.25rem 0}
small,header p,.empty{color:var(--dim)}h2 small{font-weight:normal}
table{width:100%;border-collapse:collapse;margin:.5rem 0}
th,td{text-align:left;vertical-align:top;padding:.35rem .6rem;border-bottom:1px solid var(--line);overflow-wrap:anywhere}
.badge{font-size:.85rem;font-weight:600;padding:0 .5em;border:1px solid currentColor;border-radius:1em;white-space:nowrap}
.ready{color:var(--ok)}.reconciling{color:var(--go)}.stalled{color:var(--bad)}
.banner{background:var(--note);border:1px solid var(--line);border-radius:.4rem;padding:.5rem .75rem;margin:.75rem 0;overflow-wrap:anywhere}
@media(max-width:40rem){thead{display:none}tr{display:block;border-bottom:1px solid var(--line);padding:.4rem 0}
td,tbody th{display:inline-block;border:0;padding:.1rem .4rem .1rem 0}td:last-child{display:block}}
";

const SCRIPT: &str = "
'use strict';
let busy=false,again=false;
async function look(){
  if(busy){again=true;return}
  busy=true;
  try{
    const answer=await fetch('/',{headers:{accept:'text/html'}});
    const page=new DOMParser().parseFromString(await answer.text(),'text/html');
    const next=page.getElementById('rack');
    if(answer.ok&&next)document.getElementById('rack').replaceWith(next);
  }catch(error){}
  await new Promise(done=>setTimeout(done,500));
  busy=false;
  if(again){again=false;look()}
}
const feed=new EventSource('/api/v1/events');
feed.addEventListener('transition',look);
feed.addEventListener('reset',look);
feed.onopen=look;
setInterval(()=>{if(!document.hidden)look()},30000);
";
