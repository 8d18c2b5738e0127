//! What a machine asked of a boot server, and what came of it: data. The words for it are in [`words`](super::words).
#![allow(missing_docs, reason = "the fields' names say all")]

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::CheckInAction;
use crate::plan::boot::Firmware;
use crate::serve::dhcp::respond::DropReason;
use crate::serve::dhcp::wire::Kind;

/// Longest text of a machine that is kept, in octets.
pub const TEXT: usize = 160;

/// Who answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    Dhcp,
    Tftp,
    Http,
    Checkin,
}

impl Service {
    /// As people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Service::Dhcp => "DHCP",
            Service::Tftp => "TFTP",
            Service::Http => "HTTP",
            Service::Checkin => "check-in",
        }
    }
}

/// A request to one of the boot servers with its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Exchange {
    /// DHCP and proxy DHCP.
    Dhcp { asked: DhcpAsked, outcome: DhcpOutcome },
    /// TFTP.
    Tftp { asked: TftpAsked, outcome: TftpOutcome },
    /// Boot files, images and static files over HTTP.
    Http { asked: HttpAsked, outcome: HttpOutcome },
    /// `POST /checkin/…`.
    Checkin { asked: CheckinAsked, outcome: CheckinOutcome },
}

/// A text that a machine has chosen: at most [`TEXT`] octets, and no control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String")]
pub struct Text(Box<str>);

impl Text {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Text {
        let shown = |c: char| if c.is_control() { '?' } else { c };
        let mut kept: String = text.chars().take(TEXT + 1).map(shown).collect();
        if kept.len() > TEXT {
            kept.truncate(kept.floor_char_boundary(TEXT - '…'.len_utf8()));
            kept.push('…');
        }
        Text(kept.into())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Text {
        Text::from(text.as_str())
    }
}

/// Who sent a DHCP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Client {
    /// A machine's firmware, with the type of option 93 (RFC 4578); by HTTP boot, or by PXE.
    Firmware { arch: Option<u16>, http: bool },
    /// iPXE: the one we sent, or one in the network card.
    Ipxe,
    /// An operating system, an installer, a BMC.
    System,
}

impl From<Firmware> for Client {
    fn from(firmware: Firmware) -> Client {
        match firmware {
            Firmware { ipxe: true, .. } => Client::Ipxe,
            Firmware { arch, http, pxe, .. } if http || pxe => Client::Firmware { arch, http },
            _ => Client::System,
        }
    }
}

/// A DHCP message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DhcpAsked {
    pub kind: Kind,
    pub client: Client,
    /// The address that the client uses or wishes for.
    pub address: Option<Ipv4Addr>,
    pub relay: Option<Ipv4Addr>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DhcpOutcome {
    Offer(Grant),
    Ack(Grant),
    Nak {
        why: Text,
    },
    /// The client took another server's offer.
    OtherServer {
        server: Ipv4Addr,
    },
    /// The dynamic range is used up.
    Exhausted {
        #[schemars(with = "String")]
        subnet: Ipv4Net,
    },
    Dropped {
        reason: DropReason,
    },
    /// The daemon could not take the lease in time.
    Busy,
    /// A DECLINE or RELEASE.
    Recorded,
}

/// What a client was given or offered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Grant {
    /// `None` beside another server.
    pub address: Option<Ipv4Addr>,
    pub boot: Option<BootFile>,
}

/// The boot file that was named with an address: at a TFTP server, or by URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BootFile {
    Tftp { name: Text, server: Ipv4Addr },
    Url(Text),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TftpAsked {
    pub name: Text,
    /// As the client sent them: `tsize=0 blksize=1468`.
    pub options: Text,
    /// A WRQ.
    pub write: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TftpOutcome {
    /// The transfer has begun.
    Sending {
        octets: u64,
        block: u16,
        window: u16,
    },
    Sent {
        octets: u64,
    },
    /// The acknowledgement of the last block never came.
    Unconfirmed {
        octets: u64,
    },
    /// The client sent an ERROR.
    Aborted {
        code: u16,
        message: Text,
    },
    /// The client's port is closed; `after` is the last block it acknowledged.
    Closed {
        after: u64,
    },
    TimedOut {
        after: u64,
    },
    /// The client began a new request from the same port.
    Replaced,
    Refused {
        why: Text,
    },
    Failed {
        why: Text,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HttpAsked {
    pub head: bool,
    pub path: Text,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HttpOutcome {
    pub code: u16,
    /// Length of a successful answer's body, where it is known beforehand.
    pub octets: Option<u64>,
    /// Why the machine was refused.
    pub why: Option<Text>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CheckinAsked {
    Claim,
    #[serde(untagged)]
    Report(#[schemars(with = "String")] CheckInAction),
}

impl CheckinAsked {
    /// The action's word.
    pub fn as_str(self) -> &'static str {
        match self {
            CheckinAsked::Claim => "claim",
            CheckinAsked::Report(action) => action.as_str(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CheckinOutcome {
    Accepted,
    Refused,
    /// Not understood.
    Invalid,
    /// The daemon could not take it in time.
    Busy,
}

impl CheckinOutcome {
    /// One word for counters and the trace.
    pub fn as_str(self) -> &'static str {
        match self {
            CheckinOutcome::Accepted => "accepted",
            CheckinOutcome::Refused => "refused",
            CheckinOutcome::Invalid => "invalid",
            CheckinOutcome::Busy => "busy",
        }
    }
}

impl Exchange {
    /// Who answered.
    pub fn service(&self) -> Service {
        match self {
            Exchange::Dhcp { .. } => Service::Dhcp,
            Exchange::Tftp { .. } => Service::Tftp,
            Exchange::Http { .. } => Service::Http,
            Exchange::Checkin { .. } => Service::Checkin,
        }
    }

    /// Whether it brought what was asked for.
    pub fn succeeded(&self) -> bool {
        match self {
            Exchange::Dhcp { outcome, .. } => matches!(outcome, DhcpOutcome::Ack(_)),
            Exchange::Tftp { outcome, .. } => {
                matches!(outcome, TftpOutcome::Sent { .. } | TftpOutcome::Unconfirmed { .. })
            }
            Exchange::Http { outcome, .. } => matches!(outcome.code, 200 | 206 | 304),
            Exchange::Checkin { outcome, .. } => *outcome == CheckinOutcome::Accepted,
        }
    }

    /// Who sent the DHCP message that this is about.
    pub fn client(&self) -> Option<Client> {
        match self {
            Exchange::Dhcp { asked, .. } => Some(asked.client),
            _ => None,
        }
    }

    /// Whether the client looks for a server.
    pub fn discovers(&self) -> bool {
        matches!(self, Exchange::Dhcp { asked: DhcpAsked { kind: Kind::Discover, .. }, .. })
    }

    /// The file that was asked for, without leading slashes.
    pub fn file(&self) -> &str {
        let name = match self {
            Exchange::Tftp { asked, .. } => asked.name.as_str(),
            Exchange::Http { asked, .. } => asked.path.as_str(),
            Exchange::Dhcp { .. } | Exchange::Checkin { .. } => "",
        };
        name.trim_start_matches('/')
    }

    /// Whether a TFTP transfer has begun and not ended.
    pub fn sending(&self) -> bool {
        matches!(self, Exchange::Tftp { outcome: TftpOutcome::Sending { .. }, .. })
    }

    /// Whether this is the end of the TFTP transfer whose beginning is `begun`.
    pub(super) fn ends(&self, begun: &Exchange) -> bool {
        match (self, begun) {
            (Exchange::Tftp { asked, .. }, Exchange::Tftp { asked: earlier, .. }) => {
                asked == earlier && begun.sending() && !self.sending()
            }
            _ => false,
        }
    }

    /// Octets of the texts in it.
    pub(super) fn text_octets(&self) -> usize {
        match self {
            Exchange::Dhcp { outcome: DhcpOutcome::Nak { why }, .. } => why.0.len(),
            Exchange::Dhcp { outcome: DhcpOutcome::Offer(grant) | DhcpOutcome::Ack(grant), .. } => match &grant.boot {
                Some(BootFile::Tftp { name, .. } | BootFile::Url(name)) => name.0.len(),
                None => 0,
            },
            Exchange::Dhcp { .. } | Exchange::Checkin { .. } => 0,
            Exchange::Tftp { asked, outcome } => {
                let told = match outcome {
                    TftpOutcome::Aborted { message: text, .. }
                    | TftpOutcome::Refused { why: text }
                    | TftpOutcome::Failed { why: text } => text.0.len(),
                    _ => 0,
                };
                asked.name.0.len() + asked.options.0.len() + told
            }
            Exchange::Http { asked, outcome } => asked.path.0.len() + outcome.why.as_ref().map_or(0, |why| why.0.len()),
        }
    }
}
