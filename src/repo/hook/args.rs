//! The arguments of one hook in a `bootstrap.yml`, read by its definition.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::definition::{Argument, Attach, Condition, Definition};
use super::kind::Kind;
use crate::model::{HookFile, Secret};
use crate::repo::Tree;
use crate::repo::read::{Fields, Reader};
use crate::repo::tree::{self, Found};
use crate::repo::vault;
use crate::yaml::{Node, Place};

/// What a hook is given.
#[derive(Default)]
pub struct Given {
    /// Its arguments, defaults filled in; what became a file is the path of that file, beside the program.
    pub args: Map<String, Value>,
    /// Those files.
    pub files: Vec<HookFile>,
    /// Those of the repository as they are there: encrypted, if so.
    pub written: Vec<Arc<[u8]>>,
    /// Values of them that must not be seen.
    pub secrets: Vec<Secret>,
    /// Whether it asks for root.
    pub sudo: bool,
}

/// What is known of an argument while the ones after it are read.
enum State {
    /// It is not there, or does not count.
    Absent,
    /// It is wrong, or encrypted.
    Unknown,
    Is(Value),
}

/// Reads the arguments in the order of the definition. What is wrong becomes findings, and is left out.
pub fn read(reader: &mut Reader<'_>, definition: &Definition, fields: &Fields<'_>, tree: &Tree) -> Given {
    let mut given = Given::default();
    let mut states: BTreeMap<&str, State> = BTreeMap::new();
    for argument in &definition.args {
        let state = match holds(&argument.when, &states) {
            Some(false) => State::Absent,
            holds => one(reader, argument, fields, holds == Some(true), &mut given.secrets),
        };
        let attached = match (&argument.attach, state) {
            (Attach::When(conditions), State::Is(value)) if holds(conditions, &states) == Some(true) => {
                let what = fields.name(&argument.name);
                let value = fields.get(&argument.name).and_then(|node| {
                    let mut files = Files { tree, what: &what, given: &mut given };
                    files.attach(reader, &argument.kind, value, node)
                });
                value.map_or(State::Unknown, State::Is)
            }
            (_, state) => state,
        };
        if let State::Is(value) = &attached {
            if let (Kind::Uri, Some(uri)) = (&argument.kind, value.as_str()) {
                given.secrets.push(Secret::new(uri));
            }
            given.args.insert(argument.name.clone(), value.clone());
        }
        states.insert(&argument.name, attached);
    }
    one_of(reader, definition, fields);
    same_length(reader, definition, fields, &given.args);
    let sudo = definition.sudo.as_ref().and_then(|name| given.args.get(name));
    given.sudo = sudo == Some(&Value::Bool(true));
    given
}

/// Whether all conditions hold, where that is known.
fn holds(conditions: &[Condition], states: &BTreeMap<&str, State>) -> Option<bool> {
    let mut known = Some(true);
    for (name, wanted) in conditions {
        match states.get(name.as_str()) {
            Some(State::Is(value)) if value == wanted => {}
            Some(State::Unknown) => known = None,
            _ => return Some(false),
        }
    }
    known
}

fn one(
    reader: &mut Reader<'_>,
    argument: &Argument,
    fields: &Fields<'_>,
    counts: bool,
    secrets: &mut Vec<Secret>,
) -> State {
    let Some(node) = fields.get(&argument.name) else {
        return match &argument.default {
            Some(value) => State::Is(value.clone()),
            None if argument.required && counts => {
                reader.need(fields, &argument.name, &argument.description);
                State::Unknown
            }
            None => State::Absent,
        };
    };
    let what = fields.name(&argument.name);
    let value = argument.kind.read(reader, node, &what, secrets);
    if argument.required && value.as_ref().and_then(Value::as_array).is_some_and(Vec::is_empty) {
        reader.error(node.place, "empty-list", format!("`{what}` is empty"), &argument.description);
        return State::Unknown;
    }
    value.map_or(State::Unknown, State::Is)
}

/// Files that come to lie beside the program.
struct Files<'a> {
    tree: &'a Tree,
    what: &'a str,
    given: &'a mut Given,
}

impl Files<'_> {
    /// Takes the files of an argument; their paths beside the program are its value then.
    fn attach(&mut self, reader: &mut Reader<'_>, kind: &Kind, value: Value, node: &Node) -> Option<Value> {
        match (kind, value) {
            (Kind::List(items), Value::Array(values)) => {
                let place = |index: usize| node.list().and_then(|nodes| nodes.get(index)).unwrap_or(node);
                let paths = values.into_iter().enumerate();
                let paths: Vec<_> =
                    paths.map(|(index, value)| self.attach(reader, items, value, place(index))).collect();
                paths.into_iter().collect::<Option<Vec<_>>>().map(Value::from)
            }
            (kind, Value::String(text)) => {
                let file = match kind {
                    Kind::File => self.named(reader, &text, node.place)?,
                    _ => HookFile::Bytes(Arc::from(text.into_bytes())),
                };
                self.given.files.push(file);
                Some(format!("files/{}", self.given.files.len() - 1).into())
            }
            (_, other) => Some(other),
        }
    }

    /// A file of the repository, read now, or of the bootstrap host, read when the hook is run.
    fn named(&mut self, reader: &mut Reader<'_>, text: &str, place: Place) -> Option<HookFile> {
        let mut wrong = |code: &str, message: String, hint: &str| {
            reader.error(place, code, message, hint);
            None
        };
        if text.starts_with('/') {
            // These never end, or are not what they seem.
            let odd = ["/dev/", "/proc/", "/sys/"].iter().any(|start| text.starts_with(start));
            if odd || text.ends_with('/') || text.split('/').any(|part| part == "..") {
                let hint = "an absolute path of a plain file, without `..`";
                return wrong("bad-path", format!("`{}` cannot be `{text}`", self.what), hint);
            }
            return Some(HookFile::Path(text.into()));
        }
        match tree::find(self.tree, text) {
            Found::File(_, bytes) => {
                self.given.written.push(bytes.clone());
                clear(reader, bytes, place, self.what).map(HookFile::Bytes)
            }
            Found::Submodule => {
                let message = format!("`{text}` is in a submodule, and submodules are not looked into");
                wrong("in-submodule", message, "copy the file into the repository")
            }
            Found::Directory(_) => {
                wrong("missing-file", format!("`{text}` is a directory of the repository"), "name a file")
            }
            Found::Missing => {
                let message = format!("there is no file `{text}` in the repository");
                wrong("missing-file", message, "a path relative to the repository's root, or an absolute one")
            }
        }
    }
}

/// A file's bytes, decrypted when they are an ansible-vault text, as Ansible does with files that it copies.
fn clear(reader: &mut Reader<'_>, bytes: Arc<[u8]>, place: Place, what: &str) -> Option<Arc<[u8]>> {
    let vaulted = std::str::from_utf8(&bytes).ok().filter(|text| text.starts_with("$ANSIBLE_VAULT;"));
    let Some(text) = vaulted else { return Some(bytes) };
    // Not every file is text.
    if let Ok(clear) = vault::decrypt(text, reader.scope.secrets.passwords()) {
        return Some(Arc::from(&clear[..]));
    }
    let why = reader.scope.secrets.open(text).err().unwrap_or_else(|| "it cannot be decrypted".into());
    reader.withheld(place, what, &why);
    None
}

/// Exactly one group of arguments is written, and that whole.
fn one_of(reader: &mut Reader<'_>, definition: &Definition, fields: &Fields<'_>) {
    let mut written = definition.one_of.iter().filter(|group| group.iter().any(|name| fields.get(name).is_some()));
    let all: Vec<_> = definition.one_of.iter().map(|group| format!("`{}`", group.join("` with `"))).collect();
    let hint = format!("either {}", all.join(", or "));
    let Some(group) = written.next().or(definition.one_of.first()) else { return };
    if let Some(other) = written.next() {
        let place = other.iter().find_map(|name| fields.get(name)).map_or(fields.place, |node: &Node| node.place);
        let message = format!("`{}` and `{}` exclude each other", fields.name(&group[0]), fields.name(&other[0]));
        reader.error(place, "exclusive-keys", message, &hint);
        return;
    }
    for name in group {
        reader.need(fields, name, &hint);
    }
}

fn same_length(reader: &mut Reader<'_>, definition: &Definition, fields: &Fields<'_>, args: &Map<String, Value>) {
    let lengths = definition.same_length.iter().filter_map(|name| Some(args.get(name)?.as_array()?.len()));
    let lengths: Vec<_> = lengths.collect();
    if lengths.iter().any(|length| *length != lengths[0]) {
        let names = definition.same_length.join("`, `");
        let message = format!("the lists `{names}` have different lengths");
        reader.error(fields.place, "uneven-lists", message, "one item each, in the same order");
    }
}
