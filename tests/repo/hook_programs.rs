//! The programs of the shipped hooks, run as the protocol says against a `pvc` that writes down what it is told.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rackwright::model::{HookFile, HookTask, TaskKind};
use rackwright::repo::Tree;
use serde_json::Value;

use crate::repo::hook::{hook, task, tasks, with_hooks};
use crate::rig::repo::{file, read_tree, root, valid};

/// Writes its arguments down, each ended by a NUL, and a newline after the last; prints `$SAY`.
const RECORDER: &str = "#!/bin/sh\nprintf '%s\\0' \"$@\" >>\"$LOG\"\necho >>\"$LOG\"\nprintf '%s\\n' \"${SAY:-SUCCESS: done}\"\n\
                        if [ \"${TAKE:-}\" ]; then cat >\"$TAKE\"; fi\nexit \"${CODE:-0}\"\n";

/// A private directory for one hook, as its driver makes one, and somewhere to work.
struct Rig {
    dir: tempfile::TempDir,
}

impl Rig {
    fn new() -> Rig {
        let rig = Rig { dir: tempfile::tempdir().unwrap() };
        for name in ["bin", "home", "out"] {
            std::fs::create_dir(rig.path(name)).unwrap();
        }
        program(&rig.path("bin/pvc"), RECORDER.as_bytes());
        rig
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs a hook's program with its arguments as variables, lists item by item.
    fn run(&self, hook: &HookTask, more: &[(&str, &str)]) -> Output {
        let private = tempfile::tempdir_in(self.dir.path()).unwrap();
        std::fs::create_dir(private.path().join("files")).unwrap();
        for (index, file) in hook.files.iter().enumerate() {
            let bytes = match file {
                HookFile::Bytes(bytes) => bytes.to_vec(),
                HookFile::Path(path) => std::fs::read(path).unwrap(),
            };
            std::fs::write(private.path().join(format!("files/{index}")), bytes).unwrap();
        }
        program(&private.path().join("run"), &hook.program.run);
        std::fs::write(private.path().join("input.json"), "{\"args\":{}}\n").unwrap();
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        let mut command = Command::new(private.path().join("run"));
        command.current_dir(private.path()).env_clear().env("PATH", path).env("HOME", self.path("home"));
        command.env("LOG", self.path("log")).env("RACKWRIGHT_CLUSTER", "c1").env("RACKWRIGHT_HOST", "hv1");
        command.env("RACKWRIGHT_FQDN", "hv1.c1.example.net").env("RACKWRIGHT_TARGETS", "hv1");
        command.envs(variables(hook)).envs(more.iter().copied());
        let input = std::fs::File::open(private.path().join("input.json")).unwrap();
        command.stdin(Stdio::from(input)).output().unwrap()
    }

    /// What `pvc` was told since the last time.
    fn told(&self) -> Vec<Vec<String>> {
        let text = std::fs::read_to_string(self.path("log")).unwrap_or_default();
        _ = std::fs::remove_file(self.path("log"));
        let calls = text.split_terminator("\0\n").map(|call| call.split('\0').map(String::from).collect());
        calls.collect()
    }
}

fn program(path: &Path, text: &[u8]) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), String::from)
}

fn variables(hook: &HookTask) -> Vec<(String, String)> {
    let args: serde_json::Map<String, Value> = serde_json::from_str(hook.args.reveal()).unwrap();
    let mut variables = Vec::new();
    for (name, value) in args {
        let name = format!("ARG_{}", name.to_uppercase());
        if let Value::Array(items) = &value {
            let items: Vec<_> = items.iter().map(text).collect();
            variables.push((format!("{name}_COUNT"), items.len().to_string()));
            variables.extend(items.iter().enumerate().map(|(index, item)| (format!("{name}_{index}"), item.clone())));
            variables.push((name, items.join("\n")));
        } else {
            variables.push((name, text(&value)));
        }
    }
    variables
}

/// What `pvc` is told by a hook with these arguments.
fn pvc(kind: &str, args: &str) -> Vec<String> {
    let rig = Rig::new();
    let tasks = tasks(&with_hooks(&hook(kind, args)));
    let output = rig.run(task(&tasks[0]), &[]);
    assert!(output.status.success(), "{kind} {args}: {output:?}");
    let told = rig.told();
    assert_eq!(told.len(), 1, "{kind} {args}: {told:?}");
    told.into_iter().next().unwrap()
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(String::from).collect()
}

#[test]
fn pvc_is_told_what_pvcbootstrapd_tells_it() {
    let managed = "network add 7 --description d --type managed --domain a.example.net";
    let network = |more: &str| format!("{{ vni: 7, description: d, type: managed, domain: a.example.net{more} }}");
    let four = ", ip4: yes, ip4_network: 192.0.2.0/24, ip4_gateway: 192.0.2.1";
    let leased = ", ip4_dhcp: yes, ip4_dhcp_start: 192.0.2.10, ip4_dhcp_end: 192.0.2.20";
    let six = ", ip6: yes, ip6_network: \"2001:db8::/64\", ip6_gateway: \"2001:db8::1\"";
    let servers = ", dns_servers: [192.0.2.53, \"2001:db8::53\"]";
    let four_told = "--ipnet 192.0.2.0/24 --gateway 192.0.2.1";
    let leased_told = "--dhcp --dhcp-start 192.0.2.10 --dhcp-end 192.0.2.20";
    let six_told = "--ipnet6 2001:db8::/64 --gateway6 2001:db8::1";
    let servers_told = "--dns-server 192.0.2.53 --dns-server 2001:db8::53";
    let osd = "storage osd add --yes hv1 /dev/sdb --weight 1 --osd-count 1";
    for (kind, args, expected) in [
        ("osddb", "{ disk: /dev/nvme0n1 }".into(), "storage osd create-db-vg --yes hv1 /dev/nvme0n1".into()),
        (
            "osddb",
            "{ disk: \"detect:INTEL:400GB:0\" }".into(),
            "storage osd create-db-vg --yes hv1 detect:INTEL:400GB:0".into(),
        ),
        ("osd", "{ disk: /dev/sdb }".into(), osd.into()),
        ("osd", "{ disk: /dev/sdb, ext_db: no, ext_db_ratio: 0.1 }".into(), osd.into()),
        ("osd", "{ disk: /dev/sdb, ext_db: yes }".into(), format!("{osd} --ext-db-ratio 0.05")),
        (
            "osd",
            "{ disk: /dev/sdb, weight: 0.5, osd_count: 4, ext_db: yes, ext_db_ratio: 0.025 }".into(),
            "storage osd add --yes hv1 /dev/sdb --weight 0.5 --osd-count 4 --ext-db-ratio 0.025".into(),
        ),
        ("pool", "{ name: vms }".into(), "storage pool add vms 64 --replcfg copies=3,mincopies=2".into()),
        (
            "pool",
            "{ name: vms, pgs: \"256\", tier: default, replcfg: \"copies=2,mincopies=1\" }".into(),
            "storage pool add vms 256 --replcfg copies=2,mincopies=1".into(),
        ),
        (
            "pool",
            "{ name: vms, tier: nvme }".into(),
            "storage pool add vms 64 --replcfg copies=3,mincopies=2 --tier nvme".into(),
        ),
        (
            "network",
            "{ vni: 7, description: d, type: bridged }".into(),
            "network add 7 --description d --type bridged".into(),
        ),
        (
            "network",
            "{ vni: 7, description: d, type: bridged, mtu: auto, domain: x, ip4: yes }".into(),
            "network add 7 --description d --type bridged".into(),
        ),
        (
            "network",
            "{ vni: 7, description: d, type: bridged, mtu: default }".into(),
            "network add 7 --description d --type bridged".into(),
        ),
        (
            "network",
            "{ vni: 7, description: d, type: bridged, mtu: 9000 }".into(),
            "network add 7 --description d --type bridged --mtu 9000".into(),
        ),
        ("network", network(""), managed.into()),
        ("network", network(", ip4: no, ip6: no, dns_servers: []"), managed.into()),
        ("network", network(servers), format!("{managed} {servers_told}")),
        ("network", network(four), format!("{managed} {four_told} --no-dhcp")),
        ("network", network(&format!("{four}{leased}")), format!("{managed} {four_told} {leased_told}")),
        ("network", network(six), format!("{managed} {six_told}")),
        (
            "network",
            network(&format!(", mtu: 1400{servers}{four}{leased}{six}")),
            format!(
                "{} {servers_told} {four_told} {leased_told} {six_told}",
                managed.replace("--domain", "--mtu 1400 --domain")
            ),
        ),
    ] {
        assert_eq!(pvc(kind, &args), words(&expected), "{kind} {args}");
    }
}

#[test]
fn nothing_that_is_written_is_read_by_a_shell() {
    let odd = "a'b\"c;$(touch${IFS}x)`id`\\&*";
    let yaml = serde_json::to_string(odd).unwrap();
    assert_eq!(pvc("pool", &format!("{{ name: {yaml} }}"))[3], odd);
    let args = format!("{{ vni: 7, description: {yaml}, type: managed, domain: {yaml} }}");
    let told = pvc("network", &args);
    assert_eq!((told[4].as_str(), told[8].as_str()), (odd, odd));
}

#[test]
fn every_hook_of_pvcs_sample_runs() {
    let mut tree: Tree = read_tree(&root().join("tests/fixtures/pvc-sample"));
    tree.insert("hosts".into(), file(""));
    let desired = valid(&tree);
    let rig = Rig::new();
    let hooks = desired.clusters.values().flat_map(|cluster| &cluster.tasks).filter_map(|task| match &task.kind {
        TaskKind::Hook(hook) if !matches!(&*hook.program.name, "copy" | "script") => Some(hook),
        _ => None,
    });
    let mut count = 0;
    for hook in hooks {
        count += 1;
        let recorder = rig.path("bin/pvc").display().to_string();
        let output = rig.run(hook, &[("RACKWRIGHT", recorder.as_str())]);
        assert!(output.status.success() && output.stderr.is_empty(), "{}: {output:?}", hook.program.name);
    }
    let told: Vec<_> = rig.told().into_iter().map(|words| words.join(" ")).collect();
    assert_eq!(count, told.len());
    assert_eq!(
        told,
        [
            "storage osd create-db-vg --yes hv1 detect:INTEL:400GB:0",
            "storage osd add --yes hv1 detect:SEAGATE:2.00TB:0 --weight 1 --osd-count 1 --ext-db-ratio 0.05",
            "storage osd add --yes hv1 /dev/disk/by-path/pci-0000:00:1f.2-ata-2 --weight 0.5 --osd-count 1",
            "storage pool add vms 256 --replcfg copies=3,mincopies=2 --tier ssd",
            "network add 1000 --description office --type bridged",
            "network add 10000 --description managed-vms --type managed --mtu 9000 --domain vms.example.net \
             --dns-server 192.0.2.53 --dns-server 2001:db8::53 --ipnet 198.51.100.0/24 --gateway 198.51.100.1 --dhcp \
             --dhcp-start 198.51.100.100 --dhcp-end 198.51.100.199",
            "request",
            "request",
        ]
    );
}

/// The client exits with 0 when the cluster's task has failed.
#[test]
fn a_failure_is_one_whether_pvc_exits_or_prints_it() {
    let rig = Rig::new();
    for (kind, args) in [("osddb", "{ disk: /dev/sda }"), ("osd", "{ disk: /dev/sda }"), ("pool", "{ name: vms }")] {
        let tasks = tasks(&with_hooks(&hook(kind, args)));
        let run = |more: &[(&str, &str)]| rig.run(task(&tasks[0]), more);
        assert_eq!(run(&[("CODE", "3")]).status.code(), Some(3), "{kind}");
        let output = run(&[("SAY", "SUCCESS: FAILURE: not really")]);
        assert_eq!(
            (output.status.code(), &*output.stdout),
            (Some(0), &b"SUCCESS: FAILURE: not really\n"[..]),
            "{kind}"
        );
        if kind != "pool" {
            let output = run(&[("SAY", "Waiting\nFAILURE: no such disk")]);
            assert_eq!(output.status.code(), Some(1), "{kind}");
            assert_eq!(output.stdout, b"Waiting\nFAILURE: no such disk\n", "{kind}");
        }
        assert!(!rig.run(task(&tasks[0]), &[("PATH", "/usr/bin:/bin")]).status.success(), "{kind}: no pvc");
    }
}

/// What lies in a directory: names, contents, modes.
fn listing(directory: &Path) -> Vec<(String, String, u32)> {
    let mut all: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o7777;
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            (entry.file_name().into_string().unwrap(), text, mode)
        })
        .collect();
    all.sort();
    all
}

#[test]
fn files_are_copied_whole_with_their_modes_or_not_at_all() {
    let rig = Rig::new();
    let out = rig.path("out");
    let odd = "a b'\"$(id)";
    let copy = |destinations: &[PathBuf]| {
        let destinations = serde_json::to_string(destinations).unwrap();
        let args = format!(
            "{{ source: [files/motd, files/setup.sh], destination: {destinations}, mode: [\"0640\", 0o4755] }}"
        );
        let tasks = tasks(&with_hooks(&hook("copy", &args)));
        rig.run(task(&tasks[0]), &[])
    };
    std::fs::write(out.join(odd), "before").unwrap();
    let output = copy(&[out.join(odd), out.join("setup")]);
    assert!(output.status.success(), "{output:?}");
    let expected =
        [(odd.to_owned(), "Welcome\n".to_owned(), 0o640), ("setup".to_owned(), "#!/bin/sh\n".to_owned(), 0o4755)];
    assert_eq!(listing(&out), expected);
    // Again, and nothing is different.
    assert!(copy(&[out.join(odd), out.join("setup")]).status.success());
    assert_eq!(listing(&out), expected);
    // The second cannot be put there: the first is not either.
    std::fs::write(out.join(odd), "mine").unwrap();
    let before = listing(&out);
    assert!(!copy(&[out.join(odd), rig.path("none/setup")]).status.success());
    assert!(!copy(&[out.join(odd), rig.path("home")]).status.success());
    assert_eq!(listing(&out), before);
    assert_eq!(listing(&rig.path("home")), []);
}

#[test]
fn scripts_get_each_argument_as_it_is() {
    let rig = Rig::new();
    let show = "#!/bin/sh\\nprintf '<%s>' \\\"$PWD\\\" \\\"$(umask)\\\" \\\"$@\\\"\\ncat\\nexit 7\\n";
    let run = |args: &str| {
        let mut tree = with_hooks(&hook("script", args));
        tree.insert("files/setup.sh".into(), file(show.replace("\\n", "\n").replace("\\\"", "\"")));
        let output = rig.run(task(&tasks(&tree)[0]), &[]);
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let head = format!("<{}><0022>", rig.path("home").display());
    let arguments = r#"arguments: ["two words", "", "-n", "'\"$(id);*", last]"#;
    let tail = r#"<two words><><-n><'"$(id);*><last>"#;
    assert_eq!(run(&format!("{{ script: \"{show}\", {arguments} }}")), (Some(7), format!("{head}{tail}")));
    assert_eq!(
        run(&format!("{{ source: local, path: files/setup.sh, {arguments} }}")),
        (Some(7), format!("{head}{tail}"))
    );
    assert_eq!(run(&format!("{{ script: \"{show}\" }}")), (Some(7), head.clone()));
    // On the host already: by its path, or by its name as the user finds it.
    program(&rig.path("home/there"), b"#!/bin/sh\necho there \"$1\"\n");
    let absolute = rig.path("home/there").display().to_string();
    for path in [absolute.as_str(), "./there"] {
        let remote = run(&format!("{{ source: remote, path: {path}, arguments: [\"a b\"] }}"));
        assert_eq!(remote, (Some(0), "there a b\n".to_owned()));
    }
    assert_eq!(run("{ source: remote, path: /none/at/all }").0, Some(127));
}

#[test]
fn a_webhook_is_handed_to_rackwright_with_its_input() {
    let rig = Rig::new();
    let tasks = tasks(&with_hooks(&hook("webhook", "{ uri: \"https://hooks.example.net/\", action: post }")));
    let (recorder, take) = (rig.path("bin/pvc").display().to_string(), rig.path("taken").display().to_string());
    let more = [("RACKWRIGHT", recorder.as_str()), ("TAKE", take.as_str()), ("CODE", "75")];
    assert_eq!(rig.run(task(&tasks[0]), &more).status.code(), Some(75));
    assert_eq!(rig.told(), [["request"]]);
    assert_eq!(std::fs::read_to_string(take).unwrap(), "{\"args\":{}}\n");
}
