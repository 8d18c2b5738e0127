//! Hooks of a `bootstrap.yml`: every type is checked in full when the repository is read.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::file::KEYS;
use super::read::{Fields, Reader, nearest};
use super::yaml::{self, Node};
use crate::model::{
    ClusterName, Digest, HookProgram, HookTask, HostId, OnFailure, Place, Rerun, Scope, Secret, TaskId, TaskKind,
    TaskSpec,
};

pub mod args;

/// Reads `hooks:`. `names` are the short names of the cluster's hosts.
pub fn read(reader: &mut Reader<'_>, node: &Node, cluster: &ClusterName, names: &BTreeSet<String>) -> Vec<TaskSpec> {
    let items = reader.items(node, "hooks").unwrap_or_default();
    let tasks = items.iter().enumerate().filter_map(|(index, item)| one(reader, item, index + 1, cluster, names));
    let mut tasks: Vec<_> = tasks.collect();
    identify(&mut tasks);
    tasks
}

/// Identifies hooks by their names, not their positions: a hook that is put before others must not make them run
/// again. Of equal names the second gets `-2`.
fn identify(tasks: &mut [TaskSpec]) {
    let mut taken = BTreeSet::new();
    for task in tasks {
        let base = match slug(&task.name) {
            slug if slug.is_empty() => "hook".to_string(),
            slug => format!("hook-{slug}"),
        };
        let mut id = base.clone();
        for number in 2.. {
            if taken.insert(id.clone()) {
                break;
            }
            id = format!("{base}-{number}");
        }
        task.id = TaskId::new(id);
    }
}

fn one(
    reader: &mut Reader<'_>,
    item: &Node,
    number: usize,
    cluster: &ClusterName,
    names: &BTreeSet<String>,
) -> Option<TaskSpec> {
    let what = format!("hooks[{number}]");
    let fields = reader.fields(item, item.place, &what, &KEYS.hook)?;
    let name = reader.need(&fields, "name", "say what it does, for logs");
    let name = name.and_then(|node| reader.line(node, &fields.name("name"))).unwrap_or_default();
    let words: Vec<(&'static str, &'static str)> = KEYS.args.keys().map(|word| (*word, *word)).collect();
    let kind_node = reader.need(&fields, "type", "one of copy, network, osd, osddb, pool, script, webhook");
    let kind = kind_node.and_then(|node| match reader.choice(node, &fields.name("type"), &words) {
        None => {
            // The same finding under a word of its own: sites grep for it.
            if let Some(last) = reader.found.last_mut().filter(|finding| finding.code == "unknown-value") {
                last.code = "unknown-hook-type".into();
            }
            None
        }
        known => known,
    });
    let targets = target(reader, &fields, kind.unwrap_or_default(), cluster, names);
    let args = reader.need(&fields, "args", "every hook type needs arguments");
    let kind = kind?;
    let known = KEYS.args.get(kind)?;
    let sealed = reader.sealed.len();
    let args = reader.fields(args?, fields.place_of("args"), &fields.name("args"), known)?;
    let definition = Digest::of([kind.as_bytes(), raw_json(&args).as_bytes()]);
    let args = match kind {
        "webhook" => webhook(reader, &args)?,
        _ => {
            args::check(reader, kind, &args);
            raw_json(&args)
        }
    };
    let blocked = (reader.sealed.len() > sealed).then(|| format!("its arguments are encrypted ({kind})"));
    reader.sealed.truncate(sealed);
    Some(TaskSpec {
        // Given by `identify`, once all are known.
        id: TaskId::new(""),
        name,
        idempotent: kind == "webhook",
        kind: TaskKind::Hook(HookTask {
            program: Arc::new(HookProgram {
                name: kind.to_owned(),
                scope: if kind == "webhook" { Scope::None } else { Scope::Each },
                place: if kind == "webhook" { Place::Bootstrap } else { Place::Host },
                ready: None,
                run: Arc::from([]),
            }),
            args: Secret::new(args),
            files: Vec::new(),
            sudo: false,
        }),
        targets: targets.iter().map(|host| HostId::new(cluster, host)).collect(),
        rerun: Rerun::OnReinstall,
        on_failure: OnFailure::Stop,
        time_limit: None,
        definition,
        blocked,
    })
}

fn raw_json(args: &Fields<'_>) -> String {
    let entries = args.entries().iter().map(|(key, value)| (key.text.to_string(), value.to_json()));
    serde_json::Value::Object(entries.collect()).to_string()
}

/// A name as part of an identifier: lower case, words joined by hyphens, at most 40 characters.
pub fn slug(text: &str) -> String {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut slug = words.collect::<Vec<_>>().join("-");
    slug.truncate(40);
    slug.trim_end_matches('-').to_string()
}

fn target(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    kind: &str,
    cluster: &ClusterName,
    names: &BTreeSet<String>,
) -> BTreeSet<String> {
    let what = fields.name("target");
    let Some(node) = fields.raw("target") else { return names.clone() };
    if node.is_null() {
        let hint = "write `target: all`, a list of host names, or leave the key out";
        reader.error(fields.place_of("target"), "null-target", format!("`{what}` is empty"), hint);
        return names.clone();
    }
    let listed = match node.scalar() {
        Some(_) => reader.line(node, &what).map(|text| vec![(text, node.place)]),
        None => reader.lines(node, &what),
    };
    let Some(listed) = listed else { return names.clone() };
    // PVC ignores the target of these, and its samples leave it empty.
    if listed.is_empty() && !matches!(kind, "pool" | "network" | "webhook") {
        reader.error(node.place, "null-target", format!("`{what}` names no host"), "write `all` or some host names");
    }
    if listed.is_empty() || (listed.len() == 1 && listed[0].0 == "all") {
        return names.clone();
    }
    for (name, place) in &listed {
        if name == "all" {
            let message = format!("`{what}` has `all` beside other names");
            reader.error(*place, "unknown-target", message, "write either `all` or names");
        } else if !names.contains(name) {
            let hint = match nearest(name, names.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "use the short host names of this file".into(),
            };
            reader.error(*place, "unknown-target", format!("`{name}` is not a host of cluster `{cluster}`"), &hint);
        }
    }
    listed.into_iter().map(|(name, _)| name).collect()
}

fn webhook(reader: &mut Reader<'_>, args: &Fields<'_>) -> Option<String> {
    let verbs = [
        ("get", "GET"),
        ("post", "POST"),
        ("put", "PUT"),
        ("patch", "PATCH"),
        ("delete", "DELETE"),
        ("options", "OPTIONS"),
        ("head", "HEAD"),
    ];
    let before = (reader.errors(), reader.sealed.len());
    let uri = reader.need(args, "uri", "where the request goes");
    let uri = uri.and_then(|node| Some((reader.line(node, &args.name("uri"))?, node.place)));
    if let Some((text, place)) = &uri
        && !is_http_uri(text)
    {
        // The URI may carry a secret, so it is not quoted.
        let message = format!("`{}` is not an absolute http or https URI", args.name("uri"));
        reader.error(*place, "bad-uri", message, "as https://hooks.example.net/path");
    }
    let action = reader.need(args, "action", "an HTTP method, as `post`");
    let method = action.and_then(|node| {
        let node = reader.resolve(node, &args.name("action"))?.into_owned();
        let lower = node.scalar().map(|(text, _)| text.to_ascii_lowercase()).unwrap_or_default();
        reader.choice(&Node::scalar_at(node.place, lower, false), &args.name("action"), &verbs)
    });
    let body = args.get("body").and_then(|node| resolve_all(reader, node, &args.name("body")));
    let (uri, method) = if reader.sealed.len() > before.1 { Default::default() } else { (uri?.0, method?) };
    if reader.errors() > before.0 {
        return None;
    }
    let body = body.map_or(serde_json::Value::Null, |node| node.to_json());
    Some(serde_json::json!({ "uri": uri, "action": method, "body": body }).to_string())
}

/// The node with the Jinja of every text in it worked out.
fn resolve_all(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<Node> {
    let mut node = reader.resolve(node, what)?.into_owned();
    match &mut node.value {
        yaml::Value::Scalar { .. } => {}
        yaml::Value::List(items) => {
            let all: Vec<_> = items.iter().map(|item| resolve_all(reader, item, what)).collect();
            *items = all.into_iter().collect::<Option<_>>()?;
        }
        yaml::Value::Map(entries) => {
            let all = entries.drain(..).map(|(key, value)| Some((key, resolve_all(reader, &value, what)?)));
            let all: Vec<_> = all.collect();
            *entries = all.into_iter().collect::<Option<_>>()?;
        }
    }
    Some(node)
}

/// Whether a text is an absolute `http` or `https` URI with a host.
pub fn is_http_uri(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    !host.is_empty() && !host.starts_with(':') && text.bytes().all(|byte| byte.is_ascii_graphic())
}
