//! Options (RFC 2347 to 2349, 7440): what a client asks, and what it gets. Pure.

use std::time::Duration;

use super::wire::Request;

/// Block size without an option (RFC 1350).
pub const PLAIN_BLOCK: u16 = 512;
/// Largest block: what fits an Ethernet frame (1500 - IP 20 - UDP 8 - TFTP 4). Larger blocks arrive in fragments, which
/// firmware often cannot put together; and a server behind a jumbo frame cannot know what lies behind its switch.
pub const LARGEST_BLOCK: u16 = 1468;
/// Octets of headers around a block: IP, UDP, TFTP.
pub const HEADERS: u32 = 20 + 8 + 4;
/// Smallest block that may be asked for (RFC 2348).
const SMALLEST_BLOCK: u16 = 8;
/// Most blocks under way at once (RFC 7440).
pub const LARGEST_WINDOW: u16 = 64;
/// Longest time between tries that a client may ask for, in seconds. Longer ones are not accepted, and the client then
/// uses its own: a transfer with a machine that was switched off must not be kept for minutes.
const LONGEST_TIMEOUT: u8 = 10;

/// How a transfer goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Octets of the file.
    pub length: u64,
    /// Octets of a block.
    pub block: u16,
    /// Blocks that may be under way.
    pub window: u16,
    /// Time between tries, when the client has said one.
    pub timeout: Option<Duration>,
    /// The accepted options, in the client's order; without any there is no OACK.
    pub accepted: Vec<(String, String)>,
}

impl Terms {
    /// What a client gets that asks so for a file of `length` octets, over a path that takes packets of `mtu` octets.
    ///
    /// An option that is unknown, or whose value is none, is not acknowledged; one that asks for too much gets less, as
    /// far as its RFC allows that.
    pub fn new(request: &Request, length: u64, mtu: u32) -> Terms {
        let fits = u16::try_from(mtu.saturating_sub(HEADERS)).unwrap_or(u16::MAX);
        let largest = LARGEST_BLOCK.min(fits).max(SMALLEST_BLOCK);
        let mut terms = Terms { length, block: PLAIN_BLOCK, window: 1, timeout: None, accepted: Vec::with_capacity(4) };
        for (name, value) in &request.options {
            let Some(value) = number(value) else { continue };
            let is = |word: &str| name.eq_ignore_ascii_case(word);
            let granted = if is("blksize") && value >= u64::from(SMALLEST_BLOCK) {
                terms.block = largest.min(u16::try_from(value).unwrap_or(u16::MAX));
                u64::from(terms.block)
            } else if is("windowsize") && value >= 1 {
                terms.window = LARGEST_WINDOW.min(u16::try_from(value).unwrap_or(u16::MAX));
                u64::from(terms.window)
            } else if is("timeout") && (1..=u64::from(LONGEST_TIMEOUT)).contains(&value) {
                // The value goes back as it came or not at all (RFC 2349).
                terms.timeout = Some(Duration::from_secs(value));
                value
            } else if is("tsize") {
                length
            } else {
                continue;
            };
            terms.accepted.push(((*name).to_owned(), granted.to_string()));
        }
        terms
    }

    /// The number of the last block: the first one that is not full. A file whose length is a multiple of the block size
    /// ends with an empty block.
    pub fn last(&self) -> u64 {
        self.length / u64::from(self.block) + 1
    }
}

/// Plain decimal digits; what RFC 2347 means by a number.
fn number(text: &str) -> Option<u64> {
    let digits = (1..=19).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::super::wire::Mode;
    use super::*;

    fn terms(options: &[(&str, &str)], mtu: u32) -> Terms {
        Terms::new(&Request { name: b"a", mode: Mode::Octet, options: options.to_vec() }, 3000, mtu)
    }

    fn oack(terms: &Terms) -> String {
        terms.accepted.iter().map(|(name, value)| format!("{name}={value} ")).collect::<String>().trim_end().to_owned()
    }

    #[test]
    fn what_is_granted() {
        for (asked, granted) in [
            (&[("tsize", "0"), ("blksize", "1468"), ("windowsize", "4")][..], "tsize=3000 blksize=1468 windowsize=4"),
            (&[("blksize", "65464"), ("WindowSize", "65535")], "blksize=1468 WindowSize=64"),
            (&[("blksize", "99999"), ("windowsize", "99999")], "blksize=1468 windowsize=64"),
            (&[("BLKSIZE", "8")], "BLKSIZE=8"),
            (&[("blksize", "7"), ("windowsize", "0"), ("timeout", "0")], ""),
            (&[("blksize", "-1"), ("windowsize", "1e3"), ("tsize", ""), ("timeout", " 5")], ""),
            (&[("timeout", "5"), ("multicast", ""), ("rollover", "0")], "timeout=5"),
            (&[("timeout", "255"), ("blksize", "00000000000000000000512")], ""),
            (&[], ""),
        ] {
            assert_eq!(oack(&terms(asked, 1500)), granted, "{asked:?}");
        }
        assert_eq!(terms(&[("timeout", "5")], 1500).timeout, Some(Duration::from_secs(5)));
        assert_eq!(terms(&[("timeout", "255")], 1500).timeout, None);
    }

    #[test]
    fn a_narrow_path_gets_small_blocks() {
        assert_eq!(oack(&terms(&[("blksize", "1468")], 1400)), "blksize=1368");
        assert_eq!(oack(&terms(&[("blksize", "1468")], 9000)), "blksize=1468");
        assert_eq!(oack(&terms(&[("blksize", "1468")], 0)), "blksize=8");
    }

    #[test]
    fn the_last_block_is_the_first_that_is_not_full() {
        let last = |length, block| Terms { length, block, window: 1, timeout: None, accepted: Vec::new() }.last();
        assert_eq!([last(0, 512), last(511, 512), last(512, 512), last(513, 512)], [1, 1, 2, 2]);
    }
}
