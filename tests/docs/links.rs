//! Links between documents lead to files and headings that are there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{headings, pages, root};

/// Targets of `[text](target)` outside code.
fn targets(text: &str) -> Vec<String> {
    let mut fenced = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            // What stands between backticks is code.
            let plain: String = line.split('`').step_by(2).collect::<Vec<_>>().join("x");
            let links = plain.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            found.extend(links.map(str::to_owned));
        }
    }
    found
}

/// A heading's anchor, as forges make it.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>();
    kept.replace(' ', "-")
}

/// `docs/how-to` and `../reference/x.md` -> `docs/reference/x.md`
fn joined(from: &str, target: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn broken(pages: &BTreeMap<String, String>, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut broken = Vec::new();
    for (path, text) in pages {
        for target in targets(text).iter().filter(|target| !target.contains("://")) {
            let (file, heading) = target.split_once('#').map_or((target.as_str(), None), |(file, at)| (file, Some(at)));
            let to = if file.is_empty() { path.clone() } else { joined(path, file) };
            let there = match (heading, pages.get(&to)) {
                (Some(heading), Some(text)) => headings(text).iter().any(|(_, line)| anchor(line) == heading),
                _ => exists(&to),
            };
            if !there {
                broken.push(format!("{path}: {target}"));
            }
        }
    }
    broken
}

#[test]
fn links_lead_somewhere() {
    let pages = pages();
    assert_eq!(broken(&pages, |path| root().join(path).exists()), Vec::<String>::new());
    let sample = [
        ("docs/a/b.md", "[x](c.md) [y](#there) `[z](no.md)`\n## There!\n"),
        ("docs/a/c.md", "[b](b.md#nowhere) [d](../d)"),
    ];
    let sample = sample.map(|(path, text)| (path.to_owned(), text.to_owned())).into();
    assert_eq!(broken(&sample, |path| path == "docs/a/c.md"), ["docs/a/c.md: b.md#nowhere", "docs/a/c.md: ../d"]);
}

/// Words between backticks outside fenced blocks.
fn code_words(text: &str) -> Vec<&str> {
    let outside = text.split("```").step_by(2);
    outside.flat_map(|part| part.split('`').skip(1).step_by(2)).collect()
}

/// Names of tests, as `tests/run` sees them: `net::dhcp::a_lease_is_kept`.
fn tests() -> String {
    let mut names = String::new();
    let mut dirs = vec![root().join("tests"), root().join("src")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let name = path.strip_prefix(root()).expect("ours").with_extension("").to_string_lossy().into_owned();
                let module = name.split_once('/').map_or("", |(_, name)| name).replace('/', "::");
                let text = std::fs::read_to_string(&path).expect("text");
                let functions = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
                functions.for_each(|function| names.push_str(&format!("{module}::{function}\n")));
            }
        }
    }
    names
}

#[test]
fn files_tests_and_benchmarks_that_are_named_exist() {
    let (tests, manifest) = (tests(), include_str!("../../Cargo.toml"));
    let ours = ["src/", "tests/", "docs/", "benches/", "templates/", "repo-schema/"];
    let mut missing = Vec::new();
    for (path, text) in pages() {
        for word in code_words(&text) {
            let name = word.split_whitespace().next().unwrap_or_default();
            let is_path = ours.iter().any(|dir| name.starts_with(dir)) && !name.contains(['<', '*', '{']);
            if is_path && !root().join(name).exists() {
                missing.push(format!("{path}: {name}"));
            }
        }
        let after = |word: &str| {
            text.split(word)
                .skip(1)
                .map(|rest| rest.split([' ', '`', '\n']).next().unwrap_or_default())
                .collect::<Vec<_>>()
        };
        let filters = after("tests/run ").into_iter().filter(|filter| !filter.is_empty() && !tests.contains(filter));
        missing.extend(filters.map(|filter| format!("{path}: tests/run {filter}")));
        let benches = after("--bench ").into_iter().filter(|name| !manifest.contains(&format!("name = \"{name}\"")));
        missing.extend(benches.map(|name| format!("{path}: --bench {name}")));
    }
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn every_page_can_be_reached() {
    let pages = pages();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut next = vec!["README.md".to_owned()];
    while let Some(path) = next.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let text = pages.get(&path).map_or("", String::as_str);
        let files = targets(text).into_iter().map(|target| target.split('#').next().unwrap_or_default().to_owned());
        next.extend(
            files
                .filter(|file| Path::new(file).extension().is_some_and(|it| it == "md"))
                .map(|file| joined(&path, &file)),
        );
    }
    let lost: Vec<&String> = pages.keys().filter(|path| !seen.contains(*path)).collect();
    assert_eq!(lost, Vec::<&String>::new(), "pages to which no link leads from README.md");
}
