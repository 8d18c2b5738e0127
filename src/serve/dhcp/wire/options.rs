//! The options of a datagram, where they lie: a borrowed index, made in one walk and without trusting any length.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use super::{HEADER, Malformed, option};

/// Code and octets of each option in an area. `special` says whether 0 (pad) and 255 (end) mean what they mean in a
/// packet; inside option 82 they do not. A length that points beyond the area ends the walk.
pub fn pieces(area: &[u8], special: bool) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = area;
    std::iter::from_fn(move || {
        loop {
            match rest {
                [0, after @ ..] if special => rest = after,
                [255, ..] if special => return None,
                [code, length, after @ ..] if after.len() >= usize::from(*length) => {
                    let (data, next) = after.split_at(usize::from(*length));
                    rest = next;
                    return Some((*code, data));
                }
                _ => return None,
            }
        }
    })
}

/// The options of one datagram: the first of a kind counts, and adjacent parts are one (RFC 3396).
pub struct Options<'a> {
    found: Vec<(u8, Cow<'a, [u8]>)>,
    relay: Vec<u8>,
}

impl<'a> Options<'a> {
    /// Reads the option area and, when option 52 says so, the fields `file` and `sname`, in that order.
    pub fn read(header: &'a [u8; HEADER], area: &'a [u8]) -> Self {
        let mut options = Options { found: Vec::with_capacity(24), relay: Vec::new() };
        options.collect(area);
        let overload = match options.get(option::OVERLOAD) {
            Some([bits]) => *bits,
            _ => 0,
        };
        if overload & 1 != 0 {
            options.collect(&header[108..236]);
        }
        if overload & 2 != 0 {
            options.collect(&header[44..108]);
        }
        options
    }

    fn collect(&mut self, area: &'a [u8]) {
        let mut last = None;
        for (code, data) in pieces(area, true) {
            if code == option::RELAY_INFO {
                self.relay.extend([code, u8::try_from(data.len()).unwrap_or(u8::MAX)]);
                self.relay.extend(data);
            }
            match self.found.iter_mut().find(|(known, _)| *known == code) {
                Some((_, whole)) if last == Some(code) => whole.to_mut().extend(data),
                Some(_) => {}
                None => self.found.push((code, Cow::Borrowed(data))),
            }
            last = Some(code);
        }
    }

    /// An option's octets.
    pub fn get(&self, code: u8) -> Option<&[u8]> {
        self.found.iter().find(|(known, _)| *known == code).map(|(_, data)| data.as_ref())
    }

    /// Every option 82 as it came, code and length included.
    pub fn relay_raw(&self) -> &[u8] {
        &self.relay
    }

    /// An option that is one address.
    pub fn address(&self, code: u8) -> Result<Option<Ipv4Addr>, Malformed> {
        let Some(data) = self.get(code) else { return Ok(None) };
        let octets: [u8; 4] = data.try_into().map_err(|_| Malformed::BadOption)?;
        Ok(Some(octets.into()))
    }

    /// An option that is a number of two octets.
    pub fn number(&self, code: u8) -> Result<Option<u16>, Malformed> {
        let Some(data) = self.get(code) else { return Ok(None) };
        let octets: [u8; 2] = data.try_into().map_err(|_| Malformed::BadOption)?;
        Ok(Some(u16::from_be_bytes(octets)))
    }
}
