//! No secret leaves: a run with planted passwords, tokens and settings, at the highest log level and with everything
//! going wrong that makes programs talkative; then everything that was said or written is searched.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rackwright::cli::demo::stage::port;
use rackwright::model::{Secret, Time};
use rackwright::sim::bmc::{Bmc, BmcConfig, Request, Response};
use rackwright::sim::https::{self, Identity, Stop};
use rackwright::sim::machine::Machine;
use rackwright::sim::tree::Vendor;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::rig::e2e::{Rig, hasty, program};

/// Accounts' passwords, a setting that is a password, and one that goes over IPMI. The quote, the backslash and the plus
/// sign look different in JSON, YAML and URLs.
const INITIAL: &str = "Pl4nted-initial+\\\"7Kq";
const PRODUCTION: &str = "Pl4nted-production&9Zx";
const WRONG: &str = "Pl4nted-wrong%2Fm3";
const SETTING: &str = "Pl4nted-setup-5Vb";
const IPMI: &str = "Pl4nt-ipmi_8Wd";
/// How every token of a simulated BMC begins.
const TOKEN: &str = "sim00000000000000000000";

/// Everything that must not be found, in every form in which it might be written.
fn needles() -> BTreeSet<String> {
    let mut needles = BTreeSet::from([TOKEN.to_owned()]);
    for secret in [INITIAL, PRODUCTION, WRONG, SETTING, IPMI] {
        let escaped = serde_json::to_string(secret).unwrap();
        let twice = serde_json::to_string(&escaped).unwrap();
        needles.insert(secret.to_owned());
        needles.insert(escaped.trim_matches('"').to_owned());
        needles.insert(twice[3..twice.len() - 3].to_owned());
        needles.insert(BASE64_STANDARD.encode(secret));
        needles.insert(BASE64_STANDARD.encode(format!("admin:{secret}")));
        needles.insert(hex::encode(secret));
        needles.insert(format!("{:?}", secret.as_bytes()));
    }
    // What is left where the rest was escaped in a way that nobody thought of.
    needles.extend(["Pl4nted-initial", "Pl4nt-ipmi"].map(str::to_owned));
    needles
}

/// Where a secret was found.
fn search(needles: &BTreeSet<String>, places: &[(String, Vec<u8>)]) -> Vec<String> {
    let mut found = Vec::new();
    for (place, bytes) in places {
        let hit = |needle: &&String| bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
        found.extend(needles.iter().filter(hit).map(|needle| format!("{place}: {needle}")));
    }
    found
}

/// The command lines of every process of this machine, looked at again and again.
struct Watch {
    seen: Arc<Mutex<BTreeSet<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Watch {
    fn start() -> Watch {
        let (seen, stop) = (Arc::<Mutex<BTreeSet<String>>>::default(), Arc::<AtomicBool>::default());
        let (into, until) = (seen.clone(), stop.clone());
        let look = move || {
            while !until.load(Ordering::Relaxed) {
                let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
                let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
                let text = |line: Vec<u8>| String::from_utf8_lossy(&line).replace('\0', " ");
                into.lock().unwrap().extend(lines.map(text));
                std::thread::park_timeout(Duration::from_millis(3));
            }
        };
        Watch { seen, stop, thread: Some(std::thread::spawn(look)) }
    }

    fn end(mut self) -> Vec<u8> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        let seen = self.seen.lock().unwrap();
        seen.iter().map(String::as_str).collect::<Vec<_>>().join("\n").into_bytes()
    }
}

/// A BMC that repeats in its errors whatever it was sent, headers and all, as debugging firmware does: the first login is
/// answered with 500, and every change with 400 or 500.
///
/// `told` becomes true when it was sent the setting.
fn echoing(rig: &Rig, machine: Machine, told: Arc<AtomicBool>) -> (Stop, JoinSet<()>) {
    let config = BmcConfig::new(Vendor::Dell, "admin", Secret::new(INITIAL));
    let unit = Arc::new(Mutex::new((Bmc::new(config), machine, 0_u16)));
    let begun = Instant::now();
    let answer = move |request: Request| {
        let unit = unit.clone();
        if String::from_utf8_lossy(&request.body).contains(SETTING) {
            told.store(true, Ordering::Relaxed);
        }
        async move {
            let (bmc, machine, refused) = &mut *unit.lock().unwrap();
            let login = request.method == "POST" && request.path.ends_with("/Sessions");
            if (login && *refused == 0) || request.method == "PATCH" {
                *refused += 1;
                let said = format!("cannot take {} from {:?}", String::from_utf8_lossy(&request.body), request.headers);
                let info =
                    json!({ "MessageId": "Base.1.8.PropertyValueNotInList", "Message": said, "MessageArgs": [said] });
                let error = json!({ "error": { "message": said, "@Message.ExtendedInfo": [info] } });
                let status = if *refused % 2 == 1 { 500 } else { 400 };
                return (Duration::ZERO, Some(Response { status, headers: Vec::new(), body: Some(error) }));
            }
            let now = Time(begun.elapsed().as_millis() as i64);
            let answer = bmc.handle(machine, now, &request);
            (Duration::ZERO, answer.response)
        }
    };
    let listener = TcpListener::bind((rig.stage.address(0, 9), port::BMC)).unwrap();
    let (stop, server) = https::serve(listener, &Identity::generate("echo").unwrap(), answer).unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let _ = server.await;
    });
    (stop, tasks)
}

/// Says that the machine is off and does nothing; writes down what it was called with.
const IPMITOOL: &str = "\
#!/bin/sh
echo \"$@\" >> DIR/ipmitool-arguments
[ -n \"$IPMI_PASSWORD\" ] && echo set >> DIR/ipmitool-environment
case \"$*\" in
  *-V*) echo 'ipmitool version 1.8.19' ;;
  *'chassis power status'*) echo 'Chassis Power is off' ;;
  *'raw 0x00 0x09'*) echo ' 01 05 80 04 00 00 00' ;;
  *) echo 'Error: it does not work today' >&2; exit 1 ;;
esac
";

/// hv1 has a secret setting, hv2 a wrong password, hv3 shows another certificate than the one named, hv4 repeats what it is
/// sent, hv5 speaks IPMI.
fn plant(rig: &mut Rig) {
    let echo = rig.stage.address(0, 9);
    let quoted = |secret: &str| serde_json::to_string(secret).unwrap();
    let settings = format!("bios_settings: {{ SysProfile: {} }}", quoted(SETTING));
    let bmc =
        |password: &str, more: &str| format!("    bmc: {{ username: admin, password: {}, {more} }}", quoted(password));
    let lines = [
        bmc(INITIAL, &format!("redfish: yes, {settings}")),
        bmc(WRONG, "redfish: yes"),
        bmc(INITIAL, &format!("redfish: yes, fingerprint: \"{}\"", "ab".repeat(32))),
        bmc(INITIAL, &format!("redfish: yes, address: {echo}, {settings}")),
        bmc(IPMI, &format!("protocol: ipmi, address: {}", rig.stage.address(0, 10))),
    ];
    let text = rig.files.get_mut("group_vars/cluster1/bootstrap.yml").unwrap();
    let mut hosts = lines.iter();
    let replaced = text.lines().map(|line| match line.starts_with("    bmc:") {
        true => hosts.next().unwrap().clone(),
        false => line.to_owned(),
    });
    *text = replaced.collect::<Vec<_>>().join("\n") + "\n";
    let base = format!("ipmi: {{ users: {{ admin: {{ username: admin, password: {} }} }} }}\n", quoted(PRODUCTION));
    rig.files.get_mut("group_vars/cluster1/base.yml").unwrap().push_str(&base);
}

/// What commands said, by name.
type Places = Vec<(String, Vec<u8>)>;

async fn commands(rig: &Rig, places: &mut Places) {
    let config = rig.stage.dir.join("rackwright.yaml").display().to_string();
    let journal = rig.stage.state_dir().join("journal.db").display().to_string();
    let work = rig.stage.work().display().to_string();
    let url = format!("http://{}", rig.http());
    let mut lines: Vec<Vec<String>> = Vec::new();
    let mut line = |words: &[&str]| lines.push(words.iter().map(|word| (*word).to_owned()).collect());
    for host in ["hv1", "hv2", "hv3", "hv4", "hv5"] {
        for words in [&["info"][..], &["diag"], &["diag", "--force"], &["boot", "pxe"], &["power", "status"]] {
            line(&[&["bmc", host], words, &["--config", &config]].concat());
        }
        line(&["explain", host, "--url", &url]);
        line(&["console", host, "--config", &config]);
    }
    line(&["bmc", "--all", "diag", "--config", &config]);
    line(&["bmc", "--all", "diag", "--format", "json", "--config", &config]);
    line(&["preflight", "--config", &config]);
    line(&["preflight", "--format", "json", "--config", &config]);
    line(&["replay", &journal, "--config", &config]);
    line(&["status", "--url", &url, "--format", "json"]);
    line(&["validate", &work]);
    line(&["plan", &work, "--base", "HEAD~1"]);
    line(&["render", "hv1", &work]);
    line(&["render", "--dhcp", "kea", "--config", &config, &work]);
    for words in lines {
        let mut command = program();
        command.arg("-vvv").args(&words).env_remove("RUST_LOG").envs(&rig.env).current_dir(rig.stage.work());
        let output = command.output().await.unwrap();
        places.push((format!("output of {}", words.join(" ")), output.stdout));
        places.push((format!("errors of {}", words.join(" ")), output.stderr));
    }
}

async fn answers(rig: &Rig, places: &mut Places) {
    for path in ["/", "/metrics", "/healthz", "/api/v1/hosts", "/api/v1/clusters", "/api/v1/openapi.json"] {
        let reply = rig.ask(path).await.unwrap();
        places.push((format!("GET {path}"), format!("{}{}", reply.head, reply.body).into_bytes()));
    }
    for host in 1..=5 {
        let path = format!("/api/v1/hosts/cluster1/hv{host}");
        places.push((format!("GET {path}"), rig.ask(&path).await.unwrap().body.into_bytes()));
    }
}

/// Every file below a directory, but the mirror: what it holds is the repository, which is where secrets come from.
fn files(dir: &Path, places: &mut Places) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true if path.ends_with("mirror.git") => {}
            true => files(&path, places),
            false => places.push((path.display().to_string(), std::fs::read(&path).unwrap())),
        }
    }
}

fn reason<'v>(hosts: &'v Value, name: &str) -> (&'v str, &'v str) {
    let found = hosts.as_array().into_iter().flatten().find(|host| host["host"] == name);
    let text = |place: &str| found.and_then(|host| host.pointer(place)?.as_str()).unwrap_or_default();
    (text("/state"), text("/condition/reason"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_is_said_or_written_holds_a_secret() {
    let mut rig = Rig::new(5).await;
    plant(&mut rig);
    let bin = rig.stage.dir.join("bin");
    std::fs::create_dir(&bin).unwrap();
    let script = IPMITOOL.replace("DIR", rig.stage.dir.to_str().unwrap());
    std::fs::write(bin.join("ipmitool"), script).unwrap();
    std::fs::set_permissions(bin.join("ipmitool"), std::fs::Permissions::from_mode(0o755)).unwrap();
    rig.env.insert("PATH".into(), format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));

    let watch = Watch::start();
    rig.start(&["--first-run", "-vvv"]).await;
    let mut echo = None;
    rig.machines(hasty(), |machines| {
        machines[1].bmc.as_mut().unwrap().password = Secret::new(INITIAL);
        for machine in &mut machines[3..] {
            machine.bmc = None;
            machine.machine.bmc_mac = None;
        }
        echo = Some(Machine::new(machines[3].machine.clone()));
    })
    .await;
    let told = Arc::<AtomicBool>::default();
    let _echoing = echoing(&rig, echo.unwrap(), told.clone());
    rig.push("Define the cluster").await;
    rig.until("everybody is where trouble begins", async || {
        let hosts = rig.api("hosts").await;
        let known = |name| !["init", "characterizing"].contains(&reason(&hosts, name).0);
        // hv1 has its setting, or it was tried.
        let tried = reason(&hosts, "hv1").0 != "preparing" || reason(&hosts, "hv1").1.starts_with("Settings");
        (known("hv1") && tried)
            && reason(&hosts, "hv2").1 == "AuthenticationFailed"
            && reason(&hosts, "hv3").1 == "CertificateChanged"
            && (known("hv4") && told.load(Ordering::Relaxed))
            && reason(&hosts, "hv5").0 != "init"
    })
    .await;

    let mut places = Places::new();
    commands(&rig, &mut places).await;
    answers(&rig, &mut places).await;
    rig.stop().await;
    places.push(("command lines".into(), watch.end()));
    places.push(("the daemon's log".into(), rig.logged().into_bytes()));
    files(&rig.stage.state_dir(), &mut places);
    for name in ["ipmitool-arguments", "ipmitool-environment"] {
        places.push((name.into(), std::fs::read(rig.stage.dir.join(name)).unwrap_or_default()));
    }
    let git = async |args: &[&str]| rig.stage.git(&rig.stage.repository(), args).await.unwrap().into_bytes();
    let branch = git(&["log", "-p", "--format=fuller", "rackwright/status"]).await;
    places.push(("the status branch".into(), branch));
    assert_eq!(search(&needles(), &places), Vec::<String>::new());

    // The search finds what there is: the places are those that were meant, and they are not empty.
    let about = |name: &str| -> String {
        let found = places.iter().find(|(place, _)| place.contains(name)).unwrap_or_else(|| panic!("no {name}"));
        String::from_utf8_lossy(&found.1).into_owned()
    };
    assert!(about("the daemon's log").contains("TRACE") && about("journal.db").contains("hv1"));
    assert!(about("command lines").contains("ls-remote") && about("command lines").contains("ipmitool -I lanplus"));
    assert!(about("ipmitool-arguments").contains("-E") && about("ipmitool-environment").contains("set"));
    assert!(about("the status branch").contains("AuthenticationFailed"));
    let table = about("output of bmc --all diag");
    for word in ["AuthenticationFailed", "CertificateChanged"] {
        assert!(table.contains(word), "no {word} in {table}");
    }
    assert!(about("output of bmc hv2 diag --force").contains("REFUSED"));
    let planted = git(&["log", "-p", "main"]).await;
    let mut control = vec![("the repository".to_owned(), planted)];
    for needle in needles() {
        control.push((format!("a file with {needle}"), format!("\u{1}password={needle}\u{2}").into_bytes()));
    }
    let found = search(&needles(), &control);
    for secret in [INITIAL, PRODUCTION, WRONG, SETTING, IPMI] {
        let escaped = serde_json::to_string(secret).unwrap();
        let expected = format!("the repository: {}", escaped.trim_matches('"'));
        assert!(found.contains(&expected), "{expected} is not among {found:?}");
    }
    for needle in needles() {
        assert!(found.contains(&format!("a file with {needle}: {needle}")), "{needle}");
    }
}
