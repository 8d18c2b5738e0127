//! A test in namespaces of its own: it runs itself once more inside them. When that process ends, however it ends, the
//! kernel removes everything that it started or made.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// Set in the process that is inside the namespaces.
const INSIDE: &str = "RACKWRIGHT_INSIDE";

/// Whether this is the process inside.
pub fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Plays a scenario in a network, a process and a mount namespace of its own: this test, run again inside them.
pub fn alone(test: &str, limit: Duration, scenario: impl Future<Output = ()>) {
    if is_inside() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        return runtime.block_on(scenario);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut command = Command::new("unshare");
        command.args(["--net", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--"]);
        command.arg(std::env::current_exe().unwrap()).args(["--exact", test, "--nocapture", "--test-threads=1"]);
        command.env(INSIDE, "1").stdin(Stdio::null()).kill_on_drop(true);
        let ended = timeout(limit, command.output()).await.expect("the scenario ends").unwrap();
        let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
        println!("{out}{err}");
        assert!(ended.status.success(), "the scenario failed");
        assert!(out.contains("1 passed"), "no test is called {test}");
    });
}
