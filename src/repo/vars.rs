//! Ansible variables: the layers that are in force for a host or a group, and Jinja in the values that we use.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use minijinja::value::{Enumerator, Object, ObjectRepr};
use minijinja::{Environment, Error, ErrorKind, Value};

use super::template;
use super::yaml::{self, Node, Place, Plain};

/// How many variables may stand between a value and its text.
const MAX_DEPTH: usize = 12;

/// A file (or a part of the inventory) that sets variables: a mapping.
#[derive(Clone, Debug)]
pub struct Doc {
    /// Path in the repository.
    pub path: Arc<str>,
    /// The mapping.
    pub root: Arc<Node>,
}

/// The variables in force for a host or a group: layers, the strongest last.
#[derive(Debug, Default)]
pub struct Scope {
    /// Layers, weakest first.
    pub docs: Vec<Doc>,
    /// Variables that Ansible sets by itself.
    pub magic: Vec<(&'static str, String)>,
}

/// Why a value cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It, or a variable it uses, is encrypted.
    Sealed,
    /// Its Jinja does not work out. The text carries no values.
    Jinja(String),
}

static ENV: LazyLock<Environment<'static>> = LazyLock::new(template::environment);

impl Scope {
    /// The variable `name`, and the file that sets it.
    pub fn lookup(&self, name: &str) -> Option<(&Arc<str>, &Node)> {
        self.docs.iter().rev().find_map(|doc| doc.root.get(name).map(|node| (&doc.path, node)))
    }

    /// The node itself, or what its Jinja works out to, at the same place.
    pub fn resolve<'n>(self: &Arc<Self>, node: &'n Node) -> Result<Cow<'n, Node>, Trouble> {
        if node.is_sealed() {
            return Err(Trouble::Sealed);
        }
        let Some((text, _)) = node.scalar() else { return Ok(Cow::Borrowed(node)) };
        if !wants_evaluation(node, text) {
            return Ok(Cow::Borrowed(node));
        }
        let value = evaluate(self, text, 0)?;
        to_node(&value, node.place).map(Cow::Owned)
    }
}

fn wants_evaluation(node: &Node, text: &str) -> bool {
    node.tag.as_deref() != Some("unsafe") && template::is_template(text)
}

/// Works out a text; a text that is one expression keeps its type, as with Ansible.
fn evaluate(scope: &Arc<Scope>, text: &str, depth: usize) -> Result<Value, Trouble> {
    if depth > MAX_DEPTH {
        return Err(Trouble::Jinja("variables refer to each other in a circle".into()));
    }
    let trouble = Arc::new(Mutex::new(None));
    let context = Value::from_object(Vars { scope: scope.clone(), depth, trouble: trouble.clone() });
    let inner = text.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
    let single = inner.filter(|inner| !template::is_template(inner) && !inner.contains("}}"));
    let outcome = match single {
        Some(expression) => ENV.compile_expression(expression).and_then(|expr| expr.eval(context)).and_then(defined),
        None => ENV.render_str(text, context).map(Value::from),
    };
    // A variable that could not be worked out looks undefined to the template, which a `default` would hide.
    let hidden = trouble.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (hidden, outcome) {
        (Some(trouble), _) => Err(trouble),
        (None, Err(error)) => Err(Trouble::Jinja(template::reason(&error))),
        (None, Ok(value)) => Ok(value),
    }
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

type Slot = Arc<Mutex<Option<Trouble>>>;

/// All variables, as the template sees them; each is worked out when it is used.
#[derive(Debug)]
struct Vars {
    scope: Arc<Scope>,
    depth: usize,
    trouble: Slot,
}

impl Object for Vars {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        if let Some((_, text)) = self.scope.magic.iter().find(|(known, _)| *known == name) {
            return Some(Value::from(text.as_str()));
        }
        let (_, node) = self.scope.lookup(name)?;
        to_value(&self.scope, node, self.depth, &self.trouble)
    }
}

/// A mapping or list inside a variable.
#[derive(Debug)]
struct Part {
    scope: Arc<Scope>,
    node: Arc<Node>,
    depth: usize,
    trouble: Slot,
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
        to_value(&self.scope, child, self.depth, &self.trouble)
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
        slot.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(trouble);
        None
    };
    if node.is_sealed() {
        return fail(Trouble::Sealed);
    }
    let Some((text, _)) = node.scalar() else {
        let (scope, node, trouble) = (scope.clone(), Arc::new(node.clone()), slot.clone());
        return Some(Value::from_object(Part { scope, node, depth, trouble }));
    };
    if wants_evaluation(node, text) {
        return evaluate(scope, text, depth + 1).map_or_else(fail, Some);
    }
    Some(match node.meaning() {
        Some(Plain::Null) => Value::from(()),
        Some(Plain::Bool(value)) => Value::from(value),
        Some(Plain::Int(value)) => Value::from(value),
        Some(Plain::Float(value)) => Value::from(value),
        _ => Value::from(text),
    })
}
