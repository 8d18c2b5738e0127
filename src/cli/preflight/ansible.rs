//! Ansible: whether it is there, whether its version does with PVC's roles, and whether their collections are there.

use std::time::Duration;

use super::Check;
use crate::drive::process::{Output, ProcessError, Run};
use crate::model::{Desired, TaskSpec};
use crate::settings::Settings;

/// What PVC's roles use besides ansible-core.
const COLLECTIONS: [&str; 2] = ["community.postgresql", "ansible.posix"];
/// The first version whose stricter conditionals PVC's roles, as its repositories pin them, do not pass.
const STRICT: (u32, u32) = (2, 19);

/// Looks at the program that the settings name, when a cluster needs it.
pub async fn look(settings: &Settings, desired: Option<&Desired>) -> Vec<Check> {
    let program = &settings.ansible.playbook;
    let clusters = desired.into_iter().flat_map(|desired| desired.clusters.values());
    let configured: Vec<_> = clusters.filter(|it| it.tasks.iter().any(TaskSpec::is_ansible)).collect();
    let pvc = |name| desired.is_some_and(|desired| desired.hosts_of(name).any(|host| &*host.installer == "pvc"));
    let pvc = configured.iter().any(|cluster| pvc(&cluster.name));
    let mut checks = vec![match version(program).await {
        Ok(output) => judge(program, &output, pvc),
        Err(_) if configured.is_empty() => Check::ok(program, "not installed, and not needed by these definitions"),
        Err(error) => {
            let found = format!("{error} {} clusters run it", configured.len());
            Check::warning(program, found, "apt install ansible (or ansible-core)")
        }
    }];
    if pvc {
        checks.extend(collections(program).await);
    }
    checks
}

async fn version(program: &str) -> Result<Output, ProcessError> {
    run(program, &["--version"]).await
}

async fn run(program: &str, args: &[&str]) -> Result<Output, ProcessError> {
    let run = Run::new(program).args(args).env("LANG", "C.UTF-8").env("LC_ALL", "C.UTF-8");
    run.time_limit(Duration::from_secs(30)).output().await
}

fn judge(program: &str, output: &Output, pvc: bool) -> Check {
    if !output.success() {
        let said = output.stderr.lines().next().unwrap_or_default().trim();
        return Check::warning(program, format!("--version ended with {:?}: {said}", output.status), "see to it");
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let first = text.lines().next().unwrap_or_default().trim().to_owned();
    let python = text.lines().find_map(|line| line.trim().strip_prefix("python version = "));
    let python = python.and_then(|line| line.split(' ').next()).map_or(String::new(), |it| format!(", Python {it}"));
    let found = format!("{first}{python}");
    if pvc && core(&first).is_some_and(|version| version >= STRICT) {
        let advice = "PVC's roles as its repositories pin them need ansible-core before 2.19";
        return Check::warning(program, found, advice);
    }
    Check::ok(program, found)
}

/// `ansible-playbook [core 2.14.18]`
fn core(line: &str) -> Option<(u32, u32)> {
    let mut parts = line.split_once("[core ")?.1.split(['.', ']']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Which of PVC's collections are missing; nothing when that cannot be told.
async fn collections(program: &str) -> Option<Check> {
    let (dir, _) = program.rsplit_once('/').map_or(("", program), |(dir, name)| (&program[..=dir.len()], name));
    let listed = run(&format!("{dir}ansible-galaxy"), &["collection", "list"]).await.ok()?;
    let text = String::from_utf8_lossy(&listed.stdout);
    let has = |name: &str| text.lines().any(|line| line.split_whitespace().next() == Some(name));
    let missing: Vec<_> = COLLECTIONS.into_iter().filter(|name| !has(name)).collect();
    Some(if missing.is_empty() {
        Check::ok("Ansible collections", COLLECTIONS.join(", "))
    } else {
        let found = format!("{} not found; PVC's roles use them", missing.join(" and "));
        Check::warning("Ansible collections", found, "apt install ansible, or ansible-galaxy collection install them")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_is_too_strict_is_told() {
        let output = |version: &str| Output {
            status: Some(0),
            stdout: format!("ansible-playbook [core {version}]\n  python version = 3.11.2 (main)\n").into_bytes(),
            stderr: String::new(),
            truncated: false,
        };
        let check = |version: &str, pvc| judge("ansible-playbook", &output(version), pvc);
        assert_eq!(check("2.14.18", true).found, "ansible-playbook [core 2.14.18], Python 3.11.2");
        assert!(check("2.14.18", true).advice.is_none());
        assert!(check("2.19.0", true).advice.is_some_and(|advice| advice.contains("before 2.19")));
        assert!(check("2.19.0", false).advice.is_none());
        assert_eq!(core("ansible 2.9.27"), None);
    }
}
