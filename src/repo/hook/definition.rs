//! `hook.yaml`: what a hook says of itself and of its arguments.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::kind::Kind;
use super::typed;
use crate::model::{HookProgram, Place, Rerun, Scope};
use crate::repo::file::KEYS;
use crate::repo::read::{Fields, Reader};
use crate::yaml::{Node, scalar};

/// A hook that can be used in a `bootstrap.yml`.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    pub program: Arc<HookProgram>,
    pub description: String,
    /// How long it may take for each target.
    pub time_limit: Option<Duration>,
    pub rerun: Rerun,
    /// Whether running it twice is harmless.
    pub retry: bool,
    /// The argument that asks for root.
    pub sudo: Option<String>,
    /// Its arguments; conditions name earlier ones.
    pub args: Vec<Argument>,
    /// Groups of arguments of which exactly one is written, and that whole.
    pub one_of: Vec<Vec<String>>,
    /// Lists that have the same length.
    pub same_length: Vec<String>,
}

/// One argument.
#[derive(Clone, Debug, PartialEq)]
pub struct Argument {
    pub name: String,
    pub description: String,
    pub kind: Kind,
    pub required: bool,
    pub default: Option<Value>,
    /// It counts only when these arguments have these values; otherwise it is ignored.
    pub when: Vec<Condition>,
    /// Whether what it names (or, for text, what it is) becomes a file beside the program.
    pub attach: Attach,
}

/// An argument and the value it must have.
pub type Condition = (String, Value);

/// When an argument becomes a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Attach {
    Never,
    When(Vec<Condition>),
}

/// Longest time limit.
const MAX_TIME: Duration = Duration::from_secs(7 * 86_400);
const MAX_ARGS: usize = 100;

impl Definition {
    /// Reads a `hook.yaml`. `name` is its directory's, `run` the program beside it.
    pub fn read(reader: &mut Reader<'_>, root: &Node, name: &str, run: Arc<[u8]>) -> Option<Definition> {
        let before = reader.errors();
        let fields = reader.fields(root, (1, 1), "", &KEYS.definition)?;
        if let Some(node) = reader.need(&fields, "name", "write the name of the directory")
            && let Some(text) = reader.text(node, "name")
            && text != name
        {
            let message = format!("`name` is `{text}`, but the directory is `{name}`");
            reader.error(node.place, "wrong-name", message, "use the directory's name");
        }
        let description = reader.need(&fields, "description", "say what it does, in a line");
        let description = description.and_then(|node| reader.line(node, "description"));
        let scope = reader.need(&fields, "scope", "`each` (target), `once`, or `none` (for no target)");
        let scope = scope.and_then(|node| reader.choice(node, "scope", &Scope::WORDS));
        let place = reader.need(&fields, "run_on", "`host` (over SSH), or `bootstrap` (where rackwright runs)");
        let place = place.and_then(|node| reader.choice(node, "run_on", &Place::WORDS));
        let ready = fields.get("ready").and_then(|node| reader.line(node, "ready"));
        let time_limit = fields.get("time_limit").and_then(|node| time_limit(reader, node, "time_limit"));
        let rerun = reader.chosen(&fields, "rerun", &Rerun::WORDS).unwrap_or_default();
        let retry = reader.need(&fields, "retry", "`yes` when running it twice is harmless, else `no`");
        let retry = retry.and_then(|node| reader.boolean(node, "retry"));
        let args = arguments(reader, &fields);
        let sudo = fields.get("sudo").and_then(|node| sudo(reader, node, &args));
        let one_of = fields.get("one_of").map(|node| groups(reader, node, &args)).unwrap_or_default();
        let same_length = fields.get("same_length").map(|node| lists(reader, node, &args)).unwrap_or_default();
        if place == Some(Place::Bootstrap) {
            for key in ["ready", "sudo"].into_iter().filter(|key| fields.get(key).is_some()) {
                let message = format!("`{key}` is about a host, and this hook runs on none");
                reader.error(fields.place_of(key), "without-effect", message, "remove it, or write `run_on: host`");
            }
        }
        if scope == Some(Scope::None) && place == Some(Place::Host) {
            let message = "`scope: none` has no host to run on";
            reader.error(
                fields.place_of("run_on"),
                "bad-value",
                message,
                "write `run_on: bootstrap`, or another scope",
            );
        }
        let program = HookProgram { name: name.to_owned(), scope: scope?, place: place?, ready, run };
        let (program, description, retry) = (Arc::new(program), description?, retry?);
        let sound = reader.errors() == before;
        let definition = Definition { program, description, time_limit, rerun, retry, sudo, args, one_of, same_length };
        sound.then_some(definition)
    }
}

/// A time limit such as `90s`, `30m`, `1h` or `1h30m`.
pub fn time_limit(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<Duration> {
    let text = reader.line(node, what)?;
    let value = scalar::duration(&text).ok().filter(|value| !value.is_zero() && *value <= MAX_TIME);
    if value.is_none() {
        let message = format!("`{what}` cannot be `{text}`");
        reader.error(node.place, "bad-value", message, "write for example 90s, 30m or 1h30m; seven days at most");
    }
    value
}

fn arguments(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Vec<Argument> {
    let Some(node) = fields.get("args") else { return Vec::new() };
    let Some(list) = reader.open_fields(node, fields.place_of("args"), "args") else { return Vec::new() };
    let mut args = Vec::new();
    for (key, node) in list.entries().iter().take(MAX_ARGS) {
        let name = key.text.to_string();
        let shaped = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.len() <= 64
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if !shaped {
            let hint = "a lower-case letter, then lower-case letters, digits and `_`";
            reader.error(key.place, "bad-name", format!("`{name}` cannot be the name of an argument"), hint);
        } else if let Some(argument) = argument(reader, name, node, key.place, &args) {
            args.push(argument);
        }
    }
    if list.entries().len() > MAX_ARGS {
        let message = format!("`args` has more than {MAX_ARGS} arguments");
        reader.error(list.place, "too-large", message, "use fewer");
    }
    clashes(reader, &list, &args);
    args
}

/// A list `x` is also given as `ARG_X_COUNT`, `ARG_X_0` and so on; another argument must not be called that.
fn clashes(reader: &mut Reader<'_>, list: &Fields<'_>, args: &[Argument]) {
    for argument in args.iter().filter(|argument| matches!(argument.kind, Kind::List(_))) {
        for other in args {
            let rest = other.name.strip_prefix(&argument.name).and_then(|rest| rest.strip_prefix('_'));
            if rest.is_some_and(|rest| rest == "count" || rest.bytes().all(|byte| byte.is_ascii_digit())) {
                let message = format!("`{}` has the name of a variable of the list `{}`", other.name, argument.name);
                reader.error(list.place_of(&other.name), "bad-name", message, "choose another name");
            }
        }
    }
}

fn argument(
    reader: &mut Reader<'_>,
    name: String,
    node: &Node,
    place: (u32, u32),
    earlier: &[Argument],
) -> Option<Argument> {
    let what = format!("args.{name}");
    let fields = reader.fields(node, place, &what, &KEYS.argument)?;
    let description = reader.need(&fields, "description", "say what it means, in a line");
    let description = description.and_then(|node| reader.line(node, &fields.name("description")));
    let kind = typed::read(reader, &fields)?;
    let required = fields.get("required").and_then(|node| reader.boolean(node, &fields.name("required")));
    let default = fields.get("default").map(|node| kind.read(reader, node, &fields.name("default"), &mut Vec::new()));
    if let (Some(true), Some(_)) = (required, &default) {
        let message = format!("`{what}` is required, so its default is never used");
        reader.error(fields.place_of("default"), "without-effect", message, "keep one of them");
    }
    let when = fields.get("when").map(|node| conditions(reader, node, &fields.name("when"), earlier));
    let attach = attach(reader, &fields, &kind, earlier);
    if default.is_some() && attach != Attach::Never {
        let message = format!("`{what}` becomes a file, and can have no default");
        reader.error(fields.place_of("default"), "bad-value", message, "remove the default");
    }
    Some(Argument {
        name,
        description: description?,
        kind,
        required: required.unwrap_or(false),
        default: default.flatten(),
        when: when.unwrap_or_default(),
        attach,
    })
}

/// `attach:`, or what it is by itself: a file's content lies beside the program.
fn attach(reader: &mut Reader<'_>, fields: &Fields<'_>, kind: &Kind, earlier: &[Argument]) -> Attach {
    let by_itself = match kind {
        Kind::File | Kind::Script => true,
        Kind::List(items) => matches!(**items, Kind::File | Kind::Script),
        _ => false,
    };
    let what = fields.name("attach");
    match fields.get("attach") {
        None if by_itself => Attach::When(Vec::new()),
        None => Attach::Never,
        Some(node) if node.map().is_some() => Attach::When(conditions(reader, node, &what, earlier)),
        Some(node) => match reader.boolean(node, &what) {
            Some(true) => Attach::When(Vec::new()),
            _ => Attach::Never,
        },
    }
}

/// Arguments and the values they must have; only arguments that are written before this one.
fn conditions(reader: &mut Reader<'_>, node: &Node, what: &str, earlier: &[Argument]) -> Vec<Condition> {
    let Some(fields) = reader.open_fields(node, node.place, what) else { return Vec::new() };
    let mut conditions = Vec::new();
    for (key, node) in fields.entries() {
        match earlier.iter().find(|argument| argument.name == *key.text) {
            Some(argument) => {
                let value = argument.kind.read(reader, node, &fields.name(&key.text), &mut Vec::new());
                conditions.extend(value.map(|value| (argument.name.clone(), value)));
            }
            None => {
                let message = format!("`{what}` names `{}`, which is no argument above this one", key.text);
                reader.error(key.place, "unknown-value", message, "conditions name arguments that are written before");
            }
        }
    }
    conditions
}

fn sudo(reader: &mut Reader<'_>, node: &Node, args: &[Argument]) -> Option<String> {
    let name = reader.line(node, "sudo")?;
    if args.iter().any(|argument| argument.name == name && argument.kind == Kind::Boolean) {
        return Some(name);
    }
    let message = format!("`sudo` names `{name}`, which is no boolean argument");
    reader.error(node.place, "unknown-value", message, "the name of the argument that asks for root");
    None
}

/// Names of arguments of which `fits`.
fn names(
    reader: &mut Reader<'_>,
    node: &Node,
    what: &str,
    args: &[Argument],
    fits: impl Fn(&Argument) -> bool,
    wanted: &str,
) -> Vec<String> {
    let listed = reader.lines(node, what).unwrap_or_default();
    for (name, place) in &listed {
        if !args.iter().any(|argument| argument.name == *name && fits(argument)) {
            let message = format!("`{what}` names `{name}`, which is no {wanted}");
            reader.error(*place, "unknown-value", message, "names of arguments of this hook");
        }
    }
    let mut seen = BTreeSet::new();
    listed.into_iter().map(|(name, _)| name).filter(|name| seen.insert(name.clone())).collect()
}

fn groups(reader: &mut Reader<'_>, node: &Node, args: &[Argument]) -> Vec<Vec<String>> {
    let optional = |argument: &Argument| !argument.required && argument.default.is_none();
    let items = reader.items(node, "one_of").unwrap_or_default();
    let groups: Vec<_> = items
        .iter()
        .map(|item| names(reader, item, "one_of", args, optional, "argument that may be left out"))
        .collect();
    let empty = groups.iter().any(Vec::is_empty) || groups.len() < 2;
    let distinct: BTreeSet<_> = groups.iter().flatten().collect();
    if empty || distinct.len() != groups.iter().map(Vec::len).sum::<usize>() {
        let hint = "as [[script], [source, path]]";
        reader.error(node.place, "bad-value", "`one_of` must be two or more groups without common arguments", hint);
    }
    groups
}

fn lists(reader: &mut Reader<'_>, node: &Node, args: &[Argument]) -> Vec<String> {
    names(reader, node, "same_length", args, |argument| matches!(argument.kind, Kind::List(_)), "list")
}
