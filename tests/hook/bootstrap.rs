//! Hooks on the bootstrap host, and the command that they make requests with.

use std::fs;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rackwright::drive::hook;
use rackwright::model::Reason;
use rackwright::model::*;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::http::out::Sink;
use crate::rig::hook::{Rig, on, task, with};

const PLANTED: &str = "planted-Geheimnis-4712";

fn here(task: TaskSpec, scope: Scope) -> TaskSpec {
    with(task, |_, program| {
        program.place = Place::Bootstrap;
        program.scope = scope;
    })
}

fn left(rig: &Rig) -> usize {
    fs::read_dir(rig.settings.state_dir.join("hooks")).map_or(0, Iterator::count)
}

#[tokio::test]
async fn hook_on_the_bootstrap_host_gets_the_same_and_little_else() {
    let Some(rig) = Rig::new() else { return };
    let out = rig.out("").display().to_string();
    let program = format!(
        "#!/bin/sh\nset -eu\nenv | cut -d= -f1 | sort | grep -v -e ^PWD -e ^SHLVL -e ^_ -e ^OLDPWD -e ^HOME >{out}env\n\
         cat >{out}stdin; cmp -s {out}stdin input.json; printf %s \"$ARG_A\" >{out}a; cat files/0 files/1 >{out}files\n\
         stat -c %a . run input.json files/0 >{out}modes; \"$RACKWRIGHT\" --version >{out}version\n\
         echo \"<$RACKWRIGHT_HOST> $RACKWRIGHT_TARGETS\" >{out}host; echo said {PLANTED}\n"
    );
    fs::write(rig.out("local"), "two").unwrap();
    let task = with(task(&program, json!({ "a": "it's $(x)\n" })), |hook, _| {
        hook.files = vec![HookFile::Bytes(Arc::from(b"one ".as_slice())), HookFile::Path(rig.out("local"))];
        hook.secrets = vec![Secret::new(PLANTED)];
    });
    let task = here(task, Scope::None);
    assert_eq!(rig.run(&task).await, Ok(Outcome::TaskDone));
    let mut env: Vec<_> = rig.read("env").lines().map(str::to_owned).collect();
    env.retain(|name| !name.is_empty() && name != "RACKWRIGHT_RUN"); // by which what it leaves running is found
    let names = ["ARG_A", "LANG", "LC_ALL", "PATH", "RACKWRIGHT", "RACKWRIGHT_CLUSTER", "RACKWRIGHT_FQDN"];
    assert_eq!(env, [&names[..], &["RACKWRIGHT_HOST", "RACKWRIGHT_TARGETS"]].concat());
    assert_eq!((rig.read("a"), rig.read("files")), ("it's $(x)\n".into(), "one two".into()));
    assert_eq!(rig.read("modes"), "700\n700\n600\n600\n");
    assert_eq!(rig.read("host"), "<> hv1\n");
    assert!(rig.read("version").starts_with("rackwright "));
    assert_eq!(left(&rig), 0);
    let log = rig.log(&task);
    assert!(log.contains("said ***") && !log.contains(PLANTED), "{log}");
}

#[tokio::test]
async fn hook_on_the_bootstrap_host_leaves_nothing_however_it_ends() {
    let Some(rig) = Rig::new() else { return };
    let each = here(on(&["hv1", "hv2"], "#!/bin/sh\necho no >&2\n[ $RACKWRIGHT_HOST = hv1 ]\n"), Scope::Each);
    let fault = rig.run(&each).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Operator, Reason::HookFailed));
    assert!(fault.message.contains("on the bootstrap host: no"), "{fault}");
    assert_eq!(rig.told(), [("hv1".to_owned(), true), ("hv2".to_owned(), false)]);
    assert_eq!(left(&rig), 0);

    let slow = TaskSpec { time_limit: Some(Duration::from_millis(300)), ..on(&["hv1"], "#!/bin/sh\nsleep 600\n") };
    let fault = rig.run(&here(slow, Scope::Once)).await.unwrap_err();
    assert_eq!(fault.reason, Reason::HookTimedOut, "{fault}");
    let fault = rig.run(&here(on(&["hv1"], "#!/no/such/thing\n"), Scope::Once)).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Permanent, Reason::HookNotStarted), "{fault}");
    let fault = rig.run(&here(on(&["hv1"], "#!/bin/sh\nexit 75\n"), Scope::Once)).await.unwrap_err();
    assert_eq!(fault.reason, Reason::TryAgain, "{fault}");
    assert_eq!(left(&rig), 0);

    let dir = rig.settings.state_dir.join("hooks/left-over");
    fs::create_dir_all(&dir).unwrap();
    hook::clear(&rig.settings.state_dir);
    assert!(!dir.exists());
}

#[tokio::test]
async fn hook_on_the_bootstrap_host_is_heard_while_it_runs_and_leaves_no_child() {
    let Some(rig) = Rig::new() else { return };
    let out = rig.out("").display().to_string();
    let program = format!(
        "#!/bin/sh\nsetsid sleep 600 >/dev/null 2>&1 &\necho $! >{out}child\necho early\n\
         while [ ! -e {out}go ]; do sleep 0.05; done\n"
    );
    let task = here(task(&program, json!({})), Scope::None);
    let log = rackwright::drive::task::dir(&rig.settings.state_dir, &rig.cluster.name, &task.id);
    let heard = async {
        while !log.is_dir() || !rig.log(&task).contains("early") {
            tokio::task::yield_now().await;
        }
        assert!(!rig.log(&task).contains("done"), "it still runs");
        fs::write(rig.out("go"), "").unwrap();
    };
    let both = async { tokio::join!(rig.run(&task), heard).0 };
    assert_eq!(tokio::time::timeout(Duration::from_secs(20), both).await.unwrap(), Ok(Outcome::TaskDone));
    let stat = fs::read_to_string(format!("/proc/{}/stat", rig.read("child").trim())).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "its child is still there: {stat}");
}

/// Runs `rackwright request`; gives its exit status and all that it said.
async fn request(input: &str) -> (Option<i32>, String) {
    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_rackwright"))
        .arg("request")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[tokio::test]
async fn hook_requests_are_made_and_judged() {
    let sink = Sink::start().await;
    let input = |path: &str| json!({ "args": { "uri": format!("{}/{path}/{PLANTED}", sink.base), "action": "post", "body": { "a": [1] } } });
    assert_eq!(request(&input("200").to_string()).await, (Some(0), String::new()));
    let (method, path, kind, body) = sink.seen()[0].clone();
    assert_eq!((method.as_str(), kind.as_str()), ("POST", "application/json"));
    assert_eq!((path, body), (format!("200/{PLANTED}"), json!({ "a": [1] })));
    for (path, status) in [("503", 75), ("429", 75), ("404", 1)] {
        let (code, said) = request(&input(path).to_string()).await;
        assert_eq!(code, Some(status), "{said}");
        assert!(said.contains(path) && !said.contains(PLANTED), "{said}");
    }
    let refused = json!({ "args": { "uri": format!("http://127.0.0.1:1/{PLANTED}"), "action": "PUT" } });
    let bad = [
        (refused.to_string(), 75),
        (json!({ "args": { "uri": format!("ftp://{PLANTED}@x/"), "action": "PUT" } }).to_string(), 1),
        (json!({ "args": { "uri": "http://127.0.0.1:1/", "action": "NO SUCH" } }).to_string(), 1),
        (json!({ "args": { "uri": [PLANTED] } }).to_string(), 1),
        (format!("{{\"{PLANTED}"), 1),
        (String::new(), 1),
    ];
    for (input, status) in bad {
        let (code, said) = request(&input).await;
        assert_eq!(code, Some(status), "{said}");
        assert!(!said.is_empty() && !said.contains(PLANTED), "{said}");
    }
}

#[tokio::test]
async fn hook_of_type_webhook_makes_its_request() {
    let Some(rig) = Rig::new() else { return };
    let sink = Sink::start().await;
    let webhook = |path: &str, body: Value| {
        let uri = format!("{}/{path}/{PLANTED}", sink.base);
        let task = task(
            "#!/bin/sh\nset -eu\nexec \"$RACKWRIGHT\" request\n",
            json!({ "uri": uri, "action": "PUT", "body": body }),
        );
        here(task, Scope::None)
    };
    assert_eq!(rig.run(&webhook("200", json!({ "text": "done" }))).await, Ok(Outcome::TaskDone));
    let seen = sink.seen();
    assert_eq!((seen[0].0.as_str(), &seen[0].3), ("PUT", &json!({ "text": "done" })));
    let fault = rig.run(&webhook("500", Value::Null)).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Transient, Reason::TryAgain));
    assert!(fault.message.contains("500") && !fault.message.contains(PLANTED), "{fault}");
    let fault = rig.run(&webhook("404", Value::Null)).await.unwrap_err();
    assert_eq!(fault.class, FaultClass::Operator);
}
