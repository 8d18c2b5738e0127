//! The packet socket (`AF_PACKET`, CAP_NET_RAW): frames out to clients without an address, and in from other servers.

use std::io;
use std::os::fd::AsRawFd;

use nix::sys::socket::{LinkAddr, MsgFlags, recvfrom, sendto};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::frame;

/// Everything but whole UDP datagrams from port 67 to port 68 is dropped by the kernel (`tcpdump -dd` prints programs
/// like this one). Offsets are those of an Ethernet frame.
const FROM_SERVERS: [SockFilter; 11] = [
    SockFilter::new(0x30, 0, 0, 23),     // the protocol
    SockFilter::new(0x15, 0, 8, 17),     // is UDP
    SockFilter::new(0x28, 0, 0, 20),     // a fragment
    SockFilter::new(0x45, 6, 0, 0x3fff), // is not wanted
    SockFilter::new(0xb1, 0, 0, 14),     // behind the IP header
    SockFilter::new(0x48, 0, 0, 14),     // the source port
    SockFilter::new(0x15, 0, 3, 67),     // is 67
    SockFilter::new(0x48, 0, 0, 16),     // the destination port
    SockFilter::new(0x15, 0, 1, 68),     // is 68
    SockFilter::new(0x06, 0, 0, 2048),   // then up to 2048 octets
    SockFilter::new(0x06, 0, 0, 0),      // else nothing
];

/// One socket for all interfaces. What tokio calls a UDP socket is any datagram socket to it: it waits for the descriptor,
/// and we make the calls.
pub struct PacketSocket(UdpSocket);

impl PacketSocket {
    /// Opens it; fails without CAP_NET_RAW. Our own frames do not come back: a socket for one protocol hears only what
    /// arrives.
    pub fn open() -> io::Result<PacketSocket> {
        // What arrives before the filter is in place is dropped by whoever reads it (`frame::read`).
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(i32::from(frame::IPV4.to_be()))))?;
        socket.set_nonblocking(true)?;
        socket.attach_filter(&FROM_SERVERS)?;
        Ok(PacketSocket(UdpSocket::from_std(socket.into())?))
    }

    /// Sends a whole frame out of an interface.
    pub async fn send(&self, link: &LinkAddr, frame: &[u8]) -> io::Result<()> {
        let send = || Ok(sendto(self.0.as_raw_fd(), frame, link, MsgFlags::empty())?);
        self.0.async_io(Interest::WRITABLE, send).await.map(drop)
    }

    /// The next frame from a DHCP server to a client, and the index of the interface it came in on.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Option<u32>)> {
        let (length, from) =
            self.0.async_io(Interest::READABLE, || Ok(recvfrom::<LinkAddr>(self.0.as_raw_fd(), buffer)?)).await?;
        Ok((length, from.and_then(|from| u32::try_from(from.ifindex()).ok())))
    }
}
