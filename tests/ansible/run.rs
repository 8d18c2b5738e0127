//! The real `ansible-playbook` over SSH: whom it is run on, in which order, with what, and what comes of it.

use std::fs;
use std::sync::Arc;

use rackwright::drive::generated;
use rackwright::model::Reason;
use rackwright::model::*;

use crate::rig::ansible::Rig;
use crate::rig::net::{cluster, host_id};

/// Each host writes a line about itself.
fn about(out: &str, line: &str) -> String {
    format!(
        "- hosts: all\n  gather_facts: no\n  serial: 1\n  tasks:\n    - shell: |\n        cat >> {out} <<'END'\n        {line}\n        END\n"
    )
}

#[tokio::test]
async fn hosts_are_in_order_and_what_was_observed_counts() {
    let Some(mut rig) = Rig::new() else { return };
    let out = rig.out("said").display().to_string();
    rig.ansible().order = ["hv3", "hv1", "hv2"].map(host_id).into();
    // One short name, wrong places in the inventory and behind it, groups above, variables of all kinds.
    rig.file(
        "hosts",
        "[cluster1]\nhv1.example.net ansible_host=192.0.2.99 ansible_port=1 above=host\nhv2\nhv3.example.net\n\
         [other]\nstranger.example.net\n\
         [site:children]\ncluster1\n[site:vars]\nsite=berlin\nabove=site\n\
         [all:vars]\nansible_ssh_common_args='-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null'\n",
    );
    rig.file("group_vars/cluster1/base.yml", "inner: group\nansible_host: 192.0.2.98\n");
    rig.file("host_vars/hv2.yml", "ansible_host: 192.0.2.97\nansible_port: 3\nown: hv2\n");
    rig.file("host_vars/hv3.example.net/x.yml", "ansible_host: 192.0.2.96\n");
    let vars = "{{ inventory_hostname }} {{ ansible_host }} {{ site }} {{ above }} {{ inner }} {{ own | default('-') }} \
                {{ groups['cluster1'] | join(',') }} {{ do_bootstrap is sameas true }}";
    rig.play(&about(&out, vars)).await.unwrap();
    let groups = "hv3.example.net,hv1.example.net,hv2";
    let expected = format!(
        "hv3.example.net 127.0.0.3 berlin site group - {groups} True\n\
         hv1.example.net 127.0.0.1 berlin host group - {groups} True\n\
         hv2 127.0.0.2 berlin site group hv2 {groups} True\n"
    );
    assert_eq!(rig.read("said"), expected, "{}", rig.log());
    rig.assert_clean();
}

#[tokio::test]
async fn hosts_that_are_added_are_configured_alone_and_without_bootstrap() {
    let Some(mut rig) = Rig::new() else { return };
    let out = rig.out("said").display().to_string();
    rig.file("pvc.yml", &about(&out, "{{ inventory_hostname }} {{ do_bootstrap is defined }}"));
    rig.push().await;
    let outcome = rig.run(&["hv2"], false).await.unwrap();
    assert_eq!(outcome, Outcome::Configured { generated: None });
    assert_eq!(rig.read("said"), "hv2.example.net False\n");
    assert!(rig.log().starts_with("pvc.yml at "), "{}", rig.log());
}

#[tokio::test]
async fn an_empty_inventory_will_do() {
    let Some(mut rig) = Rig::new() else { return };
    let out = rig.out("said").display().to_string();
    rig.file("hosts", "");
    rig.play(&about(&out, "{{ inventory_hostname }} {{ group_names | join }}")).await.unwrap();
    assert_eq!(rig.read("said"), "hv1.example.net cluster1\nhv2.example.net cluster1\nhv3.example.net cluster1\n");
}

#[tokio::test]
async fn a_host_that_shows_another_key_gets_nothing() {
    let Some(mut rig) = Rig::new() else { return };
    let out = rig.out("said").display().to_string();
    rig.sshd.keygen("other", "ed25519", "");
    let key = rig.sshd.public("other");
    let facts = Arc::make_mut(&mut rig.world.hosts).get_mut(&host_id("hv2")).unwrap();
    Arc::make_mut(facts).ssh.key.as_mut().unwrap().value = key;
    // The repository cannot turn the check off.
    rig.file(
        "ansible.cfg",
        "[defaults]\nhost_key_checking = False\n[ssh_connection]\nssh_args = -o StrictHostKeyChecking=no\n",
    );
    rig.file("host_vars/hv2.example.net.yml", "ansible_ssh_common_args: -o StrictHostKeyChecking=no\n");
    let fault = rig.play(&about(&out, "{{ inventory_hostname }}")).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Operator, Reason::AnsibleFailed));
    assert!(fault.message.contains("hv2.example.net: cannot be reached: "), "{fault}");
    assert!(!rig.read("said").contains("hv2"), "{}", rig.read("said"));
}

#[tokio::test]
async fn how_far_it_is_is_told_while_it_runs() {
    let Some(mut rig) = Rig::new() else { return };
    // The second task ends once the first has been told of.
    let go = rig.out("go").display().to_string();
    let told = rig.told.clone();
    let playbook = format!(
        "- name: The first play\n  hosts: cluster1\n  gather_facts: no\n  tasks:\n    - name: quick\n      command: 'true'\n    \
         - name: slow\n      shell: until [ -e {go} ]; do sleep 0.05; done\n"
    );
    let watch = async {
        let slow = |it: &Progress| it.task == "slow" && it.play == "The first play" && it.tasks == 2;
        while !told.lock().unwrap().iter().any(slow) {
            tokio::task::yield_now().await;
        }
        fs::write(&go, "").unwrap();
    };
    let (result, ()) = tokio::join!(rig.play(&playbook), watch);
    assert_eq!(result.unwrap(), Outcome::Configured { generated: None });
    assert!(told.lock().unwrap().len() <= 20, "not more than one a second");
}

#[tokio::test]
async fn a_failure_names_play_task_and_host() {
    let Some(mut rig) = Rig::new() else { return };
    rig.sshd.program("complain", "#!/bin/sh\necho 'no disk: geheimnis42' >&2\nexit 3\n");
    let spec = "- name: Bring up\n  hosts: all\n  gather_facts: no\n  tasks:\n    \
        - name: rescued\n      block:\n        - command: 'false'\n      rescue:\n        - debug: msg=fine\n    \
        - name: make the volume\n      command: complain\n      when: inventory_hostname != 'hv1.example.net'\n    \
        - name: hidden\n      command: complain\n      no_log: true\n";
    let desired = Arc::make_mut(rig.world.desired.as_mut().unwrap());
    let host = host_id("hv1");
    let mut planted = (*desired.hosts[&host]).clone();
    planted.bmc = BmcSpec::new(Protocol::Redfish, "root", Secret::new("geheimnis42"));
    desired.hosts.insert(host, Arc::new(planted));
    let fault = rig.play(spec).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Operator, Reason::AnsibleFailed));
    let start = "play `Bring up`, task `hidden`: hv1.example.net: hidden by no_log; \
                 play `Bring up`, task `make the volume`: hv2.example.net, hv3.example.net: non-zero return code: no disk: ***; \
                 exit status 2; log: ";
    assert!(fault.message.starts_with(start), "{fault}");
    let log = fault.message.rsplit(' ').next().unwrap();
    assert!(fs::read_to_string(log).unwrap().contains("make the volume"));
    assert!(!rig.log().contains("geheimnis"), "{}", rig.log());
    let last = rig.told.lock().unwrap().last().cloned().unwrap();
    assert!(last.tasks > 0);
    rig.assert_clean();
}

#[tokio::test]
async fn what_is_no_playbook_is_told_in_ansibles_words() {
    let Some(mut rig) = Rig::new() else { return };
    let fault = rig.play("- hosts: all\n  tasks:\n    - nonsense_module: x=1\n").await.unwrap_err();
    assert!(fault.message.starts_with("ERROR! couldn't resolve module/action 'nonsense_module'"), "{fault}");
    assert!(fault.message.contains("exit status 4"), "{fault}");
    rig.ansible().playbook = "none.yml".into();
    let fault = rig.run(&["hv1"], true).await.unwrap_err();
    assert_eq!(fault.reason, Reason::PlaybookMissing);
    rig.ansible().playbook = "pvc.yml".into();
    rig.settings.ansible.playbook = "no-such-program".into();
    let fault = rig.run(&["hv1"], true).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Transient, Reason::AnsibleMissing));
}

#[tokio::test]
async fn a_playbook_that_does_nothing_has_configured_nobody() {
    let Some(mut rig) = Rig::new() else { return };
    let fault = rig.play("- hosts: nobody\n  gather_facts: no\n  tasks:\n    - debug: msg=x\n").await.unwrap_err();
    assert!(
        fault
            .message
            .starts_with("the playbook has no play for hv1.example.net, hv2.example.net, hv3.example.net; log: "),
        "{fault}"
    );
}

/// Writes files as PVC's roles do, beside the playbook.
const WRITES: &str = "
- hosts: cluster1
  gather_facts: no
  tasks:
    - copy: { content: 'key of {{ inventory_hostname }}', dest: '/tmp/rackwright-test-{{ ansible_port }}-key' }
      run_once: true
    - fetch: { src: '/tmp/rackwright-test-{{ ansible_port }}-key', dest: files/group1/ceph/keyring, flat: yes }
      run_once: true
    - file: { path: '/tmp/rackwright-test-{{ ansible_port }}-key', state: absent }
      run_once: true
    - delegate_to: localhost
      connection: local
      run_once: true
      shell: echo more >> files/group1/old; ln -s /etc/passwd files/group1/link; echo x > elsewhere; echo y > files/cluster1-not
";

#[tokio::test]
async fn what_it_writes_is_kept_until_it_is_committed() {
    let Some(mut rig) = Rig::new() else { return };
    rig.file("files/group1/old", "old\n");
    rig.file("files/group1/same", "same\n");
    let Outcome::Configured { generated: Some(id) } = rig.play(WRITES).await.unwrap() else {
        panic!("nothing is kept")
    };
    let kept = generated::read(&rig.settings.state_dir, &cluster().name, &id).unwrap();
    let kept: Vec<(&str, &[u8])> = kept.iter().map(|(path, file)| (path.as_str(), file.data.as_slice())).collect();
    let expected: [(&str, &[u8]); 2] =
        [("files/group1/ceph/keyring", b"key of hv1.example.net"), ("files/group1/old", b"old\nmore\n")];
    assert_eq!(kept, expected);
    rig.assert_clean();

    // As long as they are not committed, the next run has them, and keeps them.
    let facts = ClusterFacts {
        generated: Some(Generated { id, revision: None, run: 1, since: Time(0), pushed: None }),
        ..ClusterFacts::default()
    };
    Arc::make_mut(&mut rig.world.clusters).insert(cluster().name, Arc::new(facts));
    let outcome = rig.play("- hosts: all\n  gather_facts: no\n  tasks:\n    - copy: { src: files/group1/ceph/keyring, dest: /dev/null }\n      when: false\n    - delegate_to: localhost\n      connection: local\n      run_once: true\n      shell: cat files/group1/ceph/keyring; echo new > files/group1/new\n").await;
    let Outcome::Configured { generated: Some(id) } = outcome.unwrap() else { panic!("nothing is kept") };
    let kept = generated::read(&rig.settings.state_dir, &cluster().name, &id).unwrap();
    let paths: Vec<_> = kept.keys().map(String::as_str).collect();
    assert_eq!(paths, ["files/group1/ceph/keyring", "files/group1/new", "files/group1/old"]);
}

#[tokio::test]
async fn what_a_failed_playbook_wrote_is_kept_aside() {
    let Some(mut rig) = Rig::new() else { return };
    rig.play(&format!("{WRITES}    - fail: msg=late\n")).await.unwrap_err();
    assert!(!rig.settings.state_dir.join("generated").exists(), "not to be committed");
    let log = rig.log();
    let place = log.lines().find_map(|line| line.strip_prefix("what it wrote is kept, and not committed: ")).unwrap();
    assert!(place.starts_with(rig.dir().to_str().unwrap()), "{place}");
    let text = fs::read_to_string(format!("{place}/files/group1/ceph/keyring")).unwrap();
    assert_eq!(text, "key of hv1.example.net");
    rig.assert_clean();
}
