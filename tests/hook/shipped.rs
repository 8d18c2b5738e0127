//! All seven shipped hooks over a real `sshd`, from their YAML to the arguments of a `pvc` that writes them down.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rackwright::model::Reason;
use rackwright::model::*;
use serde_json::json;

use crate::http::out::Sink;
use crate::rig::hook::Rig;
use crate::rig::repo::{c1, file, valid};

const BOOTSTRAP: &str = r#"
bootstrap:
  "52:54:00:aa:00:01": { node: { hostname: hv1 }, config: { system_disks: [/dev/sda] }, bmc: { protocol: none } }
  "52:54:00:aa:00:02": { node: { hostname: hv2 }, config: { system_disks: [/dev/sda] }, bmc: { protocol: none } }
  "52:54:00:aa:00:03": { node: { hostname: hv3 }, config: { system_disks: [/dev/sda] }, bmc: { protocol: none } }
cluster: { ansible: none }
hooks:
- { name: a, type: osddb, target: [hv1, hv2], args: { disk: "detect:NVME:400GB:0" } }
- { name: b, type: osd, args: { disk: "/dev/disk/by-path/x", weight: 0.5, ext_db: yes } }
- { name: c, type: pool, args: { name: "a'b$(touch${IFS}x)", pgs: 128, tier: ssd } }
- { name: d, type: network, target: hv2, args: { vni: 7, description: d, type: bridged, mtu: 9000 } }
- name: e
  type: copy
  target: [hv3]
  args:
    source: [files/motd, OUT/local]
    destination: ["OUT/it's motd", OUT/second]
    mode: ["0640", 0o4755]
- name: f
  type: script
  target: [hv1]
  args:
    script: |
      #!/bin/sh
      printf '<%s>' "$(umask)" "$(id -u)" "$@" >OUT/script
      cat >>OUT/script
    arguments: ["two words", "", "it's", "-n"]
- { name: g, type: webhook, args: { uri: "URI/200/token", action: patch, body: { text: done } } }
"#;

/// One line for each call: the arguments, each ended by a NUL. Its API answers once `up` is there.
const PVC: &str = "#!/bin/sh\ncase \"$*\" in *'cluster status'*) test -e OUT/up; exit;; esac\n\
                   printf '%s\\0' \"$@\" >>OUT/pvc; echo >>OUT/pvc; echo 'SUCCESS: done'\n";

#[tokio::test]
async fn hook_every_shipped_type_runs_over_ssh() {
    let Some(mut rig) = Rig::new() else { return };
    let sink = Sink::start().await;
    let out = rig.out("").display().to_string();
    let out = out.trim_end_matches('/');
    rig.sshd.program("pvc", &PVC.replace("OUT", out));
    fs::write(rig.out("local"), "second\n").unwrap();
    let mut tree = c1(&BOOTSTRAP.replace("OUT", out).replace("URI", &sink.base));
    tree.insert("files/motd".into(), file("Welcome\n"));
    let desired = valid(&tree);
    let cluster = desired.clusters[&ClusterName::new("c1")].clone();
    rig.inhabit(desired.hosts.values().map(|host| (**host).clone()).collect());
    rig.cluster = (*cluster).clone();
    let tasks = &cluster.tasks;
    assert_eq!(tasks.len(), 7);

    let fault = rig.run(&tasks[0]).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Transient, Reason::NotReady), "{fault}");
    fs::write(rig.out("up"), "").unwrap();
    for task in tasks {
        assert_eq!(rig.run(task).await, Ok(Outcome::TaskDone), "{}", task.name);
        assert_eq!(rig.sshd.left_behind(), [""; 0], "{}", task.name);
    }
    let told: Vec<_> = rig.read("pvc").lines().map(|line| line.trim_end_matches('\0').replace('\0', " ")).collect();
    let osd = |host| {
        format!("storage osd add --yes {host} /dev/disk/by-path/x --weight 0.5 --osd-count 1 --ext-db-ratio 0.05")
    };
    assert_eq!(
        told,
        [
            "storage osd create-db-vg --yes hv1 detect:NVME:400GB:0".to_owned(),
            "storage osd create-db-vg --yes hv2 detect:NVME:400GB:0".to_owned(),
            osd("hv1"),
            osd("hv2"),
            osd("hv3"),
            "storage pool add a'b$(touch${IFS}x) 128 --replcfg copies=3,mincopies=2 --tier ssd".to_owned(),
            "network add 7 --description d --type bridged --mtu 9000".to_owned(),
        ]
    );
    let copied = |name: &str| {
        let mode = fs::metadata(rig.out(name)).unwrap().permissions().mode() & 0o7777;
        (rig.read(name), mode)
    };
    assert_eq!(copied("it's motd"), ("Welcome\n".to_owned(), 0o640));
    assert_eq!(copied("second"), ("second\n".to_owned(), 0o4755));
    let script = rig.read("script");
    assert!(script.starts_with("<0022><") && script.ends_with("><two words><><it's><-n>"), "{script}");
    let (method, path, _, body) = sink.seen()[0].clone();
    assert_eq!((method.as_str(), path.as_str(), body), ("PATCH", "200/token", json!({ "text": "done" })));
    let log = rig.log(&tasks[6]);
    assert!(!log.contains("/token"), "{log}");
}
