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
