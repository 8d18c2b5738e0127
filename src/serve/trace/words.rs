//! The boot-chain trace in words: the one place where an exchange becomes a text for people.

use std::fmt::{Display, Formatter, Result};

use super::exchange::{
    BootFile, CheckinAsked, CheckinOutcome, Client, DhcpAsked, DhcpOutcome, Exchange, Grant, HttpAsked, HttpOutcome,
    Text, TftpAsked, TftpOutcome,
};

impl Exchange {
    /// What was asked: `discover (UEFI x64 PXE)`, a file's name, a check-in's action.
    pub fn asked(&self) -> String {
        match self {
            Exchange::Dhcp { asked, .. } => asked.to_string(),
            Exchange::Tftp { asked, .. } => asked.to_string(),
            Exchange::Http { asked, .. } => asked.to_string(),
            Exchange::Checkin { asked, .. } => asked.to_string(),
        }
    }

    /// What came of it: `offer 192.0.2.7, ipxe.efi from 192.0.2.1`, `sent 174592 octets`, `accepted`.
    pub fn outcome(&self) -> String {
        match self {
            Exchange::Dhcp { outcome, .. } => outcome.to_string(),
            Exchange::Tftp { outcome, .. } => outcome.to_string(),
            Exchange::Http { outcome, .. } => outcome.to_string(),
            Exchange::Checkin { outcome, .. } => outcome.to_string(),
        }
    }
}

impl Display for Text {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(self.as_str())
    }
}

/// `UEFI x64 PXE`; nothing for an operating system.
impl Display for Client {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let (arch, http) = match self {
            Client::Ipxe => return f.write_str("iPXE"),
            Client::System => return Ok(()),
            Client::Firmware { arch, http } => (arch, http),
        };
        match arch {
            Some(0 | 20) => f.write_str("BIOS ")?,
            Some(6 | 15) => f.write_str("UEFI x86 ")?,
            Some(7 | 9 | 16) => f.write_str("UEFI x64 ")?,
            Some(11 | 19) => f.write_str("UEFI arm64 ")?,
            Some(other) => write!(f, "architecture {other} ")?,
            None => {}
        }
        f.write_str(if *http { "HTTP boot" } else { "PXE" })
    }
}

/// `request 192.0.2.7 (iPXE)`
impl Display for DhcpAsked {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(self.kind.as_str())?;
        if let Some(address) = self.address {
            write!(f, " {address}")?;
        }
        if self.client != Client::System {
            write!(f, " ({})", self.client)?;
        }
        match self.relay {
            Some(relay) => write!(f, " by relay {relay}"),
            None => Ok(()),
        }
    }
}

impl Display for DhcpOutcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            DhcpOutcome::Offer(grant) => write!(f, "offer{grant}"),
            DhcpOutcome::Ack(grant) => write!(f, "ack{grant}"),
            DhcpOutcome::Nak { why } => write!(f, "nak: {why}"),
            DhcpOutcome::OtherServer { server } => write!(f, "left to the server at {server}"),
            DhcpOutcome::Exhausted { subnet } => write!(f, "dropped: no address is free on {subnet}"),
            DhcpOutcome::Dropped { reason } => write!(f, "dropped: {}", reason.as_str()),
            DhcpOutcome::Busy => f.write_str("dropped: the daemon is busy"),
            DhcpOutcome::Recorded => f.write_str("recorded"),
        }
    }
}

impl Display for Grant {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if let Some(address) = self.address {
            write!(f, " {address}")?;
        }
        match &self.boot {
            Some(BootFile::Tftp { name, server }) => write!(f, ", {name} from {server}"),
            Some(BootFile::Url(url)) => write!(f, ", {url}"),
            None => Ok(()),
        }
    }
}

impl Display for TftpAsked {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let space = if self.options.as_str().is_empty() { "" } else { " " };
        write!(f, "{}{}{space}{}", if self.write { "write " } else { "" }, self.name, self.options)
    }
}

impl Display for TftpOutcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            TftpOutcome::Sending { octets, block, window } => {
                write!(f, "sending {octets} octets in blocks of {block}, {window} at once")
            }
            TftpOutcome::Sent { octets } => write!(f, "sent {octets} octets"),
            TftpOutcome::Unconfirmed { octets } => {
                write!(f, "sent {octets} octets; the last acknowledgement never came")
            }
            TftpOutcome::Aborted { code, message } => write!(f, "aborted by the client: {message} (code {code})"),
            TftpOutcome::Closed { after } => write!(f, "the client closed its port after block {after}"),
            TftpOutcome::TimedOut { after } => write!(f, "timed out after block {after}"),
            TftpOutcome::Replaced => f.write_str("given up for a new request from the same port"),
            TftpOutcome::Refused { why } => write!(f, "refused: {why}"),
            TftpOutcome::Failed { why } => write!(f, "failed: {why}"),
        }
    }
}

impl Display for HttpAsked {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{} {}", if self.head { "HEAD" } else { "GET" }, self.path)
    }
}

/// `200, 911 octets`, `403: not the address leased`
impl Display for HttpOutcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match (&self.why, self.octets) {
            (Some(why), _) => write!(f, "{}: {why}", self.code),
            (None, Some(octets)) => write!(f, "{}, {octets} octets", self.code),
            (None, None) => write!(f, "{}", self.code),
        }
    }
}

impl Display for CheckinAsked {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(self.as_str())
    }
}

impl Display for CheckinOutcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(self.as_str())
    }
}
