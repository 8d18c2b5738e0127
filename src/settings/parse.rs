//! The texts a settings file is made of: address ranges, branch names, repository addresses.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::Ipv4Net;

pub use crate::yaml::scalar::duration;

/// A duration of at least one second.
pub fn pause(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|value| {
        if value < Duration::from_secs(1) { Err(format!("`{text}` is shorter than one second")) } else { Ok(value) }
    })
}

/// An address that a machine can be reached at.
pub fn unicast(text: &str) -> Result<Ipv4Addr, String> {
    let address: Ipv4Addr = text.parse().map_err(|_| format!("`{text}` is not an IPv4 address"))?;
    if address.is_unspecified() || address.is_multicast() || address.is_broadcast() {
        return Err(format!("{address} is not the address of one machine"));
    }
    Ok(address)
}

/// An address to listen on; `0.0.0.0` means all.
pub fn listen(text: &str) -> Result<Ipv4Addr, String> {
    if text == "0.0.0.0" { Ok(Ipv4Addr::UNSPECIFIED) } else { unicast(text) }
}

/// `10.0.0.0/24`, without host bits.
pub fn subnet(text: &str) -> Result<Ipv4Net, String> {
    let net: Ipv4Net =
        text.parse().map_err(|_| format!("`{text}` is not a subnet; write for example 10.255.255.0/24"))?;
    if net.trunc() != net {
        return Err(format!("`{text}` is an address in a subnet; the subnet is {}", net.trunc()));
    }
    Ok(net)
}

/// `first-last`.
pub fn range(text: &str) -> Result<(Ipv4Addr, Ipv4Addr), String> {
    let shape = || format!("`{text}` is not a range; write for example 10.255.255.100-10.255.255.199");
    let (first, last) = text.split_once('-').ok_or_else(shape)?;
    let (first, last) = (unicast(first.trim()).map_err(|_| shape())?, unicast(last.trim()).map_err(|_| shape())?);
    if first > last {
        return Err(format!("the range ends ({last}) before it begins ({first})"));
    }
    Ok((first, last))
}

/// Some text.
pub fn text(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("must not be empty".into()) } else { Ok(text.into()) }
}

/// An address of a web server, without a trailing slash.
pub fn http_url(text: &str) -> Result<String, String> {
    match text.trim_end_matches('/') {
        url if url.starts_with("http://") || url.starts_with("https://") => Ok(url.to_owned()),
        _ => Err(format!("`{text}` is not a http:// or https:// URL")),
    }
}

/// A path; a relative one is relative to the settings file's directory.
pub fn path(base: &Path) -> impl Fn(&str) -> Result<PathBuf, String> {
    move |value| text(value).map(|value| base.join(value))
}

/// A program: a name that is looked up in `PATH`, or a path.
pub fn program(base: &Path) -> impl Fn(&str) -> Result<String, String> {
    move |name| match name.contains('/') {
        true => path(base)(name).map(|path| path.to_string_lossy().into_owned()),
        false => text(name),
    }
}

/// A branch name, by the rules of `git check-ref-format`.
pub fn branch(name: &str) -> Result<String, String> {
    let odd = |c: char| c.is_ascii_control() || " ~^:?*[\\\x7f".contains(c);
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    let good = !name.starts_with('-')
        && !name.ends_with('.')
        && name != "@"
        && !name.contains("..")
        && !name.contains("@{")
        && !name.contains(odd)
        && name.split('/').all(part);
    if good { Ok(name.into()) } else { Err(format!("`{name}` is not a branch name")) }
}

/// A repository's address. Only transports that we mean: git would run a program for `ext::`.
pub fn repository(base: &Path) -> impl Fn(&str) -> Result<String, String> {
    move |url| {
        let known = ["ssh://", "https://", "http://", "file://"].iter().any(|scheme| url.starts_with(scheme));
        let hostless = known && url.split_once("://").is_some_and(|(_, rest)| rest.is_empty());
        if url.is_empty() || url.starts_with('-') || url.contains("::") || url.contains(char::is_control) || hostless {
            return Err("write a path, file://, ssh:// or https://".into());
        }
        if known {
            return Ok(url.into());
        }
        if let Some((scheme, _)) = url.split_once("://") {
            return Err(format!("`{scheme}://` is not supported; write a path, file://, ssh:// or https://"));
        }
        let scp = url.split_once(':').is_some_and(|(host, _)| !host.is_empty() && !host.contains('/'));
        Ok(if scp { url.into() } else { base.join(url).to_string_lossy().into_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches() {
        for good in ["main", "rackwright/status", "feature/x-1", "v1.2"] {
            assert!(branch(good).is_ok(), "{good}");
        }
        for bad in ["", "-x", "a..b", "a b", "a//b", "/a", "a/", "x.lock", "a/.b", "a~1", "@", "a@{1}", "x."] {
            assert!(branch(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn repositories() {
        let read = repository(Path::new("/etc/rack"));
        assert_eq!(read("../repo.git").as_deref(), Ok("/etc/rack/../repo.git"));
        assert_eq!(read("/srv/repo.git").as_deref(), Ok("/srv/repo.git"));
        assert_eq!(read("git@forge.example.net:infra.git").as_deref(), Ok("git@forge.example.net:infra.git"));
        for same in ["file:///srv/a", "ssh://git@forge.example.net/infra.git", "https://forge.example.net/infra.git"] {
            assert_eq!(read(same).as_deref(), Ok(same));
        }
        for bad in ["", "ext::sh -c id", "--upload-pack=id", "ftp://x/y", "ssh://", "a\nb"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ranges() {
        assert!(range("10.0.0.1-10.0.0.9").is_ok());
        assert!(range("10.0.0.1 - 10.0.0.9").is_ok());
        for bad in ["10.0.0.9-10.0.0.1", "10.0.0.1", "a-b", "10.0.0.0/24"] {
            assert!(range(bad).is_err(), "{bad}");
        }
        assert!(subnet("10.0.0.5/24").unwrap_err().contains("10.0.0.0/24"));
    }
}
