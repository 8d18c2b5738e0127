//! SSH to installed hosts (RFC 4251 to 4254), over `russh`: host keys pinned, every wait and every output bounded.
//!
//! | | |
//! |---|---|
//! | [`Session`] | a connection whose host key was compared and that let us in |
//! | [`Running`] | a command on the other side, its output as it comes |
//! | [`SshError`] | why not, in one sentence; [`SshError::fault`] classes it |
//! | [`reach`], [`power_off`] | the two actions that are nothing but a short command |
//!
//! A host is let in by one public key, given beforehand or taken on the first connection; there is no list of known hosts
//! of our own. We log in with one key, `deploy.ssh_key`. Nothing else is tried: no agent, no password, no `~/.ssh`.

use std::time::Duration;

use crate::model::{Fault, Outcome, PowerState, Reason};

mod error;
mod exec;
mod key;
mod put;
mod session;

pub use error::SshError;
pub use exec::{Exit, Output, Running, Said};
pub use key::{check as check_key, fingerprint};
pub use put::Files;
pub use session::{Session, Target};

/// How long a short command of our own may take.
const SHORT: Duration = Duration::from_secs(20);
/// How much of its output is kept.
const SHORT_OUTPUT: usize = 16 << 10;

/// Connects, compares or learns the host key, and reads which boot the host is in.
pub async fn reach(target: &Target) -> Result<Outcome, Fault> {
    let session = Session::connect(target).await.map_err(|error| error.fault())?;
    let said = session.output("cat /proc/sys/kernel/random/boot_id", SHORT, SHORT_OUTPUT).await;
    let key = session.host_key().to_owned();
    session.close().await;
    let said = said.map_err(|error| error.fault())?;
    // A login shell may have said something before it.
    let boot = said.text.lines().map(str::trim).rfind(|line| is_uuid(line));
    match boot {
        Some(boot) => Ok(Outcome::Reached { key, boot: boot.to_owned() }),
        None => Err(Fault::transient(
            Reason::NoBootId,
            format!("{} does not tell which boot it is in: {said}", target.who()),
        )),
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// Asks a host to shut down and power off. Its host key must be known: a stranger is not told to.
pub async fn power_off(target: &Target) -> Result<Outcome, Fault> {
    if target.host_key.is_none() {
        let message = format!("no host key of {} is known: it cannot be told to power off", target.host);
        return Err(Fault::operator(Reason::NoHostKey, message));
    }
    let session = Session::connect(target).await.map_err(|error| error.fault())?;
    // Whoever may not use sudo may still be root.
    let command = "exec 2>&1; if [ \"$(id -u)\" = 0 ]; then systemctl poweroff || poweroff; \
                   else sudo -n systemctl poweroff || sudo -n poweroff; fi";
    let said = session.output(command, SHORT, SHORT_OUTPUT).await;
    session.close().await;
    match said {
        Ok(said) if said.exit.success() => Ok(Outcome::Finished(PowerState::Off)),
        // It went down before it could answer.
        Err(SshError::Lost { .. }) => Ok(Outcome::Finished(PowerState::Off)),
        Ok(said) => {
            Err(Fault::permanent(Reason::PowerOffRefused, format!("{} did not power off: {said}", target.who())))
        }
        Err(error) => Err(error.fault()),
    }
}
