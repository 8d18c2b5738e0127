//! Each line is something that a crate does, as `docs/explanation/dependencies.md` says.

mod tftp;

use std::panic::catch_unwind;

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
    ];
    let found =
        found.map(|(what, is_so)| (what.to_owned(), is_so)).into_iter().chain(tftp::found()).collect::<Vec<_>>();
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
