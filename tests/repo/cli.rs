//! `validate`, `render` and `schema`, from outside.

use std::process::{Command, Output};

use serde_json::Value;

use crate::rig::git::Rig;
use crate::rig::repo::root;

fn rackwright(args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rackwright"));
    let Output { status, stdout, stderr } =
        command.current_dir(root()).args(args).env_remove("RUST_LOG").output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn validate_says_valid_and_exits_0() {
    let (code, out, _) = rackwright(&["validate", "repo-schema/example"]);
    assert_eq!((code, out.as_str()), (Some(0), "Valid: 2 clusters with 4 hosts, 0 warnings.\n"));
    let (code, out, _) = rackwright(&["validate", "tests/fixtures/pvc-sample", "--format", "json"]);
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &document["valid"], &document["errors"]), (Some(0), &true.into(), &0.into()));
    assert_eq!(document["warnings"].as_u64().unwrap() as usize, document["findings"].as_array().unwrap().len());
}

#[test]
fn validate_prints_findings_in_every_format_and_exits_1() {
    let (code, out, _) = rackwright(&["validate", "tests/fixtures/mistakes"]);
    assert_eq!(code, Some(1));
    let line = "group_vars/c1/bootstrap.yml:2:3: error: `instaler` is not a key of `cluster` [unknown-key]\n  hint: did you mean `installer`?\n";
    assert!(out.contains(line), "{out}");
    assert!(out.trim_end().ends_with("This revision would be refused as a whole."), "{out}");
    let (code, out, _) = rackwright(&["validate", "tests/fixtures/mistakes", "--format", "github"]);
    assert_eq!(code, Some(1));
    assert!(
        out.contains("::error file=group_vars/c1/bootstrap.yml,line=2,col=3,title=unknown-key::`instaler`"),
        "{out}"
    );
    let (code, out, _) = rackwright(&["validate", "tests/fixtures/mistakes", "--format", "sarif"]);
    let log: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &log["version"]), (Some(1), &"2.1.0".into()));
    assert!(log["runs"][0]["results"].as_array().unwrap().len() > 40);
}

#[test]
fn validate_that_cannot_run_exits_2() {
    for args in [
        ["validate", "no-such-directory"].as_slice(),
        &["validate", "--rev", "no-such-revision"],
        &["validate", "--format", "xml"],
    ] {
        let (code, out, err) = rackwright(args);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{args:?}");
        assert!(err.contains("error: "), "{err}");
    }
}

#[test]
fn validate_reads_a_revision_and_a_bare_repository() {
    let rig = Rig::pushed();
    let work = rig.work.to_str().unwrap();
    std::fs::write(rig.work.join("clusters.yml"), "clusters: {}\n").unwrap();
    assert_eq!(rackwright(&["validate", work]).0, Some(1));
    assert_eq!(rackwright(&["validate", work, "--rev", "HEAD"]).0, Some(0));
}

#[test]
fn render_prints_files_as_machines_read_them() {
    let (code, all, _) = rackwright(&["render", "hv1", "repo-schema/example"]);
    assert_eq!(code, Some(0));
    let headers: Vec<_> = all.lines().filter(|line| line.starts_with("==> ")).collect();
    assert_eq!(headers, ["==> boot.ipxe <==", "==> mac-525400bb0101.ipxe <==", "==> mac-525400bb0101.preseed <=="]);
    for name in ["mac-525400bb0101.preseed", "mac-{mac}.preseed"] {
        let (code, one, _) = rackwright(&["render", "cluster1/hv1", "repo-schema/example", "--file", name]);
        assert_eq!(code, Some(0));
        assert!(one.starts_with("# Sourced") && all.ends_with(&one), "{one}");
    }
    let (code, out, err) = rackwright(&["render", "hv11", "repo-schema/example"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("did you mean `hv1`?"), "{err}");
    let (code, _, err) = rackwright(&["render", "hv1", "repo-schema/example", "--file", "x"]);
    assert!(code == Some(1) && err.contains("it has boot.ipxe, mac-525400bb0101.ipxe"), "{err}");
    let (code, out, err) = rackwright(&["render", "hv1", "tests/fixtures/mistakes"]);
    assert!(code == Some(1) && out.is_empty() && err.contains("unknown-key"), "{err}");
}

#[test]
fn schema_prints_what_the_repository_holds() {
    let there = std::fs::read_to_string(root().join("repo-schema/v1/bootstrap.schema.json")).unwrap();
    assert_eq!(rackwright(&["schema", "bootstrap"]), (Some(0), there, String::new()));
    let all: Value = serde_json::from_str(&rackwright(&["schema"]).1).unwrap();
    assert_eq!(all.as_object().unwrap().len(), 6);
    assert_eq!(rackwright(&["schema", "nothing"]).0, Some(1));
}
