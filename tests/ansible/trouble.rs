//! Playbooks that hang, shout, or leave something behind; and secrets, which show nowhere.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rackwright::drive::{ansible, process};
use rackwright::model::Reason;
use rackwright::model::*;

use crate::rig::ansible::Rig;
use crate::rig::net::host_id;

/// Whether a process runs (one that waits to be reaped does not).
fn runs(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

fn pids(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(String::from).collect()
}

/// A task on this machine.
fn local(script: &str) -> String {
    format!(
        "- name: Local\n  hosts: all\n  gather_facts: no\n  tasks:\n    - name: over there\n      command: 'true'\n    \
         - name: here\n      delegate_to: localhost\n      connection: local\n      run_once: true\n      shell: |\n        {}\n",
        script.replace('\n', "\n        ")
    )
}

/// Leaves three that stay: in its group, out of it, and out of it with its output held open.
fn leaves(pids: &Path) -> String {
    let pids = pids.display();
    format!(
        "sh -c 'echo $$ >> {pids}; exec sleep 1000' > /dev/null 2>&1 &\n\
         setsid sh -c 'echo $$ >> {pids}; exec sleep 1000' > /dev/null 2>&1 &\n\
         setsid sh -c 'trap \"\" TERM HUP; echo $$ >> {pids}; sleep 1000; sleep 1000' > /dev/null 2>&1 &\n\
         until [ \"$(wc -l < {pids} 2>/dev/null)\" = 3 ]; do sleep 0.05; done"
    )
}

#[tokio::test]
async fn a_playbook_that_hangs_is_ended_with_everything_it_started() {
    let Some(mut rig) = Rig::new() else { return };
    rig.settings.ansible.timeout = Duration::from_secs(30);
    let left = rig.out("pids");
    let began = Instant::now();
    let fault = rig.play(&local(&format!("{}\nwhile :; do sleep 1; done", leaves(&left)))).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    assert_eq!((fault.class, fault.reason), (FaultClass::Operator, Reason::AnsibleTimedOut));
    assert!(fault.message.starts_with("stopped after 30 s in play `Local`, task `here`; log: "), "{fault}");
    assert_eq!(pids(&left).len(), 3, "{}", rig.log());
    assert!(!pids(&left).iter().any(|pid| runs(pid)));
    rig.assert_clean();
}

#[tokio::test]
async fn children_that_a_playbook_leaves_behind_are_ended() {
    let Some(mut rig) = Rig::new() else { return };
    let left = rig.out("pids");
    rig.play(&local(&leaves(&left))).await.unwrap();
    assert_eq!(pids(&left).len(), 3, "{}", rig.log());
    assert!(!pids(&left).iter().any(|pid| runs(pid)));
    rig.assert_clean();
}

#[tokio::test]
async fn a_run_that_is_given_up_leaves_nothing() {
    let Some(mut rig) = Rig::new() else { return };
    rig.file("files/group1/old", "old\n");
    let left = rig.out("pids");
    let script =
        format!("echo made > files/group1/made\n{}\necho all >> {}\nsleep 1000", leaves(&left), left.display());
    let (playbook, started) = (local(&script), left.clone());
    let seen = async {
        while pids(&started).len() < 4 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! { end = rig.play(&playbook) => panic!("it cannot end: {end:?}"), () = seen => {} }
    let deadline = Instant::now() + Duration::from_secs(10);
    while pids(&left).iter().any(|pid| pid != "all" && runs(pid)) {
        assert!(Instant::now() < deadline, "something is left");
        tokio::task::yield_now().await;
    }
    rig.assert_clean();
    assert_eq!(rescued(&rig), "made\n");
}

/// What a run that was cut off had made.
fn rescued(rig: &Rig) -> String {
    let home = rig.dir().join("generated/cluster1");
    let copies: Vec<_> = fs::read_dir(home).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(copies.len(), 1, "{copies:?}");
    fs::read_to_string(copies[0].join("files/group1/made")).unwrap()
}

#[tokio::test]
async fn what_a_killed_daemon_left_is_swept_before_the_next_run() {
    let Some(mut rig) = Rig::new() else { return };
    rig.file("files/group1/old", "old\n");
    let left = rig.out("pids");
    let script =
        format!("echo made > files/group1/made\n{}\necho all >> {}\nsleep 1000", leaves(&left), left.display());
    let playbook = local(&script);
    let started = left.clone();
    let seen = async {
        while pids(&started).len() < 4 {
            tokio::task::yield_now().await;
        }
    };
    {
        let mut run = Box::pin(rig.play(&playbook));
        tokio::select! { end = &mut run => panic!("it cannot end: {end:?}"), () = seen => {} }
        // A daemon that is killed drops nothing.
        std::mem::forget(run);
    }
    assert!(pids(&left).iter().filter(|pid| *pid != "all").all(|pid| runs(pid)), "it goes on without us");
    process::mark::sweep_left(&rig.settings.state_dir);
    ansible::sweep(&rig.settings.state_dir);
    assert!(!pids(&left).iter().any(|pid| pid != "all" && runs(pid)));
    assert_eq!(rescued(&rig), "made\n");
    rig.assert_clean();
}

#[tokio::test]
async fn a_hundred_megabytes_fill_neither_disk_nor_memory() {
    let Some(mut rig) = Rig::new() else { return };
    // As a playbook that prints a lot, without the minutes that Ansible takes to pass that much on.
    let program = rig.out("ansible-playbook");
    let text =
        "#!/bin/sh\necho the beginning\nhead -c 100000000 /dev/zero | tr '\\0' x | fold -w 99\necho the end\nexit 2\n";
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    rig.settings.ansible.playbook = program.display().to_string();
    let memory = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let (before, began) = (memory(), Instant::now());
    let fault = rig.play("[]\n").await.unwrap_err();
    let grown = memory().saturating_sub(before);
    println!("100 MB in {:?}, {grown} kB more memory", began.elapsed());
    assert!(fault.message.contains("the end; exit status 2"), "{fault}");
    let log = rig.log();
    let (first, last) = (&log[..200], &log[log.len() - 200..]);
    assert!(log.len() <= (16 << 20) + 1000, "{} bytes", log.len());
    assert!(first.contains("the beginning\n") && last.contains("the end"), "{first} ... {last}");
    assert!(log.contains(" bytes are left out here]"));
    assert_eq!(fs::read_dir(rig.dir()).unwrap().count(), 1, "one file");
}

#[tokio::test]
async fn a_playbook_that_says_much_is_listened_to() {
    let Some(mut rig) = Rig::new() else { return };
    let fault = rig.play(&local("head -c 3000000 /dev/zero | tr '\\0' y | fold -w 99\nexit 9")).await.unwrap_err();
    assert!(fault.message.contains("task `here`: hv1.example.net: non-zero return code"), "{:.500}", fault.message);
    assert!(fault.message.len() < 2000, "{} bytes of message", fault.message.len());
    rig.assert_clean();
}

#[tokio::test]
async fn planted_secrets_are_in_no_log_argument_list_or_environment() {
    let Some(mut rig) = Rig::new() else { return };
    let vault = rig.out("vault-password");
    fs::write(&vault, "geheim-vault-4711\n").unwrap();
    rig.settings.ansible.vault_password_file = Some(vault.clone());
    let desired = Arc::make_mut(rig.world.desired.as_mut().unwrap());
    let mut planted = (*desired.hosts[&host_id("hv2")]).clone();
    planted.bmc = BmcSpec::new(Protocol::Redfish, "root", Secret::new("geheim\"bmc'4712"));
    desired.hosts.insert(host_id("hv2"), Arc::new(planted));
    let out = rig.out("seen").display().to_string();
    // What everybody on the machine can see of the programs under way, and what a playbook that talks too much says.
    let script = format!(
        "for pid in $(ls /proc | grep '^[0-9]'); do tr '\\0' '\\n' < /proc/$pid/cmdline; tr '\\0' '\\n' < /proc/$pid/environ; \
         done > {out} 2>/dev/null\ncat {}; echo \"geheim\\\"bmc'4712\"; exit 1",
        vault.display()
    );
    let fault = rig.play(&local(&script)).await.unwrap_err();
    let (seen, log) = (rig.read("seen"), rig.log());
    assert!(seen.contains("ansible-playbook") && seen.contains("ANSIBLE_HOST_KEY_CHECKING=True"));
    assert!(log.contains("***"), "{log}");
    for secret in ["geheim-vault-4711", "bmc'4712", "bmc\\'4712"] {
        // The task's own script is in its arguments: what a playbook says is its own business.
        assert!(!seen.lines().any(|line| line.contains(secret) && !line.contains("echo")), "{secret}");
        assert!(!log.contains(secret) && !fault.message.contains(secret), "{secret}: {fault}");
    }
    assert!(!told(&rig).contains("geheim"));
}

fn told(rig: &Rig) -> String {
    format!("{:?}", rig.told.lock().unwrap())
}
