//! A repository full of mistakes: every one is found in one run, with its file and line.

use std::collections::BTreeSet;

use rackwright::model::Severity;
use rackwright::repo::{self, Context, Entry};

use crate::rig::repo::{context, read_tree, root, subnet};

#[test]
fn every_planted_mistake_is_found_at_its_line_in_one_run() {
    let tree = read_tree(&root().join("tests/fixtures/mistakes"));
    let mut expected = BTreeSet::from([
        // About a whole file, and where the text just ends.
        ("group_vars/c4/base.yml".to_string(), 0, "missing-file".to_string()),
        ("group_vars/c4/bootstrap.yml".to_string(), 3, "yaml-syntax".to_string()),
    ]);
    for (path, entry) in &tree {
        let Entry::File(bytes) = entry else { continue };
        for (index, line) in std::str::from_utf8(bytes).unwrap().lines().enumerate() {
            let codes = line.split_once("#! ").map(|(_, codes)| codes).unwrap_or_default();
            expected.extend(
                codes
                    .split(' ')
                    .filter(|c| !c.is_empty())
                    .map(|code| (path.clone(), index as u32 + 1, code.to_string())),
            );
        }
    }
    let subnets = [subnet([10, 0, 0])];
    let address = "10.0.0.1".parse().unwrap();
    let loaded = repo::load(&tree, &Context { subnets: &subnets, address, ..context() });
    assert!(loaded.desired.is_none());
    let found: BTreeSet<_> =
        loaded.findings.iter().map(|finding| (finding.path.clone(), finding.line, finding.code.clone())).collect();
    let missing: Vec<_> = expected.difference(&found).collect();
    let surplus: Vec<_> = found.difference(&expected).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "missing: {missing:#?}\nsurplus: {surplus:#?}");
    let errors = loaded.findings.iter().filter(|finding| finding.severity == Severity::Error);
    let kinds: BTreeSet<_> = errors.clone().map(|finding| finding.code.as_str()).collect();
    assert!(kinds.len() >= 30, "{kinds:?}");
    for finding in errors {
        assert!(finding.hint.as_ref().is_some_and(|hint| !hint.is_empty()), "{finding} has no hint");
        assert_eq!(finding.line > 0, finding.column > 0, "{finding}");
    }
    assert!(loaded.findings.is_sorted());
}

#[test]
fn slips_get_the_right_word_as_a_hint() {
    let tree = read_tree(&root().join("tests/fixtures/mistakes"));
    let findings = repo::load(&tree, &context()).findings;
    let hint = |path: &str, line: u32, code: &str| {
        let at = findings.iter().find(|it| it.path == path && it.line == line && it.code == code);
        at.and_then(|finding| finding.hint.clone()).unwrap_or_default()
    };
    let c1 = "group_vars/c1/bootstrap.yml";
    assert_eq!(hint(c1, 2, "unknown-key"), "did you mean `installer`?");
    assert_eq!(hint(c1, 10, "unknown-key"), "did you mean `generation`?");
    assert_eq!(hint("group_vars/c3/bootstrap.yml", 1, "unknown-installer"), "did you mean `pvc`?");
}
