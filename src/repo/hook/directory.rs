//! The directories of hooks: shipped (`hooks/`) or the site's own (`hooks/<name>/` of its repository, which shadows a
//! shipped one of the same name). A new kind of hook is a new directory, not new code.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use include_dir::{Dir, include_dir};

use super::definition::Definition;
use crate::model::Finding;
use crate::repo::Tree;
use crate::repo::read::Reader;
use crate::repo::tree::{self, Files};
use crate::repo::vars::Scope;
use crate::yaml;

static SHIPPED: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/hooks");

const MANIFEST: &str = "hook.yaml";
const PROGRAM: &str = "run";
const MAX_PROGRAM: usize = 1 << 20;

/// Every hook by name; `None` for one that is wrong (already reported).
pub type Hooks = BTreeMap<String, Option<Arc<Definition>>>;

/// The shipped hooks, and what is found in them (nothing, says a test).
static SHIPPED_HOOKS: LazyLock<(Hooks, Vec<Finding>)> = LazyLock::new(|| {
    let (mut hooks, mut found) = (Hooks::new(), Vec::new());
    for (name, files) in tree::shipped(&SHIPPED) {
        let hook = read(&name, &files, &mut found);
        hooks.insert(name, hook.map(Arc::new));
    }
    (hooks, found)
});

/// The shipped hooks.
pub fn shipped() -> &'static Hooks {
    &SHIPPED_HOOKS.0
}

/// Every hook, the site's own included.
pub fn all(tree: &Tree, found: &mut Vec<Finding>) -> Hooks {
    let mut hooks = SHIPPED_HOOKS.0.clone();
    found.extend(SHIPPED_HOOKS.1.iter().cloned());
    for (name, files) in tree::directories(tree, "hooks") {
        let hook = read(&name, &files, found);
        hooks.insert(name, hook.map(Arc::new));
    }
    hooks
}

fn read(name: &str, sources: &Files, found: &mut Vec<Finding>) -> Option<Definition> {
    let path = |file: &str| format!("hooks/{name}/{file}");
    let mut missing = |file: &str, hint: &str| {
        let finding = Finding::error(&path(file), (0, 0), "missing-file", format!("hook `{name}` has no `{file}`"));
        found.push(finding.hint(hint));
    };
    let run = sources.get(PROGRAM);
    if run.is_none() {
        missing(PROGRAM, "the program that is run, with a `#!` line");
    }
    if !sources.contains_key(MANIFEST) {
        missing(MANIFEST, "every directory under hooks/ needs one");
    }
    let sound = run.is_some_and(|run| program(name, &path(PROGRAM), run, found));
    for file in sources.keys().filter(|file| ![MANIFEST, PROGRAM].contains(&file.as_str())) {
        if !file.to_uppercase().starts_with("README") {
            let message = format!("`{file}` is not used: a hook is `{MANIFEST}` and `{PROGRAM}`");
            let finding = Finding::warning(&path(file), (0, 0), "without-effect", message);
            found.push(finding.hint("what else it needs goes into `run`, or comes as an argument of type `file`"));
        }
    }
    let path = path(MANIFEST);
    let root = yaml::parse(&path, sources.get(MANIFEST)?, found)?;
    let mut reader = Reader::new(&path, Arc::new(Scope::default()), found);
    let definition = Definition::read(&mut reader, &root, name, run.cloned().unwrap_or_default())?;
    sound.then_some(definition)
}

/// Whether `run` can be one.
fn program(name: &str, path: &str, run: &[u8], found: &mut Vec<Finding>) -> bool {
    let (code, message, hint) = if !name_fits(name) {
        let message = format!("`{name}` cannot be the name of a hook");
        ("bad-name", message, "a letter or digit, then letters, digits, `_` and `-`")
    } else if !run.starts_with(b"#!") {
        let hint = "its first line names the interpreter: #!/bin/sh";
        ("bad-script", "the program does not begin with `#!`".to_owned(), hint)
    } else if run.len() > MAX_PROGRAM {
        let message = format!("the program is larger than {} MiB", MAX_PROGRAM >> 20);
        ("too-large", message, "let it fetch what it needs, or get it as an argument of type `file`")
    } else {
        return true;
    };
    found.push(Finding::error(path, (1, 1), code, message).hint(hint));
    false
}

fn name_fits(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}
