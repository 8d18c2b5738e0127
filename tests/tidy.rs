//! The house's laws that a compiler does not keep: what may import what, what the pure core may not mention, what every
//! file has. Each check is a function over a path and a text, and is shown to fail on a bad sample below.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

mod circles;
mod licences;
pub mod text;

use text::{code, without_tests, words};

/// Floor -> what it may import. `main -> cli -> daemon -> { serve, drive } -> { plan, repo } -> model`.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    ("cli", &["daemon", "serve", "drive", "plan", "repo", "settings", "yaml", "model"]),
    ("cli/demo", &["daemon", "serve", "drive", "plan", "repo", "settings", "yaml", "model", "sim", "cli"]),
    ("daemon", &["serve", "drive", "plan", "repo", "settings", "model"]),
    ("serve", &["plan", "repo", "settings", "model"]),
    ("drive", &["plan", "repo", "settings", "yaml", "model"]),
    ("plan", &["model"]),
    ("repo", &["yaml", "model"]),
    ("settings", &["yaml", "model"]),
    ("sim", &["model"]),
    ("yaml", &["model"]),
    ("model", &[]),
];

/// What may not be mentioned under `model`, `plan`, `yaml` and `repo`: no I/O, no clock, no await.
const IMPURE: &[&str] = &[
    "async",
    "await",
    "tokio",
    "SystemTime",
    "Instant",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "println",
    "eprintln",
    "getrandom",
    "reqwest",
    "gix",
    "rusqlite",
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "std::io",
];

/// Files that have outgrown 400 lines, and by how much. The numbers only shrink.
const LONG: &[(&str, usize)] = &[];

/// Lines above which a file has two subjects.
const LIMIT: usize = 400;

/// The floor of a source file: `src/plan/host.rs` -> `plan`.
fn floor(path: &str) -> &str {
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs");
    if inner == "cli/demo" || inner.starts_with("cli/demo/") {
        "cli/demo"
    } else {
        inner.split('/').next().unwrap_or(inner)
    }
}

/// The top-level modules that a file names through `crate::`, `rackwright::` or enough `super::`.
fn imports(path: &str, text: &str) -> BTreeSet<String> {
    let code = code(text);
    let code: String =
        without_tests(&code).split_whitespace().collect::<Vec<_>>().join(" ").replace(" ::", "::").replace(":: ", "::");
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    let to_root = format!(
        "{}{}",
        if inner == "main" { "rackwright::" } else { "" },
        "super::".repeat(match inner {
            "main" => 0,
            _ => inner.split('/').count(),
        })
    );
    let mut found = BTreeSet::new();
    for root in ["crate::", to_root.as_str()] {
        for (at, _) in code.match_indices(root).filter(|(at, _)| !code[..*at].ends_with("super::")) {
            found.extend(heads(&code[at + root.len()..]));
        }
    }
    found
}

/// The first names of what follows a path's root: `plan::Plan` -> plan; `{plan::{A, B}, model}` -> plan, model.
fn heads(rest: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(group) = rest.strip_prefix('{') else {
        return vec![word(rest)].into_iter().filter(|w| !w.is_empty()).collect();
    };
    let (mut depth, mut names, mut start) = (0, Vec::new(), 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' | ',' if depth == 0 => {
                names.push(word(group[start..at].trim()));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    names.into_iter().filter(|name| !name.is_empty()).collect()
}

fn import_law(path: &str, text: &str) -> Vec<String> {
    let here = floor(path);
    if here == "lib" {
        return Vec::new();
    }
    let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == here) else {
        return vec![format!("{path}: `{here}` has no row in the table of imports")];
    };
    let known = |name: &String| MAY_IMPORT.iter().any(|(floor, _)| floor == name);
    let wrong =
        imports(path, text).into_iter().filter(known).filter(|to| to != here && !allowed.contains(&to.as_str()));
    wrong.map(|to| format!("{path}: `{here}` may not import `{to}`")).collect()
}

fn purity(path: &str, text: &str) -> Vec<String> {
    if !["model", "plan", "yaml", "repo"].contains(&floor(path)) {
        return Vec::new();
    }
    let code = code(text);
    let code = without_tests(&code);
    let said: BTreeSet<_> = words(code).collect();
    let wrong =
        IMPURE.iter().filter(|what| if what.contains("::") { code.contains(*what) } else { said.contains(*what) });
    wrong.map(|what| format!("{path}: `{what}` in the pure core")).collect()
}

fn module_docs(path: &str, text: &str) -> Vec<String> {
    let documented = text.lines().find(|line| !line.trim().is_empty()).is_some_and(|line| line.starts_with("//! "));
    if documented { Vec::new() } else { vec![format!("{path}: does not begin with a `//!` line that says what it is")] }
}

fn unfinished(path: &str, text: &str) -> Vec<String> {
    let code = code(text);
    let said = ["todo!", "unimplemented!", "dbg!", "#[ignore"].into_iter().filter(|what| code.contains(what));
    let written = [concat!("FIX", "ME"), concat!("X", "XX"), concat!("HA", "CK")].into_iter();
    let written = written.filter(|what| words(text).any(|word| word == *what));
    said.chain(written).map(|what| format!("{path}: {what}")).collect()
}

/// `#[allow(…)]` and `#[expect(…)]` say why.
fn reasons(path: &str, text: &str) -> Vec<String> {
    let blank = code(text);
    let attributes = ["[allow(", "[expect("].into_iter().flat_map(|what| blank.match_indices(what));
    let bare = attributes.filter(|(at, _)| {
        let rest = &blank[*at..];
        !rest[..rest.find(")]").unwrap_or(rest.len())].contains("reason =")
    });
    bare.map(|(at, what)| format!("{path}:{}: #{what}…) without a reason", blank[..at].lines().count())).collect()
}

fn length(path: &str, text: &str, long: &[(&str, usize)]) -> Vec<String> {
    let lines = text.lines().count();
    match long.iter().find(|(name, _)| *name == path).map(|(_, lines)| *lines) {
        None if lines > LIMIT => vec![format!("{path}: {lines} lines; more than {LIMIT} means two subjects")],
        Some(_) if lines <= LIMIT => vec![format!("{path}: has shrunk to {lines} lines: take it off the list")],
        Some(listed) if lines > listed => vec![format!("{path}: {lines} lines, and may have {listed}: divide it")],
        Some(listed) if lines + 20 < listed => vec![format!("{path}: lower its number on the list to {lines}")],
        _ => Vec::new(),
    }
}

/// Nothing of a builder's machine, and no package registry.
fn places(path: &str, text: &str) -> Vec<String> {
    let wrong = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("/Us", "ers/"),
        concat!("/.car", "go/"),
        concat!("crates", ".io"),
        concat!("py", "pi."),
        concat!("npm", "js."),
        concat!("arti", "factory"),
    ];
    wrong.into_iter().filter(|what| text.contains(what)).map(|what| format!("{path}: names {what}")).collect()
}

/// Every package of the lock file comes from the public registry's index, and nowhere else.
fn lock_sources(text: &str) -> Vec<String> {
    let public = concat!("\"registry+https://github.com/rust-lang/crates", ".io-index\"");
    let sources = text.lines().filter_map(|line| line.strip_prefix("source = "));
    sources
        .filter(|source| *source != public)
        .map(|source| format!("Cargo.lock: a package comes from {source}"))
        .collect()
}

/// Files under `tests/` that no `mod` of the file above them names, and that are therefore never run.
fn forgotten(files: &BTreeMap<String, String>) -> Vec<String> {
    let names = |path: &str| {
        let text = files.get(path).map_or("", String::as_str);
        let lines = text.lines().map(|line| line.trim_start_matches("pub "));
        lines.filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';')).map(str::to_owned).collect::<Vec<_>>()
    };
    let missing = files.keys().filter_map(|path| {
        let inner = path.strip_prefix("tests/")?.strip_suffix(".rs")?;
        let inner = inner.strip_suffix("/mod").unwrap_or(inner);
        // The fuzzers' targets are programs of their own, and their entries are included by path.
        let own = inner == "main" || inner.starts_with("fuzz/targets/") || inner.starts_with("fuzz/entries/");
        let (above, name) = inner.rsplit_once('/').unwrap_or(("main", inner));
        let named = [format!("tests/{above}.rs"), format!("tests/{above}/mod.rs")];
        (!own && !named.iter().any(|file| names(file).iter().any(|it| it == name))).then(|| path.clone())
    });
    missing.map(|path| format!("{path} is no `mod` of the file above it: it is never run")).collect()
}

fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of the project that is text, by its path with `/`.
fn files() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut dirs: Vec<PathBuf> = vec![home().to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            let name = path.strip_prefix(home()).unwrap().to_str().unwrap().to_owned();
            match (kind.is_dir(), name.as_str()) {
                (_, "target" | ".git" | "tests/fuzz/target") => {}
                (true, _) => dirs.push(path),
                (false, _) => files.extend(std::fs::read_to_string(path).ok().map(|text| (name, text))),
            }
        }
    }
    files
}

/// Applies a check to every file whose path `wanted` takes.
fn every(wanted: impl Fn(&str) -> bool, check: impl Fn(&str, &str) -> Vec<String>) {
    let files = files();
    let chosen: Vec<_> = files.iter().filter(|(path, _)| wanted(path)).collect();
    assert!(!chosen.is_empty(), "nothing was looked at");
    let wrong: Vec<_> = chosen.into_iter().flat_map(|(path, text)| check(path, text)).collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

fn source(path: &str) -> bool {
    path.starts_with("src/") && path.ends_with(".rs")
}

fn rust(path: &str) -> bool {
    path.ends_with(".rs")
}

#[test]
fn floors_import_only_what_lies_below() {
    every(source, import_law);
    let path = "src/plan/host.rs";
    assert_eq!(import_law(path, "use crate::repo::Tree;").len(), 1);
    assert_eq!(import_law(path, "use crate::{\n    model::{A, B},\n    drive::git::{C}, serve,\n};").len(), 2);
    assert_eq!(import_law(path, "fn f() { crate::daemon::clock::now() }").len(), 1);
    assert_eq!(import_law(path, "use super::super::sim::Rack; use super::desk;").len(), 1);
    assert_eq!(import_law("src/serve/http.rs", "use crate::drive::http;").len(), 1);
    assert_eq!(import_law("src/cli/run.rs", "use crate::sim::rack;").len(), 1);
    assert_eq!(import_law("src/cli/demo/mod.rs", "use crate::sim::rack;").len(), 0);
    assert_eq!(import_law("src/main.rs", "fn main() { rackwright::daemon::run() }").len(), 1);
    assert_eq!(import_law("src/attic.rs", "").len(), 1);
    let fine =
        "//! [`crate::repo`]\nuse crate::model::A; // crate::repo\n#[cfg(test)]\nmod tests { use crate::repo::B; }";
    assert_eq!(import_law(path, fine), Vec::<String>::new());
}

#[test]
fn the_core_is_pure() {
    every(source, purity);
    for bad in
        ["async fn f() {}", "x.await", "use tokio::time;", "std::fs::read(p)", "Instant::now()", "println!(\"\")"]
    {
        assert_eq!(purity("src/repo/read.rs", bad).len(), 1, "{bad}");
    }
    assert_eq!(purity("src/repo/read.rs", "let asynchronous = \"async\"; // .await").len(), 0);
    assert_eq!(purity("src/drive/mod.rs", "async fn f() {}").len(), 0);
}

#[test]
fn every_file_says_what_it_is() {
    every(rust, module_docs);
    assert_eq!(module_docs("a.rs", "use b;\n//! late").len(), 1);
    assert_eq!(module_docs("a.rs", "//!\n").len(), 1);
}

#[test]
fn nothing_is_left_unfinished() {
    every(rust, unfinished);
    let mark = concat!("// FIX", "ME: later");
    for bad in ["todo!()", "unimplemented!()", "dbg!(x)", "#[ignore]\nfn f() {}", mark] {
        assert_eq!(unfinished("a.rs", bad).len(), 1, "{bad}");
    }
}

#[test]
fn exceptions_carry_a_reason() {
    every(rust, reasons);
    assert_eq!(reasons("a.rs", "#![allow(dead_code)]\n#[expect(x)]").len(), 2);
    assert_eq!(reasons("a.rs", "#[allow(\n    x,\n    reason = \"y\"\n)]").len(), 0);
}

#[test]
fn files_have_one_subject() {
    every(rust, |path, text| length(path, text, LONG));
    let files = files();
    LONG.iter()
        .for_each(|(path, _)| assert!(files.contains_key(*path), "{path} is on the list of long files and gone"));
    let long = "x\n".repeat(500);
    assert_eq!(length("a.rs", &long, &[]).len(), 1);
    assert_eq!(length("a.rs", &long, &[("a.rs", 499)]).len(), 1);
    assert_eq!(length("a.rs", &long, &[("a.rs", 600)]).len(), 1);
    assert_eq!(length("a.rs", "x", &[("a.rs", 500)]).len(), 1);
    assert_eq!(length("a.rs", &long, &[("a.rs", 500)]).len(), 0);
}

#[test]
fn nothing_names_a_machine_or_a_registry() {
    every(|path| path != "Cargo.lock", places);
    assert_eq!(places("a.md", concat!("see /ho", "me/me/x and https://crates", ".io")).len(), 2);
    for (path, lock) in files().iter().filter(|(path, _)| path.ends_with("Cargo.lock")) {
        assert_eq!(lock_sources(lock), Vec::<String>::new(), "{path}");
    }
    assert_eq!(lock_sources("source = \"git+https://forge.example.net/x\"").len(), 1);
}

#[test]
fn no_test_file_is_forgotten() {
    assert_eq!(forgotten(&files()), Vec::<String>::new());
    let lost = [("tests/main.rs", "mod a;\nmod b;\n"), ("tests/a.rs", "mod d;"), ("tests/a/d.rs", "")];
    let lost = lost.into_iter().chain([("tests/b/mod.rs", "pub mod c;\n"), ("tests/b/c.rs", ""), ("tests/b/e.rs", "")]);
    let lost: BTreeMap<_, _> = lost.map(|(path, text)| (path.to_owned(), text.to_owned())).collect();
    assert_eq!(forgotten(&lost), ["tests/b/e.rs is no `mod` of the file above it: it is never run"]);
}
