//! A site's own hooks: directories of its repository, which win over shipped ones; and what is wrong with them.

use rackwright::model::{Place, Scope, Severity};
use rackwright::repo::{Entry, Tree};
use serde_json::{Value, json};

use crate::repo::hook::{hook, task, tasks, with_hooks};
use crate::rig::repo::{file, load, places, root};

const OWN: &str = "name: own
description: Something of the site's.
scope: once
run_on: host
ready: systemctl is-active thing
time_limit: 90s
rerun: on-change
retry: yes
sudo: root
same_length: [names, sizes]
one_of: [[text], [page]]
args:
  root: { type: boolean, default: no, description: As root. }
  kind: { type: choice, values: [small, LARGE], ignore_case: yes, default: small, description: Kind. }
  level: { type: number, min: 1, max: 9, or: [none], required: yes, description: Level. }
  part: { type: float, min: 0, max: 1, default: 0.5, description: Part. }
  names: { type: list, items: { type: word }, default: [a, b], description: Names. }
  sizes: { type: list, items: { type: number, min: 1 }, default: [1, 2], description: Sizes. }
  net: { type: network, when: { kind: LARGE }, required: yes, description: Network. }
  text: { type: text, attach: yes, description: Text. }
  page: { type: file, attach: { kind: LARGE }, description: Page. }
  more: { type: json, description: Anything. }
";

fn own(manifest: &str, hooks: &str) -> Tree {
    let mut tree = with_hooks(hooks);
    tree.insert("hooks/own/hook.yaml".into(), file(manifest));
    tree.insert("hooks/own/run".into(), file("#!/bin/sh\n"));
    tree.insert("hooks/own/README.md".into(), file("What it is for.\n"));
    tree
}

fn given(args: &str) -> Value {
    let tasks = tasks(&own(OWN, &hook("own", args)));
    serde_json::from_str(task(&tasks[0]).args.reveal()).unwrap()
}

fn found(tree: &Tree) -> Vec<(String, u32, String)> {
    let findings = load(tree).findings;
    let sound = findings.iter().filter(|finding| finding.severity == Severity::Error).all(|it| it.hint.is_some());
    assert!(sound, "{findings:#?}");
    places(&findings).into_iter().map(|(path, line, code)| (path.to_owned(), line, code.to_owned())).collect()
}

#[test]
fn a_site_adds_a_hook_without_any_rust() {
    let common = json!({ "root": false, "kind": "small", "level": 3, "part": 0.5, "names": ["a", "b"], "sizes": [1, 2],
        "text": "files/0" });
    assert_eq!(given("{ level: 3, text: \"one\\ntwo\" }"), common);
    let large = given("{ level: none, kind: large, net: \"2001:db8::/32\", page: files/motd, more: { a: [yes] } }");
    let expected = json!({ "root": false, "kind": "LARGE", "level": "none", "part": 0.5, "names": ["a", "b"],
        "sizes": [1, 2], "net": "2001:db8::/32", "page": "files/0", "more": { "a": [true] } });
    assert_eq!(large, expected);
    // Not for this kind: the name of the page only.
    assert_eq!(given("{ level: 3, page: whatever }")["page"], "whatever");
    let tasks = tasks(&own(OWN, &hook("own", "{ level: 3, text: a, root: yes }")));
    let program = &task(&tasks[0]).program;
    assert_eq!((program.scope, program.place), (Scope::Once, Place::Host));
    assert_eq!((&*program.name, program.ready.as_deref()), ("own", Some("systemctl is-active thing")));
    assert!(task(&tasks[0]).sudo && tasks[0].idempotent);
    assert_eq!(found(&own(OWN, &hook("own", "{ level: 3, text: a }"))).len(), 0);
}

#[test]
fn the_words_of_a_definition_are_held_against_a_bootstrap_file() {
    for (args, code) in [
        ("{ text: a }", "missing-key"),
        ("{ level: 0, text: a }", "out-of-range"),
        ("{ level: some, text: a }", "wrong-type"),
        ("{ level: 3 }", "missing-key"),
        ("{ level: 3, text: a, page: b }", "exclusive-keys"),
        ("{ level: 3, text: a, names: [a] }", "uneven-lists"),
        ("{ level: 3, text: a, names: [a, b c] }", "bad-value"),
        ("{ level: 3, text: a, kind: large }", "missing-key"),
        ("{ level: 3, text: a, kind: large, net: 192.0.2.1 }", "bad-address"),
        ("{ level: 3, text: a, kind: huge }", "unknown-value"),
        ("{ level: 3, kind: large, net: 192.0.2.0/24, page: files/none }", "missing-file"),
        ("{ level: 3, text: a, colour: red }", "unknown-key"),
    ] {
        let expected = [("group_vars/c1/bootstrap.yml".to_owned(), 6, code.to_owned())];
        assert_eq!(found(&own(OWN, &hook("own", args))), expected, "{args}");
    }
}

#[test]
fn a_site_s_own_wins_over_a_shipped_one() {
    let mut tree = with_hooks(&hook("webhook", "{ say: hello }"));
    let manifest = "name: webhook\ndescription: d\nscope: each\nrun_on: host\nretry: no\n\
                    args: { say: { type: line, description: d } }\n";
    tree.insert("hooks/webhook/hook.yaml".into(), file(manifest));
    tree.insert("hooks/webhook/run".into(), file("#!/bin/sh\nexec true\n"));
    let task_spec = &tasks(&tree)[0];
    assert_eq!(task(task_spec).program.place, Place::Host);
    assert_eq!(&*task(task_spec).program.run, b"#!/bin/sh\nexec true\n");
    // A hook without arguments that must be written needs no `args:` at all.
    let mut bare = with_hooks("- name: x\n  type: webhook\n");
    bare.extend(tree.into_iter().filter(|(path, _)| path.starts_with("hooks/")));
    assert_eq!(task(&tasks(&bare)[0]).args.reveal(), "{}");
}

#[test]
fn mistakes_in_a_definition_are_found_at_their_line() {
    let replaced = |old: &str, new: &str| {
        assert!(OWN.contains(old), "{old}");
        OWN.replacen(old, new, 1)
    };
    for (old, new, line, code) in [
        ("name: own", "name: other", 1, "wrong-name"),
        ("scope: once", "scope: often", 3, "unknown-value"),
        ("run_on: host", "run_on: moon", 4, "unknown-value"),
        ("scope: once", "scope: none", 4, "bad-value"),
        ("run_on: host", "run_on: bootstrap", 5, "without-effect"),
        ("time_limit: 90s", "time_limit: 90", 6, "bad-value"),
        ("rerun: on-change", "rerun: never", 7, "unknown-value"),
        ("retry: yes", "retry: perhaps", 8, "wrong-type"),
        ("sudo: root", "sudo: level", 9, "unknown-value"),
        ("same_length: [names, sizes]", "same_length: [names, part]", 10, "unknown-value"),
        ("one_of: [[text], [page]]", "one_of: [[text], [level]]", 11, "unknown-value"),
        ("one_of: [[text], [page]]", "one_of: [[text], [text]]", 11, "bad-value"),
        ("one_of: [[text], [page]]", "one_of: [[text, page]]", 11, "bad-value"),
        ("root: { type: boolean, default: no,", "root: { type: boolean, default: 7,", 13, "wrong-type"),
        ("kind: { type: choice, values: [small, LARGE],", "kind: { type: choice,", 14, "missing-key"),
        ("default: small", "default: medium", 14, "unknown-value"),
        ("level: { type: number", "Level: { type: number", 15, "bad-name"),
        ("level: { type: number", "level: { type: integer", 15, "unknown-value"),
        ("min: 1, max: 9", "min: 9, max: 1", 15, "out-of-range"),
        ("required: yes, description: Level.", "required: yes, default: 3, description: Level.", 15, "without-effect"),
        ("default: 0.5", "default: 1.5", 16, "out-of-range"),
        ("items: { type: word }", "attach: yes, items: { type: word }", 17, "without-effect"),
        (", description: Part.", "", 16, "missing-key"),
        ("type: float", "type: line", 16, "without-effect"),
        ("items: { type: word }", "items: { type: list, items: { type: word } }", 17, "bad-value"),
        ("items: { type: word }", "items: { type: word, required: yes }", 17, "unknown-key"),
        ("when: { kind: LARGE }", "when: { more: 1 }", 19, "unknown-value"),
        ("when: { kind: LARGE }", "when: { kind: giant }", 19, "unknown-value"),
        ("attach: yes", "attach: yes, default: a", 20, "bad-value"),
        ("more: { type: json", "more: { type: json, colour: red", 22, "unknown-key"),
        ("more: { type: json", "more: { type: json, min: 1", 22, "without-effect"),
        ("more:", "names_count:", 22, "bad-name"),
    ] {
        let tree = own(&replaced(old, new), "");
        let here: Vec<_> = found(&tree).into_iter().filter(|(path, ..)| path == "hooks/own/hook.yaml").collect();
        assert!(
            here.iter().any(|(_, at, said)| (*at, said.as_str()) == (line, code)),
            "{old} -> {new}: {here:?}, not {line} {code}"
        );
        assert!(load(&tree).desired.is_none(), "{new}");
    }
}

#[test]
fn a_directory_that_is_no_hook_is_said_once() {
    let base = own(OWN, &hook("own", "{ level: 3, text: a }"));
    let only = |change: &dyn Fn(&mut Tree)| {
        let mut tree = base.clone();
        change(&mut tree);
        found(&tree)
    };
    let at = |file: &str, line: u32, code: &str| vec![(format!("hooks/own/{file}"), line, code.to_owned())];
    let without = |name: &str| {
        let path = format!("hooks/own/{name}");
        only(&|tree| drop(tree.remove(&path)))
    };
    assert_eq!(without("hook.yaml"), at("hook.yaml", 0, "missing-file"));
    assert_eq!(without("run"), at("run", 0, "missing-file"));
    let run = |text: &'static [u8]| only(&|tree| drop(tree.insert("hooks/own/run".into(), Entry::File(text.into()))));
    assert_eq!(run(b"echo\n"), at("run", 1, "bad-script"));
    assert_eq!(run(b"\x7fELF\0\xff"), at("run", 1, "bad-script"));
    let beside = only(&|tree| drop(tree.insert("hooks/own/lib.sh".into(), file("x"))));
    assert_eq!(beside, at("lib.sh", 0, "without-effect"));
    let odd = only(&|tree| {
        tree.insert("hooks/o wn/hook.yaml".into(), file(OWN.replace("name: own", "name: o wn")));
        tree.insert("hooks/o wn/run".into(), file("#!/bin/sh\n"));
    });
    assert_eq!(odd, [("hooks/o wn/run".into(), 1, "bad-name".into())]);
    let list = only(&|tree| drop(tree.insert("hooks/own/hook.yaml".into(), file("- a\n"))));
    assert_eq!(list, at("hook.yaml", 1, "wrong-type"));
}

/// The text of a page's fenced block in `language` that holds `word`.
fn shown(page: &str, language: &str, word: &str) -> String {
    let page = std::fs::read_to_string(root().join("docs/how-to").join(page)).unwrap();
    let fence = format!("```{language} ");
    let blocks = page.split(&fence).skip(1).filter_map(|rest| rest.split("```").next());
    let mut blocks = blocks.filter_map(|block| Some(block.split_once('\n')?.1));
    blocks.find(|text| text.contains(word)).expect("such a block").to_owned()
}

#[test]
fn what_the_documents_show_is_good() {
    let mut tree =
        with_hooks(&hook("tag", "{ owner: us, room: south, shelf: a1, notes: [\"a\\nb\"], photo: files/motd }"));
    tree.insert("hooks/tag/hook.yaml".into(), file(shown("write-a-hook.md", "yaml", "name: tag")));
    tree.insert("hooks/tag/run".into(), file(shown("write-a-hook.md", "sh", "ARG_OWNER")));
    let given: Value = serde_json::from_str(task(&tasks(&tree)[0]).args.reveal()).unwrap();
    let expected = json!({ "owner": "us", "level": 1, "room": "south", "shelf": "a1", "notes": ["a\nb"],
        "photo": "files/0", "as_root": false });
    assert_eq!(given, expected);
    assert_eq!(found(&tree), []);
    let example = shown("use-hooks.md", "yaml", "name: welcome people");
    let example = example.replace("hooks:\n", "").replace("[hv1, hv2]", "[hv1]");
    assert_eq!(tasks(&with_hooks(&example)).len(), 3);
}

/// The hooks that the example repository has in comments are good as well.
#[test]
fn what_the_example_has_in_comments_is_good() {
    let path = root().join("repo-schema/example/group_vars/cluster1/bootstrap.yml");
    let text = std::fs::read_to_string(path).unwrap();
    let hooks = text.split("\nhooks:\n").nth(1).unwrap();
    let lines = hooks.lines().map(|line| line.strip_prefix("  # ").or(line.strip_prefix("  ")).unwrap_or(line));
    let words = lines.filter(|line| line.starts_with(['-', ' ']) || line.is_empty()).collect::<Vec<_>>().join("\n");
    assert_eq!(tasks(&with_hooks(&format!("{words}\n"))).len(), 6, "{words}");
}
