//! Hooks on hosts, over a real `sshd`: what a program is given, what is left of it, and what its end means.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use rackwright::model::Reason;
use rackwright::model::*;
use serde_json::json;

use crate::rig::hook::{Rig, on, task, with};
use crate::rig::net::host_id;
use crate::rig::ssh::{is_root, until};

/// A text that must not be seen.
const PLANTED: &str = "planted-Geheimnis-4711";

/// The command lines and environments of all processes that hold a text.
fn holders(text: &str) -> (usize, usize) {
    let mut found = (0, 0);
    for entry in fs::read_dir("/proc").unwrap() {
        let path = entry.unwrap().path();
        let holds = |name: &str| {
            let bytes = fs::read(path.join(name)).unwrap_or_default();
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        };
        let number = path.file_name().is_some_and(|name| name.to_string_lossy().bytes().all(|it| it.is_ascii_digit()));
        if number {
            found.0 += usize::from(holds("cmdline"));
            found.1 += usize::from(holds("environ"));
        }
    }
    found
}

#[tokio::test]
async fn hook_arguments_arrive_as_they_are_and_are_in_no_command_line() {
    let Some(rig) = Rig::new() else { return };
    let out = rig.out("").display().to_string();
    let evil = format!("it's \"{PLANTED}\" $(touch {out}evil) `touch {out}evil` \\ ; & | # ä€𝄞\n\ttwo  lines\n");
    let args = json!({ "evil": evil, "list": ["a b", "c\nd", ""], "yes": true, "ratio": 0.05, "none": null });
    let program = format!(
        "#!/bin/sh\nset -eu\ncd \"$OLDPWD\" 2>/dev/null || :\n\
         printf %s \"$ARG_EVIL\" >{out}text; printf '%s|' \"$ARG_LIST_0\" \"$ARG_LIST_1\" \"$ARG_LIST_2\" >{out}list\n\
         echo \"$ARG_LIST_COUNT $ARG_YES $ARG_RATIO ${{ARG_NONE-unset}}\" >{out}rest\n\
         echo \"$RACKWRIGHT_CLUSTER $RACKWRIGHT_HOST $RACKWRIGHT_FQDN $RACKWRIGHT_TARGETS\" >{out}names\n\
         cat >{out}stdin; pwd >{out}pwd; ls -A >{out}ls; echo \"$ARG_EVIL\"\n\
         mkdir sub; touch sub/file; touch {out}begun; read -r _ <{out}go\n"
    );
    let task = with(task(&program, args.clone()), |hook, _| {
        hook.secrets = vec![Secret::new(PLANTED)];
        hook.files = vec![HookFile::Bytes(Arc::from(b"one".as_slice()))];
    });
    assert!(std::process::Command::new("mkfifo").arg(rig.out("go")).status().unwrap().success());
    let look = async {
        until("the hook runs", || rig.out("begun").exists()).await;
        let (lines, _) = holders(PLANTED);
        assert_eq!(lines, 0, "in an argument list");
        let dir = rig.read("pwd").trim().to_owned();
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(rig.sshd.left_behind().len(), 1);
        fs::write(rig.out("go"), "\n").unwrap();
    };
    let (result, ()) = tokio::join!(rig.run(&task), look);
    assert_eq!(result, Ok(Outcome::TaskDone));
    assert_eq!(rig.read("text"), evil);
    assert_eq!(rig.read("list"), "a b|c\nd||");
    assert_eq!(rig.read("rest"), "3 true 0.05 unset\n");
    assert_eq!(rig.read("names"), "cluster1 hv1 hv1.example.net hv1\n");
    assert_eq!(rig.read("ls"), "files\ninput.json\nrun\n", "the environment's file has gone");
    let input: serde_json::Value = serde_json::from_str(&rig.read("stdin")).unwrap();
    let wanted = json!({
        "cluster": "cluster1", "domain": "example.net", "host": "hv1", "fqdn": "hv1.example.net", "targets": ["hv1"],
        "args": args,
    });
    assert_eq!(input, wanted);
    assert!(!rig.out("evil").exists());
    assert_eq!(rig.sshd.left_behind(), [""; 0]);
    let log = rig.log(&task);
    assert!(log.contains("two  lines") && log.contains("***") && !log.contains(PLANTED), "{log}");
}

#[tokio::test]
async fn hook_nothing_is_left_on_the_host_however_it_ends() {
    let Some(rig) = Rig::new() else { return };
    let out = rig.out("").display().to_string();
    let nothing = || assert_eq!(rig.sshd.left_behind(), [""; 0]);
    let fails =
        format!("#!/bin/sh\nsleep 600 & echo $! >{out}pid\nmkdir -p a/b; touch a/b/c\necho last words >&2\nexit 3\n");
    let task = task(&fails, json!({}));
    let fault = rig.run(&task).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Operator, Reason::HookFailed));
    for part in ["the hook (own)", "cluster1/hv1", "exit status 3", "last words", "/runs/cluster1/hook-1/"] {
        assert!(fault.message.contains(part), "{fault}");
    }
    nothing();
    let pid = rig.read("pid").trim().to_owned();
    until("what it left running has ended", || gone(&pid)).await;

    let slow = on(&["hv1"], "#!/bin/sh\ntrap '' TERM\necho begun\nsleep 600\n");
    let slow = TaskSpec { time_limit: Some(Duration::from_secs(1)), ..slow };
    let fault = rig.run(&slow).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Operator, Reason::HookTimedOut), "{fault}");
    assert!(fault.message.contains("1s") && fault.message.contains("begun"), "{fault}");
    nothing();
    let fault = rig.run(&TaskSpec { idempotent: true, ..slow }).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Transient, Reason::HookTimedOut), "{fault}");
    let fault = rig.run(&on(&["hv1"], "#!/no/such/interpreter\n")).await.unwrap_err();
    assert!(fault.message.contains("exit status 12") && fault.message.contains('('), "{fault}");
    nothing();
}

/// Whether a process has ended.
fn gone(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.is_empty() || stat.contains(") Z ")
}

#[tokio::test]
async fn hook_a_cut_connection_ends_the_program_and_its_outcome_is_unknown() {
    let Some(rig) = Rig::new() else { return };
    let out = rig.out("").display().to_string();
    let program = format!("#!/bin/sh\necho $$ >{out}pid.new; mv {out}pid.new {out}pid; sleep 600\n");
    for (sudo, idempotent, drop) in
        [(false, false, false), (false, true, false), (true, false, false), (true, false, true)]
    {
        if sudo && !is_root() {
            println!("SKIPPED sudo of somebody who is not root");
            continue;
        }
        let _ = fs::remove_file(rig.out("pid"));
        let task = with(task(&program, json!({})), |hook, _| hook.sudo = sudo);
        let task = TaskSpec { idempotent, ..task };
        let begun = until("it runs", || rig.out("pid").exists());
        if drop {
            tokio::select! { _ = rig.run(&task) => panic!("it cannot end"), () = begun => {} }
        } else {
            let cut = async {
                begun.await;
                rig.sshd.cut();
            };
            let (result, ()) = tokio::join!(rig.run(&task), cut);
            let fault = result.unwrap_err();
            let class = if idempotent { FaultClass::Transient } else { FaultClass::Operator };
            assert_eq!((fault.class, fault.reason), (class, Reason::OutcomeUnknown), "{fault}");
            assert!(fault.message.contains("cluster1/hv1"), "{fault}");
        }
        let pid = rig.read("pid").trim().to_owned();
        until("the program has ended", || gone(&pid)).await;
        until("its directory has gone", || rig.sshd.left_behind().is_empty()).await;
    }
}

#[tokio::test]
async fn hook_who_goes_away_before_the_start_leaves_nothing() {
    let Some(rig) = Rig::new() else { return };
    // A file that does not end: the run stays between upload and start.
    assert!(std::process::Command::new("mkfifo").arg(rig.out("endless")).status().unwrap().success());
    let hold = OpenOptions::new().read(true).write(true).open(rig.out("endless")).unwrap();
    let begun = rig.out("begun");
    let task = with(task(&format!("#!/bin/sh\ntouch {}\n", begun.display()), json!({})), |hook, _| {
        hook.files = vec![HookFile::Path(rig.out("endless"))];
    });
    let uploaded = until("its files are there", || {
        rig.sshd.left_behind().iter().any(|dir| rig.sshd.path("tmp").join(dir).join("files/0").exists())
    });
    tokio::select! { result = rig.run(&task) => panic!("{result:?}"), () = uploaded => {} }
    until("its directory has gone", || rig.sshd.left_behind().is_empty()).await;
    drop(hold);
    assert!(!begun.exists());

    let missing = with(task, |hook, _| hook.files = vec![HookFile::Path(rig.out("missing"))]);
    let fault = rig.run(&missing).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Permanent, Reason::FileUnreadable), "{fault}");
}

#[tokio::test]
async fn hook_each_target_has_its_own_result() {
    let Some(rig) = Rig::new() else { return };
    let out = rig.out("ran").display().to_string();
    let program =
        format!("#!/bin/sh\necho $RACKWRIGHT_HOST $RACKWRIGHT_TARGETS >>{out}\n[ $RACKWRIGHT_HOST != hv2 ]\n");
    let all = on(&["hv1", "hv2", "hv3"], &program);
    let fault = rig.run(&all).await.unwrap_err();
    assert_eq!(fault.class, FaultClass::Operator);
    assert!(fault.message.contains("hv2"), "{fault}");
    assert_eq!(rig.told(), [("hv1".into(), true), ("hv2".into(), false)]);
    assert_eq!(rig.read("ran"), "hv1 hv1 hv2 hv3\nhv2 hv1 hv2 hv3\n", "the first failure stops");

    rig.told.lock().unwrap().clear();
    let on_failure = OnFailure::Continue;
    let targets = ["hv1", "hv2", "hv3", "hv4"].map(host_id).into();
    let fault = rig.run(&TaskSpec { on_failure, targets, ..all.clone() }).await.unwrap_err();
    assert_eq!(fault.class, FaultClass::Operator);
    for part in ["2 of 4", "hv2: ", "exit status 1", "hv4: ", "cannot be reached"] {
        assert!(fault.message.contains(part), "{fault}");
    }
    let results = [("hv1", true), ("hv2", false), ("hv3", true), ("hv4", false)];
    assert_eq!(rig.told(), results.map(|(name, fine)| (name.to_owned(), fine)));
    let (_, unreachable) = rig.told.lock().unwrap()[3].clone();
    assert_eq!(unreachable.unwrap_err().class, FaultClass::Transient, "nothing was begun there");

    fs::remove_file(rig.out("ran")).unwrap();
    let once = with(on(&["hv1", "hv3"], &program), |_, program| program.scope = Scope::Once);
    assert_eq!(rig.run(&once).await, Ok(Outcome::TaskDone));
    assert_eq!(rig.read("ran"), "hv1 hv1 hv3\n");
}

#[tokio::test]
async fn hook_nothing_begins_before_it_is_ready() {
    let Some(rig) = Rig::new() else { return };
    let (ran, ready) = (rig.out("ran"), rig.out("ready"));
    let task = with(on(&["hv1", "hv2"], &format!("#!/bin/sh\necho x >>{}\n", ran.display())), |_, program| {
        program.ready =
            Some(format!("test -e '{}' || {{ echo noise; echo \"the API's asleep\" >&2; exit 4; }}", ready.display()));
    });
    for on_failure in [OnFailure::Stop, OnFailure::Continue] {
        rig.told.lock().unwrap().clear();
        let fault = rig.run(&TaskSpec { on_failure, ..task.clone() }).await.unwrap_err();
        assert_eq!((fault.class, fault.reason), (FaultClass::Transient, Reason::NotReady));
        assert!(fault.message.contains("the API's asleep (exit status 4)"), "{fault}");
        assert_eq!(rig.told(), [("hv1".to_owned(), false)]);
    }
    assert!(!ran.exists());
    fs::write(&ready, "").unwrap();
    assert_eq!(rig.run(&task).await, Ok(Outcome::TaskDone));
    assert_eq!(rig.read("ran"), "x\nx\n");
}

#[tokio::test]
async fn hook_a_program_may_ask_to_be_run_later() {
    let Some(rig) = Rig::new() else { return };
    let fault = rig.run(&on(&["hv1"], "#!/bin/sh\necho busy\nexit 75\n")).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Transient, Reason::TryAgain));
    assert!(fault.message.contains("busy"), "{fault}");
    let failing = on(&["hv1"], "#!/bin/sh\nexit 1\n");
    assert_eq!(rig.run(&failing).await.unwrap_err().class, FaultClass::Operator);
    let fault = rig.run(&TaskSpec { idempotent: true, ..failing }).await.unwrap_err();
    assert_eq!(fault.class, FaultClass::Transient, "running it twice is harmless");
    let fault = rig.run(&on(&["hv4"], "#!/bin/sh\n")).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Transient, Reason::SshUnreachable));
}

#[tokio::test]
async fn hook_with_sudo_is_root_with_the_same_environment() {
    let Some(rig) = Rig::new() else { return };
    if !is_root() {
        println!("SKIPPED sudo of somebody who is not root");
        return;
    }
    let out = rig.out("").display().to_string();
    let program = format!(
        "#!/bin/sh\nmkdir sub; touch sub/x\nid -u >{out}id; printf %s \"$ARG_A\" >{out}a; echo $SUDO_USER >{out}by\n"
    );
    let task = with(task(&program, json!({ "a": "x 'y'\nz" })), |hook, _| hook.sudo = true);
    assert_eq!(rig.run(&task).await, Ok(Outcome::TaskDone));
    assert_eq!((rig.read("id"), rig.read("a")), ("0\n".into(), "x 'y'\nz".into()));
    assert_eq!(rig.read("by"), "root\n");
    assert_eq!(rig.sshd.left_behind(), [""; 0]);

    rig.sshd.program("sudo", "#!/bin/sh\necho 'a password is required' >&2\nexit 1\n");
    let fault = rig.run(&task).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Permanent, Reason::SudoRefused));
    assert!(fault.message.contains("a password is required"), "{fault}");
}

#[tokio::test]
async fn hook_that_says_too_much_is_read_to_its_end() {
    let Some(rig) = Rig::new() else { return };
    let task =
        on(&["hv1"], "#!/bin/sh\nhead -c 100000000 /dev/zero | tr '\\0' 'x' | fold -w 100\necho the end >&2\nexit 1\n");
    // As long as a busy machine needs.
    let task = TaskSpec { time_limit: Some(Duration::from_secs(900)), ..task };
    let fault = rig.run(&task).await.unwrap_err();
    assert!(fault.message.contains("the end") && fault.message.len() < 2000, "{fault}");
    let size = rig.log(&task).len();
    assert!((8 << 20..20 << 20).contains(&size), "{size}");
}
