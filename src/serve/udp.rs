//! A UDP socket that tells which address and interface a datagram was sent to, and answers from a chosen address
//! (`IP_PKTINFO`, ip(7)).

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::AsRawFd;

use nix::libc::{in_addr, in_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg, setsockopt, sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Octets of requests that may wait to be read. A rack that powers on asks all at once; the system's default holds some two
/// hundred packets.
const WAITING: usize = 4 << 20;

/// Where a datagram came from, and where it was heard. Its octets are in the buffer that it was received into.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    /// Its length; more than the buffer's when it did not fit.
    pub length: usize,
    pub from: SocketAddrV4,
    /// The address it was sent to; a broadcast address too.
    pub to: Option<Ipv4Addr>,
    /// Whether `to` is an address of ours.
    pub unicast: bool,
    /// The index of the interface it came in on.
    pub interface: Option<u32>,
}

pub(super) struct Listener {
    socket: UdpSocket,
    local: SocketAddrV4,
}

impl Listener {
    /// Binds; fails when somebody else has the port.
    pub fn bind(wanted: SocketAddrV4, interface: Option<&str>) -> io::Result<Listener> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        socket.set_broadcast(true)?;
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        // Past the system's limit if we may, else up to it.
        setsockopt(&socket, sockopt::RcvBufForce, &WAITING)
            .or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &WAITING))?;
        if let Some(interface) = interface {
            socket.bind_device(Some(interface.as_bytes()))?;
        }
        socket.bind(&SocketAddr::V4(wanted).into())?;
        let local = socket.local_addr()?.as_socket_ipv4().ok_or_else(|| io::Error::other("not an IPv4 socket"))?;
        Ok(Listener { socket: UdpSocket::from_std(socket.into())?, local })
    }

    /// Where it is bound.
    pub fn local(&self) -> SocketAddrV4 {
        self.local
    }

    /// Waits for a datagram.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<Heard> {
        self.socket.async_io(Interest::READABLE, || receive(&self.socket, buffer)).await
    }

    /// A datagram that has come already.
    pub fn try_receive(&self, buffer: &mut [u8]) -> io::Result<Heard> {
        self.socket.try_io(Interest::READABLE, || receive(&self.socket, buffer))
    }

    /// Sends from an address of ours, or from the one the system chooses. To the broadcast address it leaves through the
    /// interface that has the address.
    pub async fn send(&self, from: Option<Ipv4Addr>, to: SocketAddrV4, bytes: &[u8]) -> io::Result<()> {
        let Some(from) = from else { return self.socket.send_to(bytes, SocketAddr::V4(to)).await.map(drop) };
        let source = in_addr { s_addr: u32::from_ne_bytes(from.octets()) };
        let info = in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: source, ipi_addr: in_addr { s_addr: 0 } };
        let (to, bytes) = (SockaddrIn::from(to), [IoSlice::new(bytes)]);
        let send = || {
            let control = [ControlMessage::Ipv4PacketInfo(&info)];
            Ok(sendmsg(self.socket.as_raw_fd(), &bytes, &control, MsgFlags::empty(), Some(&to))?)
        };
        self.socket.async_io(Interest::WRITABLE, send).await.map(drop)
    }
}

fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Heard> {
    let mut control = nix::cmsg_space!(in_pktinfo);
    let mut octets = [IoSliceMut::new(buffer)];
    let heard = recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut octets, Some(&mut control), MsgFlags::MSG_TRUNC)?;
    let info = heard.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::Ipv4PacketInfo(info) => Some(info),
        _ => None,
    });
    Ok(Heard {
        length: heard.bytes,
        from: heard.address.map_or(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0), SocketAddrV4::from),
        to: info.map(|info| Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes())),
        // For a broadcast the address to answer from is not the one it was sent to.
        unicast: info.is_some_and(|info| info.ipi_addr.s_addr == info.ipi_spec_dst.s_addr),
        interface: info.and_then(|info| u32::try_from(info.ipi_ifindex).ok()),
    })
}
