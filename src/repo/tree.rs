//! Looking things up in a [`Tree`], following symbolic links as long as they stay inside it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use include_dir::Dir;

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

/// The files right in a directory, by name.
pub(super) type Files = BTreeMap<String, Arc<[u8]>>;

/// The directories right under `parent`, by name, each with its files.
pub(super) fn directories(tree: &Tree, parent: &str) -> BTreeMap<String, Files> {
    let real = |path: &str| match find(tree, path) {
        Found::Directory(real) => Some(real),
        _ => None,
    };
    let files = |path: &str, real: &str| {
        let file = |name: String| match find(tree, &format!("{path}/{name}")) {
            Found::File(_, bytes) => Some((name, bytes)),
            _ => None,
        };
        list(tree, real).into_iter().filter_map(file).collect()
    };
    let directory = |name: String| {
        let path = format!("{parent}/{name}");
        let files = files(&path, &real(&path)?);
        Some((name, files))
    };
    real(parent).map(|real| list(tree, &real).into_iter().filter_map(directory).collect()).unwrap_or_default()
}

/// The same for the directories that the program ships.
pub(super) fn shipped(parent: &Dir<'_>) -> BTreeMap<String, Files> {
    let name = |path: &std::path::Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let files = |dir: &Dir<'_>| dir.files().map(|file| (name(file.path()), Arc::from(file.contents()))).collect();
    parent.dirs().map(|dir| (name(dir.path()), files(dir))).collect()
}

fn children<'t>(tree: &'t Tree, directory: &str) -> impl Iterator<Item = &'t str> {
    let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
    let start = prefix.clone();
    tree.range(start..).map_while(move |(path, _)| path.strip_prefix(&prefix)).filter_map(|rest| rest.split('/').next())
}
