//! The daemon killed at the worst moments between the first boot and `completed`.

use std::path::Path;

use crate::rig::e2e_cluster::{ClusterRig, HOSTS, only_hooks, sh, within};

/// A hook of the site's own that runs beside the daemon, counts its runs, and then does `last`.
fn own_hook(work: &Path, last: &str) {
    let dir = work.join("hooks/counted");
    std::fs::create_dir_all(&dir).unwrap();
    let about = "name: counted\ndescription: Counts its runs.\nscope: each\nrun_on: bootstrap\nretry: no\nargs:\n  file: { type: line, required: yes, description: Where. }\n";
    std::fs::write(dir.join("hook.yaml"), about).unwrap();
    let run = format!("#!/bin/sh\nset -eu\necho \"$RACKWRIGHT_HOST\" >>\"$ARG_FILE\"\n{last}\n");
    std::fs::write(dir.join("run"), run).unwrap();
    sh(work, "chmod 755 hooks/counted/run");
    let file = work.parent().unwrap().join("counted");
    only_hooks(
        work,
        &format!("hooks:\n  - {{ name: counted, type: counted, args: {{ file: {} }} }}\n", file.display()),
    );
}

const RAISE: &str = "sed -i 's/run: 1,/run: 2,/' group_vars/c1/bootstrap.yml";

#[test]
fn killed_during_the_playbook() {
    within("e2e::cluster_kill::killed_during_the_playbook", async {
        let mut rig = ClusterRig::new(|work| {
            only_hooks(work, "");
            sh(work, "echo 'slow_playbook: yes' >>group_vars/c1/base.yml");
        })
        .await;
        rig.until("the playbook has made keys", |rig| !rig.lines("log/bootstrap").is_empty()).await;
        rig.kill().await;
        rig.start().await;
        rig.until("the cluster waits for a person", |rig| rig.condition().1 == "Interrupted").await;
        let orphans = sh(Path::new("/"), "pgrep -a -f '[a]nsible-playbook' || true");
        assert_eq!(orphans, "", "nothing goes on beside the new daemon");
        let explained = rig.explain("c1/hv1");
        assert!(explained.contains("ansible") && explained.contains("run"), "{explained}");
        assert_eq!(rig.lines("log/bootstrap").len(), 1, "it does not run again by itself");
        HOSTS.iter().for_each(|name| std::fs::write(rig.dir.join(name).join("tmp/go-on"), "").unwrap());
        rig.push(RAISE);
        rig.until("a restart is waited for", |rig| rig.condition().2.contains("restart of hv1, hv2, hv3")).await;
        HOSTS.iter().for_each(|name| rig.signal(name, "reboot"));
        rig.until("all is completed", ClusterRig::is_completed).await;
        assert_eq!(rig.lines("log/bootstrap").len(), 2);
    });
}

#[test]
fn killed_between_a_hooks_end_and_its_record() {
    within("e2e::cluster_kill::killed_between_a_hooks_end_and_its_record", async {
        // The second target's run is the last thing that the daemon sees.
        let last = "[ \"$RACKWRIGHT_HOST\" != hv2 ] || [ -e \"$ARG_FILE.killed\" ] || { : >\"$ARG_FILE.killed\"; pkill -9 -x rackwright; }";
        let mut rig = ClusterRig::new(|work| own_hook(work, last)).await;
        let killed = rig.dir.join("counted.killed");
        rig.until_killed("the hook has ended with the daemon", |_| killed.exists()).await;
        rig.start().await;
        rig.until("the cluster waits for a person", |rig| rig.condition().1 == "Interrupted").await;
        let counted = || std::fs::read_to_string(rig.dir.join("counted")).unwrap();
        assert_eq!(counted(), "hv1\nhv2\n", "nothing runs again by itself");
        assert!(rig.explain("c1/hv2").contains("counted"), "{}", rig.explain("c1/hv2"));
        rig.push(RAISE);
        rig.until("all is completed", ClusterRig::is_completed).await;
        let counted = std::fs::read_to_string(rig.dir.join("counted")).unwrap();
        assert_eq!(counted, "hv1\nhv2\nhv2\nhv3\n", "what was done for hv1 is not done again");
    });
}

#[test]
fn killed_during_a_hook() {
    within("e2e::cluster_kill::killed_during_a_hook", async {
        let script = "hooks:
  - name: slow
    type: script
    target: [hv1, hv2]
    args:
      script: |
        #!/bin/sh
        echo begun >>\"$(cat /etc/machine-root)/log/script\"
        while [ ! -e /tmp/go-on ]; do sleep 0.1; done
";
        let mut rig = ClusterRig::new(|work| only_hooks(work, script)).await;
        for name in HOSTS {
            rig.until("the machine has its files", |rig| rig.dir.join(name).join("log").exists()).await;
            sh(&rig.dir.join(name).join("log"), "touch script && chmod 666 script");
        }
        rig.until("the hook is at work", |rig| !rig.lines("log/script").is_empty()).await;
        rig.kill().await;
        rig.start().await;
        rig.until("the cluster waits for a person", |rig| rig.condition().1 == "Interrupted").await;
        assert_eq!(rig.lines("log/script").len(), 1);
        HOSTS.iter().for_each(|name| std::fs::write(rig.dir.join(name).join("tmp/go-on"), "").unwrap());
        rig.push(RAISE);
        rig.until("all is completed", ClusterRig::is_completed).await;
        let begun: Vec<_> = rig.lines("log/script").into_iter().map(|(name, _)| name).collect();
        assert_eq!(begun, ["hv1", "hv1", "hv2"]);
    });
}

#[test]
fn killed_during_the_push_of_generated_files() {
    within("e2e::cluster_kill::killed_during_the_push_of_generated_files", async {
        let mut rig = ClusterRig::new(|work| only_hooks(work, "")).await;
        // The push arrives, and nobody is left to hear of it.
        let hook = format!(
            "#!/bin/sh\nwhile read -r old new ref; do\n  [ \"$ref\" = refs/heads/main ] || continue\n  \
             [ -e {0}/killed ] || {{ : >{0}/killed; pkill -9 -x rackwright; }}\ndone\n",
            rig.dir.display()
        );
        let path = rig.dir.join("remote.git/hooks/pre-receive");
        std::fs::write(&path, hook).unwrap();
        sh(&rig.dir, "chmod 755 remote.git/hooks/pre-receive");
        let killed = rig.dir.join("killed");
        rig.until_killed("the files are being pushed", |_| killed.exists()).await;
        rig.start().await;
        rig.until("all is completed", ClusterRig::is_completed).await;
        let commits = rig.git("log --format=%s main -- files/c1/ceph/ceph.client.admin.keyring");
        assert_eq!(commits.lines().count(), 1, "{commits}");
        assert_eq!(rig.lines("log/bootstrap").len(), 1);
        let kept = rig.dir.join("state/generated/c1");
        assert!(!kept.exists() || std::fs::read_dir(kept).unwrap().next().is_none(), "kept for nothing");
    });
}
