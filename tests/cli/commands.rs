//! The command line, from outside: the built program on real repositories.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::rig::git::{Rig, git};

fn rackwright(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rackwright"));
    command.current_dir(dir).args(args).env_remove("RUST_LOG").stdin(Stdio::null());
    command.output().unwrap()
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

const HV1: &str = "\
cluster: c1
host: hv1
state: completed
since: 2020-01-01T00:00:00Z
condition: { status: Ready, reason: Done, message: completed }
generation: { wanted: 1, installed: 1 }
bmc: { mac: 'aa:bb:cc:dd:ee:01', address: 10.0.0.5 }
boot: { mac: 'aa:bb:cc:dd:ee:11' }
drift: false
";
const HV2: &str = "\
cluster: c1
host: hv2
state: pxe-booting
since: 2020-01-01T00:00:00Z
condition:
  status: Stalled
  reason: NetworkBootOverdue
  message: armed 3 times, and no claim came
  until: 2020-01-01T01:00:00Z
generation: { wanted: 2, installed: 1 }
boot: { mac: 'aa:bb:cc:dd:ee:12', address: 10.0.0.12 }
inventory: { manufacturer: Example, model: R1, nics: [] }
drift: true
notes: [the spare disk is missing]
";
const C1: &str = "\
cluster: c1
state: provisioning
since: 2020-01-01T00:00:00Z
condition: { status: Reconciling, reason: Peers, message: 'waiting for 1 of 2 hosts: hv2' }
revision: 0123456789012345678901234567890123456789
hosts: { completed: 1, pxe-booting: 1 }
tasks:
  - { id: ansible, name: ansible, result: pending }
";

/// A clone with a status branch of two hosts, made by hand and not yet pushed.
fn with_status() -> Rig {
    let rig = Rig::pushed();
    git(&rig.work, &["checkout", "--quiet", "--orphan", "rackwright/status"]);
    git(&rig.work, &["rm", "-rq", "--cached", "."]);
    std::fs::remove_file(rig.work.join("clusters.yml")).unwrap();
    for (path, text) in [("hosts/c1/hv1.yaml", HV1), ("hosts/c1/hv2.yaml", HV2), ("clusters/c1.yaml", C1)] {
        rig.commit(path, text, "status");
    }
    rig.push("rackwright/status");
    rig
}

/// Lines without the columns that tell how long ago.
fn without_ages(text: &str) -> Vec<String> {
    let words = |line: &str| line.split_whitespace().map(String::from).collect::<Vec<_>>();
    let old = |word: &String| word.starts_with(|c: char| c.is_ascii_digit()) && word.ends_with(['d', 'h']);
    text.lines().map(|line| words(line).into_iter().filter(|word| !old(word)).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn status_shows_clusters_and_hosts() {
    let rig = with_status();
    let (code, out, err) = said(&rackwright(&rig.work, &["status"]));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let expected = [
        "CLUSTER STATE CONDITION SINCE HOSTS REVISION MESSAGE",
        "c1 provisioning Reconciling 1/2 0123456789 waiting for 1 of 2 hosts: hv2",
        "",
        "HOST STATE CONDITION SINCE GENERATION MESSAGE",
        "c1/hv1 completed Ready 1 completed",
        "c1/hv2 pxe-booting Stalled 1/2 armed 3 times, and no claim came; the spare disk is missing",
    ];
    assert_eq!(without_ages(&out), expected);
    assert!(!out.contains('\u{1b}'), "no colour where there is no terminal");
    assert!(out.lines().all(|line| line.trim_end() == line), "no trailing blanks");
}

#[test]
fn status_is_read_from_the_forge_and_over_the_wire_as_well() {
    let rig = with_status();
    let here = said(&rackwright(&rig.work, &["status"])).1;
    assert_eq!(said(&rackwright(&rig.remote, &["status"])).1, here);
    assert_eq!(said(&rackwright(Path::new("/"), &["status", "--repo", rig.remote.to_str().unwrap()])).1, here);
    // a clone that has fetched the branch, but has none of its own
    git(rig.dir.path(), &["clone", "--quiet", "forge.git", "clone"]);
    assert_eq!(said(&rackwright(&rig.dir.path().join("clone"), &["status"])).1, here);
}

#[test]
fn status_can_be_narrowed_and_read_by_programs() {
    let rig = with_status();
    let (_, out, _) = said(&rackwright(&rig.work, &["status", "c1/hv2", "--format", "json"]));
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["hosts"].as_array().unwrap().len(), 1);
    assert_eq!(json["hosts"][0]["condition"]["reason"], "NetworkBootOverdue");
    let (_, out, _) = said(&rackwright(&rig.work, &["status", "c1"]));
    assert!(out.contains("TASK") && out.contains("ansible"), "{out}");
    let (code, _, err) = said(&rackwright(&rig.work, &["status", "c2"]));
    assert_eq!((code, err.trim()), (Some(1), "error: there is no cluster `c2` in the status"));
    let (code, _, err) = said(&rackwright(&rig.work, &["status", "--branch", "nowhere"]));
    assert_eq!(code, Some(1));
    assert!(err.contains("git fetch origin nowhere"), "{err}");
}

#[test]
fn explain_tells_the_story_of_a_host() {
    let rig = with_status();
    let (code, out, err) = said(&rackwright(&rig.work, &["explain", "hv2"]));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    for part in [
        "c1/hv2 is pxe-booting",
        "2020-01-01T00:00:00Z",
        "Generation 1 is installed; generation 2 is wanted",
        "stalled (NetworkBootOverdue): armed 3 times, and no claim came",
        "tried again at 2020-01-01T01:00:00Z",
        "What you can do: look at the machine's console",
        "drift",
        "Note: the spare disk is missing.",
        "Its cluster c1 is provisioning (1 completed, 1 pxe-booting); reconciling (Peers): waiting for 1 of 2 hosts: hv2.",
        "Boot interface: aa:bb:cc:dd:ee:12, 10.0.0.12.",
        "Machine: Example, R1.",
    ] {
        assert!(out.contains(part), "`{part}` is not in:\n{out}");
    }
    let (_, out, _) = said(&rackwright(&rig.work, &["explain", "c1/hv1"]));
    assert!(out.contains("Nothing is left to do") && !out.contains("What you can do"), "{out}");
    let (code, _, err) = said(&rackwright(&rig.work, &["explain", "hv3"]));
    assert_eq!(code, Some(1));
    assert!(err.contains("did you mean"), "{err}");
}

#[test]
fn completions_and_the_manual_name_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = said(&rackwright(Path::new("/"), &["completions", shell]));
        assert_eq!(code, Some(0));
        assert!(out.contains("explain"), "{shell}");
    }
    let (code, page, _) = said(&rackwright(Path::new("/"), &["man"]));
    assert_eq!(code, Some(0));
    for command in ["STATUS", "EXPLAIN", "PLAN", "VALIDATE", "RUN", "DEMO", "BMC", "CONSOLE", "PREFLIGHT"] {
        assert!(page.contains(&format!(".SH \"RACKWRIGHT {command}\"")), "{command}");
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let rig = with_status();
    let mut child = Command::new(env!("CARGO_BIN_EXE_rackwright"))
        .args(["completions", "bash"])
        .current_dir(&rig.work)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn a_mistyped_command_is_told_by_clap() {
    let (code, _, err) = said(&rackwright(Path::new("/"), &["statsu"]));
    assert_eq!(code, Some(2));
    assert!(err.contains("status"), "{err}");
}
