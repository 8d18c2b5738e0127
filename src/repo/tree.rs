//! Looking things up in a [`Tree`], following symbolic links as long as they stay inside it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Entry, Tree};

const MAX_LINKS: usize = 16;

/// What a path leads to.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// A file: the path where it really is, and its contents.
    File(String, Arc<[u8]>),
    /// A directory: the path where it really is.
    Directory(String),
    /// Into a submodule, which is not looked into.
    Submodule,
    /// Nothing, or a link that leads nowhere or out of the tree.
    Missing,
}

/// Follows `path` (with `/`, relative to the root).
pub fn find(tree: &Tree, path: &str) -> Found {
    let mut todo: Vec<String> = path.split('/').rev().map(String::from).collect();
    let mut here: Vec<String> = Vec::new();
    let mut links = 0;
    while let Some(part) = todo.pop() {
        match part.as_str() {
            "" | "." => continue,
            ".." => {
                if here.pop().is_none() {
                    return Found::Missing;
                }
                continue;
            }
            _ => here.push(part),
        }
        match tree.get(&here.join("/")) {
            Some(Entry::Submodule) => return Found::Submodule,
            Some(Entry::Link(target)) => {
                links += 1;
                if links > MAX_LINKS || target.starts_with('/') {
                    return Found::Missing;
                }
                here.pop();
                todo.extend(target.split('/').rev().map(String::from));
            }
            Some(Entry::File(bytes)) => {
                let rest = todo.iter().any(|part| !part.is_empty() && part != ".");
                return if rest { Found::Missing } else { Found::File(here.join("/"), bytes.clone()) };
            }
            None => {}
        }
    }
    let path = here.join("/");
    if children(tree, &path).next().is_some() { Found::Directory(path) } else { Found::Missing }
}

/// The names right under a real directory path, sorted.
pub fn list(tree: &Tree, directory: &str) -> BTreeSet<String> {
    children(tree, directory).map(String::from).collect()
}

fn children<'t>(tree: &'t Tree, directory: &str) -> impl Iterator<Item = &'t str> {
    let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
    let start = prefix.clone();
    tree.range(start..).map_while(move |(path, _)| path.strip_prefix(&prefix)).filter_map(|rest| rest.split('/').next())
}
