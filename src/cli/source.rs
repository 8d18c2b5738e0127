//! Where commands read from: a working tree, a revision, a status branch, a running daemon.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::drive::git::{Git, Local, local_path};
use crate::drive::http;
use crate::drive::secrets::Keeper;
use crate::model::status::{ClusterStatus, Files, HostStatus, RackStatus, RejectedStatus, UnclaimedStatus};
use crate::model::{ClusterName, Desired, Mac, Revision, StatusBranch};
use crate::repo::secret::Secrets;
use crate::repo::{self, Entry, Tree};
use crate::serve::api::chain::BootChain;
use crate::settings::{Repository, Settings};

/// Largest file of a working tree that is read, in bytes; as for revisions.
const FILE_LIMIT: u64 = 4 << 20;
/// Largest sum of the files of a working tree, in bytes; as for revisions.
const TREE_LIMIT: u64 = 64 << 20;
/// Largest answer of a daemon that is read, in bytes.
const ANSWER_LIMIT: usize = 64 << 20;

/// Reads a working tree: everything but `.git`; links as links; nested repositories as submodules.
pub fn directory(root: &Path) -> anyhow::Result<Tree> {
    let mut tree = Tree::new();
    let (mut dirs, mut total) = (vec![root.to_path_buf()], 0);
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
            let path = entry?.path();
            let name = path.strip_prefix(root)?.to_str().map(str::to_string);
            let Some(name) = name.filter(|_| path.file_name() != Some(".git".as_ref())) else { continue };
            let about = fs::symlink_metadata(&path).with_context(|| path.display().to_string())?;
            if about.is_symlink() {
                tree.insert(name, Entry::Link(fs::read_link(&path)?.to_string_lossy().into_owned()));
            } else if about.is_dir() && path.join(".git").exists() {
                tree.insert(name, Entry::Submodule);
            } else if about.is_dir() {
                dirs.push(path);
            } else if about.is_file() && about.len() <= FILE_LIMIT {
                total += about.len();
                if total > TREE_LIMIT {
                    bail!("{} holds more than {} MiB; name a revision instead", root.display(), TREE_LIMIT >> 20);
                }
                let data = fs::read(&path).with_context(|| path.display().to_string())?;
                tree.insert(name, Entry::File(Arc::from(data)));
            }
        }
    }
    Ok(tree)
}

/// Where a status is read from.
#[derive(clap::Args, Clone, Debug)]
pub struct StatusSource {
    /// Ask a running daemon, for example http://10.255.255.1:9999
    #[arg(long, value_name = "URL", conflicts_with_all = ["repo", "branch"])]
    pub url: Option<String>,
    /// The repository: a path in a clone or a bare repository, or any address that git can fetch from
    #[arg(long, value_name = "PATH|URL", default_value = ".")]
    pub repo: String,
    /// The status branch
    #[arg(long, value_name = "BRANCH", default_value = "rackwright/status")]
    pub branch: String,
}

/// The whole rack's status.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Rack {
    /// The status commit it was read from, when it was read from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<Revision>,
    /// Present while the watched head is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected: Option<RejectedStatus>,
    /// Who is on the network and not in the repository, by MAC.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unclaimed: BTreeMap<Mac, UnclaimedStatus>,
    /// Every cluster, in name order.
    pub clusters: Vec<ClusterStatus>,
    /// Every host, in name order.
    pub hosts: Vec<HostStatus>,
}

/// Who was asked for a boot chain.
#[derive(Clone, Debug)]
pub enum Asked {
    /// A daemon; nothing when it knows no boot MAC of the host.
    Daemon(Option<BootChain>),
    /// The status branch, which has none.
    Branch,
}

impl StatusSource {
    /// Reads it.
    pub async fn read(&self) -> anyhow::Result<Rack> {
        if let Some(url) = &self.url {
            return daemon(url).await;
        }
        let (commit, files) = match local_path(&self.repo) {
            Some(path) => self.read_local(&path)?,
            None => self.read_remote().await?,
        };
        let branch = StatusBranch::read(&files).map_err(anyhow::Error::msg)?;
        let StatusBranch { rack: RackStatus { unclaimed, .. }, rejected, clusters, hosts } = branch;
        Ok(Rack { commit, rejected, unclaimed, clusters, hosts })
    }

    /// A host's boot chain, which only a running daemon knows.
    pub async fn boot_chain(&self, cluster: &ClusterName, host: &str) -> anyhow::Result<Asked> {
        let Some(url) = &self.url else { return Ok(Asked::Branch) };
        let url = format!("{}/api/v1/hosts/{cluster}/{host}", url.trim_end_matches('/'));
        // An older daemon's answer has no such field; that is no reason to say nothing else.
        let answer: serde_json::Value = get(&client()?, &url).await?;
        let chain = answer.get("boot_chain").filter(|chain| !chain.is_null());
        Ok(Asked::Daemon(chain.and_then(|chain| serde_json::from_value(chain.clone()).ok())))
    }

    fn read_local(&self, path: &Path) -> anyhow::Result<(Option<Revision>, Files)> {
        match Local::discover(path)?.status(&self.branch)? {
            Some((commit, files)) => Ok((Some(commit), files)),
            None => bail!(
                "there is no branch `{0}` here, nor one fetched from origin; try `git fetch origin {0}`, or --url",
                self.branch
            ),
        }
    }

    async fn read_remote(&self) -> anyhow::Result<(Option<Revision>, Files)> {
        let dir = tempfile::tempdir()?;
        let repository = Repository {
            url: self.repo.clone(),
            branch: self.branch.clone(),
            status_branch: self.branch.clone(),
            poll_interval: Duration::from_secs(30),
            ssh_key: None,
            known_hosts: None,
            webhook_secret_file: None,
            allowed_signers: None,
            signing_key: None,
        };
        let fault = |fault: crate::model::Fault| anyhow::anyhow!("{}", fault.message);
        let git = Git::at(&repository, dir.path()).map_err(fault)?;
        match git.read_status().await.map_err(fault)? {
            Some(files) => Ok((None, files)),
            None => bail!("{} has no branch `{}`", crate::settings::without_credentials(&self.repo), self.branch),
        }
    }
}

/// A client for a daemon's own plain HTTP.
pub fn client() -> anyhow::Result<reqwest::Client> {
    // One cryptography provider for the process; somebody else may have chosen before us.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?)
}

/// What is shown of the daemon's answer about the rack as a whole.
#[derive(Deserialize)]
struct Whole {
    rejected: Option<RejectedStatus>,
    #[serde(default)]
    unclaimed: BTreeMap<Mac, UnclaimedStatus>,
}

async fn daemon(url: &str) -> anyhow::Result<Rack> {
    let client = client()?;
    let base = url.trim_end_matches('/');
    let clusters = get(&client, &format!("{base}/api/v1/clusters")).await?;
    let hosts = get(&client, &format!("{base}/api/v1/hosts")).await?;
    let whole: Whole = get(&client, &format!("{base}/api/v1/rack")).await?;
    Ok(Rack { commit: None, rejected: whole.rejected, unclaimed: whole.unclaimed, clusters, hosts })
}

async fn get<T: DeserializeOwned>(client: &reqwest::Client, url: &str) -> anyhow::Result<T> {
    let failed = || format!("no answer from {}", crate::settings::without_credentials(url));
    let send = client.get(url).header("Accept", "application/json").send().await;
    let mut answer = send.map_err(reqwest::Error::without_url).with_context(failed)?;
    if !answer.status().is_success() {
        bail!("{}: {}", crate::settings::without_credentials(url), answer.status());
    }
    let (body, more) = http::body(&mut answer, ANSWER_LIMIT).await.map_err(reqwest::Error::without_url)?;
    if more {
        bail!("the answer is larger than {} MiB", ANSWER_LIMIT >> 20);
    }
    serde_json::from_slice(&body).with_context(|| "this is not the answer of a rackwright daemon")
}

/// A repository's files and where they came from: the working tree at `path`, or a revision of its repository.
pub fn tree(path: &Path, revision: Option<&str>) -> anyhow::Result<(Tree, Option<Revision>)> {
    match revision {
        None => Ok((directory(path)?, None)),
        Some(name) => {
            let local = Local::discover(path)?;
            let revision = local.resolve(name)?;
            Ok((local.snapshot(&revision)?.tree, Some(revision)))
        }
    }
}

/// Loads a tree as the daemon with these settings would. Without settings, documentation values stand for the
/// daemon's address and mirror (RFC 5737): good for comparing, not for booting; and no secret is read.
pub fn load(
    tree: &Tree,
    settings: Option<&Settings>,
    previous: Option<&Desired>,
    revision: Option<Revision>,
) -> repo::Loaded {
    let read = |secrets| repo::load(tree, &context(settings, previous, revision.clone(), secrets));
    match settings {
        Some(settings) => Keeper::new(settings).load(tree, read),
        None => read(Secrets::elsewhere()),
    }
}

fn context<'a>(
    settings: Option<&'a Settings>,
    previous: Option<&'a Desired>,
    revision: Option<Revision>,
    secrets: Arc<Secrets>,
) -> repo::Context<'a> {
    let subnets = settings.map(|settings| settings.network.subnets.as_slice()).unwrap_or_default();
    repo::Context {
        http_base: settings.map_or_else(|| "http://192.0.2.1:9999".into(), |s| s.policy().site.http_base()),
        address: settings.map_or(Ipv4Addr::new(192, 0, 2, 1), |s| s.network.address),
        subnets,
        deploy_username: settings.map_or_else(|| "deploy".into(), |s| s.deploy.username.clone()),
        mirror: settings.map_or_else(|| "http://mirror.example.net/debian".into(), |s| s.debian.mirror.clone()),
        release: settings.map_or_else(|| "bookworm".into(), |s| s.debian.release.clone()),
        previous,
        revision,
        secrets,
    }
}
