//! Each line is something that a crate does, as `docs/explanation/dependencies.md` says.

use std::net::{SocketAddr, UdpSocket};
use std::panic::catch_unwind;
use std::time::{Duration, Instant};

use dhcproto::v4::{DhcpOption, Message, OptionCode};
use dhcproto::{Decodable as _, Decoder, Encodable as _};

fn main() {
    std::panic::set_hook(Box::new(|_| {}));
    let found = [
        ("serde_yaml: the last of two equal keys wins without a word", duplicate_key()),
        ("serde_yaml: a value with a tag such as !vault is an error as untyped data", vault()),
        ("serde_yaml: yes and no are no booleans", yes()),
        ("dhcproto: a hardware address said to be longer than 16 octets is a panic", long_address()),
        ("dhcproto: a host name that is not UTF-8 hides the message type after it", host_name()),
        ("dhcproto: the sub-options of option 82 come back in another order", relay()),
        ("dhcproto: a message is not padded to 300 octets", short()),
        ("async-tftp: after ERROR the old answer is sent again, and a new request is ignored", error_ignored()),
        ("async-tftp: after the loss of a window's first block it waits for its timeout", window()),
    ];
    for (what, is_so) in &found {
        println!("{} {what}", if *is_so { "still so: " } else { "NO LONGER:" });
    }
    std::process::exit(i32::from(found.iter().any(|(_, is_so)| !is_so)));
}

fn duplicate_key() -> bool {
    serde_yaml::from_str::<serde_json::Value>("a: 1\na: 2\n").is_ok_and(|value| value["a"] == 2)
}

fn vault() -> bool {
    serde_yaml::from_str::<serde_json::Value>("password: !vault |\n  x\n").is_err()
}

fn yes() -> bool {
    serde_yaml::from_str::<bool>("yes").is_err()
}

/// A DISCOVER with these options.
fn packet(options: &[u8]) -> Vec<u8> {
    let mut octets = vec![0; 236];
    octets[..3].copy_from_slice(&[1, 1, 6]);
    octets.extend([99, 130, 83, 99]);
    octets.extend(options);
    octets.push(255);
    octets
}

fn decoded(octets: &[u8]) -> Option<Message> {
    Message::decode(&mut Decoder::new(octets)).ok()
}

fn long_address() -> bool {
    let mut octets = packet(&[53, 1, 1]);
    octets[2] = 200;
    decoded(&octets).is_some_and(|message| catch_unwind(|| message.chaddr().len()).is_err())
}

fn host_name() -> bool {
    decoded(&packet(&[12, 2, 0xff, 0xfe, 53, 1, 1])).is_some_and(|message| message.opts().msg_type().is_none())
}

fn relay() -> bool {
    let sent = [2, 1, 7, 1, 1, 9];
    let octets = packet(&[&[53, 1, 1, 82, 6], &sent[..]].concat());
    let Some(Ok(back)) = decoded(&octets).map(|message| message.to_vec()) else { return false };
    !back.windows(sent.len()).any(|part| part == sent)
}

fn short() -> bool {
    let mut message = Message::default();
    message.opts_mut().insert(DhcpOption::ServerIdentifier([10, 0, 0, 1].into()));
    message.opts().get(OptionCode::ServerIdentifier).is_some()
        && message.to_vec().is_ok_and(|octets| octets.len() < 300)
}

/// A server with one file of 20 blocks, and a client's socket.
fn tftp() -> (UdpSocket, SocketAddr) {
    let dir = std::env::temp_dir().join(format!("crates-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory");
    std::fs::write(dir.join("file"), vec![7; 20 * 512]).expect("a file");
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        futures_lite::future::block_on(async move {
            let builder = async_tftp::server::TftpServerBuilder::with_dir_ro(&dir).expect("a directory");
            let server = builder.bind("127.0.0.1:0".parse().expect("an address")).build().await.expect("a server");
            sender.send(server.listen_addr().expect("an address")).expect("somebody waits");
            let _ = server.serve().await;
        });
    });
    let client = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    (client, receiver.recv().expect("an address"))
}

fn request(options: &[&str]) -> Vec<u8> {
    let words = ["file", "octet"].iter().chain(options);
    let mut octets = vec![0, 1];
    words.for_each(|word| octets.extend([word.as_bytes(), &[0]].concat()));
    octets
}

/// The next datagram within some time: its first four octets and who sent it.
fn hear(client: &UdpSocket, within: Duration) -> Option<([u8; 4], SocketAddr)> {
    client.set_read_timeout(Some(within)).expect("a timeout");
    let mut buffer = [0; 2048];
    let (_, from) = client.recv_from(&mut buffer).ok()?;
    Some(([buffer[0], buffer[1], buffer[2], buffer[3]], from))
}

fn error_ignored() -> bool {
    let (client, server) = tftp();
    client.send_to(&request(&["tsize", "0"]), server).expect("send");
    let Some((_, transfer)) = hear(&client, Duration::from_secs(2)) else { return false };
    client.send_to(b"\0\x05\0\x08stop\0", transfer).expect("send");
    std::thread::sleep(Duration::from_millis(200));
    client.send_to(&request(&["tsize", "0"]), server).expect("send");
    // A new transfer would have a port of its own.
    hear(&client, Duration::from_secs(8)).is_some_and(|(head, from)| head[1] == 6 && from == transfer)
}

fn window() -> bool {
    let (client, server) = tftp();
    client.send_to(&request(&["windowsize", "4"]), server).expect("send");
    let Some((_, transfer)) = hear(&client, Duration::from_secs(2)) else { return false };
    client.send_to(&[0, 4, 0, 0], transfer).expect("send");
    for _ in 0..4 {
        if hear(&client, Duration::from_secs(2)).is_none() {
            return false;
        }
    }
    // Block 1 was lost: the client says again that it has nothing yet (RFC 7440, section 4).
    let asked = Instant::now();
    client.send_to(&[0, 4, 0, 0], transfer).expect("send");
    hear(&client, Duration::from_secs(10)).is_some() && asked.elapsed() > Duration::from_secs(2)
}
