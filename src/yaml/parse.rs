//! From text to a tree: events of the parser, anchors, merge keys, and the limits that keep a hostile file small.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{Event, Options, Parser, ScalarStyle, Tag};

use super::{Key, Node, Place, Seal, Value};
use crate::model::Finding;

/// Largest file that is looked into, in bytes.
pub const MAX_BYTES: usize = 16 << 20;
/// How many nodes one file may have; ten thousand hosts need some 400,000.
const MAX_NODES: usize = 2_000_000;
/// How many nodes may come from aliases: bounds the "billion laughs".
const MAX_ALIASED: usize = 200_000;
/// How deep collections may nest, aliases included: bounds every recursion over a tree.
const MAX_DEPTH: usize = 100;

/// Reads one YAML file. Findings go to `found`; `None` when nothing can be made of it. An empty file is null.
pub fn parse(path: &str, bytes: &[u8], found: &mut Vec<Finding>) -> Option<Node> {
    if bytes.len() > MAX_BYTES {
        let message = format!("the file is larger than {} MiB and was not read", MAX_BYTES >> 20);
        found.push(Finding::error(path, (0, 0), "too-large", message));
        return None;
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let before = &bytes[..error.valid_up_to()];
            let line = before.iter().filter(|byte| **byte == b'\n').count() as u32 + 1;
            found.push(
                Finding::error(path, (line, 1), "not-utf8", "the file is not UTF-8 text").hint("save it as UTF-8"),
            );
            return None;
        }
    };
    let mut builder =
        Builder { path, found, stack: Vec::new(), anchors: HashMap::new(), root: None, nodes: 0, aliased: 0 };
    match builder.run(text) {
        Ok(()) => Some(builder.root.unwrap_or_else(|| Node::scalar_at((1, 1), "", true))),
        Err(finding) => {
            found.push(*finding);
            None
        }
    }
}

/// A collection that is not closed yet.
struct Frame {
    place: Place,
    tag: Option<Box<str>>,
    anchor: usize,
    body: Body,
}

enum Body {
    List(Vec<Node>),
    Map { entries: Vec<(Key, Node)>, key: Option<Key>, seen: HashMap<Box<str>, Place>, merges: Vec<Node> },
}

struct Builder<'a> {
    path: &'a str,
    found: &'a mut Vec<Finding>,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    root: Option<Node>,
    nodes: usize,
    aliased: usize,
}

type Stop = Box<Finding>;

impl Builder<'_> {
    fn stop(&self, place: Place, code: &str, message: impl Into<String>, hint: &str) -> Stop {
        Box::new(Finding::error(self.path, place, code, message).hint(hint))
    }

    fn run(&mut self, text: &str) -> Result<(), Stop> {
        let mut options = Options::default();
        options.set_emit_comments(false);
        let mut documents = 0;
        for next in Parser::new_from_str_with_options(text, options) {
            let (event, span) = next.map_err(|error| self.syntax(&error))?;
            let place = (span.start.line() as u32, span.start.col() as u32 + 1);
            match event {
                Event::DocumentStart(..) => {
                    documents += 1;
                    if documents > 1 {
                        let hint = "keep one document per file; remove the `---` in the middle";
                        return Err(self.stop(place, "yaml-syntax", "a second YAML document begins here", hint));
                    }
                }
                Event::Scalar(text, style, anchor, tag) => {
                    let (tag, forced) = own_tag(tag.as_deref());
                    let plain = style == ScalarStyle::Plain && !forced;
                    let value = Value::Scalar { text: text.as_ref().into(), plain };
                    let node = Node { place, tag, seal: Seal::Open, value };
                    self.add(node, anchor)?;
                }
                Event::SequenceStart(_, anchor, tag) => {
                    self.open(place, tag.as_deref(), anchor, Body::List(Vec::new()))?
                }
                Event::MappingStart(_, anchor, tag) => {
                    let body = Body::Map { entries: Vec::new(), key: None, seen: HashMap::new(), merges: Vec::new() };
                    self.open(place, tag.as_deref(), anchor, body)?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.close()?,
                Event::Alias(id) => self.alias(place, id)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn syntax(&self, error: &serde_saphyr::granit_parser::ScanError) -> Stop {
        let place = (error.marker().line().max(1) as u32, error.marker().col() as u32 + 1);
        let hint =
            "often the cause is above: an indent, a missing quote, a tab, or a value that begins with `{{` or `*`";
        self.stop(place, "yaml-syntax", format!("not valid YAML: {}", error.info()), hint)
    }

    fn open(&mut self, place: Place, tag: Option<&Tag>, anchor: usize, body: Body) -> Result<(), Stop> {
        if self.expects_key() {
            let hint = "a value that begins with `{{` must be quoted: \"{{ name }}\"";
            return Err(self.stop(place, "yaml-key", "a list or mapping cannot be a key here", hint));
        }
        if self.stack.len() >= MAX_DEPTH {
            return Err(self.stop(
                place,
                "too-large",
                "nested too deeply",
                "nothing here needs more than a few levels",
            ));
        }
        self.stack.push(Frame { place, tag: own_tag(tag).0, anchor, body });
        Ok(())
    }

    fn expects_key(&self) -> bool {
        matches!(self.stack.last(), Some(Frame { body: Body::Map { key: None, .. }, .. }))
    }

    fn close(&mut self) -> Result<(), Stop> {
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        let value = match frame.body {
            Body::List(items) => Value::List(items),
            Body::Map { mut entries, mut seen, merges, .. } => {
                for (key, value) in merges.into_iter().flat_map(merged) {
                    if !seen.contains_key(&key.text) {
                        seen.insert(key.text.clone(), key.place);
                        entries.push((key, value));
                    }
                }
                Value::Map(entries)
            }
        };
        self.add(Node { place: frame.place, tag: frame.tag, seal: Seal::Open, value }, frame.anchor)
    }

    fn alias(&mut self, place: Place, id: usize) -> Result<(), Stop> {
        let Some(node) = self.anchors.get(&id) else {
            let hint = "an anchor can be used only after the node that carries it has ended";
            return Err(self.stop(place, "yaml-syntax", "an alias to a node that contains it", hint));
        };
        let (count, depth) = node.measure();
        self.aliased += count;
        if self.aliased > MAX_ALIASED || self.stack.len() + depth > MAX_DEPTH {
            return Err(self.stop(
                place,
                "too-large",
                "aliases expand to too much",
                "write some of it out, or use fewer",
            ));
        }
        let node = node.clone();
        self.add(node, 0)
    }

    fn add(&mut self, mut node: Node, anchor: usize) -> Result<(), Stop> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(self.stop(
                node.place,
                "too-large",
                "too many values in one file",
                "split it into several clusters",
            ));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let place = node.place;
        match self.stack.last_mut().map(|frame| &mut frame.body) {
            None => self.root = Some(node),
            Some(Body::List(items)) => items.push(node),
            Some(Body::Map { entries, key, seen, merges }) => match key.take() {
                None => match node.value {
                    Value::Scalar { text, .. } => *key = Some(Key { text, place }),
                    _ => {
                        return Err(self.stop(
                            place,
                            "yaml-key",
                            "a list or mapping cannot be a key here",
                            "use text as the key",
                        ));
                    }
                },
                Some(name) => {
                    if node.is_null() {
                        // The parser places "nothing" at the next token, which may be lines away.
                        node.place = name.place;
                    }
                    if &*name.text == "<<" {
                        merges.push(node);
                    } else if let Some(first) = seen.get(&name.text) {
                        let message =
                            format!("`{}` is written twice in this mapping, first in line {}", name.text, first.0);
                        let finding = Finding::error(self.path, name.place, "duplicate-key", message);
                        self.found.push(finding.hint("keep one of the two; YAML would silently drop the first"));
                    } else {
                        seen.insert(name.text.clone(), name.place);
                        entries.push((name, node));
                    }
                }
            },
        }
        Ok(())
    }
}

/// The entries a merge key brings in: of a mapping, or of a list of mappings, the first of which wins.
fn merged(node: Node) -> Vec<(Key, Node)> {
    match node.value {
        Value::Map(entries) => entries,
        Value::List(items) => items.into_iter().flat_map(merged).collect(),
        Value::Scalar { .. } => Vec::new(),
    }
}

/// The tag when it is not one of YAML's own, and whether `!!str` asks for text.
fn own_tag(tag: Option<&Tag>) -> (Option<Box<str>>, bool) {
    let Some(tag) = tag else { return (None, false) };
    let full = tag.to_string();
    match full.strip_prefix("tag:yaml.org,2002:").or_else(|| full.strip_prefix("!!")) {
        Some(core) => (None, core == "str" || core == "binary"),
        None => (Some(full.trim_start_matches('!').into()), false),
    }
}
