//! A transfer's socket: it speaks from the address that was asked and to one client only (RFC 1350 section 4: a transfer's
//! own port is its name).

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use tokio::net::UdpSocket;

use super::wire;

/// The system divides one long packet into so many at most.
const MOST_SEGMENTS: usize = 64;
/// And takes no longer one than this (an IP packet's length, less its headers).
pub const LONGEST_BURST: usize = 65_535 - 28;
/// Path MTU when the system does not say: an Ethernet's.
const USUAL_MTU: u32 = 1500;

/// A transfer's socket.
pub struct TransferSocket {
    socket: UdpSocket,
    /// Octets of the packets that the system divides a long one into; 0 when it does not.
    segment: usize,
}

impl TransferSocket {
    /// A port of its own at `asked`, for packets from and to `client` only.
    pub fn open(asked: Ipv4Addr, client: SocketAddrV4) -> io::Result<TransferSocket> {
        let socket = std::net::UdpSocket::bind(SocketAddrV4::new(asked, 0))?;
        socket.set_nonblocking(true)?;
        socket.connect(client)?;
        Ok(TransferSocket { socket: UdpSocket::from_std(socket)?, segment: 0 })
    }

    /// The longest packet that goes to the client in one piece, as far as the system knows.
    pub fn mtu(&self) -> u32 {
        getsockopt(&self.socket, sockopt::IpMtu).ok().and_then(|mtu| u32::try_from(mtu).ok()).unwrap_or(USUAL_MTU)
    }

    /// From now on packets of `segment` octets may be sent many at once.
    pub fn divide(&mut self, segment: usize) {
        let octets = i32::try_from(segment).unwrap_or_default();
        // An old system, or one whose network card cannot: then one by one.
        self.segment = if setsockopt(&self.socket, sockopt::UdpGsoSegment, &octets).is_ok() { segment } else { 0 };
    }

    /// Sends packets of `length` octets each (the last one may be shorter) that lie one behind the other; gives how many
    /// were sent. None for want of room: see [`TransferSocket::writable`].
    pub fn try_send(&mut self, packets: &[u8], length: usize) -> io::Result<usize> {
        let most = if self.segment == length { MOST_SEGMENTS.min(LONGEST_BURST / length) } else { 1 };
        let mut sent = 0;
        for burst in packets.chunks(length * most) {
            match self.socket.try_send(burst) {
                Ok(_) => sent += burst.len().div_ceil(length),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if most > 1 && is_about_division(&error) => {
                    self.divide(0);
                    return Ok(sent + self.try_send(packets.get(sent * length..).unwrap_or_default(), length)?);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    /// Sends a packet of any length that is not worth waiting for.
    pub fn try_send_last(&mut self, packet: &[u8]) {
        if self.segment > 0 {
            self.divide(0);
        }
        // It may be lost on the way as well.
        let _ = self.socket.try_send(packet);
    }

    /// Waits until something may be sent.
    pub async fn writable(&self) -> io::Result<()> {
        self.socket.writable().await
    }

    /// Waits until something may have come.
    pub async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// The next packet that has come.
    pub fn try_receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.try_recv(buffer)
    }
}

/// The system can divide, but not on the way to this client.
fn is_about_division(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let about = [Errno::EIO, Errno::EINVAL, Errno::EMSGSIZE, Errno::EOPNOTSUPP];
    error.raw_os_error().is_some_and(|raw| about.contains(&Errno::from_raw(raw)))
}

/// Answers with an ERROR, from a port of its own, and forgets about it.
pub fn refuse(asked: Ipv4Addr, client: SocketAddrV4, code: u16, message: &str) {
    let sent = std::net::UdpSocket::bind(SocketAddrV4::new(asked, 0)).and_then(|socket| {
        socket.set_nonblocking(true)?;
        socket.send_to(&wire::error(code, message), client)
    });
    if let Err(error) = sent {
        tracing::debug!(%client, %error, "a TFTP error could not be sent");
    }
}

/// As many open files as the system lets us have: each transfer has a socket, and the usual limit is 1024.
pub fn raise_file_limit(wanted: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.map_or(wanted, |most| most.min(wanted));
    if limit.current.is_some_and(|now| now < most) {
        let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum });
        if let Err(error) = raised {
            tracing::warn!(%error, "the limit of open files stays as it is; some transfers may be refused");
        }
    }
}

impl AsFd for TransferSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
