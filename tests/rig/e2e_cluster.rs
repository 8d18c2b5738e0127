//! Three machines that are network namespaces with a real sshd, a repository in PVC's layout at the other end of real
//! `git` over SSH, real Ansible, and a place where notifications arrive. The real program as a child process.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command as Blocking, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::e2e::alone::{alone, is_inside};
use crate::e2e::http::{Heard, Sink};
use crate::e2e::status::Status;
use crate::rig::e2e::program;
use crate::rig::net_clients;

/// The longest wait for anything: three machines are configured at once on two busy cores.
const PATIENCE: Duration = Duration::from_secs(200);
/// How long a whole test may take.
const LIMIT: Duration = Duration::from_secs(540);
/// Between two looks of a wait.
const LOOK: Duration = Duration::from_millis(50);
/// What the scenarios run.
const PROGRAMS: [&str; 9] =
    ["ansible-playbook", "ansible-vault", "sshd", "ssh-keygen", "udhcpc", "curl", "sudo", "unshare", "git"];
/// The daemon's address.
pub const SERVER: &str = "10.93.0.1";
/// The machines.
pub const HOSTS: [&str; 3] = ["hv1", "hv2", "hv3"];

/// What must be seen nowhere but where it belongs: a password in a vault, the vault's own, the forge's token, the URI of
/// a hook.
pub const PLANTED: [&str; 4] = ["root-pw-Zu7ohcee", "vault-pw-Ohqu4aij", "forge-token-ieNg8ohx", "hook-uri-aeTh5kie"];

/// Plays a scenario in namespaces of its own, if that can be done here.
pub fn within(test: &str, scenario: impl Future<Output = ()>) {
    if is_inside() || net_clients::can_run(&PROGRAMS) {
        alone(test, LIMIT, scenario);
    }
}

/// Everything that one scenario needs.
pub struct ClusterRig {
    pub dir: PathBuf,
    pub sink: Sink,
    daemon: Option<Child>,
    machines: Vec<Child>,
    _git: Child,
    _dir: tempfile::TempDir,
}

impl ClusterRig {
    /// Machines that wait for their installs, and a daemon that has just been started; nothing is in the repository but
    /// what `tweak` has made of the fixture.
    pub async fn new(tweak: impl FnOnce(&Path)) -> ClusterRig {
        let temp = tempfile::Builder::new().prefix("cluster-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let dir = temp.path().to_owned();
        for path in [dir.parent().unwrap(), &dir] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        lay_network();
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cluster");
        sh(&dir, &format!("cp -a {}/. .", fixture.display()));
        let git = git_server(&dir);
        let sink = Sink::start("10.93.0.1:8081".parse().unwrap()).await;
        write_settings(&dir);
        repository(&dir, tweak);
        let mut rig = ClusterRig { dir, sink, daemon: None, machines: Vec::new(), _git: git, _dir: temp };
        rig.start().await;
        for (index, name) in HOSTS.iter().enumerate() {
            let machine = rig.machine(index, name);
            rig.machines.push(machine);
        }
        rig
    }

    /// Powers a machine on.
    fn machine(&self, index: usize, name: &str) -> Child {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", name, "unshare", "--mount", "--uts", "bash"]);
        command.arg(self.dir.join("machine.sh")).arg(name).arg(&self.dir).arg(SERVER);
        command.arg(format!("52:54:00:cc:00:{:02x}", index + 1));
        command.stdin(Stdio::null()).kill_on_drop(true).spawn().unwrap()
    }

    /// Starts the daemon.
    pub async fn start(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.dir.join("daemon.log")).unwrap();
        let mut command = program();
        command.args(["run", "--first-run", "--config"]).arg(self.dir.join("rackwright.yaml"));
        command.env("NO_COLOR", "1").env("RUST_LOG", "trace,rustls=info,hyper=info,h2=info,russh=info");
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let serving = self.logged().matches(" serving").count();
        self.daemon = Some(command.spawn().unwrap());
        self.until("the daemon serves", |rig| rig.logged().matches(" serving").count() > serving).await;
    }

    /// SIGKILL.
    pub async fn kill(&mut self) {
        self.daemon.take().expect("a running daemon").kill().await.unwrap();
    }

    /// What the daemons of this rig have logged.
    pub fn logged(&self) -> String {
        read(self.dir.join("daemon.log"))
    }

    /// Tells a machine to do something (`machine.sh`).
    pub fn signal(&self, name: &str, signal: &str) {
        std::fs::write(self.dir.join(name).join("signals"), format!("{signal}\n")).unwrap();
    }

    /// A file that a machine has written.
    pub fn of(&self, name: &str, file: &str) -> String {
        read(self.dir.join(name).join(file))
    }

    /// The lines of such a file, of every machine that has it.
    pub fn lines(&self, file: &str) -> Vec<(&'static str, String)> {
        let lines = |name: &'static str| {
            let text = self.of(name, file);
            text.lines().map(|line| (name, line.to_owned())).collect::<Vec<_>>()
        };
        HOSTS.iter().flat_map(|name| lines(name)).collect()
    }

    /// Lets the cluster's API answer.
    pub fn api_is_up(&self) {
        HOSTS.iter().for_each(|name| std::fs::write(self.dir.join(name).join("api-is-up"), "").unwrap());
    }

    /// Runs git on the remote repository.
    pub fn git(&self, args: &str) -> String {
        sh(&self.dir, &format!("git -C remote.git {args}"))
    }

    /// Changes the repository as an administrator would: a shell command in a clone, committed and pushed.
    pub fn push(&self, command: &str) {
        let work = self.dir.join("work");
        sh(
            &work,
            &format!(
                "git pull -q --rebase origin main && {command} && git add -A && git commit -q -m change && git push -q origin HEAD:main"
            ),
        );
    }

    /// The status branch, once it exists.
    pub fn status(&self) -> Option<Status> {
        Status::read(&self.dir.join("remote.git"))
    }

    /// Whether the status branch says that the cluster is completed and nothing is left to do.
    pub fn is_completed(&self) -> bool {
        self.status().is_some_and(|status| {
            status.cluster_is_completed("c1")
                && HOSTS.iter().all(|name| status.host(&format!("c1/{name}")).is_some_and(|host| host.is_done()))
        })
    }

    /// The condition of the cluster, as the status branch has it: status, reason, message.
    pub fn condition(&self) -> (String, String, String) {
        let cluster = self.status().and_then(|status| status.cluster("c1"));
        let condition = cluster.map(|cluster| cluster.condition);
        condition.map(|it| (it.status.to_string(), it.reason.to_string(), it.message)).unwrap_or_default()
    }

    /// Messages that were sent to people.
    pub fn notices(&self) -> Vec<String> {
        let text = |heard: Heard| serde_json::from_str::<serde_json::Value>(&heard.body).unwrap()["text"].to_string();
        self.sink.posts("/notify").into_iter().map(text).collect()
    }

    /// What `rackwright explain` says.
    pub fn explain(&self, name: &str) -> String {
        let mut command = Blocking::new(env!("CARGO_BIN_EXE_rackwright"));
        command.args(["explain", name, "--url", &format!("http://{SERVER}:9999")]);
        let output = command.output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    /// Waits until something holds, as long as the daemon and the machines run.
    pub async fn until(&mut self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            if let Some(daemon) = &mut self.daemon {
                let ended = daemon.try_wait().unwrap();
                assert!(ended.is_none(), "the daemon ended ({ended:?}) before {what}");
            }
            let rejected = self.status().and_then(|status| status.rejected());
            assert!(rejected.is_none(), "the revision is refused: {rejected:?}");
            assert!(Instant::now() < deadline, "not in time: {what}");
            sleep(LOOK).await;
        }
    }

    /// Waits until something holds and the daemon has been killed by somebody else.
    pub async fn until_killed(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let mut daemon = self.daemon.take().expect("a running daemon");
        let ended = tokio::time::timeout(PATIENCE, daemon.wait()).await;
        let ended = ended.unwrap_or_else(|_| panic!("not in time: {what}")).unwrap();
        assert!(holds(self), "the daemon ended ({ended:?}) before {what}");
    }

    /// Looks for the planted secrets where they have no business to be.
    pub fn no_secret_leaked(&self) {
        let everything = self.git("log --all -p");
        let journal = read_all(&self.dir.join("state"), "secrets are nowhere in the state directory");
        for planted in PLANTED {
            assert!(!everything.contains(planted), "{planted} is in a commit");
            assert!(!self.logged().contains(planted), "{planted} is in the daemon's log");
            assert!(!journal.contains(planted), "{planted} is under the state directory");
            assert!(!self.notices().iter().any(|notice| notice.contains(planted)), "{planted} was told to people");
            assert!(!self.explain("c1/hv1").contains(planted), "{planted} is in explain");
        }
    }
}

impl Drop for ClusterRig {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.logged();
            let kept: Vec<_> = log.lines().filter(|line| !line.contains("TRACE")).collect();
            println!("--- the daemon\n{}", kept[kept.len().saturating_sub(200)..].join("\n"));
            for name in HOSTS {
                println!("--- {name}\n{}\n{}", self.of(name, "machine.log"), self.of(name, "log/playbook"));
                println!("{}", self.explain(&format!("c1/{name}")));
            }
            println!("{}", self.status().map_or(String::new(), |status| status.files["README.md"].clone()));
            println!("{}", sh(&self.dir, "find state/runs -name '*.log' -exec tail -n 60 {} + 2>/dev/null || true"));
        }
    }
}

fn read(path: PathBuf) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

/// All files below a directory, one after the other.
fn read_all(dir: &Path, what: &str) -> String {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|error| panic!("{what}: {error}"));
    let text = |path: PathBuf| if path.is_dir() { read_all(&path, what) } else { read(path) };
    entries
        .map(|entry| entry.unwrap())
        .filter(|it| !it.file_type().unwrap().is_symlink())
        .map(|it| text(it.path()))
        .collect()
}

/// Runs a shell command to its end.
pub fn sh(dir: &Path, script: &str) -> String {
    let identity = "export GIT_AUTHOR_NAME=Ada GIT_AUTHOR_EMAIL=ada@example.net GIT_COMMITTER_NAME=Ada \
                    GIT_COMMITTER_EMAIL=ada@example.net GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_COUNT=2 \
                    GIT_CONFIG_KEY_0=init.defaultBranch GIT_CONFIG_VALUE_0=main \
                    GIT_CONFIG_KEY_1=protocol.file.allow GIT_CONFIG_VALUE_1=always; set -eu; ";
    let output = Blocking::new("bash").arg("-c").arg(format!("{identity}{script}")).current_dir(dir).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}: {out}{err}");
    out.into_owned()
}

/// Replaces the hooks of the fixture.
pub fn only_hooks(work: &Path, hooks: &str) {
    let path = work.join("group_vars/c1/bootstrap.yml");
    let text = std::fs::read_to_string(&path).unwrap();
    let (machines, _) = text.split_once("hooks:").unwrap();
    std::fs::write(path, format!("{machines}{hooks}")).unwrap();
}

/// A bridge with the daemon's address, and a namespace for every machine.
fn lay_network() {
    let run = "mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir -p /run/netns /run/sshd && \
               ip link set lo up && ip link add br0 type bridge stp_state 0 forward_delay 0 && \
               ip address add 10.93.0.1/24 dev br0 && ip link set br0 up";
    sh(Path::new("/"), run);
    for name in HOSTS {
        let lines = format!(
            "ip netns add {name} && ip link add p-{name} type veth peer name eth0 netns {name} && \
             ip link set p-{name} master br0 up"
        );
        sh(Path::new("/"), &lines);
    }
}

/// Serves the repositories over SSH.
fn git_server(dir: &Path) -> Child {
    let here = dir.display();
    sh(
        dir,
        "git init -q --bare remote.git && git init -q --bare pvc-ansible.git && \
         for name in id_ed25519 git_host_key; do ssh-keygen -q -t ed25519 -N '' -C '' -f $name; done && \
         cp id_ed25519.pub git_keys && \
         echo \"[10.93.0.1]:2222 $(cat git_host_key.pub)\" >known_hosts",
    );
    let config = format!(
        "Port 2222\nListenAddress {SERVER}\nHostKey {here}/git_host_key\nAuthorizedKeysFile {here}/git_keys\n\
         StrictModes no\nPermitRootLogin prohibit-password\nUsePAM no\nPidFile none\n"
    );
    std::fs::write(dir.join("git_sshd"), config).unwrap();
    let mut command = Command::new("/usr/sbin/sshd");
    command.args(["-D", "-f"]).arg(dir.join("git_sshd")).arg("-E").arg(dir.join("git_sshd.log"));
    command.stdin(Stdio::null()).kill_on_drop(true).spawn().unwrap()
}

/// The repository in PVC's layout: roles in a submodule, links to them, and a link in them back to the files.
fn repository(dir: &Path, tweak: impl FnOnce(&Path)) {
    let [root_password, vault, _, hook] = PLANTED;
    std::fs::write(dir.join("vault_password"), format!("{vault}\n")).unwrap();
    std::fs::write(dir.join("vault.yml"), format!("root_password: {root_password}\nteam_path: {hook}\n")).unwrap();
    let here = dir.display();
    let url = format!("ssh://root@{SERVER}:2222{here}/pvc-ansible.git");
    sh(
        dir,
        &format!(
            "ln -s ../../../../files submodule/roles/pvc/files/ceph 2>/dev/null || \
             {{ mkdir -p submodule/roles/pvc/files && ln -s ../../../../files submodule/roles/pvc/files/ceph; }}
             export GIT_SSH_COMMAND='ssh -i {here}/id_ed25519 -o UserKnownHostsFile={here}/known_hosts -o IdentitiesOnly=yes'
             (cd submodule && git init -q && git add -A && git commit -q -m roles && git push -q {url} HEAD:main)
             git clone -q remote.git work && cp -a repository/. work && cd work
             git submodule --quiet add {url} pvc-ansible
             mkdir roles && ln -s ../pvc-ansible/roles/base roles/base && ln -s ../pvc-ansible/roles/pvc roles/pvc
             ANSIBLE_VAULT_PASSWORD_FILE=../vault_password LC_ALL=C.UTF-8 ansible-vault encrypt --output group_vars/c1/vault.yml ../vault.yml
             rm ../vault.yml"
        ),
    );
    tweak(&dir.join("work"));
    sh(&dir.join("work"), "git add -A && git commit -q -m 'Define the cluster' && git push -q origin HEAD:main");
}

fn write_settings(dir: &Path) {
    let here = dir.display();
    std::fs::create_dir(dir.join("tftp")).unwrap();
    std::fs::write(dir.join("forge_token"), format!("{}\n", PLANTED[2])).unwrap();
    let text = format!(
        "repository:
  url: ssh://root@{SERVER}:2222{here}/remote.git
  ssh_key: {here}/id_ed25519
  known_hosts: {here}/known_hosts
  poll_interval: 1s
state_dir: {here}/state
network:
  address: {SERVER}
  interface: br0
  dhcp:
    subnets:
      - {{ subnet: 10.93.0.0/24, range: 10.93.0.100-10.93.0.199, lease_time: 1h }}
  tftp: {{ root: {here}/tftp }}
deploy: {{ username: deploy, ssh_key: {here}/id_ed25519 }}
ansible: {{ vault_password_file: {here}/vault_password, timeout: 3m }}
limits: {{ publish_debounce: 100ms, backoff: 200ms }}
notifications: {{ uri: \"http://{SERVER}:8081/notify\", action: post, body: {{ text: \"{{icon}} {{message}}\" }} }}
commit_status: {{ forge: gitea, api: \"http://{SERVER}:8081/api/v1\", repository: ada/infra, token_file: {here}/forge_token }}
"
    );
    std::fs::write(dir.join("rackwright.yaml"), text).unwrap();
}
