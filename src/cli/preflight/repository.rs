//! The repository: whether it can be reached, read and pushed to, and the programs that its definitions need.

use std::time::Duration;

use super::Check;
use crate::cli::source;
use crate::drive::git::{Git, Reach};
use crate::drive::process::Run;
use crate::drive::{forge, http};
use crate::model::{Desired, Protocol};
use crate::settings::{Forge, Settings, without_credentials};

/// Whether the forge is there and lets us see the repository. Whether the token may write statuses shows with the first.
pub async fn forge(forge: &Forge) -> Check {
    let looked = async { forge::look(&http::client()?, forge).await };
    match looked.await {
        Ok(()) => Check::ok("commit statuses", format!("{} knows {}", forge.api, forge.repository)),
        Err(fault) => Check::warning("commit statuses", fault.message, "see commit_status in the settings"),
    }
}

/// Fetches the watched branch into a temporary directory, tries a push that is none, and reads the definitions.
pub async fn look(settings: &Settings, checks: &mut Vec<Check>) -> Option<Desired> {
    let url = without_credentials(&settings.repository.url).to_owned();
    let dir = match tempfile::tempdir() {
        Ok(dir) => dir,
        Err(error) => {
            checks.push(Check::warning("repository", format!("no temporary directory: {error}"), "set TMPDIR"));
            return None;
        }
    };
    let fetched = async {
        let git = Git::at(&settings.repository, dir.path())?;
        let head = git.fetch().await?;
        Ok::<_, crate::model::Fault>((git, head))
    };
    let (git, head) = match fetched.await {
        Ok(fetched) => fetched,
        Err(fault) => {
            let advice = "see repository.url, .branch, .ssh_key and .known_hosts, and that this user may read the key";
            checks.push(Check::fail("repository", format!("{url}: {}", fault.message), advice));
            return None;
        }
    };
    checks.push(Check::ok("repository", format!("{url}, {} is {}", settings.repository.branch, head.short())));
    checks.push(match git.may_push().await {
        Ok(Reach::Existing) => {
            Check::ok("status branch", format!("{} may be pushed to", settings.repository.status_branch))
        }
        Ok(Reach::New) => Check::ok(
            "status branch",
            format!("{} is not there yet and may be made", settings.repository.status_branch),
        ),
        Err(fault) => Check::fail(
            "status branch",
            fault.message,
            "give the deploy key write access; nothing is installed before it is announced on the status branch",
        ),
    });
    let tree = git.tree(&head).ok()?;
    let loaded = source::load(&tree, Some(settings), None, Some(head));
    checks.push(match &loaded.desired {
        Some(desired) => Check::ok("definitions", format!("{} hosts", desired.hosts.len())),
        None => {
            let found = format!("{} findings: this revision would be refused", loaded.findings.len());
            Check::warning("definitions", found, "rackwright validate says what and where")
        }
    });
    loaded.desired
}

/// The programs we run. Without definitions nobody knows what is needed.
pub async fn programs(settings: &Settings, desired: Option<&Desired>) -> Vec<Check> {
    let hosts = || desired.into_iter().flat_map(|desired| desired.hosts.values());
    let ipmi = hosts().filter(|host| host.bmc.protocol == Protocol::Ipmi).count();
    let mut checks = vec![program("git", "--version", "", Some("every rack needs it: apt install git")).await];
    let url = &settings.repository.url;
    if url.starts_with("ssh://") || (!url.contains("://") && url.contains(':')) {
        checks.push(
            program("ssh", "-V", "", Some("the repository's address needs it: apt install openssh-client")).await,
        );
    }
    let need = |count: usize, what: &str| if count > 0 { format!("{count} {what}") } else { String::new() };
    checks.extend(super::ansible::look(settings, desired).await);
    checks.push(program("ipmitool", "-V", &need(ipmi, "hosts have a BMC that only it can speak to"), None).await);
    checks
}

/// One program: missing is a failure when there is advice for it, a warning when something needs it, and fine otherwise.
async fn program(name: &str, version: &str, need: &str, required: Option<&str>) -> Check {
    let run = Run::new(name).arg(version).time_limit(Duration::from_secs(20)).output().await;
    match (run, required) {
        (Ok(output), _) if output.success() => {
            let said = if output.stdout.is_empty() {
                output.stderr.clone()
            } else {
                String::from_utf8_lossy(&output.stdout).into_owned()
            };
            Check::ok(name, said.lines().next().unwrap_or_default().trim().to_owned())
        }
        (Ok(output), _) => {
            Check::warning(name, format!("{name} {version} ended with {:?}", output.status), "see to it")
        }
        (Err(error), Some(advice)) => Check::fail(name, error.to_string(), advice),
        (Err(_), None) if need.is_empty() => Check::ok(name, "not installed, and not needed by these definitions"),
        (Err(error), None) => Check::warning(name, format!("{error} {need}"), format!("install it: {need}")),
    }
}
