//! Ansible variables: the layers that are in force for a host or a group, and Jinja in the values that we use.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::borrow::Cow;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use minijinja::value::{Enumerator, Object, ObjectRepr};
use minijinja::{Environment, Error, ErrorKind, Value};

use super::secret::Secrets;
use super::template;
use crate::yaml::{self, Node, Place, Plain, Seal};

/// How many variables may stand between a value and its text.
const MAX_DEPTH: usize = 12;

/// A file (or a part of the inventory) that sets variables: a mapping.
#[derive(Clone, Debug)]
pub struct Doc {
    pub path: Arc<str>,
    pub root: Arc<Node>,
    /// Whether the file is encrypted as a whole.
    pub whole: bool,
    /// It is, and this is why it cannot be read. Then the mapping is empty.
    pub closed: Option<Arc<str>>,
}

/// The variables in force for a host or a group: layers, the strongest last.
#[derive(Debug, Default)]
pub struct Scope {
    /// Layers, weakest first.
    pub docs: Vec<Doc>,
    /// Variables that Ansible sets by itself.
    pub magic: Vec<(&'static str, String)>,
    pub secrets: Arc<Secrets>,
}

/// Why a value cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It, or a variable it uses, is encrypted, and this is why it cannot be read. Carries no values.
    Sealed(Arc<str>),
    /// Its Jinja cannot be evaluated. The text carries no values.
    Jinja(String),
}

static ENV: LazyLock<Environment<'static>> = LazyLock::new(template::environment);

impl Scope {
    /// The variable `name`, and the file that sets it.
    pub fn lookup(&self, name: &str) -> Option<(&Arc<str>, &Node)> {
        self.docs.iter().rev().find_map(|doc| doc.root.get(name).map(|node| (&doc.path, node)))
    }

    /// The node itself, or what it is decrypted to, or what its Jinja works out to, at the same place. What comes from a
    /// secret is marked as one.
    pub fn resolve<'n>(self: &Arc<Self>, node: &'n Node) -> Result<Cow<'n, Node>, Trouble> {
        let node = self.open(node)?;
        let Some((text, _)) = node.scalar() else { return Ok(node) };
        if !wants_evaluation(&node, text) {
            return Ok(node);
        }
        let (worked_out, secret) = evaluate(self, text, node.place)?;
        let secret = secret || node.is_secret();
        Ok(Cow::Owned(if secret { worked_out.marked(&Seal::Secret) } else { worked_out }))
    }

    /// The node in clear. What was vaulted by itself is text as it is: Ansible looks for no Jinja in it.
    fn open<'n>(&self, node: &'n Node) -> Result<Cow<'n, Node>, Trouble> {
        if let Seal::Closed(why) = &node.seal {
            return Err(Trouble::Sealed(why.clone()));
        }
        let Some((text, _)) = node.scalar().filter(|_| node.is_sealed()) else { return Ok(Cow::Borrowed(node)) };
        if !node.is_vaulted() {
            let why = "it looks encrypted with SOPS, but its file has no `sops:` of its own";
            return Err(Trouble::Sealed(why.into()));
        }
        let opened = self.secrets.open(text).map_err(Trouble::Sealed)?;
        let mut clear = Node::scalar_at(node.place, opened.reveal(), false);
        (clear.tag, clear.seal) = (Some("unsafe".into()), Seal::Secret);
        Ok(Cow::Owned(clear))
    }

    /// Why a variable that no readable file sets may be there after all.
    fn hidden(&self, name: &str) -> Option<Trouble> {
        let doc = self.docs.iter().rev().find(|doc| doc.closed.is_some())?;
        let why = doc.closed.as_deref().unwrap_or_default();
        Some(Trouble::Sealed(format!("the variable `{name}` may be set in `{}`: {why}", doc.path).into()))
    }
}

fn wants_evaluation(node: &Node, text: &str) -> bool {
    node.tag.as_deref() != Some("unsafe") && template::is_template(text)
}

/// Works out a text, every part of the result at `place`, and says whether a secret was used.
fn evaluate(scope: &Arc<Scope>, text: &str, place: Place) -> Result<(Node, bool), Trouble> {
    let notes = Slot::default();
    // Parts of the result are worked out when they are looked at: the notes are complete only behind `to_node`.
    let outcome = work_out(scope, text, 0, &notes).and_then(|value| to_node(&value, place));
    let notes = std::mem::take(&mut *notes.lock().unwrap_or_else(PoisonError::into_inner));
    // A variable that could not be worked out looks undefined to the template, which a `default` would hide.
    match (notes.trouble, outcome) {
        (Some(trouble), _) | (None, Err(trouble)) => Err(trouble),
        (None, Ok(node)) => Ok((node, notes.secret)),
    }
}

/// A text that is one expression keeps its type, as with Ansible.
fn work_out(scope: &Arc<Scope>, text: &str, depth: usize, notes: &Slot) -> Result<Value, Trouble> {
    if depth > MAX_DEPTH {
        return Err(Trouble::Jinja("variables refer to each other in a circle".into()));
    }
    let context = Value::from_object(Vars { scope: scope.clone(), depth, notes: notes.clone() });
    let inner = text.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
    let single = inner.filter(|inner| !template::is_template(inner) && !inner.contains("}}"));
    let outcome = match single {
        Some(expression) => ENV.compile_expression(expression).and_then(|expr| expr.eval(context)).and_then(defined),
        None => ENV.render_str(text, context).map(Value::from),
    };
    outcome.map_err(|error| {
        // What the template engine says might quote what it was given.
        let secret = notes.lock().unwrap_or_else(PoisonError::into_inner).secret;
        Trouble::Jinja(if secret { error.kind().to_string() } else { template::reason(&error) })
    })
}

fn defined(value: Value) -> Result<Value, Error> {
    if value.is_undefined() { Err(Error::from(ErrorKind::UndefinedError)) } else { Ok(value) }
}

/// The value as a node, every part of it at `place`.
fn to_node(value: &Value, place: Place) -> Result<Node, Trouble> {
    if let Some(part) = value.downcast_object_ref::<Part>() {
        let mut node = (*part.node).clone();
        relocate(&mut node, place);
        return Ok(node);
    }
    let json = serde_json::to_value(value).map_err(|_| Trouble::Jinja("the result is not a plain value".into()))?;
    Ok(Node::from_json(place, &json))
}

fn relocate(node: &mut Node, place: Place) {
    node.place = place;
    match &mut node.value {
        yaml::Value::Scalar { .. } => {}
        yaml::Value::List(items) => items.iter_mut().for_each(|item| relocate(item, place)),
        yaml::Value::Map(entries) => entries.iter_mut().for_each(|(key, value)| {
            key.place = place;
            relocate(value, place);
        }),
    }
}

/// What the template engine is not told and has no words for.
#[derive(Debug, Default)]
struct Notes {
    trouble: Option<Trouble>,
    /// A secret was used.
    secret: bool,
}

type Slot = Arc<Mutex<Notes>>;

fn note(slot: &Slot, take: impl FnOnce(&mut Notes)) {
    take(&mut slot.lock().unwrap_or_else(PoisonError::into_inner));
}

/// All variables, as the template sees them; each is worked out when it is used.
#[derive(Debug)]
struct Vars {
    scope: Arc<Scope>,
    depth: usize,
    notes: Slot,
}

impl Object for Vars {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        if let Some((_, text)) = self.scope.magic.iter().find(|(known, _)| *known == name) {
            return Some(Value::from(text.as_str()));
        }
        let Some((_, node)) = self.scope.lookup(name) else {
            if let Some(trouble) = self.scope.hidden(name) {
                note(&self.notes, |notes| notes.trouble = notes.trouble.take().or(Some(trouble)));
            }
            return None;
        };
        to_value(&self.scope, node, self.depth, &self.notes)
    }
}

/// A mapping or list inside a variable.
#[derive(Debug)]
struct Part {
    scope: Arc<Scope>,
    node: Arc<Node>,
    depth: usize,
    notes: Slot,
}

impl Object for Part {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        if self.node.map().is_some() { ObjectRepr::Map } else { ObjectRepr::Seq }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let child = match &self.node.value {
            yaml::Value::List(items) => items.get(key.as_usize()?)?,
            yaml::Value::Map(_) => match key.as_str() {
                Some(name) => self.node.get(name)?,
                None => self.node.get(&key.to_string())?,
            },
            yaml::Value::Scalar { .. } => return None,
        };
        to_value(&self.scope, child, self.depth, &self.notes)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match &self.node.value {
            yaml::Value::Map(entries) => {
                Enumerator::Values(entries.iter().map(|(key, _)| Value::from(&*key.text)).collect())
            }
            yaml::Value::List(items) => Enumerator::Seq(items.len()),
            yaml::Value::Scalar { .. } => Enumerator::NonEnumerable,
        }
    }
}

fn to_value(scope: &Arc<Scope>, node: &Node, depth: usize, slot: &Slot) -> Option<Value> {
    let fail = |trouble| {
        note(slot, |notes| notes.trouble = notes.trouble.take().or(Some(trouble)));
        None
    };
    let node = match scope.open(node) {
        Ok(node) => node,
        Err(trouble) => return fail(trouble),
    };
    let Some((text, _)) = node.scalar() else {
        let (scope, node, notes) = (scope.clone(), Arc::new(node.into_owned()), slot.clone());
        return Some(Value::from_object(Part { scope, node, depth, notes }));
    };
    if node.is_secret() {
        note(slot, |notes| notes.secret = true);
    }
    if wants_evaluation(&node, text) {
        return work_out(scope, text, depth + 1, slot).map_or_else(fail, Some);
    }
    Some(match node.meaning() {
        Some(Plain::Null) => Value::from(()),
        Some(Plain::Bool(value)) => Value::from(value),
        Some(Plain::Int(value)) => Value::from(value),
        Some(Plain::Float(value)) => Value::from(value),
        _ => Value::from(text),
    })
}
