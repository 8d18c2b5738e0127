//! A UDP socket that knows where each datagram came in, takes several at a time, and answers from a chosen address.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// One datagram, and where it was heard.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// What it says.
    pub bytes: &'a [u8],
    /// Who sent it.
    pub from: SocketAddrV4,
    /// Whom it was sent to; a broadcast address too.
    pub to: Option<Ipv4Addr>,
    /// The index of the interface it came in on.
    pub link: Option<u32>,
}

/// Room for what one system call brings.
pub struct Batch {
    buffers: Vec<Vec<u8>>,
    metas: [RecvMeta; BATCH_SIZE],
}

impl Batch {
    /// The kernel may hand over several datagrams of one sender in one piece, up to this long. Pages that are not
    /// written to take no memory.
    const BUFFER: usize = 65536;

    /// An empty one.
    pub fn new() -> Batch {
        let buffers = (0..BATCH_SIZE).map(|_| vec![0; Self::BUFFER]).collect();
        Batch { buffers, metas: [RecvMeta::default(); BATCH_SIZE] }
    }

    /// The datagrams of the first `count` buffers.
    pub fn datagrams(&self, count: usize) -> impl Iterator<Item = Datagram<'_>> {
        self.buffers.iter().zip(&self.metas).take(count).flat_map(|(buffer, meta)| {
            let from = match meta.addr {
                SocketAddr::V4(from) => from,
                SocketAddr::V6(_) => SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0),
            };
            let to = match meta.dst_ip {
                Some(IpAddr::V4(to)) => Some(to),
                _ => None,
            };
            let all = &buffer[..meta.len.min(buffer.len())];
            all.chunks(meta.stride.max(1)).map(move |bytes| Datagram { bytes, from, to, link: meta.interface_index })
        })
    }
}

/// A bound socket.
pub struct Port {
    socket: UdpSocket,
    state: UdpSocketState,
    local: SocketAddrV4,
}

impl Port {
    /// Binds; fails when somebody else has the port.
    pub fn bind(wanted: SocketAddrV4, interface: Option<&str>) -> io::Result<Port> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        socket.set_broadcast(true)?;
        // A rack that powers on asks all at once; the kernel's default holds some two hundred packets.
        socket.set_recv_buffer_size(4 << 20)?;
        if let Some(interface) = interface {
            socket.bind_device(Some(interface.as_bytes()))?;
        }
        socket.bind(&SocketAddr::V4(wanted).into())?;
        let state = UdpSocketState::new((&socket).into())?;
        let local = socket.local_addr()?.as_socket_ipv4().ok_or_else(|| io::Error::other("not an IPv4 socket"))?;
        Ok(Port { socket: UdpSocket::from_std(socket.into())?, state, local })
    }

    /// Where it is bound.
    pub fn local(&self) -> SocketAddrV4 {
        self.local
    }

    /// Waits for datagrams, and takes as many as there are and fit; how many buffers were filled.
    pub async fn receive(&self, batch: &mut Batch) -> io::Result<usize> {
        let Batch { buffers, metas } = batch;
        self.socket
            .async_io(Interest::READABLE, || {
                let mut slices = buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer));
                let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
                    std::array::from_fn(|_| slices.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
                self.state.recv((&self.socket).into(), &mut slices, metas)
            })
            .await
    }

    /// Sends from an address of ours, or from the one the system chooses. To the broadcast address it leaves through the
    /// interface that has the address.
    pub async fn send(&self, from: Option<Ipv4Addr>, to: SocketAddrV4, bytes: &[u8]) -> io::Result<()> {
        let transmit = Transmit {
            destination: SocketAddr::V4(to),
            ecn: None,
            contents: bytes,
            segment_size: None,
            src_ip: from.map(IpAddr::V4),
        };
        self.socket.async_io(Interest::WRITABLE, || self.state.try_send((&self.socket).into(), &transmit)).await
    }
}
