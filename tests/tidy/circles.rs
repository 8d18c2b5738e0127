//! No circle of files where that is promised: a file that needs another is not needed by it, not even by way of a third.

use std::collections::{BTreeMap, BTreeSet};

use super::files;
use super::text::{code, without_tests};

/// Directories without a circle of files.
const STRAIGHT: &[&str] = &["src/drive/bmc", "src/drive/git", "src/plan"];

/// `src/drive/bmc/mod.rs` and `src/drive/bmc.rs` are both `drive::bmc`.
fn module(path: &str) -> String {
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    inner.replace('/', "::")
}

/// Every path that a text names, with the groups of `use` spelled out: `a::{b, c::d}` -> `a::b`, `a::c::d`.
fn paths(text: &str) -> Vec<String> {
    let code = code(text);
    let code: String = without_tests(&code).split_whitespace().collect::<Vec<_>>().join(" ");
    let code = code.replace(" ::", "::").replace(":: ", "::").replace("{ ", "{").replace(" }", "}");
    let (mut found, mut open, mut word) = (Vec::new(), Vec::<String>::new(), String::new());
    for c in code.chars() {
        match c {
            c if c.is_alphanumeric() || c == '_' || c == ':' => word.push(c),
            '{' if word.ends_with("::") => open.push(std::mem::take(&mut word)),
            _ => {
                if !word.is_empty() {
                    found.push(open.concat() + &std::mem::take(&mut word));
                }
                match c {
                    '}' => drop(open.pop()),
                    // A statement ends, and with it every group that was not one.
                    ';' => open.clear(),
                    _ => {}
                }
            }
        }
    }
    found
}

/// The module that a path in `here` leads to, of those there are: the longest beginning that is one.
fn target<'m>(here: &str, path: &str, modules: &'m BTreeSet<String>) -> Option<&'m str> {
    let mut base: Vec<&str> = here.split("::").collect();
    let mut rest: Vec<&str> = path.split("::").filter(|part| !part.is_empty()).collect();
    while let Some(first @ ("crate" | "super" | "self")) = rest.first().copied() {
        match first {
            "crate" => base.clear(),
            "super" => drop(base.pop()),
            _ => {}
        }
        rest.remove(0);
    }
    let least = base.len();
    let full: Vec<&str> = base.into_iter().chain(rest).collect();
    let beginnings = (least.max(1)..=full.len()).rev().map(|length| full[..length].join("::"));
    beginnings.into_iter().find_map(|name| modules.get(&name).map(String::as_str)).filter(|name| *name != here)
}

/// The files that need each other, if any do: what is left when those are taken away that need none of the others.
fn circle(texts: &BTreeMap<String, &str>) -> Vec<String> {
    let modules: BTreeSet<String> = texts.keys().cloned().collect();
    let needs = |here: &String, text: &str| -> BTreeSet<&str> {
        paths(text).iter().filter(|path| path.contains("::")).filter_map(|path| target(here, path, &modules)).collect()
    };
    let mut left: BTreeMap<&str, BTreeSet<&str>> =
        texts.iter().map(|(here, text)| (here.as_str(), needs(here, text))).collect();
    loop {
        let free: Vec<&str> = left.iter().filter(|(_, needs)| needs.is_empty()).map(|(name, _)| *name).collect();
        if free.is_empty() {
            return left.into_iter().map(|(name, needs)| format!("{name} needs {needs:?}")).collect();
        }
        for name in free {
            left.remove(name);
            left.values_mut().for_each(|needs| _ = needs.remove(name));
        }
    }
}

#[test]
fn no_file_needs_one_that_needs_it() {
    let files = files();
    for directory in STRAIGHT {
        let inside = |path: &str| path == format!("{directory}.rs") || path.starts_with(&format!("{directory}/"));
        let texts = files.iter().filter(|(path, _)| path.ends_with(".rs") && inside(path));
        let texts: BTreeMap<String, &str> = texts.map(|(path, text)| (module(path), text.as_str())).collect();
        assert!(texts.len() > 1, "{directory}: nothing was looked at");
        assert_eq!(circle(&texts), [""; 0], "{directory}");
    }
    let texts =
        |inner: &'static str| BTreeMap::from([("a".to_owned(), "mod b; use b::f;"), ("a::b".to_owned(), inner)]);
    assert_eq!(circle(&texts("use super::{g, self as a};")).len(), 2);
    assert_eq!(circle(&texts("fn f() { super::g() }")).len(), 2);
    assert_eq!(circle(&texts("use crate::{a::{T}, c};")).len(), 2);
    assert_eq!(circle(&texts("#[cfg(test)]\nmod tests { use super::*; }")), [""; 0]);
}
