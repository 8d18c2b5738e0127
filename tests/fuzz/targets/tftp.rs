//! Packets that reach the TFTP server.
#![no_main]

#[path = "../entries.rs"]
#[allow(dead_code, reason = "each target has its own entry")]
mod fuzz_entries;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| fuzz_entries::tftp(octets));
