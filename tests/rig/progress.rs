//! Whether emulated machines get on: by what they print on their serial ports. A machine that goes round in circles (asks
//! for its kernel again and again) prints nothing that it has not printed before.

use std::collections::{BTreeMap, HashSet};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

/// How long nothing new may be printed by any machine: the longest silence seen on two busy cores is some 60 s (a kernel
/// that unpacks its ramdisk).
pub const SILENCE: Duration = Duration::from_secs(180);

/// What one machine has printed.
#[derive(Default)]
struct Serial {
    read_upto: u64,
    partial: Vec<u8>,
    known: HashSet<String>,
    /// Lines that were known already, since the last new one of any machine, and how often each came.
    again: BTreeMap<String, u32>,
}

/// What all machines have printed, and when one last printed something new.
pub struct Progress {
    machines: BTreeMap<String, Serial>,
    since: Instant,
}

impl Progress {
    pub fn new() -> Self {
        Progress { machines: BTreeMap::new(), since: Instant::now() }
    }

    /// Something else than a machine got on.
    pub fn made(&mut self) {
        self.since = Instant::now();
        self.machines.values_mut().for_each(|serial| serial.again.clear());
    }

    /// Reads what a machine has printed since the last look.
    pub fn look(&mut self, name: &str, serial: &Path) {
        let machine = self.machines.entry(name.to_owned()).or_default();
        if machine.take(&read_from(serial, machine.read_upto)) {
            self.made();
        }
    }

    /// Why it is not worth waiting any longer, once it is not.
    pub fn stuck(&self) -> Option<String> {
        let silent = self.since.elapsed();
        (silent > SILENCE).then(|| format!("no machine has got on for {silent:?}{}", self.circles()))
    }

    fn circles(&self) -> String {
        let told = self.machines.iter().filter_map(|(name, serial)| {
            let (line, times) = serial.again.iter().max_by_key(|(_, times)| **times)?;
            (*times > 2).then(|| format!("; {name} goes round in circles: {times} times `{line}`"))
        });
        told.collect()
    }
}

impl Serial {
    /// Takes what was printed; whether there was a new line in it.
    fn take(&mut self, octets: &[u8]) -> bool {
        self.read_upto += octets.len() as u64;
        self.partial.extend_from_slice(octets);
        let Some(end) = self.partial.iter().rposition(|octet| *octet == b'\n') else { return false };
        let whole: Vec<u8> = self.partial.drain(..=end).collect();
        let mut new = false;
        for line in String::from_utf8_lossy(&whole).lines().map(gist).filter(|line| !line.is_empty()) {
            if self.known.insert(line.clone()) {
                new = true;
            } else {
                *self.again.entry(line).or_default() += 1;
            }
        }
        new
    }
}

/// A line without what differs each time: numbers (times, percentages, tokens) and control characters.
fn gist(line: &str) -> String {
    let kept = line.chars().filter(|c| !c.is_control()).map(|c| if c.is_ascii_digit() { '#' } else { c });
    let mut gist: String = kept.collect();
    while gist.contains("##") {
        gist = gist.replace("##", "#");
    }
    gist.trim().to_owned()
}

fn read_from(path: &Path, at: u64) -> Vec<u8> {
    let mut octets = Vec::new();
    let read = std::fs::File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::Start(at))?;
        file.read_to_end(&mut octets)
    });
    // A machine that was never on has no serial port yet.
    read.map(|_| octets).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_keeps_asking_for_its_kernel_is_told_as_that() {
    let dir = tempfile::tempdir().unwrap();
    let serial = dir.path().join("serial");
    let mut progress = Progress::new();
    let mut printed = String::new();
    for round in 0..10 {
        printed += &format!("[{round}.5] http://192.0.2.1/vmlinuz... {round}0% connection timed out\n");
        std::fs::write(&serial, &printed).unwrap();
        progress.look("hv1", &serial);
        tokio::time::advance(SILENCE / 5).await;
    }
    let stuck = progress.stuck().expect("it does not get on");
    assert!(stuck.contains("hv1 goes round in circles: 9 times") && stuck.contains("vmlinuz"), "{stuck}");
    std::fs::write(&serial, printed + "Welcome\n").unwrap();
    progress.look("hv1", &serial);
    assert_eq!(progress.stuck(), None);
}
