//! The `git` program, for what goes over the network: how it is called, with which environment, and how it is kept
//! from asking questions, reading somebody's configuration, or showing a secret in its arguments.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::Url;

use super::error::{GitError, classify};
use crate::drive::process::{Output, Run};
use crate::model::Secret;
use crate::settings::{Repository, environment, without_credentials};

/// Variables of ours that git may see: how to reach the network, and the ssh agent.
const PASSED: [&str; 10] = [
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "SSH_AUTH_SOCK",
];

/// How to call `git` for one repository.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub program: PathBuf,
    pub mirror: PathBuf,
    /// The configuration that stands for the user's.
    pub config: PathBuf,
    /// The remote's address, without credentials.
    pub remote: String,
    /// `Authorization` header, when the address carries credentials.
    authorization: Option<Secret>,
    ssh: OsString,
}

impl Caller {
    /// For the repository of the settings, with its mirror and configuration at the given places.
    pub fn new(repository: &Repository, mirror: PathBuf, config: PathBuf) -> Self {
        Caller {
            program: "git".into(),
            mirror,
            config,
            remote: without_credentials(&repository.url),
            authorization: authorization(&repository.url),
            ssh: ssh_command(repository.ssh_key.as_deref(), repository.known_hosts.as_deref()),
        }
    }

    /// For another repository, reached in the same way. Credentials go along only to the same server.
    pub(crate) fn for_other(&self, url: &str, mirror: PathBuf) -> Caller {
        let own = authorization(url);
        let inherited = || self.authorization.clone().filter(|_| server(url) == server(&self.remote));
        Caller { mirror, remote: without_credentials(url), authorization: own.or_else(inherited), ..self.clone() }
    }

    /// Runs `git` on the mirror. An exit status other than 0 is an error, by what git says.
    pub async fn run<A: AsRef<std::ffi::OsStr>>(
        &self,
        args: impl IntoIterator<Item = A>,
        limit: Duration,
    ) -> Result<Output, GitError> {
        let output = self.try_run(args, limit).await?;
        if output.success() { Ok(output) } else { Err(classify(&output, &self.remote)) }
    }

    /// Runs `git` on the mirror, whatever its exit status.
    pub(crate) async fn try_run<A: AsRef<std::ffi::OsStr>>(
        &self,
        args: impl IntoIterator<Item = A>,
        limit: Duration,
    ) -> Result<Output, GitError> {
        let mut git_dir = OsString::from("--git-dir=");
        git_dir.push(&self.mirror);
        let mut run = Run::new(&self.program).arg(git_dir).args(args).cwd("/").time_limit(limit);
        for (name, value) in environment(&PASSED) {
            run = run.env(name, value);
        }
        run = run
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", &self.config)
            .env("GIT_ALLOW_PROTOCOL", "file:ssh:https:http")
            .env("GIT_SSH_VARIANT", "ssh")
            .env("GIT_SSH_COMMAND", &self.ssh);
        if let Some(header) = &self.authorization {
            // Only for this remote, and in the environment: arguments can be read by every user of the machine.
            run = run
                .env("GIT_CONFIG_COUNT", "1")
                .env("GIT_CONFIG_KEY_0", format!("http.{}.extraHeader", self.remote))
                .env("GIT_CONFIG_VALUE_0", header.reveal());
        }
        Ok(run.output().await?)
    }
}

/// `ssh` that asks nobody and trusts only known hosts. Git hands this to a shell, so paths are quoted; ssh expands `%`
/// and splits `UserKnownHostsFile` at blanks, so that is quoted again.
fn ssh_command(key: Option<&Path>, known_hosts: Option<&Path>) -> OsString {
    let mut words: Vec<String> = vec!["ssh".into()];
    for option in ["BatchMode=yes", "StrictHostKeyChecking=yes", "ControlPath=none", "ConnectTimeout=20"] {
        words.extend(["-o".into(), option.into()]);
    }
    let plain = |path: &Path| path.to_string_lossy().replace('%', "%%");
    if let Some(key) = key {
        words.extend(["-o".into(), "IdentitiesOnly=yes".into(), "-i".into(), plain(key)]);
    }
    if let Some(file) = known_hosts {
        words.extend(["-o".into(), format!("UserKnownHostsFile=\"{}\"", plain(file))]);
    }
    words.iter().map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect::<Vec<_>>().join(" ").into()
}

/// The `Authorization` header for the credentials in a `https://user:password@host/…` address (RFC 7617).
fn authorization(url: &str) -> Option<Secret> {
    let url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let (name, password) = (url.username(), url.password());
    if name.is_empty() && password.is_none() {
        return None;
    }
    let pair = [percent_decode(name), percent_decode(password.unwrap_or_default())].join(&b':');
    Some(Secret::new(format!("Authorization: Basic {}", BASE64_STANDARD.encode(pair))))
}

/// Scheme, host and port of an address; nothing for a path, or for a scheme other than HTTP's.
fn server(url: &str) -> Option<(String, String, u16)> {
    let url = Url::parse(url).ok()?;
    Some((url.scheme().to_owned(), url.host_str()?.to_owned(), url.port_or_known_default()?))
}

fn percent_decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let (mut decoded, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let octet =
            if bytes[at] == b'%' { bytes.get(at + 1..at + 3).and_then(|pair| hex::decode(pair).ok()) } else { None };
        decoded.push(octet.as_ref().map_or(bytes[at], |octet| octet[0]));
        at += if octet.is_some() { 3 } else { 1 };
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_safe_in_the_ssh_command() {
        let command = ssh_command(Some(Path::new("/k e'y")), Some(Path::new("/known %h")));
        let command = command.to_str().unwrap();
        assert!(command.ends_with(r#"'-i' '/k e'\''y' '-o' 'UserKnownHostsFile="/known %%h"'"#), "{command}");
        assert!(command.contains("'StrictHostKeyChecking=yes'"));
    }

    #[test]
    fn credentials_become_a_header() {
        let header = authorization("https://bob:p%40ss@forge.example.net/x.git").unwrap();
        assert_eq!(header.reveal(), "Authorization: Basic Ym9iOnBAc3M=");
        assert!(authorization("https://forge.example.net/x@y").is_none());
        assert!(authorization("ssh://git@forge.example.net/x").is_none());
    }

    #[test]
    fn credentials_go_to_no_other_server() {
        let repository = Repository {
            url: "https://bob:geheim@forge.example.net/x.git".into(),
            branch: String::new(),
            status_branch: String::new(),
            poll_interval: Duration::ZERO,
            ssh_key: None,
            known_hosts: None,
            webhook_secret_file: None,
            allowed_signers: None,
            signing_key: None,
        };
        let main = Caller::new(&repository, "/m".into(), "/c".into());
        let header =
            |url: &str| main.for_other(url, "/s".into()).authorization.map(|header| header.reveal().to_owned());
        assert!(header("https://forge.example.net/y.git").is_some());
        for url in
            ["http://forge.example.net/y", "https://forge.example.net:8443/y", "https://else.example.net/y", "/y"]
        {
            assert_eq!(header(url), None, "{url}");
        }
        let own = header("https://eve:x@else.example.net/y").unwrap();
        assert_eq!(own, format!("Authorization: Basic {}", BASE64_STANDARD.encode("eve:x")));
    }
}
