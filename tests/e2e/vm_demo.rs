//! `rackwright demo --vms` as a stranger runs it, to its end and not to its end.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use crate::rig::e2e::program;
use crate::rig::e2e_vm::{kernel, possible};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

fn demo(temporary: &Path, args: &[&str]) -> Command {
    let mut command = program();
    command.args(["demo", "--vms", "1"]).args(args).arg("--kernel").arg(kernel());
    command.env("NO_COLOR", "1").env("TMPDIR", temporary).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn ended(waiting: impl Future<Output = std::io::Result<Output>>) -> (Option<i32>, String) {
    let ended = timeout(Duration::from_secs(240), waiting).await.expect("it ends by itself").unwrap();
    let text = [ended.stdout, ended.stderr].concat();
    (ended.status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// How many processes have this text in their command line.
fn processes(text: &str) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(text)).count()
}

#[tokio::test]
async fn e2e_vm_the_demo_ends_by_itself_with_a_machine_of_real_firmware() {
    if !possible("demo --vms") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (code, out) = ended(demo(dir.path(), &["--firmware", "bios"]).output()).await;
    assert_eq!(code, Some(0), "{out}");
    for line in ["vms/hv1 pxe-booting -> installing", "vms/hv1 installing -> installed", "1 of 1 hosts completed"] {
        assert!(out.contains(line), "{line} is missing: {out}");
    }
    assert_eq!(processes(&dir.path().display().to_string()), 0, "nothing is left running");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left lying about");
}

#[tokio::test]
async fn e2e_vm_whoever_stops_the_demo_finds_nothing_of_it_afterwards() {
    if !possible("demo --vms") {
        return;
    }
    for signal in [Signal::INT, Signal::TERM] {
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().display().to_string();
        let child = demo(dir.path(), &["--firmware", "bios"]).spawn().unwrap();
        let pid = Pid::from_raw(child.id().unwrap() as i32).unwrap();
        let started = async {
            while !processes_named("qemu-system-x86", &mark) {
                sleep(LOOK).await;
            }
        };
        timeout(Duration::from_secs(120), started).await.expect("a machine is started");
        kill_process(pid, signal).unwrap();
        let (code, out) = ended(child.wait_with_output()).await;
        assert_eq!(code, Some(1), "{out}");
        assert!(out.contains("stopped; the machines are gone"), "{out}");
        let gone = async {
            while processes(&mark) > 0 {
                sleep(LOOK).await;
            }
        };
        timeout(Duration::from_secs(20), gone).await.expect("nothing is left running");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left lying about");
    }
}

/// Whether a program of this name has this text in its command line.
fn processes_named(program: &str, text: &str) -> bool {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .any(|line| line.starts_with(program) && line.contains(text))
}
