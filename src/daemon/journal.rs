//! The journal: every fact, durable before it counts. SQLite in WAL mode with `synchronous=FULL`; one transaction for
//! all facts that were drained together. A restart is a replay of the last snapshot and what came after it.
//!
//! `PRAGMA user_version` is the layout: 1 was written by 0.1.0 and is rewritten when it is opened (`migrate` says how); a
//! newer one than this version knows is refused.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use crate::model::{Event, Revision, Snapshot, Time};

mod migrate;

/// Layout of the file (`PRAGMA user_version`).
const VERSION: i64 = 2;
/// That of 0.1.0.
const FIRST: i64 = 1;

/// An open journal.
pub struct Journal {
    db: Connection,
    layout: i64,
    since_snapshot: u64,
}

/// Why the journal could not be used. The daemon stops: it must not act on what it cannot remember.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("the journal cannot be used: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("entry {seq} of the journal cannot be read: {source}")]
    Entry { seq: i64, source: serde_json::Error },
    #[error("a snapshot of the journal could not be made; see the log")]
    NotPacked,
    #[error(
        "the journal was written by a newer rackwright (layout {0}; this version reads up to {VERSION}): nothing is begun; \
         start the version that wrote it, or a newer one"
    )]
    Newer(i64),
}

/// What a replay starts from.
pub struct Recording {
    /// The last snapshot, and when it was made.
    pub snapshot: Option<(Time, Snapshot)>,
    /// What came after it, oldest first.
    pub events: Vec<(Time, Event)>,
}

impl Recording {
    /// Whether nothing was ever recorded.
    pub fn is_empty(&self) -> bool {
        self.snapshot.is_none() && self.events.is_empty()
    }
}

impl Journal {
    /// Opens or makes the journal at `path`.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let mut db = Connection::open(path)?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "FULL")?;
        // What a compaction has written ahead is not kept on the disk for ever.
        db.pragma_update(None, "journal_size_limit", 8 << 20)?;
        db.busy_timeout(std::time::Duration::from_secs(5))?;
        let layout = layout(&db)?;
        db.execute_batch(
            "CREATE TABLE IF NOT EXISTS events (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, body TEXT NOT NULL);
             CREATE TABLE IF NOT EXISTS snapshot
                 (id INTEGER PRIMARY KEY CHECK (id = 1), at INTEGER NOT NULL, body TEXT NOT NULL);",
        )?;
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if layout == FIRST
            && let Some((_, snapshot)) = read_snapshot(&transaction, layout)?
        {
            let body = serde_json::to_string(&snapshot).map_err(|source| JournalError::Entry { seq: 0, source })?;
            transaction.execute("UPDATE snapshot SET body = ?1", [body])?;
        }
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.commit()?;
        let count: i64 = db.query_row("SELECT count(*) FROM events", [], |row| row.get(0))?;
        Ok(Journal { db, layout: VERSION, since_snapshot: count.unsigned_abs() })
    }

    /// Opens a journal for reading only, beside a running daemon.
    pub fn open_read_only(path: &Path) -> Result<Self, JournalError> {
        let db = Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let layout = layout(&db)?;
        Ok(Journal { db, layout, since_snapshot: 0 })
    }

    /// Everything that was recorded.
    pub fn read(&self) -> Result<Recording, JournalError> {
        let snapshot = read_snapshot(&self.db, self.layout)?;
        let mut statement = self.db.prepare("SELECT seq, at, body FROM events ORDER BY seq")?;
        let mut rows = statement.query([])?;
        let mut events = Vec::new();
        while let Some(row) = rows.next()? {
            let (seq, at, body): (i64, i64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let event = serde_json::from_str(&body).map_err(|source| JournalError::Entry { seq, source })?;
            events.push((Time(at), event));
        }
        Ok(Recording { snapshot, events })
    }

    /// Records events in one transaction; durable when this returns.
    pub fn append<'e>(&mut self, now: Time, events: impl IntoIterator<Item = &'e Event>) -> Result<(), JournalError> {
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut count = 0;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO events (at, body) VALUES (?1, ?2)")?;
            for event in events {
                let body = serde_json::to_string(event).map_err(|source| JournalError::Entry { seq: -1, source })?;
                insert.execute(params![now.0, body])?;
                count += 1;
            }
        }
        transaction.commit()?;
        self.since_snapshot += count;
        Ok(())
    }

    /// How many events came after the last snapshot.
    pub fn since_snapshot(&self) -> u64 {
        self.since_snapshot
    }

    /// The number of the newest event, 0 without any.
    pub fn newest(&self) -> Result<i64, JournalError> {
        Ok(self.db.query_row("SELECT coalesce(max(seq), 0) FROM events", [], |row| row.get(0))?)
    }

    /// Puts a snapshot in place of the events it covers; durable when this returns.
    pub fn compact(&mut self, packed: &Packed) -> Result<(), JournalError> {
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute(
            "INSERT OR REPLACE INTO snapshot (id, at, body) VALUES (1, ?1, ?2)",
            params![packed.at.0, packed.body],
        )?;
        let covered = transaction.execute("DELETE FROM events WHERE seq <= ?1", params![packed.upto])?;
        transaction.commit()?;
        self.since_snapshot = self.since_snapshot.saturating_sub(covered as u64);
        Ok(())
    }
}

/// A snapshot, written down.
pub struct Packed {
    pub revision: Option<Revision>,
    at: Time,
    upto: i64,
    body: String,
}

impl Packed {
    /// Writes down the facts that all events up to number `upto` amount to.
    pub fn new(now: Time, upto: i64, facts: &Snapshot) -> Result<Packed, JournalError> {
        let body = serde_json::to_string(facts).map_err(|source| JournalError::Entry { seq: 0, source })?;
        Ok(Packed { revision: facts.revision.clone(), at: now, upto, body })
    }
}

/// The layout of a journal; 0 of one that is being made.
fn layout(db: &Connection) -> Result<i64, JournalError> {
    let layout: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if layout > VERSION { Err(JournalError::Newer(layout)) } else { Ok(layout) }
}

fn read_snapshot(db: &Connection, layout: i64) -> Result<Option<(Time, Snapshot)>, JournalError> {
    let row = db.query_row("SELECT at, body FROM snapshot", [], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((at, body)): Option<(i64, String)> = row else { return Ok(None) };
    let snapshot = match layout {
        FIRST => serde_json::from_str(&body).and_then(|old| serde_json::from_value(migrate::snapshot(old))),
        _ => serde_json::from_str(&body),
    };
    Ok(Some((Time(at), snapshot.map_err(|source| JournalError::Entry { seq: 0, source })?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Policy, World};

    #[test]
    fn what_was_appended_is_read_back_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        let mut journal = Journal::open(&path).unwrap();
        journal.append(Time(1), [&Event::DaemonStarted, &Event::FirstRun]).unwrap();
        journal.append(Time(2), [&Event::Woken]).unwrap();
        drop(journal);
        let recording = Journal::open(&path).unwrap().read().unwrap();
        let expected = vec![(Time(1), Event::DaemonStarted), (Time(1), Event::FirstRun), (Time(2), Event::Woken)];
        assert_eq!(recording.events, expected);
        assert!(recording.snapshot.is_none());
    }

    #[test]
    fn compaction_keeps_the_facts_and_forgets_the_events() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        let mut journal = Journal::open(&path).unwrap();
        journal.append(Time(1), [&Event::FirstRun, &Event::Woken]).unwrap();
        let facts = World::new(std::sync::Arc::new(Policy::default())).snapshot();
        let packed = Packed::new(Time(2), journal.newest().unwrap(), &facts).unwrap();
        // What arrives while the snapshot is being written down is not covered by it.
        journal.append(Time(3), [&Event::Woken]).unwrap();
        journal.compact(&packed).unwrap();
        assert_eq!(journal.since_snapshot(), 1);
        let recording = Journal::open_read_only(&path).unwrap().read().unwrap();
        assert_eq!(recording.snapshot, Some((Time(2), facts)));
        assert_eq!(recording.events, vec![(Time(3), Event::Woken)]);
    }

    #[test]
    fn a_newer_layout_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        drop(Journal::open(&path).unwrap());
        Connection::open(&path).unwrap().pragma_update(None, "user_version", VERSION + 1).unwrap();
        let Err(refused) = Journal::open(&path) else { panic!("a newer layout is read") };
        assert!(matches!(refused, JournalError::Newer(newer) if newer == VERSION + 1));
        assert!(refused.to_string().contains("start the version that wrote it"), "{refused}");
    }
}
