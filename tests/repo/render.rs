//! What machines are given: the rendered files of the shipped `pvc` installer.

use std::io::Write as _;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use rackwright::model::desired::TOKEN_MARK;
use rackwright::model::{ClaimBy, ClusterName, HostId, HostSpec, Mac};
use rackwright::repo::{self, Context};
use rackwright::sim::ipxe::{Ipxe, Turn};
use rackwright::sim::preseed;

use crate::rig::repo::{c1, context, file, load, places};

const FULL: &str = "cluster: { ansible: none }
bootstrap:
  \"52:54:00:aa:00:01\":
    node: { hostname: hv1 }
    config:
      kernel_options: [console=tty0, \"console=ttyS1,115200n8\"]
      packages: [ca-certificates, tmux]
      filesystem: xfs
      system_disks: [\"detect:INTEL:480GB:0\"]
      boot_mac: \"52:54:00:bb:00:01\"
    bmc: { username: admin, password: secret }
";

fn host(text: &str, context: &Context<'_>) -> HostSpec {
    let loaded = repo::load(&c1(text), context);
    let desired = loaded.desired.unwrap_or_else(|| panic!("{:#?}", loaded.findings));
    (*desired.hosts[&HostId::new(&ClusterName::new("c1"), "hv1")]).clone()
}

fn body<'h>(host: &'h HostSpec, name: &str) -> &'h str {
    &host.files.iter().find(|file| &*file.name == name).expect("the file").body
}

#[test]
fn golden_files_of_pvc() {
    let host = host(FULL, &context());
    assert_eq!(host.claim, ClaimBy::AnswerFile);
    let names: Vec<_> = host.files.iter().map(|file| (&*file.name, file.claims)).collect();
    assert_eq!(names, [("boot.ipxe", false), ("mac-{mac}.ipxe", false), ("mac-{mac}.preseed", true)]);
    assert_eq!(
        body(&host, "mac-{mac}.preseed"),
        "# Sourced by the installer's shell.
target_hostname='hv1.c1.example.net'
target_disk='detect:INTEL:480GB:0'
target_deploy_user='deploy'
target_keys_method='tftp'
target_keys_path='keys.txt'
debrelease='bookworm'
debmirror='http://mirror.example.net/debian'
addpkglist='ca-certificates,tmux'
filesystem='xfs'
pvcbootstrapd_checkin_uri='http://192.0.2.1:9999/checkin/host/RACKWRIGHT-TOKEN'
"
    );
    assert_eq!(body(&host, "mac-{mac}.ipxe"), "#!ipxe\nset imgargs-host console=tty0 console=ttyS1,115200n8\n");
}

#[test]
fn the_answer_file_has_the_installers_variables_and_no_others() {
    let known = [
        "target_hostname",
        "target_disk",
        "target_keys_method",
        "target_keys_path",
        "pvcbootstrapd_checkin_uri",
        "target_deploy_user",
        "debrelease",
        "debmirror",
        "addpkglist",
        "filesystem",
    ];
    let bare = FULL.replace("      packages: [ca-certificates, tmux]\n", "").replace("      filesystem: xfs\n", "");
    let without_mirror = Context { mirror: String::new(), ..context() };
    for (text, context, left_out) in [
        (FULL, context(), &[][..]),
        (&*bare, context(), &["addpkglist", "filesystem"]),
        (FULL, without_mirror, &["debmirror"]),
    ] {
        let vars = preseed::parse(body(&host(text, &context), "mac-{mac}.preseed")).expect("assignments only");
        let mut expected: Vec<_> = known.into_iter().filter(|name| !left_out.contains(name)).collect();
        expected.sort_unstable();
        assert_eq!(vars.keys().map(String::as_str).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn an_ipxe_runs_the_boot_script_to_the_installer() {
    let host = host(FULL, &context());
    for tftp_works in [true, false] {
        let next = ("next-server", "192.0.2.1".to_string());
        let mut ipxe = Ipxe::new(host.boot_mac.unwrap(), [next, ("platform", "efi".into())]);
        assert!(ipxe.start(body(&host, "boot.ipxe").as_bytes()));
        assert_eq!(ipxe.run(true), Turn::Fetch("tftp://192.0.2.1/host/mac-525400bb0001.ipxe".into()));
        if !tftp_works {
            ipxe.fetched(None);
            assert_eq!(
                ipxe.run(true),
                Turn::Fetch("http://192.0.2.1:9999/boot/525400bb0001/mac-525400bb0001.ipxe".into())
            );
        }
        ipxe.fetched(Some(body(&host, "mac-{mac}.ipxe").as_bytes()));
        let Turn::Kernel { url, args } = ipxe.run(true) else { panic!("no kernel") };
        assert_eq!(url, "http://192.0.2.1:9999/assets/vmlinuz");
        assert_eq!(
            args,
            "console=tty0 console=ttyS1,115200n8 initrd=initrd.img boot=live components nomodeset vga=normal \
             ethdevice-timeout=300 username=root fetch=http://192.0.2.1:9999/assets/filesystem.squashfs \
             pvcinstall.preseed=on pvcinstall.seed_host=192.0.2.1 \
             pvcinstall.seed_file=/host/mac-525400bb0001.preseed"
        );
    }
}

#[test]
fn a_boot_script_that_gets_nothing_waits_and_asks_again() {
    let host = host(FULL, &context());
    let mut ipxe = Ipxe::new(Mac([0x52, 0x54, 0, 0xbb, 0, 1]), [("next-server", "192.0.2.1".to_string())]);
    assert!(ipxe.start(body(&host, "boot.ipxe").as_bytes()));
    for _ in 0..2 {
        assert!(matches!(ipxe.run(true), Turn::Fetch(_)));
        ipxe.fetched(None);
    }
    assert_eq!(ipxe.run(true), Turn::Sleep);
    assert_eq!(ipxe.run(true), Turn::Fetch("http://192.0.2.1:9999/boot/525400bb0001/boot.ipxe".into()));
}

/// An installer whose answer file is one value.
fn echo_installer(value: &str) -> repo::Tree {
    let quoted = serde_json::to_string(value).unwrap();
    let text = format!(
        "cluster: {{ installer: echo, ansible: none }}\nbootstrap:\n  \"52:54:00:aa:00:01\":\n    node: {{ hostname: hv1 }}\n    config: {{ kernel_options: [{quoted}] }}\n    bmc: {{ protocol: none }}\n"
    );
    let mut tree = c1(&text);
    let manifest = "name: echo\nclaim: answer-file\nfiles:\n  - { name: boot.ipxe, template: boot.j2 }\n  - { name: answer, template: answer.j2, answer: yes }\n";
    tree.insert("installers/echo/installer.yaml".into(), file(manifest));
    tree.insert("installers/echo/boot.j2".into(), file("#!ipxe\nset x {{ kernel_options[0] | ipxe }}\n"));
    tree.insert("installers/echo/answer.j2".into(), file("value={{ kernel_options[0] | shell }}\ntoken={{ token }}\n"));
    tree
}

/// What bash has in `$value` after sourcing the text.
fn through_bash(text: &str) -> Option<String> {
    let script = format!("{text}\nprintf %s \"$value\"");
    let child = Command::new("bash").arg("-s").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.ok()?;
    child.stdin.take()?.write_all(script.as_bytes()).ok()?;
    String::from_utf8(child.wait_with_output().ok()?.stdout).ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn any_value_survives_the_installers_shell(value in "[^\\p{C}]{1,40}|['\"$`\\\\;&|<>(){}* !#~a-z]{1,40}") {
        prop_assume!(!value.contains("{{") && !value.contains("{%") && !value.contains("{#"));
        let loaded = load(&echo_installer(&value));
        let desired = loaded.desired.unwrap_or_else(|| panic!("{:#?}", loaded.findings));
        let host = desired.hosts.values().next().unwrap();
        let answer = body(host, "answer");
        let read = preseed::parse(answer).expect("assignments only");
        prop_assert_eq!(&read["value"], &value);
        prop_assert_eq!(read["token"].as_str(), TOKEN_MARK);
        if let Some(bash) = through_bash(answer) {
            prop_assert_eq!(bash, value);
        }
    }

    #[test]
    fn a_line_break_never_gets_into_a_boot_file(before in "[a-z ]{0,8}", control in "[\\x00-\\x1f]", after in "[a-z]{0,8}") {
        let loaded = load(&echo_installer(&format!("{before}{control}{after}")));
        prop_assert!(loaded.desired.is_none());
        prop_assert_eq!(places(&loaded.findings)[0].2, "control-character");
    }
}

#[test]
fn a_sites_own_installer_shadows_a_shipped_one_and_a_change_in_it_is_drift() {
    let mut tree = c1(FULL);
    let before = load(&tree).desired.unwrap();
    let manifest = "name: pvc\nclaim: check-in\nfiles:\n  - { name: boot.ipxe, template: boot.j2 }\n";
    tree.insert("installers/pvc/installer.yaml".into(), file(manifest));
    tree.insert("installers/pvc/boot.j2".into(), file("#!ipxe\necho {{ fqdn }} {{ disk }} {{ checkin_uri }}\n"));
    let own = load(&tree).desired.unwrap();
    let spec = |desired: &rackwright::model::Desired| desired.hosts.values().next().unwrap().spec.clone();
    assert_eq!(own.hosts.values().next().unwrap().claim, ClaimBy::CheckIn);
    assert_ne!(spec(&own), spec(&before));
    tree.insert("installers/pvc/boot.j2".into(), file("#!ipxe\necho {{ fqdn }}\n"));
    assert_ne!(spec(&load(&tree).desired.unwrap()), spec(&own));
    // A template that cannot work is an error once, however many hosts use it.
    tree.insert("installers/pvc/boot.j2".into(), file("#!ipxe\n\necho {{ nothing.at.all }}\n"));
    assert_eq!(places(&load(&tree).findings), [("installers/pvc/boot.j2", 3, "template")]);
    tree.insert(
        "installers/pvc/boot.j2".into(),
        file("#!ipxe\n{% for a in range(9000) %}{% for b in range(9000) %}{{ a }}{% endfor %}{% endfor %}\n"),
    );
    assert_eq!(places(&load(&tree).findings)[0].2, "template");
}
