//! Hooks of a `bootstrap.yml`: each is checked in full by its definition when the repository is read.
//!
//! * [`definition`], [`typed`], [`kind`]: what `hook.yaml` says, and the types of arguments.
//! * [`directory`]: the hooks that there are, shipped and the site's own.
//! * [`args`]: the arguments of one hook.
//! * [`schema`]: all that as JSON Schema, for editors.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::collections::BTreeSet;

use self::definition::Definition;
use self::directory::Hooks;
use super::Tree;
use super::file::KEYS;
use super::read::{Fields, Reader};
use crate::model::{
    ClusterName, Digest, HookTask, HostId, OnFailure, Rerun, Scope, Secret, TaskId, TaskKind, TaskSpec,
};
use crate::yaml::Node;
use crate::yaml::word::did_you_mean;

pub mod args;
pub mod definition;
pub mod directory;
pub mod kind;
pub mod schema;
pub mod typed;

/// What a cluster's hooks are read against.
pub struct Around<'a> {
    pub hooks: &'a Hooks,
    pub tree: &'a Tree,
    pub cluster: &'a ClusterName,
    pub names: &'a BTreeSet<String>,
}

/// Reads `hooks:`.
pub fn read(reader: &mut Reader<'_>, node: &Node, around: &Around<'_>) -> Vec<TaskSpec> {
    let items = reader.items(node, "hooks").unwrap_or_default();
    let tasks = items.iter().enumerate().filter_map(|(index, item)| one(reader, item, index + 1, around));
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

fn one(reader: &mut Reader<'_>, item: &Node, number: usize, around: &Around<'_>) -> Option<TaskSpec> {
    let sealed = reader.sealed.len();
    let task = checked(reader, item, number, around);
    // It stops this hook and nothing else of the cluster.
    let why = reader.sealed.split_off(sealed);
    let blocked = (!why.is_empty()).then(|| why.join("; "));
    task.map(|task| TaskSpec { blocked, ..task })
}

fn checked(reader: &mut Reader<'_>, item: &Node, number: usize, around: &Around<'_>) -> Option<TaskSpec> {
    let fields = reader.fields(item, item.place, &format!("hooks[{number}]"), &KEYS.hook)?;
    let name = reader.need(&fields, "name", "say what it does, for logs");
    let name = name.and_then(|node| reader.line(node, &fields.name("name"))).unwrap_or_default();
    let known = kind(reader, &fields, around.hooks);
    let scope = known.flatten().map(|definition| definition.program.scope);
    let targets = target(reader, &fields, scope, around);
    let options = Options::read(reader, &fields);
    // A hook whose own definition is wrong is said there.
    let definition = match known {
        None => {
            reader.need(&fields, "args", "its arguments");
            return None;
        }
        Some(definition) => definition?,
    };
    let (raw, given) = arguments(reader, &fields, definition, around.tree)?;
    let program = &definition.program;
    let parts = [program.name.as_bytes(), raw.as_bytes(), program.run.as_ref()];
    Some(TaskSpec {
        // Given by `identify`, once all are known.
        id: TaskId::new(""),
        name,
        idempotent: options.retry.unwrap_or(definition.retry),
        targets: targets.iter().map(|host| HostId::new(around.cluster, host)).collect(),
        rerun: options.rerun.unwrap_or(definition.rerun),
        on_failure: options.on_failure,
        time_limit: options.time_limit.or(definition.time_limit),
        definition: Digest::of(parts.into_iter().chain(given.written.iter().map(AsRef::as_ref))),
        blocked: None,
        kind: TaskKind::Hook(HookTask {
            program: program.clone(),
            args: Secret::new(serde_json::Value::Object(given.args).to_string()),
            secrets: given.secrets,
            files: given.files,
            sudo: given.sudo,
        }),
    })
}

/// `type:`; `Some(None)` for a hook whose definition is wrong.
fn kind<'h>(reader: &mut Reader<'_>, fields: &Fields<'_>, hooks: &'h Hooks) -> Option<Option<&'h Definition>> {
    let words: Vec<_> = hooks.iter().map(|(name, definition)| (name.as_str(), definition.as_deref())).collect();
    let known: Vec<_> = hooks.keys().map(String::as_str).collect();
    let node = reader.need(fields, "type", &format!("one of {}", known.join(", ")))?;
    let kind = reader.choice(node, &fields.name("type"), &words);
    if kind.is_none() {
        // The same finding under a word of its own: sites grep for it.
        if let Some(last) = reader.found.last_mut().filter(|finding| finding.code == "unknown-value") {
            last.code = "unknown-hook-type".into();
        }
    }
    kind
}

/// What a `bootstrap.yml` may say about how one of its hooks is run.
struct Options {
    on_failure: OnFailure,
    retry: Option<bool>,
    rerun: Option<Rerun>,
    time_limit: Option<std::time::Duration>,
}

impl Options {
    fn read(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Options {
        let name = |key: &str| fields.name(key);
        Options {
            on_failure: reader.chosen(fields, "on_failure", &OnFailure::WORDS).unwrap_or_default(),
            retry: fields.get("retry").and_then(|node| reader.boolean(node, &name("retry"))),
            rerun: reader.chosen(fields, "rerun", &Rerun::WORDS),
            time_limit: fields.get("time_limit").and_then(|n| definition::time_limit(reader, n, &name("time_limit"))),
        }
    }
}

/// `args:`, as written and as the program gets them.
fn arguments(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    definition: &Definition,
    tree: &Tree,
) -> Option<(String, args::Given)> {
    let optional = definition.one_of.is_empty() && definition.args.iter().all(|it| !it.required || !it.when.is_empty());
    let empty = Node::from_json(fields.place_of("args"), &serde_json::json!({}));
    let node = match fields.get("args") {
        None if optional => &empty,
        _ => reader.need(fields, "args", "this type of hook needs arguments")?,
    };
    let known: Vec<_> = definition.args.iter().map(|argument| argument.name.clone()).collect();
    let written = reader.fields(node, fields.place_of("args"), &fields.name("args"), &known)?;
    let given = args::read(reader, definition, &written, tree);
    let entries = written.entries().iter().map(|(key, value)| (key.text.to_string(), value.to_json()));
    Some((serde_json::Value::Object(entries.collect()).to_string(), given))
}

/// A name as part of an identifier: lower case, words joined by hyphens, at most 40 characters.
fn slug(text: &str) -> String {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut slug = words.collect::<Vec<_>>().join("-");
    slug.truncate(40);
    slug.trim_end_matches('-').to_string()
}

fn target(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    scope: Option<Scope>,
    &Around { cluster, names, .. }: &Around<'_>,
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
    // For what is run once PVC ignores the target, and its samples leave it empty.
    if listed.is_empty() && !matches!(scope, Some(Scope::Once | Scope::None)) {
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
            let known = names.iter().map(String::as_str);
            let hint = did_you_mean(name, known, || "use the short host names of this file");
            reader.error(*place, "unknown-target", format!("`{name}` is not a host of cluster `{cluster}`"), &hint);
        }
    }
    listed.into_iter().map(|(name, _)| name).collect()
}
