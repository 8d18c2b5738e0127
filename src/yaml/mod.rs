//! YAML as a tree in which every node knows its line and column, with the habits of YAML 1.1 that PyYAML and Ansible
//! taught people.
//!
//! A generic tree and not typed deserialization, because one run must give *all* findings: a wrong type in one host must
//! not hide the next host's. Settings and repository both read their values from here ([`scalar`]), so that the same text
//! means the same in both. Pure; imports `model`.

use std::sync::Arc;

mod parse;
pub mod scalar;
pub mod word;

pub use parse::{MAX_BYTES, parse};

/// What every text of Ansible Vault begins with.
pub const VAULT_HEADER: &str = "$ANSIBLE_VAULT;";

/// Line and column, from 1.
pub type Place = (u32, u32);

/// One value and where it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub place: Place,
    /// A tag that is not of YAML's own (`!vault`, `!unsafe`), without the exclamation mark.
    pub tag: Option<Box<str>>,
    /// Whether it may be shown.
    pub seal: Seal,
    /// What it is.
    pub value: Value,
}

/// Whether a value may be shown, and whether it can be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Seal {
    /// As it is written.
    #[default]
    Open,
    /// It comes from an encrypted value, or from one that was made with such: never shown.
    Secret,
    /// It is encrypted, and this is why it cannot be read.
    Closed(Arc<str>),
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text; `plain` when written without quotes and not as a block, so that it may mean a number, a boolean or null.
    Scalar {
        /// The text, with escapes processed.
        text: Box<str>,
        /// Neither quoted nor a block.
        plain: bool,
    },
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order in which it is written, merge keys applied.
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping and where it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// Its text.
    pub text: Box<str>,
    /// Where it begins.
    pub place: Place,
}

/// What a plain scalar means to PyYAML (YAML 1.1 types, yaml.org/type).
#[derive(Clone, Debug, PartialEq)]
pub enum Plain {
    /// `~`, `null`, nothing.
    Null,
    /// `yes`, `no`, `on`, `off`, `true`, `false`.
    Bool(bool),
    /// A decimal integer, written as it would be printed.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// A number whose value is not what it looks like: leading zero (octal), `0x`, `0b`, `_`, base 60 (`12:30`).
    Odd,
    /// Just text.
    Text,
}

impl Node {
    /// A scalar made up by us, at a place.
    pub fn scalar_at(place: Place, text: impl Into<Box<str>>, plain: bool) -> Node {
        Node { place, tag: None, seal: Seal::Open, value: Value::Scalar { text: text.into(), plain } }
    }

    /// Its text and whether it is plain, when it is a scalar.
    pub fn scalar(&self) -> Option<(&str, bool)> {
        match &self.value {
            Value::Scalar { text, plain } => Some((text, *plain)),
            _ => None,
        }
    }

    /// Its entries, when it is a mapping.
    pub fn map(&self) -> Option<&[(Key, Node)]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// Its items, when it is a sequence.
    pub fn list(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// The value of `key`, when it is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.map()?.iter().find(|(known, _)| &*known.text == key).map(|(_, value)| value)
    }

    /// What it means, when it is a scalar.
    pub fn meaning(&self) -> Option<Plain> {
        let (text, plain) = self.scalar()?;
        Some(if plain { meaning(text) } else { Plain::Text })
    }

    /// Whether nothing is written.
    pub fn is_null(&self) -> bool {
        self.tag.is_none() && self.meaning() == Some(Plain::Null)
    }

    /// Whether it is encrypted, as it is written here: Ansible Vault, SOPS.
    pub fn is_sealed(&self) -> bool {
        let literal = self.tag.as_deref() == Some("unsafe");
        self.is_vaulted() || !literal && self.scalar().is_some_and(|(text, _)| text.starts_with("ENC["))
    }

    /// Whether it is a text of Ansible Vault.
    pub fn is_vaulted(&self) -> bool {
        match self.tag.as_deref() {
            Some("vault" | "vault-encrypted") => true,
            Some("unsafe") => false,
            _ => self.scalar().is_some_and(|(text, _)| text.starts_with(VAULT_HEADER)),
        }
    }

    /// Whether it must not be shown.
    pub fn is_secret(&self) -> bool {
        self.seal == Seal::Secret
    }

    /// The same, with every value in it marked. Only values: a mapping's keys, and how many items a list has, are seen.
    pub fn marked(mut self, seal: &Seal) -> Node {
        match &mut self.value {
            Value::Scalar { .. } if matches!(self.seal, Seal::Closed(_)) => {}
            Value::Scalar { .. } => self.seal = seal.clone(),
            Value::List(items) => *items = std::mem::take(items).into_iter().map(|item| item.marked(seal)).collect(),
            Value::Map(entries) => {
                *entries = std::mem::take(entries).into_iter().map(|(key, value)| (key, value.marked(seal))).collect();
            }
        }
        self
    }

    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
            Value::Scalar { .. } => match self.meaning() {
                Some(Plain::Null) => "nothing",
                Some(Plain::Bool(_)) => "a boolean",
                Some(Plain::Int(_) | Plain::Float(_) | Plain::Odd) => "a number",
                _ => "text",
            },
        }
    }

    /// As JSON, plain scalars typed as PyYAML would (except for what JSON or surprise forbids: dates, base 60).
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::List(items) => items.iter().map(Node::to_json).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|(key, value)| (key.text.to_string(), value.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            Value::Scalar { text, .. } => match self.meaning() {
                Some(Plain::Null) => serde_json::Value::Null,
                Some(Plain::Bool(value)) => value.into(),
                Some(Plain::Int(value)) => value.into(),
                Some(Plain::Float(value)) => value.into(),
                _ => text.as_ref().into(),
            },
        }
    }

    /// From JSON, everything at one place.
    pub fn from_json(place: Place, value: &serde_json::Value) -> Node {
        let value = match value {
            serde_json::Value::Array(items) => {
                Value::List(items.iter().map(|item| Node::from_json(place, item)).collect())
            }
            serde_json::Value::Object(entries) => Value::Map(
                entries
                    .iter()
                    .map(|(key, value)| (Key { text: key.as_str().into(), place }, Node::from_json(place, value)))
                    .collect(),
            ),
            serde_json::Value::String(text) => Value::Scalar { text: text.as_str().into(), plain: false },
            other => Value::Scalar { text: other.to_string().into(), plain: true },
        };
        Node { place, tag: None, seal: Seal::Open, value }
    }

    /// How many nodes it has and how deep it is.
    fn measure(&self) -> (usize, usize) {
        let children: Vec<_> = match &self.value {
            Value::Scalar { .. } => return (1, 1),
            Value::List(items) => items.iter().map(Node::measure).collect(),
            Value::Map(entries) => entries.iter().map(|(_, value)| value.measure()).collect(),
        };
        children.into_iter().fold((1, 1), |(count, depth), (n, d)| (count + n, depth.max(d + 1)))
    }
}

/// What a plain scalar means to PyYAML.
pub fn meaning(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Plain::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Plain::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Plain::Text;
    }
    let number = |c: char| c.is_ascii_digit();
    if digits.chars().all(number) {
        let canonical = digits == "0" || !digits.starts_with('0');
        return match text.parse() {
            Ok(value) if canonical && !text.starts_with('+') => Plain::Int(value),
            _ => Plain::Odd,
        };
    }
    let based =
        |prefix: &str, radix| digits.strip_prefix(prefix).is_some_and(|rest| rest.chars().all(|c| c.is_digit(radix)));
    let sixty = digits.split(':').all(|part| !part.is_empty() && part.chars().all(number)) && digits.contains(':');
    if digits.chars().all(|c| number(c) || c == '_') || based("0x", 16) || based("0b", 2) || based("0o", 8) || sixty {
        return Plain::Odd;
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && digits.chars().all(|c| number(c) || ".eE+-".contains(c)) => {
            Plain::Float(value)
        }
        _ => Plain::Text,
    }
}
