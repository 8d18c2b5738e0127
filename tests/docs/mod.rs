//! The documents hold: reference pages say what the code says, blocks of YAML and commands are tried, links lead
//! somewhere, every dependency has its reason.

mod blocks;
mod command_line;
mod commands;
mod dependencies;
mod generated;
mod http;
mod links;
mod reasons;
mod repository;
mod settings;
mod walk;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The crate's directory.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every document, by its path.
fn pages() -> BTreeMap<String, String> {
    let mut paths = vec!["README.md".to_owned(), "CONTRIBUTING.md".into(), "CHANGELOG.md".into()];
    let mut dirs = vec![PathBuf::from("docs")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(root().join(&dir)).expect("docs/") {
            let path = dir.join(entry.expect("an entry").file_name());
            match root().join(&path).is_dir() {
                true => dirs.push(path),
                false => paths.push(path.to_string_lossy().into_owned()),
            }
        }
    }
    paths.into_iter().map(|path| (path.clone(), page(&path))).collect()
}

fn page(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Headings of a page with their level, outside fenced blocks.
fn headings(text: &str) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let lines = text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    });
    let heading = |line: &'_ str| line.chars().take_while(|c| *c == '#').count();
    lines.filter(|line| heading(line) > 0).map(|line| (heading(line), line.trim_start_matches('#').trim())).collect()
}

#[test]
fn the_readme_is_short() {
    let lines = page("README.md").lines().count();
    assert!(lines <= 200, "README.md has {lines} lines, and may have 200: move what is for few readers to docs/");
}
