//! Programs that are streamed: everything they say arrives, nothing they started stays.

use std::path::Path;
use std::time::Duration;

use rackwright::drive::log::Stream;
use rackwright::drive::process::{Mark, ProcessError, Run, mark};

/// What a shell script said, and how it ended.
async fn run(dir: &Path, script: &str, limit: Duration) -> (Result<Option<i32>, ProcessError>, String, String) {
    let mark = Mark::begin(&dir.join("task")).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let run = Run::new("sh").args(["-c", script]).cwd(dir).time_limit(limit);
    let result = run
        .stream(&mark, |stream, piece| match stream {
            Stream::Out => out.extend_from_slice(piece),
            Stream::Err => err.extend_from_slice(piece),
        })
        .await;
    (result, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

/// Whether a process runs (one that waits to be reaped does not).
fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

fn none_runs(file: &Path, count: usize) {
    let pids = std::fs::read_to_string(file).unwrap();
    assert_eq!(pids.lines().count(), count, "{pids}");
    for pid in pids.lines() {
        assert!(!runs(pid), "{pid} is still there");
    }
}

/// Starts three that stay: in the group, out of it, and out of it with the output held open, each with a child.
const LEAVES: &str = "
sh -c 'echo $$ >> pids; sleep 1000' &
setsid sh -c 'echo $$ >> pids; sleep 1000' > /dev/null 2>&1 &
setsid sh -c 'trap \"\" TERM HUP; echo $$ >> pids; (echo $$ > /dev/null; sleep 1000); sleep 1000' &
until [ \"$(wc -l < pids 2>/dev/null)\" = 3 ]; do :; done
";

#[tokio::test]
async fn everything_that_is_said_arrives() {
    let dir = tempfile::tempdir().unwrap();
    let script = "echo one; echo two >&2; seq 1 100000; echo $RACKWRIGHT_RUN | wc -c; ls -l /proc/self/fd | grep -c ours; exit 7";
    let _open = std::fs::File::create(dir.path().join("ours")).unwrap();
    let (result, out, err) = run(dir.path(), script, Duration::from_secs(60)).await;
    assert_eq!((result.unwrap(), err.as_str()), (Some(7), "two\n"));
    assert!(out.starts_with("one\n1\n2\n"), "{}", &out[..50]);
    // The mark has sixteen digits; none of our files is open in it.
    assert!(out.ends_with("100000\n17\n0\n"), "{}", &out[out.len() - 50..]);
    assert!(!dir.path().join("task/running").exists());
}

#[tokio::test]
async fn nothing_stays_after_a_good_end() {
    let dir = tempfile::tempdir().unwrap();
    let (result, ..) = run(dir.path(), &format!("{LEAVES} exit 0"), Duration::from_secs(60)).await;
    assert_eq!(result.unwrap(), Some(0));
    none_runs(&dir.path().join("pids"), 3);
}

#[tokio::test]
async fn nothing_stays_after_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!("trap 'echo last words; exit 1' TERM; {LEAVES} echo waiting; while :; do sleep 0.1; done");
    let (result, out, _) = run(dir.path(), &script, Duration::from_secs(3)).await;
    assert!(matches!(result, Err(ProcessError::TimedOut(..))), "{result:?}");
    assert_eq!(out, "waiting\nlast words\n");
    none_runs(&dir.path().join("pids"), 3);
}

#[tokio::test]
async fn nothing_stays_when_nobody_waits_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!("{LEAVES} echo $$ >> pids; echo all; sleep 1000");
    let mark = Mark::begin(&dir.path().join("task")).unwrap();
    let (sender, mut all) = tokio::sync::mpsc::unbounded_channel();
    let run = Run::new("sh").args(["-c", &script]).cwd(dir.path());
    let run = run.stream(&mark, move |_, piece| sender.send(piece.to_vec()).unwrap());
    tokio::select! { _ = run => panic!("it cannot end"), Some(_) = all.recv() => {} }
    drop(mark);
    // The leader is killed with its group, and reaped by the runtime.
    let gone = async {
        while std::fs::read_to_string(dir.path().join("pids")).unwrap().lines().any(runs) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("everything is gone");
    none_runs(&dir.path().join("pids"), 4);
}

#[tokio::test]
async fn a_program_that_multiplies_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    // Each begins two more, out of every group, down to the sixth generation.
    let next = "echo $$ >> pids; [ $1 = 0 ] || for i in 1 2; do setsid sh ./next $(($1 - 1)) & done; sleep 1000";
    std::fs::write(dir.path().join("next"), next).unwrap();
    let script = "setsid sh ./next 5 & until [ \"$(wc -l < pids 2>/dev/null)\" -ge 20 ]; do :; done 2> /dev/null";
    let (result, ..) = run(dir.path(), script, Duration::from_secs(60)).await;
    assert_eq!(result.unwrap(), Some(0));
    let pids = std::fs::read_to_string(dir.path().join("pids")).unwrap();
    assert!(pids.lines().count() >= 20);
    none_runs(&dir.path().join("pids"), pids.lines().count());
}

#[test]
fn what_a_killed_daemon_left_behind_is_ended_at_the_next_start() {
    let state = tempfile::tempdir().unwrap();
    let mark = Mark::begin(&state.path().join("runs/c1/ansible")).unwrap();
    let file = state.path().join("runs/c1/ansible/running");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), mark.id());
    let start = |id: &str| {
        let child =
            std::process::Command::new("setsid").args(["sleep", "1000"]).env(mark::VARIABLE, id).spawn().unwrap();
        // While `setsid` is replaced by `sleep` its environment cannot be read.
        while std::fs::read_to_string(format!("/proc/{}/comm", child.id())).unwrap() != "sleep\n" {
            std::thread::yield_now();
        }
        child
    };
    let (mut left, mut other) = (start(mark.id()), start("0123456789abcdef"));
    // As when the daemon is killed: nothing is dropped.
    std::mem::forget(mark);
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| done.send(left.wait().unwrap()).unwrap());
        mark::sweep_left(state.path());
        let status = ended.recv_timeout(Duration::from_secs(10)).expect("it is ended");
        assert!(!status.success());
    });
    assert!(!file.exists());
    assert_eq!(other.try_wait().unwrap(), None, "nobody else's");
    other.kill().unwrap();
    other.wait().unwrap();
}
