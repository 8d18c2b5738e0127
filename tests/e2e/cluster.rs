//! From the first boot to `completed`, with real parts: sshd, Ansible, sudo, git over SSH, HTTP.

use crate::rig::e2e_cluster::{ClusterRig, HOSTS, PLANTED, only_hooks, sh, within};

/// What PVC's command line must have been asked on each machine, an argument a word.
const ASKED: [(&str, &str); 8] = [
    ("hv1", "pvc storage osd create-db-vg --yes hv1 detect:INTEL:490GB:0"),
    ("hv1", "pvc storage osd add --yes hv1 /dev/sdb --weight 1 --osd-count 2 --ext-db-ratio 0.05"),
    ("hv1", "pvc storage pool add vms 128 --replcfg copies=3,mincopies=2"),
    ("hv1", "pvc network add 100 --description upstream --type bridged"),
    (
        "hv1",
        "pvc network add 10000 --description tenants --type managed --domain tenants.example.net --dns-server 192.0.2.53 \
         --ipnet 198.51.100.0/24 --gateway 198.51.100.1 --dhcp --dhcp-start 198.51.100.100 --dhcp-end 198.51.100.199",
    ),
    ("hv2", "pvc storage osd create-db-vg --yes hv2 detect:INTEL:490GB:0"),
    ("hv3", "pvc storage osd create-db-vg --yes hv3 detect:INTEL:490GB:0"),
    ("hv3", "pvc storage osd add --yes hv3 /dev/sdb --weight 1 --osd-count 2 --ext-db-ratio 0.05"),
];

#[test]
fn three_machines_go_from_their_first_boot_to_completed() {
    within("e2e::cluster::three_machines_go_from_their_first_boot_to_completed", async {
        let mut rig = ClusterRig::new(|_| {}).await;
        rig.until("hooks wait for the cluster's API", |rig| rig.condition().2.contains("API")).await;
        assert_eq!(rig.lines("log/pvc"), [], "nothing was asked of a cluster that is not there yet");
        rig.api_is_up();
        rig.until("all is completed", ClusterRig::is_completed).await;
        configured_once(&rig);
        hooks_ran_once(&rig);
        let subjects = rig.git("log --format=%an:%s main");
        assert!(subjects.lines().next().unwrap().contains("c1"), "{subjects}");
        let key = rig.git("show main:files/c1/ceph/ceph.client.admin.keyring");
        assert_eq!(key.trim(), rig.of("hv3", "etc/ceph.key").trim(), "what the playbook made is on the watched branch");
        assert_eq!(rig.git("diff --name-only main~1 main").trim(), "files/c1/ceph/ceph.client.admin.keyring");
        rig.until("people are told", |rig| rig.notices().iter().any(|notice| notice.contains("completed"))).await;
        forge_was_told(&mut rig).await;
        for name in HOSTS {
            assert!(rig.of(name, "log/systemctl").contains("poweroff"), "{name} was not switched off");
        }
        rig.no_secret_leaked();
    });
}

/// Ansible ran once, with a boolean and with the first coordinator first, and everybody was restarted by it.
fn configured_once(rig: &ClusterRig) {
    let order = "hv3.c1.example.net,hv2.c1.example.net,hv1.c1.example.net bool True";
    let expected: Vec<_> = HOSTS.iter().map(|name| (*name, order.to_owned())).collect();
    assert_eq!(rig.lines("log/playbook"), expected);
    assert_eq!(rig.lines("log/bootstrap"), [("hv3", "bootstrapped".to_owned())]);
    for name in HOSTS {
        let motd = rig.of(name, "etc/motd");
        assert_eq!(motd, format!("{name} in the green site, password {}\n", PLANTED[0]));
        assert_eq!(rig.of(name, "machine.log").matches("signal: reboot").count(), 1);
        assert_eq!(rig.of(name, "etc/ceph.readme"), "Kept in the repository.\n");
    }
}

fn hooks_ran_once(rig: &ClusterRig) {
    let words = |(name, line): (&'static str, String)| (name, line.replace(' ', "~").replace('\t', " "));
    let asked: Vec<_> = rig.lines("log/pvc").into_iter().map(words).collect();
    let expected: Vec<_> = ASKED.iter().map(|(name, line)| (*name, (*line).to_owned())).collect();
    assert_eq!(asked, expected);
    let script = "root\ttwo words\t$(touch /tmp/injected)\tit's\t".to_owned();
    assert_eq!(rig.lines("log/script"), [("hv2", script)]);
    for name in HOSTS {
        assert_eq!(rig.of(name, "srv/deploy/notes.txt"), "Keep these notes.\n");
        let left: Vec<_> =
            std::fs::read_dir(rig.dir.join(name).join("tmp")).unwrap().map(|it| it.unwrap().path()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
    let told = rig.sink.posts("/team");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].method.as_str(), told[0].body.as_str()), ("POST", r#"{"text":"the green site is up"}"#));
}

async fn forge_was_told(rig: &mut ClusterRig) {
    let head = rig.git("rev-parse main").trim().to_owned();
    let path = format!("/api/v1/repos/ada/infra/statuses/{head}");
    let success = |rig: &ClusterRig| {
        let posts = rig.sink.posts(&path);
        posts.last().is_some_and(|post| post.body.contains("success") && post.body.contains("rackwright/c1"))
    };
    rig.until("the forge is told of the newest revision", success).await;
    assert!(rig.sink.posts(&path).iter().all(|post| post.token.contains(PLANTED[2])));
    let first = rig.git("rev-list --max-parents=0 main").trim().to_owned();
    let posts = rig.sink.posts(&format!("/api/v1/repos/ada/infra/statuses/{first}"));
    let pending = |body: &str| body.contains("pending") && body.contains("rackwright/c1");
    assert!(posts.iter().any(|post| pending(&post.body)), "{posts:?}");
}

#[test]
fn three_hundred_check_ins_at_once_start_ansible_once() {
    within("e2e::cluster::three_hundred_check_ins_at_once_start_ansible_once", async {
        let mut rig = ClusterRig::new(|work| {
            only_hooks(work, "");
            let stand_in = "#!/bin/sh\necho started >>\"$(dirname \"$0\")/starts\"\n";
            std::fs::write(work.join("../playbook"), stand_in).unwrap();
            sh(work, "chmod 755 ../playbook && touch ../hold");
            sh(work, "sed -i \"s|ansible: {|ansible: { playbook: $(realpath ../playbook),|\" ../rackwright.yaml");
            sh(
                work,
                "sed -i 's/run: 1,/run: 1, ansible: { playbook: pvc.yml, reboots: no },/' group_vars/c1/bootstrap.yml",
            );
        })
        .await;
        let installed = |rig: &ClusterRig| {
            let status = rig.status();
            HOSTS.iter().all(|name| {
                let host = status.as_ref().and_then(|status| status.host(&format!("c1/{name}")));
                host.is_some_and(|host| host.0.state.as_str() == "installed")
            })
        };
        rig.until("all are installed", installed).await;
        HOSTS.iter().for_each(|name| rig.signal(name, "burst"));
        rig.until("all is completed", ClusterRig::is_completed).await;
        let heard = rig.logged().matches("action=\"system-boot_initial\"").count();
        assert!(heard >= 30, "{heard} check-ins were heard");
        assert_eq!(std::fs::read_to_string(rig.dir.join("starts")).unwrap(), "started\n");
    });
}

#[test]
fn a_playbook_that_fails_waits_for_a_person() {
    within("e2e::cluster::a_playbook_that_fails_waits_for_a_person", async {
        let mut rig = ClusterRig::new(|work| {
            only_hooks(work, "");
            sh(work, "echo 'stumbles: hv2' >>group_vars/c1/base.yml");
        })
        .await;
        rig.until("the cluster waits for a person", |rig| rig.condition().0 == "Stalled").await;
        let (_, reason, message) = rig.condition();
        assert_eq!(reason, "AnsibleFailed", "{message}");
        for word in ["hv2", "stumble where a test wants it", "the disk is on fire", "run"] {
            assert!(message.contains(word), "{word} is not in {message}");
        }
        rig.until("people are told", |rig| rig.notices().iter().any(|it| it.contains("the disk is on fire"))).await;
        rig.push("sed -i '/^stumbles/d' group_vars/c1/base.yml");
        let head = rig.git("rev-parse main").trim().to_owned();
        let taken = |rig: &ClusterRig| {
            rig.status()
                .and_then(|it| it.cluster("c1"))
                .is_some_and(|it| it.revision.is_some_and(|it| it.as_str() == head))
        };
        rig.until("the mended revision is in force", taken).await;
        assert_eq!(rig.condition().1, "AnsibleFailed", "it does not run again by itself");
        rig.push("sed -i 's/run: 1,/run: 2,/' group_vars/c1/bootstrap.yml");
        // The roles do not restart a host that they have begun with before: a person does.
        rig.until("a restart is waited for", |rig| rig.condition().2.contains("restart of hv1, hv2, hv3")).await;
        HOSTS.iter().for_each(|name| rig.signal(name, "reboot"));
        rig.until("all is completed", ClusterRig::is_completed).await;
        let boots: Vec<_> = rig.lines("log/bootstrap").into_iter().map(|(name, _)| name).collect();
        assert_eq!(boots, ["hv3", "hv3"], "both runs were made for a new cluster");
    });
}
