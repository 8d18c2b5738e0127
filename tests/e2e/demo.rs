//! `rackwright demo` as a stranger runs it.

use std::process::Stdio;
use std::time::Duration;

use tokio::time::timeout;

use crate::rig::e2e::program;

/// Runs a demo; gives what it printed.
async fn demo(args: &[&str]) -> String {
    let mut command = program();
    command.arg("demo").args(args).env("NO_COLOR", "1").stdout(Stdio::piped()).stderr(Stdio::piped());
    let ended = timeout(Duration::from_secs(120), command.output()).await.expect("it ends by itself").unwrap();
    let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert_eq!(ended.status.code(), Some(0), "{out}\n{err}");
    out.into_owned()
}

/// The lines of the status branch's log that are about this host: from, to.
fn steps<'a>(out: &'a str, host: &str) -> Vec<(&'a str, &'a str)> {
    let (_, log) = out.split_once("The status branch").expect("the log");
    let words = log.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let of = |words: Vec<&'a str>| match words[..] {
        [_, subject, from, "->", to] if subject == host => Some((from, to)),
        _ => None,
    };
    words.filter_map(of).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_the_demo_ends_by_itself_and_shows_one_line_for_each_step() {
    let out = demo(&["--hosts", "3", "--clusters", "1"]).await;
    assert!(out.contains("3 of 3 hosts completed"), "{out}");
    for host in 1..=3 {
        let steps = steps(&out, &format!("cluster1/hv{host}"));
        assert_eq!((steps[0].0, steps[steps.len() - 1].1), ("new", "completed"), "{out}");
        assert!(steps.windows(2).all(|pair| pair[0].1 == pair[1].0), "{steps:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_the_demo_completes_although_things_go_wrong() {
    let faults = ["--fault", "lost-callback", "--fault", "forgets-boot-override", "--fault", "pxe-first"];
    let args = [&["--hosts", "4", "--clusters", "2"], &faults[..]].concat();
    let out = demo(&args).await;
    assert!(out.contains("4 of 4 hosts completed"), "{out}");
}
