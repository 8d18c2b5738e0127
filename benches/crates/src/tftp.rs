//! async-tftp in four situations that firmware brings about, measured on loopback. `tests/net/tftp_engine.rs` asks the same of
//! rackwright's own engine. What it does differently from what firmware needs is what keeps that engine.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use async_tftp::packet::Error;
use async_tftp::server::{Handler, TftpServerBuilder};
use smol::io::{Cursor, Sink};

/// How soon firmware wants an answer; it asks again after one to four seconds.
const SOON: Duration = Duration::from_millis(500);

struct Files;

impl Handler for Files {
    type Reader = Cursor<Vec<u8>>;
    type Writer = Sink;

    async fn read_req_open(&mut self, _: &SocketAddr, path: &Path) -> Result<(Self::Reader, Option<u64>), Error> {
        if path.ends_with("slow") {
            smol::Timer::after(Duration::from_secs(3)).await;
        }
        Ok((Cursor::new(vec![7; 8192]), Some(8192)))
    }

    async fn write_req_open(&mut self, _: &SocketAddr, _: &Path, _: Option<u64>) -> Result<Sink, Error> {
        Err(Error::IllegalOperation)
    }
}

/// A server of its own for each measurement.
fn server(address: &str) -> SocketAddr {
    let build = TftpServerBuilder::with_handler(Files).bind(address.parse().expect("an address")).build();
    let server = smol::block_on(build).expect("a server");
    let address = server.listen_addr().expect("an address");
    std::thread::spawn(move || smol::block_on(server.serve()));
    address
}

struct Client(UdpSocket);

impl Client {
    fn new() -> Client {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        Client(socket)
    }

    fn ask(&self, server: SocketAddr, name: &str, options: &[&str]) {
        let mut packet = vec![0, 1];
        for part in [name, "octet"].iter().chain(options) {
            packet.extend(part.as_bytes());
            packet.push(0);
        }
        self.0.send_to(&packet, server).expect("sent");
    }

    /// The next packet, and who sent it.
    fn receive(&self) -> Option<(Vec<u8>, SocketAddr)> {
        let mut buffer = [0; 2048];
        let (length, from) = self.0.recv_from(&mut buffer).ok()?;
        Some((buffer[..length].to_vec(), from))
    }
}

/// Firmware asks for the size, says ERROR, and asks again from the same port.
fn asks_again_after_an_error() -> (String, bool) {
    let (server, client) = (server("127.0.0.1:0"), Client::new());
    client.ask(server, "file", &["tsize", "0"]);
    let (_, from) = client.receive().expect("an OACK");
    client.0.send_to(b"\0\x05\0\x08only the size\0", from).expect("sent");
    std::thread::sleep(Duration::from_millis(50));
    let asked = Instant::now();
    client.ask(server, "file", &["blksize", "1024"]);
    match client.receive() {
        Some((packet, _)) if packet.windows(7).any(|part| part == b"blksize") => {
            (format!("answered after {:?}", asked.elapsed()), asked.elapsed() < SOON)
        }
        Some(_) => (format!("the OACK of the request it gave up, after {:?}", asked.elapsed()), false),
        None => ("no answer in five seconds".into(), false),
    }
}

/// The first block of a window is lost: the client acknowledges the block before it (RFC 7440 section 4).
fn loses_the_first_block_of_a_window() -> (String, bool) {
    let (server, client) = (server("127.0.0.1:0"), Client::new());
    client.ask(server, "file", &["windowsize", "4"]);
    let (_, from) = client.receive().expect("an OACK");
    client.0.send_to(&[0, 4, 0, 0], from).expect("sent");
    for _ in 0..4 {
        client.receive().expect("a block");
    }
    let said = Instant::now();
    client.0.send_to(&[0, 4, 0, 0], from).expect("sent");
    match client.receive() {
        Some((packet, _)) if packet[..4] == [0, 3, 0, 1] => {
            (format!("sent again after {:?}", said.elapsed()), said.elapsed() < SOON)
        }
        other => (format!("{:?}", other.map(|(packet, _)| packet.len())), false),
    }
}

/// A file comes from a slow disk, or its claim waits for the journal; another machine asks meanwhile.
fn asks_while_another_waits() -> (String, bool) {
    let (server, slow, client) = (server("127.0.0.1:0"), Client::new(), Client::new());
    slow.ask(server, "slow", &[]);
    std::thread::sleep(Duration::from_millis(50));
    let asked = Instant::now();
    client.ask(server, "file", &[]);
    let answered = client.receive().is_some();
    (format!("answered ({answered}) after {:?}", asked.elapsed()), answered && asked.elapsed() < SOON)
}

/// A server with several addresses is asked at its second one; firmware drops answers from another.
fn asks_the_second_address() -> (String, bool) {
    let (server, client) = (server("0.0.0.0:0"), Client::new());
    client.ask(SocketAddr::from(([127, 0, 0, 2], server.port())), "file", &[]);
    let from = client.receive().map(|(_, from)| from.ip().to_string()).unwrap_or_default();
    let same = from == "127.0.0.2";
    (format!("asked 127.0.0.2, answered by {from}"), same)
}

/// What happens, what was measured, and whether that is still not what firmware needs.
pub fn found() -> Vec<(String, bool)> {
    let measurements: [(&str, fn() -> (String, bool)); 4] = [
        ("a request after ERROR, from the same port", asks_again_after_an_error),
        ("the first block of a window is lost", loses_the_first_block_of_a_window),
        ("a request while another's handler waits 3 s", asks_while_another_waits),
        ("a request to the server's second address", asks_the_second_address),
    ];
    let measured = measurements.into_iter().map(|(situation, measure)| {
        let (measured, good) = measure();
        (format!("async-tftp: {situation}: {measured}"), !good)
    });
    measured.collect()
}
