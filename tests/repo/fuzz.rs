//! Whatever is pushed: findings, never a panic, and a revision exactly when there is no error.

use proptest::prelude::*;
use rackwright::model::Severity;
use rackwright::repo::{Entry, Loaded, Tree};

use crate::rig::repo::{c1, file, load, read_tree, root};

fn consistent(loaded: &Loaded) {
    let refused = loaded.findings.iter().any(|finding| finding.severity == Severity::Error);
    assert_eq!(loaded.desired.is_none(), refused);
    for finding in &loaded.findings {
        assert!(!finding.code.is_empty() && !finding.message.is_empty() && !finding.path.is_empty());
        assert_eq!(finding.line > 0, finding.column > 0, "{finding}");
    }
}

/// A piece of YAML that means trouble.
fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        ": ",
        "- ",
        "\n",
        "  ",
        "\t",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "'",
        "#",
        "&a ",
        "*a",
        "<<: *a",
        "!vault ",
        "? ",
        "|\n",
        ">-\n",
        "---\n",
        "{{ x }}",
        "{% for i in range(99) %}",
        "~",
        "null",
        "yes",
        "0600",
        "1e999",
        "é",
        "\u{feff}",
        "\0",
        ",",
        "52:54:00:aa:00:01",
        "%YAML 1.1\n",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn random_text_as_a_bootstrap_file(pieces in prop::collection::vec(piece(), 0..40)) {
        consistent(&load(&c1(&pieces.concat())));
    }

    #[test]
    fn random_bytes_as_every_file(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for path in ["clusters.yml", "hosts", "group_vars/c1/base.yml", "group_vars/c1/bootstrap.yml", "installers/pvc/installer.yaml", "installers/pvc/x.j2", "hooks/osd/hook.yaml", "hooks/osd/run"] {
            let mut tree = c1("bootstrap: {}\n");
            tree.insert(path.into(), Entry::File(bytes.clone().into()));
            consistent(&load(&tree));
        }
    }

    #[test]
    fn the_sample_with_pieces_put_in_or_cut_out(
        which in 0_usize..6, at in 0.0..1.0_f64, cut in 0_usize..30, put in prop::collection::vec(piece(), 0..3)
    ) {
        let mut tree: Tree = read_tree(&root().join("tests/fixtures/pvc-sample"));
        let paths = ["clusters.yml", "hosts", "group_vars/pvc1/base.yml", "group_vars/pvc1/pvc.yml", "group_vars/pvc1/bootstrap.yml", "group_vars/pvc1/bootstrap.yml"];
        let Some(Entry::File(bytes)) = tree.get(paths[which]) else { panic!("no file") };
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let start = text.floor_char_boundary((text.len() as f64 * at) as usize);
        let end = text.ceil_char_boundary((start + cut).min(text.len()));
        let mutated = format!("{}{}{}", &text[..start], put.concat(), &text[end..]);
        tree.insert(paths[which].into(), file(mutated));
        consistent(&load(&tree));
    }

    #[test]
    fn ranges_of_host_names(text in "[a-z0-9:\\[\\]-]{0,20}") {
        if let Ok(names) = rackwright::repo::inventory::expand(&text) {
            prop_assert!(!names.is_empty() && names.iter().all(|name| !name.contains('[')));
        }
    }
}

#[test]
fn bombs_are_defused() {
    let laughs: String = (1..30).map(|n| format!("a{n}: &a{n} [{}]\n", format!("*a{},", n - 1).repeat(10))).collect();
    let deep = "[".repeat(100_000);
    let wide = "? ".repeat(50_000);
    let loop_of_templates = "x: \"{{ y }}\"\ny: \"{{ x }}\"\nlocal_domain: \"{{ x }}\"\n";
    for text in [format!("a0: &a0 x\n{laughs}"), deep, wide] {
        let loaded = load(&c1(&text));
        consistent(&loaded);
        assert!(loaded.desired.is_none());
    }
    let mut tree = c1("bootstrap: {}\n");
    tree.insert("group_vars/c1/base.yml".into(), file(loop_of_templates));
    assert!(load(&tree).desired.is_none());
    tree.insert("hosts".into(), file("[c1]\nhv[0:9999][0:9999]\n"));
    consistent(&load(&tree));
}

#[test]
fn ranges_expand_as_in_ansible() {
    let expand = |text: &str| rackwright::repo::inventory::expand(text).ok();
    let list = |names: &[&str]| Some(names.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(expand("hv[1:3]"), list(&["hv1", "hv2", "hv3"]));
    assert_eq!(expand("hv[01:10:4].example.net"), list(&["hv01.example.net", "hv05.example.net", "hv09.example.net"]));
    assert_eq!(expand("r[a:c]-[1:2]"), list(&["ra-1", "ra-2", "rb-1", "rb-2", "rc-1", "rc-2"]));
    for wrong in ["hv[3:1]", "hv[1:2", "hv[1:2:0]", "hv[a:3]", "hv[]", "", "hv[01:100]"] {
        assert_eq!(expand(wrong), None, "{wrong}");
    }
}
