//! Licences of everything that is linked in, against the list in `deny.toml`. `cargo deny` says more, but takes longer to
//! build than the project; this needs nothing but cargo.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

/// The `allow` list of `deny.toml`.
fn allowed(text: &str) -> BTreeSet<&str> {
    let licences = text.split("[licenses]").nth(1).expect("a [licenses] section");
    let list = licences.split("allow = [").nth(1).and_then(|rest| rest.split(']').next()).expect("its allow list");
    list.lines().filter_map(|line| line.split('"').nth(1)).collect()
}

/// Whether an SPDX expression can be met with the allowed licences. `/` is the old way to write `OR`.
fn met(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut tokens = spaced.split_whitespace().peekable();
    any(&mut tokens, allowed) && tokens.next().is_none()
}

type Tokens<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(tokens: &mut Tokens<'_>, allowed: &BTreeSet<&str>) -> bool {
    let mut good = all(tokens, allowed);
    while tokens.next_if_eq(&"OR").is_some() {
        good |= all(tokens, allowed);
    }
    good
}

fn all(tokens: &mut Tokens<'_>, allowed: &BTreeSet<&str>) -> bool {
    let mut good = one(tokens, allowed);
    while tokens.next_if_eq(&"AND").is_some() {
        good &= one(tokens, allowed);
    }
    good
}

fn one(tokens: &mut Tokens<'_>, allowed: &BTreeSet<&str>) -> bool {
    match tokens.next() {
        Some("(") => any(tokens, allowed) & (tokens.next() == Some(")")),
        Some(name) => match tokens.next_if_eq(&"WITH").and_then(|_| tokens.next()) {
            Some(exception) => allowed.contains(format!("{name} WITH {exception}").as_str()),
            None => allowed.contains(name),
        },
        None => false,
    }
}

#[test]
fn everything_linked_in_is_licensed_as_we_allow() {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let rules = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deny.toml")).unwrap();
    let allowed = allowed(&rules);
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform"]);
    cargo.args(["x86_64-unknown-linux-gnu", "--manifest-path", manifest]);
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100, "only {} packages", packages.len());
    let licence = |package: &Value| package["license"].as_str().unwrap_or("none").to_owned();
    let bad: Vec<_> = packages
        .iter()
        .filter(|package| !met(&licence(package), &allowed))
        .map(|package| format!("{}: {}", package["name"], licence(package)))
        .collect();
    assert_eq!(bad, Vec::<String>::new());
}

#[test]
fn expressions_are_read_as_spdx_means_them() {
    let allowed = BTreeSet::from(["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"]);
    for good in ["MIT", "GPL-3.0-only OR MIT", "MIT/X", "(X OR MIT) AND Apache-2.0", "Apache-2.0 WITH LLVM-exception"] {
        assert!(met(good, &allowed), "{good}");
    }
    for bad in ["", "none", "GPL-3.0-only", "MIT AND X", "MIT WITH odd-exception", "(MIT", "MIT MIT", "X OR Y AND MIT"]
    {
        assert!(!met(bad, &allowed), "{bad}");
    }
}
