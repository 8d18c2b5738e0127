//! A session: connect, compare the host key, log in, close.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use russh::client::{self, AuthResult, DisconnectReason, Handle, Handler};
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate};
use russh::{Disconnect, Preferred};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::error::SshError;
use super::key;
use crate::model::HostId;

const CONNECT: Duration = Duration::from_secs(10);
/// Time from there until we are let in: key exchange and login.
const LOGIN: Duration = Duration::from_secs(30);
/// A silent host is asked whether it is still there; after three questions without an answer it is not.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// A connection over which nothing at all came for this long is given up: longer than the questions need.
const SILENCE: Duration = Duration::from_secs(90);
/// Time for an orderly disconnect.
const DISCONNECT: Duration = Duration::from_secs(2);
/// How much of what a host says before login is kept.
const BANNER: usize = 1 << 10;

/// A host to connect to.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub host: HostId,
    pub address: IpAddr,
    /// The SSH port (22).
    pub port: u16,
    /// User name (`deploy.username`).
    pub user: String,
    /// Private key (`deploy.ssh_key`).
    pub key_file: PathBuf,
    /// The host key it must show (OpenSSH public key); `None`: whichever it shows first.
    pub host_key: Option<String>,
}

impl Target {
    pub(super) fn who(&self) -> String {
        format!("{} at {}", self.host, SocketAddr::new(self.address, self.port))
    }
}

/// A connection to a host that showed the right key and let us in. Closed when dropped; [`close`](Session::close) disconnects
/// in order.
pub struct Session {
    pub(super) handle: Handle<Client>,
    pub(super) peer: Arc<Peer>,
    host_key: String,
}

/// The other side: its name for messages, what it showed and said.
#[derive(Debug)]
pub(super) struct Peer {
    who: String,
    key: OnceLock<PublicKey>,
    said: Mutex<String>,
    end: OnceLock<String>,
}

impl Peer {
    fn new(who: String) -> Self {
        Peer { who, key: OnceLock::new(), said: Mutex::default(), end: OnceLock::new() }
    }

    fn unreachable(&self, why: &str) -> SshError {
        SshError::Unreachable { who: self.who.clone(), why: why.to_owned() }
    }

    /// The connection went away: as the library knows it, else as it looks from here.
    pub(super) fn lost(&self, why: &str) -> SshError {
        let why = self.end.get().map_or(why, String::as_str).to_owned();
        SshError::Lost { who: self.who.clone(), why }
    }

    pub(super) fn denied(&self, what: &str) -> SshError {
        SshError::Denied { who: self.who.clone(), what: what.to_owned() }
    }

    pub(super) fn timed_out(&self, limit: Duration) -> SshError {
        SshError::TimedOut { who: self.who.clone(), limit }
    }

    pub(super) fn file(&self, what: &str, why: String) -> SshError {
        SshError::File { who: self.who.clone(), what: what.to_owned(), why }
    }

    fn bad_pin(&self, why: String) -> SshError {
        SshError::BadPin { who: self.who.clone(), why }
    }

    fn note(&self, text: &str) {
        let mut said = self.lock();
        let room = BANNER.saturating_sub(said.len());
        said.extend(text.chars().filter(|it| !it.is_control() || it.is_whitespace()).take(room));
    }

    /// What it said, on one line.
    fn said(&self) -> String {
        self.lock().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn lock(&self) -> MutexGuard<'_, String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// Connects and logs in. On another host key than the pinned one, nothing is sent after the key exchange.
    pub async fn connect(target: &Target) -> Result<Session, SshError> {
        let peer = Arc::new(Peer::new(target.who()));
        let ours = key::ours(&target.key_file)?;
        let pinned = target.host_key.as_deref().map(key::pinned).transpose().map_err(|why| peer.bad_pin(why))?;
        let socket = match timeout(CONNECT, TcpStream::connect((target.address, target.port))).await {
            Ok(Ok(socket)) => socket,
            Ok(Err(error)) => return Err(peer.unreachable(&error.to_string())),
            Err(_) => return Err(peer.unreachable("it does not answer")),
        };
        let _ = socket.set_nodelay(true); // only slower without
        let login = async {
            let client = Client { pinned: pinned.clone(), peer: peer.clone() };
            let handle = client::connect_stream(Arc::new(config(pinned.as_ref())), socket, client).await?;
            let host_key = peer.key.get().map(key::line).unwrap_or_default();
            Session { handle, peer: peer.clone(), host_key }.log_in(&target.user, ours).await
        };
        match timeout(LOGIN, login).await {
            Ok(result) => result.map_err(|refusal| refusal.told(&peer)),
            Err(_) => Err(peer.unreachable("it does not let us in, nor refuse us, in time")),
        }
    }

    async fn log_in(mut self, user: &str, key: PrivateKey) -> Result<Session, Refusal> {
        let fingerprint = key.public_key().fingerprint(HashAlg::Sha256).to_string();
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
        let answer = self.handle.authenticate_publickey(user, key).await?;
        let AuthResult::Failure { remaining_methods, .. } = answer else { return Ok(self) };
        let said = self.peer.said();
        // While a system boots and while it goes down, `pam_nologin` turns away whoever is not root.
        let boots = said.contains("pam_nologin");
        let hung_up = remaining_methods.is_empty() && !said.contains("Too many authentication failures");
        if boots || hung_up {
            let why = if said.is_empty() { "it hung up at the login".to_owned() } else { format!("it said: {said}") };
            return Err(Refusal::Ours(self.peer.unreachable(&why)));
        }
        let (who, user) = (self.peer.who.clone(), user.to_owned());
        Err(Refusal::Ours(SshError::Refused { who, user, key: fingerprint }))
    }

    /// The host key it showed, as it is pinned: `ssh-ed25519 AAAA…`.
    pub fn host_key(&self) -> &str {
        &self.host_key
    }

    /// Disconnects and waits a moment for the connection's end.
    pub async fn close(self) {
        let bye = async {
            let _ = self.handle.disconnect(Disconnect::ByApplication, "", "").await;
            let _ = self.handle.await;
        };
        let _ = timeout(DISCONNECT, bye).await;
    }
}

/// What is offered: the pinned key's algorithm first, so that a host with several keys shows that one.
fn config(pinned: Option<&PublicKey>) -> client::Config {
    let first = pinned.map(PublicKey::algorithm);
    let rest = key::HOST_KEYS.into_iter().filter(|it| Some(it) != first.as_ref());
    let keys: Vec<_> = first.iter().cloned().chain(rest).collect();
    client::Config {
        preferred: Preferred { key: Cow::Owned(keys), ..Preferred::default() },
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: 3,
        inactivity_timeout: Some(SILENCE),
        // What a command says before we read it: at most this many packets of at most 32 KiB.
        channel_buffer_size: 32,
        ..client::Config::default()
    }
}

/// Answers what the library asks us.
pub(super) struct Client {
    pinned: Option<PublicKey>,
    peer: Arc<Peer>,
}

impl Handler for Client {
    type Error = Refusal;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Refusal> {
        let shown = shown.public_key();
        // Keys are exchanged anew in long sessions: then with the same host key.
        let first = self.peer.key.get_or_init(|| shown.clone());
        let wanted = self.pinned.as_ref().unwrap_or(first);
        if wanted.key_data() == shown.key_data() {
            return Ok(true);
        }
        Err(Refusal::Ours(SshError::HostKeyChanged {
            who: self.peer.who.clone(),
            pinned: wanted.fingerprint(HashAlg::Sha256).to_string(),
            shown: shown.fingerprint(HashAlg::Sha256).to_string(),
        }))
    }

    async fn auth_banner(&mut self, banner: &str, _: &mut client::Session) -> Result<(), Refusal> {
        self.peer.note(banner);
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Refusal>) -> Result<(), Refusal> {
        match reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                self.peer.note(&info.message);
                Ok(())
            }
            DisconnectReason::Error(refusal) => {
                if let Refusal::Library(error) = &refusal {
                    let _ = self.peer.end.set(error.to_string());
                }
                Err(refusal)
            }
        }
    }
}

/// Why the library gave up: for a reason of ours or of its own.
#[derive(Debug)]
pub(super) enum Refusal {
    Ours(SshError),
    Library(russh::Error),
}

impl From<russh::Error> for Refusal {
    fn from(error: russh::Error) -> Self {
        Refusal::Library(error)
    }
}

impl Refusal {
    /// In words, as long as there is no session.
    fn told(self, peer: &Peer) -> SshError {
        match self {
            Refusal::Ours(error) => error,
            Refusal::Library(russh::Error::NoCommonAlgo { kind: russh::AlgorithmKind::Key, theirs, .. }) => {
                SshError::NoHostKey { who: peer.who.clone(), theirs: theirs.join(", ") }
            }
            Refusal::Library(error) => peer.unreachable(&error.to_string()),
        }
    }
}
