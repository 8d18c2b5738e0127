//! Types of hooks' arguments: what may be written for each, and what the program is given.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde_json::{Number, Value, json};

use crate::model::Secret;
use crate::repo::disk::check_disk;
use crate::repo::read::Reader;
use crate::yaml::{Node, Plain};

/// The type of an argument.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Text,
    /// Text on one line.
    Line,
    /// Text without blanks that no program takes for an option.
    Word,
    /// A program's text with its `#!` line, taken as it is.
    Script,
    /// A boolean, in any spelling of YAML 1.1.
    Boolean,
    /// A whole number in a range, or one of some words.
    Number(u64, u64, Vec<String>),
    /// A number in a range, or one of some words.
    Float(f64, f64, Vec<String>),
    /// One of some words; whether case matters not.
    Choice(Vec<String>, bool),
    List(Box<Kind>),
    /// A disk: a path below `/dev`, or PVC's detect string.
    Disk,
    /// File permission bits.
    Mode,
    /// An absolute path on the host.
    Path,
    /// A path of a file of the repository, or an absolute one on the bootstrap host.
    File,
    /// An IP address, of this version.
    Address(Option<u64>),
    /// A network in CIDR notation, of this version.
    Network(Option<u64>),
    /// An absolute `http` or `https` URI.
    Uri,
    /// Ceph's copies, as PVC writes them: `copies=3,mincopies=2`.
    Replication,
    /// Anything.
    Json,
}

impl Kind {
    /// The value that is written, as the program is given it; a finding and `None` when it cannot be that. What of it
    /// comes from secrets is added to them.
    pub fn read(&self, reader: &mut Reader<'_>, node: &Node, what: &str, secrets: &mut Vec<Secret>) -> Option<Value> {
        match self {
            Kind::Json => return json(reader, node, what, secrets),
            Kind::Script => return script(reader, node, what, secrets),
            Kind::List(items) => return list(reader, items, node, what, secrets),
            // The names of files are said in findings.
            Kind::File => return self.scalar(reader, node, what),
            _ => {}
        }
        let known = secrets.len();
        let node = resolve(reader, node, what, secrets)?;
        if secrets.len() == known {
            return self.scalar(reader, &node, what);
        }
        // Findings quote what is wrong; of a secret they say only that it is.
        let mut found = Vec::new();
        let value = self.scalar(&mut Reader::new(reader.path, reader.scope.clone(), &mut found), &node, what);
        if let Some(finding) = found.first() {
            let message = format!("the encrypted value of `{what}` is not what it has to be");
            reader.error(node.place, &finding.code, message, "encrypt another value");
        }
        value
    }

    fn scalar(&self, reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<Value> {
        match self {
            Kind::Text => reader.text(node, what).map(Value::from),
            Kind::Line => reader.line(node, what).map(Value::from),
            Kind::Boolean => reader.boolean(node, what).map(Value::from),
            Kind::Number(min, max, words) => {
                word_of(node, words).or_else(|| reader.number(node, what, *min, *max).map(Value::from))
            }
            Kind::Float(min, max, words) => {
                word_of(node, words).or_else(|| reader.float(node, what, *min, *max).and_then(number))
            }
            Kind::Choice(words, any_case) => choice(reader, node, what, words, *any_case),
            Kind::Mode => mode(reader, node, what).map(|bits| format!("{bits:04o}").into()),
            _ => {
                let text = reader.line(node, what)?;
                let Some((code, hint)) = self.refuse(&text) else { return Some(text.into()) };
                // A URI may carry a secret, so it is not quoted.
                let message = match self {
                    Kind::Uri => format!("`{what}` is not an absolute http or https URI"),
                    _ => format!("`{what}` cannot be `{text}`"),
                };
                reader.error(node.place, code, message, hint);
                None
            }
        }
    }

    /// What is wrong with one line of text: the finding's code and a hint.
    fn refuse(&self, text: &str) -> Option<(&'static str, &'static str)> {
        let (fine, code, hint) = match self {
            Kind::Word => {
                let fine = !text.is_empty() && !text.starts_with('-') && !text.contains(char::is_whitespace);
                (fine, "bad-value", "one word, without blanks; not beginning with a hyphen")
            }
            Kind::Disk => {
                let slot = text.bytes().all(|byte| byte.is_ascii_digit());
                match if slot { Err("a path, or detect:NAME:SIZE:INDEX") } else { check_disk(text) } {
                    Ok(()) => (true, "", ""),
                    Err(hint) => (false, "bad-disk", hint),
                }
            }
            Kind::Path => {
                let fine = text.starts_with('/') && !text.ends_with('/') && !text.split('/').any(|part| part == "..");
                (fine, "bad-path", "an absolute path of a file on the host, without `..`")
            }
            Kind::File => (!text.is_empty(), "bad-path", "a path of the repository, or an absolute one"),
            Kind::Address(version) => {
                let fine = match version {
                    Some(4) => text.parse::<Ipv4Addr>().is_ok(),
                    Some(_) => text.parse::<Ipv6Addr>().is_ok(),
                    None => text.parse::<IpAddr>().is_ok(),
                };
                (fine, "bad-address", "an address as 192.0.2.53 (IPv4) or 2001:db8::53 (IPv6)")
            }
            Kind::Network(version) => {
                let fine = match version {
                    Some(4) => text.parse::<Ipv4Net>().is_ok(),
                    Some(_) => text.parse::<Ipv6Net>().is_ok(),
                    None => text.parse::<IpNet>().is_ok(),
                };
                (fine, "bad-address", "a network as 192.0.2.0/24 (IPv4) or 2001:db8::/64 (IPv6)")
            }
            Kind::Uri => (is_http_uri(text), "bad-uri", "as https://hooks.example.net/path"),
            Kind::Replication => (is_replication(text), "bad-value", "as copies=3,mincopies=2"),
            _ => (true, "", ""),
        };
        (!fine).then_some((code, hint))
    }
}

/// The node in clear with its Jinja worked out; it is added to the secrets when it comes from one. What came out is not
/// looked at again, neither for Jinja nor for being a secret: arguments of hooks never reach a file that is committed.
fn resolve(reader: &mut Reader<'_>, node: &Node, what: &str, secrets: &mut Vec<Secret>) -> Option<Node> {
    let resolved = reader.resolve_secret(node, what)?;
    let Some((text, plain)) = resolved.scalar() else { return Some(resolved.into_owned()) };
    if resolved.is_secret() {
        secrets.push(Secret::new(text));
    }
    let mut clear = Node::scalar_at(node.place, text, plain);
    if !clear.is_null() {
        clear.tag = Some("unsafe".into());
    }
    Some(clear)
}

fn json(reader: &mut Reader<'_>, node: &Node, what: &str, secrets: &mut Vec<Secret>) -> Option<Value> {
    let node = reader.resolve_secret_all(node, what)?;
    let mut todo = vec![&node];
    while let Some(node) = todo.pop() {
        if let Some((text, _)) = node.scalar().filter(|_| node.is_secret()) {
            secrets.push(Secret::new(text));
        }
        todo.extend(node.list().unwrap_or_default());
        todo.extend(node.map().unwrap_or_default().iter().map(|(_, value)| value));
    }
    Some(node.to_json())
}

fn list(reader: &mut Reader<'_>, items: &Kind, node: &Node, what: &str, secrets: &mut Vec<Secret>) -> Option<Value> {
    let node = resolve(reader, node, what, secrets)?;
    let nodes = reader.items(&node, what)?;
    let all: Vec<_> = nodes.iter().map(|item| items.read(reader, item, what, secrets)).collect();
    all.into_iter().collect::<Option<Vec<_>>>().map(Value::from)
}

/// A script, taken as it is, as PVC does: braces belong to the script's own language here (`{{.Names}}`).
fn script(reader: &mut Reader<'_>, node: &Node, what: &str, secrets: &mut Vec<Secret>) -> Option<Value> {
    let literal = node.scalar().filter(|(_, plain)| !plain && !node.is_sealed()).map(|(text, _)| text.to_string());
    let text = match literal {
        Some(text) => text,
        None => {
            let node = resolve(reader, node, what, secrets)?;
            reader.text(&node, what)?
        }
    };
    if !text.starts_with("#!") {
        let message = format!("`{what}` does not begin with `#!`");
        reader.error(node.place, "bad-script", message, "its first line names the interpreter: #!/bin/sh");
        return None;
    }
    Some(text.into())
}

fn word_of(node: &Node, words: &[String]) -> Option<Value> {
    let (text, _) = node.scalar()?;
    words.iter().find(|word| *word == text).map(|word| word.as_str().into())
}

/// Whole when it is: `1` and not `1.0`, as it was most likely written.
fn number(value: f64) -> Option<Value> {
    let whole = value.fract() == 0.0 && value.abs() < 1e15;
    if whole { Some(json!(value as i64)) } else { Number::from_f64(value).map(Value::from) }
}

fn choice(reader: &mut Reader<'_>, node: &Node, what: &str, words: &[String], any_case: bool) -> Option<Value> {
    let known: Vec<_> = words.iter().map(|word| (word.as_str(), word.as_str())).collect();
    let same = |text: &str| known.iter().find(|(word, _)| any_case && word.eq_ignore_ascii_case(text));
    if let Some((_, word)) = node.scalar().and_then(|(text, _)| same(text)) {
        return Some((*word).into());
    }
    reader.choice(node, what, &known).map(Value::from)
}

/// Permission bits, octal: `"0600"`, `0o600`, `"0o600"`, `"600"`.
fn mode(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<u32> {
    let hint = "write \"0600\" in quotes, or 0o600: without quotes YAML reads 600 as decimal and 0600 as 384";
    let (text, plain) = node.scalar().unwrap_or(("", false));
    let digits = match text.strip_prefix("0o") {
        Some(digits) => Some(digits),
        None if plain => {
            let number = matches!(node.meaning(), Some(Plain::Int(_) | Plain::Odd));
            let message = format!("`{what}` {} is ambiguous", if number { text } else { "" });
            reader.error(node.place, "ambiguous-mode", message.replace("  ", " "), hint);
            return None;
        }
        None => Some(text),
    };
    let value = digits.filter(|digits| digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit()));
    let value = value.and_then(|digits| u32::from_str_radix(digits, 8).ok()).filter(|bits| *bits <= 0o7777);
    if value.is_none() {
        reader.error(node.place, "bad-mode", format!("`{what}` must be octal permission bits"), hint);
    }
    value
}

fn is_replication(text: &str) -> bool {
    let number = |part: Option<&str>, key: &str| {
        part.and_then(|part| part.strip_prefix(key)).and_then(|digits| digits.parse::<u8>().ok())
    };
    let mut parts = text.split(',');
    let (copies, least) = (number(parts.next(), "copies="), number(parts.next(), "mincopies="));
    parts.next().is_none() && copies.zip(least).is_some_and(|(copies, least)| least <= copies && least > 0)
}

/// Whether a text is an absolute `http` or `https` URI with a host.
fn is_http_uri(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    !host.is_empty() && !host.starts_with(':') && text.bytes().all(|byte| byte.is_ascii_graphic())
}
