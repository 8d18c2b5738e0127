//! Logs of tasks: everything a program said, as it says it, with secrets masked, and never more than fits.
//!
//! A log is `<time>.log` in the directory of its task ([`TaskRun::dir`](super::task::TaskRun::dir)), readable by nobody
//! else; the newest ten are kept. It holds the first eight mebibytes. Of what comes after them the newest four to eight
//! are held beside it, in `<time>.log.newer` and `<time>.log.older`, and put behind the first when the log is closed,
//! with a line between that says how much was left out.
#![allow(missing_docs, reason = "names that say all have no comment")]

mod mask;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::mask::{Mask, clean};
use super::private;
use crate::model::{Secret, Time};

/// Logs that are kept of one task.
const KEPT: usize = 10;
/// A line that is longer is passed on in pieces.
const LONGEST_LINE: usize = 64 << 10;
/// Lines that [`Log::tail`] remembers, and how much of each.
const REMEMBERED: (usize, usize) = (50, 500);

/// How much a log holds.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes from its beginning.
    pub head: u64,
    /// Bytes of each of the two parts that hold its end.
    pub part: u64,
}

/// What logs of tasks hold: at most 16 MiB.
pub(crate) const BOUNDS: Bounds = Bounds { head: 8 << 20, part: 4 << 20 };

/// Where a piece comes from: pieces of different origin are put together to lines apart from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Out,
    Err,
}

/// A log that is being written. Closed when it is dropped.
pub struct Log {
    path: PathBuf,
    mask: Mask,
    bounds: Bounds,
    /// Lines that have not ended: of standard output, of standard error.
    open: [String; 2],
    /// The bytes of an incomplete UTF-8 character: of standard output, of standard error.
    bytes: [Vec<u8>; 2],
    head: File,
    held: u64,
    newer: Option<(File, u64)>,
    older: u64,
    left_out: u64,
    recent: VecDeque<String>,
    /// Whether something could not be written (a full disk): the program goes on, and its log says so if it can.
    failed: Option<io::Error>,
    closed: bool,
}

impl Log {
    /// Begins a log in `dir`, which is made if need be, and deletes the oldest. `secrets` never show in it.
    pub fn create(dir: &Path, secrets: &[Secret], now: Time) -> io::Result<Log> {
        Log::bounded(dir, secrets, now, BOUNDS)
    }

    /// Likewise, with other bounds.
    pub fn bounded(dir: &Path, secrets: &[Secret], now: Time, bounds: Bounds) -> io::Result<Log> {
        private::dir(dir)?;
        rotate(dir)?;
        let (path, head) = begin(dir, now)?;
        Ok(Log {
            path,
            mask: Mask::new(secrets),
            bounds,
            open: Default::default(),
            bytes: Default::default(),
            head,
            held: 0,
            newer: None,
            older: 0,
            left_out: 0,
            recent: VecDeque::new(),
            failed: None,
            closed: false,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes a piece of what a program said, of any length, cut anywhere. Whole lines are written at once.
    pub fn write(&mut self, stream: Stream, piece: &[u8]) {
        let side = usize::from(stream == Stream::Err);
        let mut bytes = std::mem::take(&mut self.bytes[side]);
        bytes.extend_from_slice(piece);
        let whole = bytes.len() - unfinished(&bytes);
        self.open[side].push_str(&clean(&bytes[..whole]));
        self.bytes[side] = bytes.split_off(whole);
        if let Some(end) = self.open[side].rfind('\n') {
            let rest = self.open[side].split_off(end + 1);
            let lines = std::mem::replace(&mut self.open[side], rest);
            self.put(&lines);
        }
        if self.open[side].len() > LONGEST_LINE {
            let rest = self.open[side].split_off(self.mask.settled(&self.open[side]));
            let piece = std::mem::replace(&mut self.open[side], rest);
            self.put(&piece);
        }
    }

    /// Takes a line of our own.
    pub fn line(&mut self, text: &str) {
        let text = clean(text.as_bytes()).replace('\n', " ");
        self.put(&format!("{text}\n"));
    }

    /// A text as it may be shown: secrets masked, without control characters, on one line.
    pub fn mask(&self, text: &str) -> String {
        let lines = self.mask.apply(&clean(text.as_bytes()));
        lines.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The last `n` lines that say something, joined by ` / `, for a fault's message. A line that has not ended counts.
    pub fn tail(&mut self, n: usize) -> String {
        self.end_lines();
        let from = self.recent.len().saturating_sub(n);
        self.recent.range(from..).map(String::as_str).collect::<Vec<_>>().join(" / ")
    }

    /// The last of the remembered lines that is wanted.
    pub fn find(&mut self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        self.end_lines();
        self.recent.iter().rev().find(|line| wanted(line)).cloned()
    }

    /// Puts its end behind its beginning; gives where it is.
    pub fn close(mut self) -> PathBuf {
        self.finish();
        self.path.clone()
    }

    /// Deletes it: what it was for has not begun.
    pub fn discard(mut self) {
        self.finish();
        // One that stays is deleted when its turn comes.
        let _ = fs::remove_file(&self.path);
    }

    fn end_lines(&mut self) {
        for side in 0..2 {
            let letter = std::mem::take(&mut self.bytes[side]);
            self.open[side].push_str(&clean(&letter));
            if !self.open[side].is_empty() {
                let line = std::mem::take(&mut self.open[side]) + "\n";
                self.put(&line);
            }
        }
    }

    fn put(&mut self, text: &str) {
        let text = self.mask.apply(text);
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            self.recent.push_back(line.trim().chars().take(REMEMBERED.1).collect());
        }
        let many = self.recent.len().saturating_sub(REMEMBERED.0);
        self.recent.drain(..many);
        if let Err(error) = self.store(text.as_bytes()) {
            self.failed.get_or_insert(error);
        }
    }

    fn store(&mut self, text: &[u8]) -> io::Result<()> {
        let room = usize::try_from(self.bounds.head - self.held).unwrap_or(usize::MAX).min(text.len());
        self.held += room as u64;
        self.head.write_all(&text[..room])?;
        text[room..].chunks(LONGEST_LINE).try_for_each(|piece| self.store_end(piece))
    }

    fn store_end(&mut self, piece: &[u8]) -> io::Result<()> {
        if self.newer.as_ref().is_some_and(|(_, length)| length + piece.len() as u64 > self.bounds.part) {
            let length = self.newer.take().map_or(0, |(_, length)| length);
            fs::rename(self.beside("newer"), self.beside("older"))?;
            self.left_out += std::mem::replace(&mut self.older, length);
        }
        if self.newer.is_none() {
            self.newer = Some((private::create(&self.beside("newer"), 0o600)?, 0));
        }
        if let Some((file, length)) = &mut self.newer {
            *length += piece.len() as u64;
            file.write_all(piece)?;
        }
        Ok(())
    }

    fn beside(&self, part: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{part}"));
        name.into()
    }

    fn finish(&mut self) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        self.end_lines();
        let joined = self.join();
        if let Some(error) = self.failed.take().or(joined.err()) {
            tracing::warn!("the log {} is not complete: {error}", self.path.display());
            // As far as that is still possible.
            let _ = writeln!(self.head, "\n[rackwright: this log is not complete: {error}]");
        }
    }

    fn join(&mut self) -> io::Result<()> {
        if self.newer.take().is_none() && self.older == 0 {
            return Ok(());
        }
        if self.left_out > 0 {
            writeln!(self.head, "\n[rackwright: {} bytes are left out here]", self.left_out)?;
        }
        for part in ["older", "newer"].map(|part| self.beside(part)) {
            match File::open(&part) {
                Ok(mut file) => _ = io::copy(&mut file, &mut self.head)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
            fs::remove_file(&part)?;
        }
        Ok(())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.finish();
    }
}

/// How many bytes at the end are a letter (UTF-8) of which more is to come.
fn unfinished(bytes: &[u8]) -> usize {
    let last = bytes.len().saturating_sub(3);
    let Some(start) = bytes[last..].iter().rposition(|byte| *byte >= 0xc0) else { return 0 };
    let have = bytes.len() - last - start;
    let wanted = match bytes[last + start] {
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        _ => 4,
    };
    if have < wanted { have } else { 0 }
}

/// A new file with the time as its name; a log of the same second takes the next free one.
fn begin(dir: &Path, now: Time) -> io::Result<(PathBuf, File)> {
    let mut time = now;
    loop {
        let path = dir.join(format!("{time}.log").replace(':', ""));
        match private::create(&path, 0o600) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && time.since(now).as_secs() < 1000 => {
                time = time + Duration::from_secs(1);
            }
            other => return other.map(|file| (path, file)),
        }
    }
}

/// Makes room for one more: deletes all but the newest. The names are in the order of time.
fn rotate(dir: &Path) -> io::Result<()> {
    let mut logs: Vec<PathBuf> = fs::read_dir(dir)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let log_of = |path: &Path| Some(path.file_name()?.to_str()?.split_once(".log")?.0.to_owned());
    logs.retain(|path| log_of(path).is_some());
    let mut names: Vec<String> = logs.iter().filter_map(|path| log_of(path)).collect();
    names.sort_unstable();
    names.dedup();
    let old = &names[..names.len().saturating_sub(KEPT - 1)];
    logs.iter().filter(|path| log_of(path).is_some_and(|name| old.contains(&name))).try_for_each(fs::remove_file)
}
