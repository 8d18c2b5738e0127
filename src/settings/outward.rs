//! Who is told what: `notifications` (PVC's block, and receivers of one's own) and `commit_status`.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::parse;
use super::section::Section;
use crate::model::words::words;
use crate::model::{ClusterName, NoticeKind, Receiver, Secret};

/// PVC's five kinds of notification and their icons.
const ICONS: [(&str, &str); 5] =
    [("info", "❕"), ("begin", "🤞"), ("success", "✅"), ("failure", "❌"), ("completed", "👌")];
/// What is told unless something else is asked for: all but every step of every host.
const EVENTS: [NoticeKind; 4] = [NoticeKind::Begin, NoticeKind::Success, NoticeKind::Failure, NoticeKind::Completed];
/// The name of PVC's block among the receivers.
const DEFAULT: &str = "default";

/// A receiver of notifications: PVC's block, or one of `notifications.receivers`.
#[derive(Clone, PartialEq)]
pub struct Notifications {
    pub receiver: Receiver,
    /// Where to; often a secret.
    pub uri: Uri,
    /// HTTP method, upper case.
    pub method: String,
    /// Icon for each kind: info, begin, success, failure, completed.
    pub icons: BTreeMap<String, String>,
    /// Appended to messages of kind `completed`.
    pub completed_triggerword: String,
    /// JSON body; `{icon}` and `{message}` are replaced in every string value.
    pub body: Value,
}

impl fmt::Debug for Notifications {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifications").field("receiver", &self.receiver).finish_non_exhaustive()
    }
}

/// An address that may be a secret.
#[derive(Clone, Debug, PartialEq)]
pub enum Uri {
    Given(Secret),
    /// The first line of this file, read whenever it is used.
    File(PathBuf),
}

/// `commit_status:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forge {
    pub kind: ForgeKind,
    /// Root of the API, without a trailing slash.
    pub api: String,
    /// `owner/name`, at GitLab with groups.
    pub repository: String,
    /// File with the access token, read whenever it is used.
    pub token_file: PathBuf,
}

words! {
    /// `commit_status.forge`: whose API it speaks: GitHub's REST API, GitLab's version 4, Gitea's.
    ForgeKind {
        Github "github"
        Gitlab "gitlab"
        Gitea "gitea"
    }
}

/// `notifications:`: the block itself when it has an address, then its receivers.
pub(super) fn notifications(mut at: Section<'_>, base: &Path) -> Vec<Notifications> {
    let enabled = at.boolean("enabled").unwrap_or(true);
    let block = block(&mut at, None, base);
    let mut all: Vec<Notifications> = Vec::new();
    let findings = at.findings();
    for mut at in at.sections("receivers") {
        let name = at.require("name", parse::text).unwrap_or_default();
        let place = at.place("name");
        let given = self::block(&mut at, Some(&block.0), base);
        if given.1 == Address::Missing {
            findings.error(at.place(""), "missing-key", "a receiver needs `uri` or `uri_file`", None);
        }
        if name == DEFAULT || all.iter().any(|other| other.receiver.name == name) {
            findings.error(place, "duplicate-name", format!("there is another receiver `{name}`"), None);
        }
        let mut receiver = given.0;
        receiver.receiver.name = name;
        all.push(receiver);
        at.finish();
    }
    match (block.1, all.is_empty()) {
        (Address::Missing, true) if enabled => {
            let message = "`notifications` needs `uri`, `uri_file` or `receivers`";
            findings.error(at.place("uri"), "missing-key", message, None);
        }
        (Address::Missing, _) => {}
        (Address::There, _) => all.insert(0, block.0),
    }
    at.finish();
    if enabled { all } else { Vec::new() }
}

#[derive(Clone, Copy, PartialEq)]
enum Address {
    There,
    Missing,
}

/// The keys that PVC's block and a receiver have in common; a receiver takes those of the block that it does not say.
fn block(at: &mut Section<'_>, above: Option<&Notifications>, base: &Path) -> (Notifications, Address) {
    let url = |text: &str| match text.starts_with("http://") || text.starts_with("https://") {
        true => Ok(Secret::new(text)),
        false => Err("not a http:// or https:// URL".into()), // the value may be a secret
    };
    let method = |text: &str| match text.to_ascii_uppercase() {
        method if ["POST", "PUT", "PATCH", "GET"].contains(&method.as_str()) => Ok(method),
        _ => Err(format!("`{text}` is none of post, put, patch, get")),
    };
    let (given, file) = (at.parse("uri", url), at.parse("uri_file", parse::path(base)));
    if given.is_some() && file.is_some() {
        at.findings().error(at.place("uri_file"), "both-given", "`uri` and `uri_file` exclude each other", None);
    }
    // A `uri` that is wrong has been told already.
    let address = if at.get("uri").is_some() || file.is_some() { Address::There } else { Address::Missing };
    let uri = file.map(Uri::File).or(given.map(Uri::Given)).unwrap_or_else(|| Uri::Given(Secret::new("")));
    let clusters: BTreeSet<ClusterName> =
        at.parse_list("clusters", |text| parse::text(text).map(ClusterName::new)).into_iter().collect();
    let asked = at.get("events").is_some();
    let events: BTreeSet<NoticeKind> = at.choices("events", &NoticeKind::WORDS).into_iter().collect();
    if asked && events.is_empty() {
        at.findings().error(at.place("events"), "bad-value", "`events` names none: nothing would be told", None);
    }
    let of_above = above.map(|above| above.receiver.events.clone());
    let events = if asked { events } else { of_above.unwrap_or_else(|| EVENTS.into_iter().collect()) };
    let notifications = Notifications {
        receiver: Receiver { name: DEFAULT.into(), clusters, events },
        uri,
        method: at
            .parse("action", method)
            .unwrap_or_else(|| above.map_or_else(|| "POST".into(), |above| above.method.clone())),
        icons: icons(at, above),
        completed_triggerword: at
            .parse("completed_triggerword", parse::text)
            .unwrap_or_else(|| above.map(|above| above.completed_triggerword.clone()).unwrap_or_default()),
        body: match (at.get("body"), above) {
            (Some(node), _) => node.to_json(),
            (None, Some(above)) => above.body.clone(),
            (None, None) => json!({ "text": "{icon} {message}" }),
        },
    };
    (notifications, address)
}

fn icons(at: &mut Section<'_>, above: Option<&Notifications>) -> BTreeMap<String, String> {
    let mut section = at.section("icons");
    let icons = ICONS.into_iter().map(|(kind, icon)| {
        let inherited = above.and_then(|above| above.icons.get(kind)).map_or(icon, String::as_str);
        let chosen = section.parse(kind, |text| Ok(text.to_string()));
        (kind.to_string(), chosen.unwrap_or_else(|| inherited.into()))
    });
    let icons = icons.collect();
    section.finish();
    icons
}

pub(super) fn forge(mut at: Section<'_>, base: &Path) -> Forge {
    let api = |text: &str| match text.contains('@') {
        true => Err("an address with credentials; the token belongs into token_file".to_owned()),
        false => parse::http_url(text),
    };
    // Forgejo speaks Gitea's API.
    let alias = Some(("forgejo", ForgeKind::Gitea));
    at.needs("forge");
    let forge = Forge {
        kind: at.choice("forge", &ForgeKind::WORDS, alias).unwrap_or(ForgeKind::Gitea),
        api: at.require("api", api).unwrap_or_default(),
        repository: at.require("repository", repository).unwrap_or_default(),
        token_file: at.require("token_file", parse::path(base)).unwrap_or_default(),
    };
    if forge.kind != ForgeKind::Gitlab && forge.repository.split('/').count() > 2 {
        let message = format!("`{}` is not owner/name", forge.repository);
        at.findings().error(at.place("repository"), "bad-value", message, None);
    }
    if forge.api.starts_with("http://") {
        at.findings().warning(at.place("api"), "clear-text", "`http://` shows the token to everybody on the way");
    }
    at.finish();
    forge
}

fn repository(text: &str) -> Result<String, String> {
    let plain = |part: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        !part.is_empty() && part != "." && part != ".." && part.chars().all(known)
    };
    match text.split('/').count() >= 2 && text.split('/').all(plain) {
        true => Ok(text.to_owned()),
        false => Err(format!("`{text}` is not owner/name")),
    }
}
