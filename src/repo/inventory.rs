//! The Ansible inventory: groups, hosts and variables, from INI or YAML, with ranges in host names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Tree;
use super::tree::{self, Found};
use super::vars::Doc;
use crate::model::Finding;
use crate::yaml::{self, Key, Node, Place, Seal, Value};

mod range;

pub use range::expand;

/// Most hosts one inventory may have, ranges expanded.
pub(crate) const MAX_HOSTS: usize = 200_000;
/// The names an inventory may have, the first that has something in it wins.
const NAMES: [&str; 3] = ["hosts", "hosts.yml", "hosts.yaml"];

/// A read inventory.
#[derive(Debug, Default)]
pub struct Inventory {
    /// Its file; `None` when there is none with anything in it.
    pub path: Option<Arc<str>>,
    groups: BTreeMap<String, Group>,
    hosts: BTreeMap<String, Vec<(Key, Node)>>,
}

#[derive(Debug, Default)]
struct Group {
    hosts: BTreeSet<String>,
    children: Vec<(String, Place)>,
    vars: Vec<(Key, Node)>,
}

/// Reads the inventory of a repository.
pub fn read(tree: &Tree, found: &mut Vec<Finding>) -> Inventory {
    for name in NAMES {
        let Found::File(path, bytes) = tree::find(tree, name) else { continue };
        let Ok(text) = std::str::from_utf8(&bytes) else {
            found.push(Finding::error(&path, (1, 1), "not-utf8", "the inventory is not UTF-8 text"));
            return Inventory::default();
        };
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';']));
        let Some(first) = lines.next() else { continue };
        let is_yaml = name != "hosts" || first.starts_with("---") || (first.ends_with(':') && !first.starts_with('['));
        let mut inventory = Inventory { path: Some(path.as_str().into()), ..Inventory::default() };
        if is_yaml {
            if let Some(root) = yaml::parse(&path, &bytes, found) {
                inventory.read_yaml(&path, &root, found);
            }
        } else {
            inventory.read_ini(&path, text, found);
        }
        inventory.check_groups(&path, found);
        return inventory;
    }
    Inventory::default()
}

impl Inventory {
    /// Whether it says anything.
    pub fn is_empty(&self) -> bool {
        self.path.is_none()
    }

    /// Whether there is a group of that name.
    pub fn has_group(&self, name: &str) -> bool {
        self.groups.contains_key(name)
    }

    /// Every host of a group and of its children, by first label.
    pub fn members(&self, group: &str) -> BTreeSet<&str> {
        let mut members = BTreeSet::new();
        let (mut todo, mut seen) = (vec![group], BTreeSet::new());
        while let Some(name) = todo.pop() {
            if !seen.insert(name) {
                continue;
            }
            let Some(group) = self.groups.get(name) else { continue };
            members.extend(group.hosts.iter().map(|host| host.split('.').next().unwrap_or(host)));
            todo.extend(group.children.iter().map(|(child, _)| child.as_str()));
        }
        members
    }

    /// The name that it has for a host, known by its full or its short name.
    pub fn name_of(&self, fqdn: &str, short: &str) -> Option<&str> {
        let known = |name: &str| self.hosts.get_key_value(name).map(|(name, _)| name.as_str());
        known(fqdn).or_else(|| known(short))
    }

    /// The groups whose variables hold for a member of `group`, the weakest first: `all`, ancestors, the group itself.
    pub fn lineage(&self, group: &str) -> Vec<String> {
        let mut depth: BTreeMap<&str, usize> = BTreeMap::from([(group, 0)]);
        let mut todo = vec![(group, 0)];
        while let Some((name, level)) = todo.pop() {
            for (parent, body) in &self.groups {
                let known = depth.get(parent.as_str()).copied();
                let is_parent = body.children.iter().any(|(child, _)| child == name) && parent != "all";
                if is_parent && known.is_none_or(|known| known <= level) && level < self.groups.len() {
                    depth.insert(parent, level + 1);
                    todo.push((parent, level + 1));
                }
            }
        }
        let mut names: Vec<_> = depth.into_iter().collect();
        names.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        std::iter::once("all".to_string()).chain(names.into_iter().map(|(name, _)| name.to_string())).collect()
    }

    /// Variables that the inventory itself sets for a group.
    pub fn group_vars(&self, name: &str) -> Option<Doc> {
        self.doc(&self.groups.get(name)?.vars)
    }

    /// Variables that the inventory itself sets for a host, known by its full or its short name.
    pub fn host_vars(&self, fqdn: &str, short: &str) -> Option<Doc> {
        self.doc(self.hosts.get(fqdn).or_else(|| self.hosts.get(short))?)
    }

    fn doc(&self, vars: &[(Key, Node)]) -> Option<Doc> {
        if vars.is_empty() {
            return None;
        }
        let root = Node { place: (1, 1), tag: None, seal: Seal::Open, value: Value::Map(vars.to_vec()) };
        Some(Doc { path: self.path.clone()?, root: Arc::new(root), whole: false, closed: None })
    }

    fn group(&mut self, name: &str) -> &mut Group {
        self.groups.entry(name.to_string()).or_default()
    }

    fn add_host(&mut self, group: &str, name: String, vars: &[(Key, Node)]) {
        let known = self.hosts.entry(name.clone()).or_default();
        for (key, value) in vars {
            known.retain(|(old, _)| old.text != key.text);
            known.push((key.clone(), value.clone()));
        }
        self.group(group).hosts.insert(name);
    }

    fn read_ini(&mut self, path: &str, text: &str, found: &mut Vec<Finding>) {
        let mut section = Section::Hosts("ungrouped".into());
        for (index, raw) in text.lines().enumerate() {
            let line = strip_comment(raw);
            let trimmed = line.trim();
            if trimmed.is_empty() {
                continue;
            }
            let place = (index as u32 + 1, (line.len() - line.trim_start().len()) as u32 + 1);
            let outcome = if let Some(head) = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                Section::parse(head).map(|next| section = next)
            } else {
                self.ini_line(&section, trimmed, place)
            };
            self.declare(&section);
            if let Err(message) = outcome {
                let hint = "an INI inventory has [group], [group:children] and [group:vars] sections";
                found.push(Finding::error(path, place, "inventory-syntax", message).hint(hint));
            }
        }
    }

    fn declare(&mut self, section: &Section) {
        if let Section::Hosts(name) | Section::Children(name) = section {
            self.group(name);
        }
    }

    fn ini_line(&mut self, section: &Section, line: &str, place: Place) -> Result<(), String> {
        match section {
            Section::Children(group) => {
                let name = line.split_whitespace().next().unwrap_or_default().to_string();
                self.group(group).children.push((name, place));
                Ok(())
            }
            Section::Vars(group) => {
                let (key, value) = line.split_once('=').ok_or_else(|| format!("`{line}` is not `name = value`"))?;
                let entry = variable(key.trim(), value.trim(), place);
                let vars = &mut self.group(group).vars;
                vars.retain(|(old, _)| old.text != entry.0.text);
                vars.push(entry);
                Ok(())
            }
            Section::Hosts(group) => {
                let words = split_words(line)?;
                let Some((pattern, rest)) = words.split_first() else { return Ok(()) };
                let vars: Vec<_> = rest
                    .iter()
                    .map(|word| match word.split_once('=') {
                        Some((key, value)) => Ok(variable(key, value, place)),
                        None => Err(format!("`{word}` is not `name=value`")),
                    })
                    .collect::<Result<_, _>>()?;
                for name in expand(strip_port(pattern))? {
                    if self.hosts.len() >= MAX_HOSTS {
                        return Err("the inventory has too many hosts".into());
                    }
                    self.add_host(group, name, &vars);
                }
                Ok(())
            }
        }
    }

    fn read_yaml(&mut self, path: &str, root: &Node, found: &mut Vec<Finding>) {
        let Some(groups) = root.map() else {
            let message = format!("the inventory must be a mapping of groups, not {}", root.kind());
            found.push(Finding::error(path, root.place, "inventory-syntax", message).hint("begin with `all:`"));
            return;
        };
        for (key, body) in groups {
            self.yaml_group(path, key, body, found);
        }
    }

    fn yaml_group(&mut self, path: &str, key: &Key, body: &Node, found: &mut Vec<Finding>) {
        let name = key.text.to_string();
        self.group(&name);
        if body.is_null() {
            return;
        }
        let Some(parts) = body.map() else {
            found.push(not_a_mapping(path, body, &format!("group `{name}`")));
            return;
        };
        for (part, value) in parts.iter().filter(|(_, value)| !value.is_null()) {
            let Some(entries) = value.map() else {
                found.push(not_a_mapping(path, value, &format!("`{}` of group `{name}`", part.text)));
                continue;
            };
            match &*part.text {
                "vars" => self.group(&name).vars.extend(entries.iter().cloned()),
                "children" => {
                    for (child, body) in entries {
                        self.group(&name).children.push((child.text.to_string(), child.place));
                        self.yaml_group(path, child, body, found);
                    }
                }
                "hosts" => {
                    for (host, vars) in entries {
                        match expand(strip_port(&host.text)) {
                            Ok(names) => names.into_iter().for_each(|one| {
                                if self.hosts.len() < MAX_HOSTS {
                                    self.add_host(&name, one, vars.map().unwrap_or_default());
                                }
                            }),
                            Err(message) => found.push(Finding::error(path, host.place, "inventory-syntax", message)),
                        }
                    }
                }
                other => {
                    let message = format!("`{other}` is not a part of a group; Ansible ignores it");
                    let finding = Finding::warning(path, part.place, "unknown-key", message);
                    found.push(finding.hint("known: hosts, children, vars"));
                }
            }
        }
    }

    fn check_groups(&self, path: &str, found: &mut Vec<Finding>) {
        for (name, group) in &self.groups {
            for (child, place) in &group.children {
                if !self.groups.contains_key(child) {
                    let message = format!("group `{name}` has the child `{child}`, which is not a group");
                    let finding = Finding::error(path, *place, "unknown-group", message);
                    found.push(finding.hint("add the group, even an empty one, or correct the name"));
                } else if self.reaches(child, name) {
                    let message = format!("group `{name}` is its own descendant by way of `{child}`");
                    found.push(Finding::error(path, *place, "group-loop", message).hint("break the circle"));
                }
            }
        }
    }

    fn reaches(&self, from: &str, goal: &str) -> bool {
        let (mut todo, mut seen) = (vec![from], BTreeSet::new());
        while let Some(name) = todo.pop() {
            if name == goal {
                return true;
            }
            if seen.insert(name) {
                let children = self.groups.get(name).map(|group| group.children.as_slice()).unwrap_or_default();
                todo.extend(children.iter().map(|(child, _)| child.as_str()));
            }
        }
        false
    }
}

fn not_a_mapping(path: &str, node: &Node, what: &str) -> Finding {
    let message = format!("{what} must be a mapping, not {}", node.kind());
    let hint = "a group has `hosts`, `children` and `vars`, each a mapping";
    Finding::error(path, node.place, "inventory-syntax", message).hint(hint)
}

enum Section {
    Hosts(String),
    Children(String),
    Vars(String),
}

impl Section {
    fn parse(head: &str) -> Result<Section, String> {
        let (name, kind) = head.trim().split_once(':').unwrap_or((head.trim(), ""));
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(format!("`[{head}]` is not a section"));
        }
        match kind {
            "" => Ok(Section::Hosts(name.into())),
            "children" => Ok(Section::Children(name.into())),
            "vars" => Ok(Section::Vars(name.into())),
            other => Err(format!("`[{name}:{other}]` is neither `:children` nor `:vars`")),
        }
    }
}

fn variable(key: &str, value: &str, place: Place) -> (Key, Node) {
    let quoted = ['"', '\''].iter().find_map(|q| value.strip_prefix(*q).and_then(|rest| rest.strip_suffix(*q)));
    let node = Node::scalar_at(place, quoted.unwrap_or(value), quoted.is_none());
    (Key { text: key.into(), place }, node)
}

/// The line without its comment: a `#` or `;` at its beginning, or a `#` after a blank and outside of quotes.
fn strip_comment(line: &str) -> &str {
    if line.trim_start().starts_with(['#', ';']) {
        return "";
    }
    let (mut quote, mut before) = (None, ' ');
    for (index, c) in line.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c == '#' && before.is_whitespace() => return &line[..index],
            None => {}
        }
        before = c;
    }
    line
}

/// Words as a shell would split them: blanks separate, quotes group.
fn split_words(line: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote, mut open) = (Vec::new(), String::new(), None, false);
    for c in line.chars() {
        match quote {
            Some(q) if c == q => quote = None,
            Some(_) => word.push(c),
            None if c == '"' || c == '\'' => (quote, open) = (Some(c), true),
            None if c.is_whitespace() => {
                if open || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                open = false;
            }
            None => word.push(c),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed".into());
    }
    if open || !word.is_empty() {
        words.push(word);
    }
    Ok(words)
}

/// `name:22` without its port; colons inside brackets belong to a range.
fn strip_port(pattern: &str) -> &str {
    match pattern.rsplit_once(':') {
        Some((host, port))
            if !port.is_empty()
                && port.bytes().all(|byte| byte.is_ascii_digit())
                && host.matches('[').count() == host.matches(']').count()
                && (!host.contains(':') || host.contains('[')) =>
        {
            host
        }
        _ => pattern,
    }
}
