//! The status branch when a daemon dies in the middle of a push.

use std::os::unix::fs::PermissionsExt;

use crate::rig::e2e::{Rig, hasty};

/// Makes the remote hold the first push of status until it is let go.
fn hold_first_push(rig: &Rig, hook: &str) {
    let (arrived, go) = (rig.stage.dir.join("arrived"), rig.stage.dir.join("go"));
    let script = format!(
        "#!/bin/sh\n\
         grep -q refs/heads/rackwright/status || exit 0\n\
         [ -e {arrived} ] && exit 0\n\
         : >{arrived}\n\
         while [ ! -e {go} ]; do sleep 0.05; done\n",
        arrived = arrived.display(),
        go = go.display(),
    );
    let path = rig.stage.repository().join("hooks").join(hook);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Kills the daemon while the remote holds its push. `early`: before the next daemon is ready, the push goes on.
async fn killed_in_a_push(hook: &str, early: bool) {
    let mut rig = Rig::new(2).await;
    hold_first_push(&rig, hook);
    rig.start(&["--first-run"]).await;
    rig.machines(hasty(), |_| {}).await;
    rig.push("Define the cluster").await;
    let (arrived, go) = (rig.stage.dir.join("arrived"), rig.stage.dir.join("go"));
    rig.until("a push of status is held", async || arrived.exists()).await;
    rig.kill().await;
    if early {
        std::fs::write(&go, "").unwrap();
    }
    rig.start(&[]).await;
    std::fs::write(&go, "").unwrap();
    rig.until_completed().await;
    assert_eq!(rig.wipes(), [1, 1]);
    let history = rig.check_history().await;
    let first = history.iter().filter(|commit| commit.transitions.iter().any(|(_, from, _)| from == "new"));
    assert_eq!(first.count(), 1, "{history:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_a_push_that_arrived_although_its_daemon_was_killed_is_not_made_again() {
    killed_in_a_push("post-receive", true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_a_push_that_arrives_after_its_daemon_was_replaced_tells_nothing_twice() {
    killed_in_a_push("pre-receive", false).await;
}
