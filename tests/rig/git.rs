//! A forge and a person with a clone, for tests of the Git driver: real repositories, the real `git`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rackwright::drive::git::Git;
use rackwright::settings::Repository;

/// A bare repository (the forge), a clone (a person), and a state directory (ours).
pub struct Rig {
    pub dir: tempfile::TempDir,
    pub remote: PathBuf,
    pub work: PathBuf,
}

impl Rig {
    /// An empty forge and a clone with one commit that is not pushed yet.
    pub fn new() -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let (remote, work) = (dir.path().join("forge.git"), dir.path().join("work"));
        git(dir.path(), &["init", "--quiet", "--bare", "--initial-branch=main", "forge.git"]);
        git(dir.path(), &["init", "--quiet", "--initial-branch=main", "work"]);
        git(&work, &["remote", "add", "origin", remote.to_str().unwrap()]);
        let rig = Rig { dir, remote, work };
        rig.commit("clusters.yml", "clusters: []\n", "first");
        rig
    }

    /// Likewise, pushed.
    pub fn pushed() -> Rig {
        let rig = Rig::new();
        rig.push("main");
        rig
    }

    /// Commits one file in the clone; gives the commit.
    pub fn commit(&self, path: &str, text: &str, message: &str) -> String {
        let file = self.work.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
        git(&self.work, &["add", "--all"]);
        git(&self.work, &["commit", "--quiet", "-m", message]);
        git(&self.work, &["rev-parse", "HEAD"])
    }

    /// Pushes the clone's head to a branch of the forge.
    pub fn push(&self, branch: &str) {
        git(&self.work, &["push", "--quiet", "origin", &format!("HEAD:refs/heads/{branch}")]);
    }

    /// The settings' part about the forge.
    pub fn repository(&self) -> Repository {
        Repository {
            url: self.remote.to_str().unwrap().into(),
            branch: "main".into(),
            status_branch: "rackwright/status".into(),
            poll_interval: Duration::from_secs(30),
            ssh_key: None,
            known_hosts: None,
            webhook_secret_file: None,
            allowed_signers: None,
            signing_key: None,
        }
    }

    /// Our state directory.
    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// The driver under test.
    pub fn open(&self) -> Git {
        Git::at(&self.repository(), &self.state()).unwrap()
    }

    /// Runs git in the forge.
    pub fn forge(&self, args: &[&str]) -> String {
        git(&self.remote, args)
    }

    /// `git show <branch>:<path>` in the forge.
    pub fn status_file(&self, path: &str) -> String {
        self.forge(&["show", &format!("rackwright/status:{path}")])
    }

    /// The number of commits on the status branch.
    pub fn status_commits(&self) -> usize {
        self.forge(&["rev-list", "--count", "rackwright/status"]).parse().unwrap()
    }
}

/// Runs git as a person; gives its output without the last newline.
pub fn git(dir: &Path, args: &[&str]) -> String {
    let output = command(dir).args(args).output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_string()
}

/// git, as a person with a name and without configuration.
pub fn command(dir: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(dir).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "Ada").env(format!("GIT_{role}_EMAIL"), "ada@example.net");
    }
    command
}

/// Every `git` of this machine: the first in `PATH`, and the distribution's when that is another one.
pub fn programs() -> Vec<PathBuf> {
    let mut programs = vec![PathBuf::from("git")];
    programs.extend(["/usr/bin/git"].map(PathBuf::from).into_iter().filter(|path| path.exists()));
    programs
}
