//! YAML as a tree in which every value knows its place, and a reader over it that collects findings instead of
//! stopping at the first.

use std::cell::RefCell;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::{Location, Spanned};

use crate::model::Finding;

/// A value and its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// Line and column, from 1.
    pub place: (u32, u32),
    /// The value.
    pub data: Data,
}

/// A YAML value.
#[derive(Clone, Debug)]
pub enum Data {
    /// `null`, `~`, nothing.
    Null,
    /// `true`, `false`. (YAML 1.1's `yes` and `on` are texts in a settings file.)
    Bool(bool),
    /// A number.
    Number(serde_json::Number),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order in which it is written.
    Map(Vec<(Node, Node)>),
}

/// Reads a document. The only error is one that makes the whole unreadable (syntax, duplicate key).
pub fn read(text: &str, path: &str) -> Result<Node, Finding> {
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    let spanned: Result<Option<Spanned<Data>>, _> = serde_saphyr::from_str_with_options(text, options);
    match spanned {
        Ok(Some(spanned)) => Ok(Node::from(spanned)),
        Ok(None) => Ok(Node { place: (1, 1), data: Data::Null }),
        Err(error) => {
            let place = error.location().map_or((0, 0), place_of);
            let message = error.to_string();
            let first = message.lines().next().unwrap_or("not YAML").to_string();
            Err(Finding::error(path, place, "yaml", first))
        }
    }
}

fn place_of(location: Location) -> (u32, u32) {
    let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    (small(location.line()), small(location.column()))
}

impl From<Spanned<Data>> for Node {
    fn from(spanned: Spanned<Data>) -> Self {
        Node { place: place_of(spanned.referenced), data: spanned.value }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::<Data>::deserialize(deserializer).map(Node::from)
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DataVisitor)
    }
}

struct DataVisitor;

impl<'de> Visitor<'de> for DataVisitor {
    type Value = Data;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }
    fn visit_bool<E>(self, value: bool) -> Result<Data, E> {
        Ok(Data::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Data, E> {
        Ok(Data::Number(value.into()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Data, E> {
        Ok(Data::Number(value.into()))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Data, E> {
        Ok(serde_json::Number::from_f64(value).map_or(Data::Null, Data::Number))
    }
    fn visit_str<E>(self, value: &str) -> Result<Data, E> {
        Ok(Data::Text(value.into()))
    }
    fn visit_unit<E>(self) -> Result<Data, E> {
        Ok(Data::Null)
    }
    fn visit_none<E>(self) -> Result<Data, E> {
        Ok(Data::Null)
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Data, D::Error> {
        Data::deserialize(deserializer)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Data, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
        }
        Ok(Data::List(nodes))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Data, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Data::Map(entries))
    }
}

impl Node {
    /// Whether it is there but empty.
    pub fn is_null(&self) -> bool {
        matches!(self.data, Data::Null)
    }

    /// A scalar as it is written, for values that are parsed from text (`30s`, `10.0.0.1`, `10`).
    pub fn scalar(&self) -> Option<String> {
        match &self.data {
            Data::Text(text) => Some(text.clone()),
            Data::Number(number) => Some(number.to_string()),
            Data::Bool(value) => Some(value.to_string()),
            Data::Null | Data::List(_) | Data::Map(_) => None,
        }
    }

    /// The value as JSON.
    pub fn to_json(&self) -> Value {
        match &self.data {
            Data::Null => Value::Null,
            Data::Bool(value) => Value::Bool(*value),
            Data::Number(number) => Value::Number(number.clone()),
            Data::Text(text) => Value::String(text.clone()),
            Data::List(nodes) => nodes.iter().map(Node::to_json).collect(),
            Data::Map(entries) => {
                Value::Object(entries.iter().map(|(k, v)| (k.scalar().unwrap_or_default(), v.to_json())).collect())
            }
        }
    }
}

/// Where findings go.
pub struct Findings<'a> {
    path: &'a str,
    list: RefCell<Vec<Finding>>,
}

impl<'a> Findings<'a> {
    /// None yet, about the file at `path`.
    pub fn new(path: &'a str) -> Self {
        Findings { path, list: RefCell::default() }
    }

    /// Records an error.
    pub fn error(&self, place: (u32, u32), code: &str, message: impl Into<String>, hint: Option<String>) {
        let finding = Finding { hint, ..Finding::error(self.path, place, code, message) };
        self.list.borrow_mut().push(finding);
    }

    /// Records a warning.
    pub fn warning(&self, place: (u32, u32), code: &str, message: impl Into<String>) {
        self.list.borrow_mut().push(Finding::warning(self.path, place, code, message));
    }

    /// All of them, by place.
    pub fn into_sorted(self) -> Vec<Finding> {
        let mut list = self.list.into_inner();
        list.sort_by_key(|finding| (finding.line, finding.column));
        list
    }
}

/// A mapping being read: asks for known keys by name, and complains about the rest when it is finished.
pub struct Section<'a> {
    name: String,
    place: (u32, u32),
    entries: Vec<(&'a Node, &'a Node)>,
    known: Vec<&'static str>,
    findings: &'a Findings<'a>,
}

impl<'a> Section<'a> {
    /// Reads `node` as a mapping. An absent one is an empty one.
    pub fn new(name: &str, node: Option<&'a Node>, place: (u32, u32), findings: &'a Findings<'a>) -> Self {
        let mut section = Section { name: name.into(), place, entries: Vec::new(), known: Vec::new(), findings };
        match node {
            None => {}
            Some(Node { place, data: Data::Null }) => section.place = *place,
            Some(Node { place, data: Data::Map(entries) }) => {
                section.place = *place;
                section.entries = entries.iter().map(|(key, value)| (key, value)).collect();
            }
            Some(other) => findings.error(other.place, "wrong-type", format!("`{name}` must be a mapping"), None),
        }
        section
    }

    /// The full name of a key of this section.
    pub fn name_of(&self, key: &str) -> String {
        if self.name.is_empty() { key.into() } else { format!("{}.{key}", self.name) }
    }

    /// The findings' list.
    pub fn findings(&self) -> &'a Findings<'a> {
        self.findings
    }

    /// The value of a key, `None` when absent or null.
    pub fn get(&mut self, key: &'static str) -> Option<&'a Node> {
        self.known.push(key);
        let found = self.entries.iter().find(|(name, _)| name.scalar().as_deref() == Some(key));
        found.map(|(_, value)| *value).filter(|value| !value.is_null())
    }

    /// The section under a key.
    pub fn section(&mut self, key: &'static str) -> Section<'a> {
        let name = self.name_of(key);
        let node = self.get(key);
        Section::new(&name, node, self.place, self.findings)
    }

    /// The value of a key, read by `parse`, whose error says what was expected.
    pub fn parse<T>(&mut self, key: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let name = self.name_of(key);
        let node = self.get(key)?;
        self.read_scalar(&name, node, parse)
    }

    /// The values of a list, each read by `parse`. A single value counts as a list of one.
    pub fn parse_list<T>(&mut self, key: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let name = self.name_of(key);
        match self.get(key) {
            None => Vec::new(),
            Some(Node { data: Data::List(nodes), .. }) => {
                nodes.iter().filter_map(|node| self.read_scalar(&name, node, &parse)).collect()
            }
            Some(node) => self.read_scalar(&name, node, &parse).into_iter().collect(),
        }
    }

    /// Reads one scalar.
    pub fn read_scalar<T>(&self, name: &str, node: &Node, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let Some(text) = node.scalar() else {
            self.findings.error(node.place, "wrong-type", format!("`{name}` must be a single value"), None);
            return None;
        };
        if matches!(&node.data, Data::Number(number) if number.is_f64()) {
            let message = format!("`{name}`: {text} reads as a number with a fraction; put the value in quotes");
            self.findings.error(node.place, "wrong-type", message, None);
            return None;
        }
        match parse(text.trim()) {
            Ok(value) => Some(value),
            Err(expected) => {
                self.findings.error(node.place, "bad-value", format!("`{name}`: {expected}"), None);
                None
            }
        }
    }

    /// Like [`parse`](Section::parse), for a key that must be there.
    pub fn require<T>(&mut self, key: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let name = self.name_of(key);
        match self.get(key) {
            Some(node) => self.read_scalar(&name, node, parse),
            None => {
                self.findings.error(self.place, "missing-key", format!("`{name}` is required"), None);
                None
            }
        }
    }

    /// The place of a key's value, or of the section.
    pub fn place(&self, key: &str) -> (u32, u32) {
        let found = self.entries.iter().find(|(name, _)| name.scalar().as_deref() == Some(key));
        found.map_or(self.place, |(_, value)| value.place)
    }

    /// Complains about every key that nobody asked for.
    pub fn finish(self) {
        for (key, _) in &self.entries {
            let name = key.scalar().unwrap_or_default();
            if self.known.iter().any(|known| *known == name) {
                continue;
            }
            let hint = match nearest(&name, &self.known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known keys here: {}", self.known.join(", ")),
            };
            let message = format!("unknown key `{}`", self.name_of(&name));
            self.findings.error(key.place, "unknown-key", message, Some(hint));
        }
    }
}

/// The known word that is most like `word`, when one is near enough to be meant.
pub fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let limit = (word.chars().count() / 3).max(1);
    let near = known.iter().map(|known| (distance(word, known), *known));
    near.filter(|(distance, _)| *distance <= limit).min().map(|(_, known)| known)
}

/// Edit distance in which swapping two neighbours counts as one.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_near() {
        let known = ["poll_interval", "branch", "url"];
        assert_eq!(nearest("poll_intervall", &known), Some("poll_interval"));
        assert_eq!(nearest("brnach", &known), Some("branch"));
        assert_eq!(nearest("colour", &known), None);
    }

    #[test]
    fn values_know_their_place_and_kind() {
        let node = read("a: 1\nb:\n  - yes\n  - 0x10\n", "x").unwrap();
        let Data::Map(entries) = &node.data else { panic!("{node:?}") };
        assert_eq!(entries[1].0.place, (2, 1));
        let Data::List(list) = &entries[1].1.data else { panic!("{node:?}") };
        assert_eq!((list[0].place, list[0].scalar()), ((3, 5), Some("yes".into())));
        assert_eq!(node.to_json(), serde_json::json!({"a": 1, "b": ["yes", 16]}));
    }

    #[test]
    fn a_duplicate_key_is_told_with_its_line() {
        let finding = read("a: 1\nb: 2\na: 3\n", "x").unwrap_err();
        assert_eq!((finding.line, finding.code.as_str()), (3, "yaml"), "{finding}");
    }

    #[test]
    fn an_empty_document_is_null() {
        assert!(read("# nothing\n", "x").unwrap().is_null());
    }
}
