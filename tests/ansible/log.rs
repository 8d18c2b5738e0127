//! Logs of tasks: bounded, rotated, private, and without secrets however the output is cut.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rackwright::drive::log::{Bounds, Log, Stream};
use rackwright::model::{Secret, Time};

const NOON: Time = Time::from_secs(1_800_000_000);

fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn secrets_never_show_however_the_output_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let said = "password=geheim\nkey: -----BEGIN-----\n  abcdefgh\nümläut geheim\n";
    let secrets = [Secret::new("geheim"), Secret::new("-----BEGIN-----\nabcdefgh\n"), Secret::new("xyz")];
    for cut in 1..said.len() {
        let mut log = Log::create(dir.path(), &secrets, NOON).unwrap();
        for piece in said.as_bytes().chunks(cut) {
            log.write(Stream::Out, piece);
            log.write(Stream::Err, b"xyz ");
        }
        assert_eq!(log.tail(2), format!("ümläut *** / {}", "xyz ".repeat(said.len().div_ceil(cut)).trim()));
        let text = fs::read_to_string(log.close()).unwrap();
        assert!(text.starts_with("password=***\nkey: ***\n  ***\nümläut ***\nxyz "), "{cut}: {text}");
    }
}

#[test]
fn a_secret_in_a_line_without_end_is_masked() {
    let dir = tempfile::tempdir().unwrap();
    let secret = "geheimnis".repeat(20);
    for offset in 0..200 {
        let mut log = Log::create(dir.path(), &[Secret::new(&secret)], NOON).unwrap();
        // So that the border at which a long line is passed on falls into the secret.
        let before = "x".repeat((64 << 10) - offset);
        log.write(Stream::Out, format!("{before}{}", &secret[..offset.min(secret.len())]).as_bytes());
        log.write(Stream::Out, format!("{}{}", &secret[offset.min(secret.len())..], "y".repeat(70_000)).as_bytes());
        let text = fs::read_to_string(log.close()).unwrap();
        assert!(text.contains("x***y"), "{offset}");
        assert!(!text.contains("geheim"), "{offset}");
    }
}

#[test]
fn a_long_log_keeps_its_beginning_and_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let bounds = Bounds { head: 1000, part: 500 };
    let mut log = Log::bounded(dir.path(), &[], NOON, bounds).unwrap();
    for number in 0..10_000 {
        log.write(Stream::Out, format!("line {number}\n").as_bytes());
        let held: u64 = files(dir.path()).iter().map(|name| fs::metadata(dir.path().join(name)).unwrap().len()).sum();
        assert!(held <= 2000 + 20, "{held}");
    }
    let text = fs::read_to_string(log.close()).unwrap();
    assert_eq!(files(dir.path()).len(), 1, "one file is left");
    assert!(text.starts_with("line 0\nline 1\n"), "{text}");
    assert!(text.ends_with("line 9998\nline 9999\n"), "{text}");
    let note = text.lines().find(|line| line.starts_with("[rackwright: ")).unwrap();
    let left_out: usize = note.split(' ').nth(1).unwrap().parse().unwrap();
    let said: usize = (0..10_000).map(|number| format!("line {number}\n").len()).sum();
    assert_eq!(text.len() - note.len() - 2 + left_out, said, "what is kept and what is left out are all that was said");
}

#[test]
fn a_log_of_middle_length_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::bounded(dir.path(), &[], NOON, Bounds { head: 1000, part: 500 }).unwrap();
    let said: String = (0..180).map(|number| format!("line {number:03}\n")).collect();
    log.write(Stream::Out, said.as_bytes());
    assert_eq!(fs::read_to_string(log.close()).unwrap(), said);
}

#[test]
fn the_newest_ten_are_kept_and_are_private() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("runs/c1/ansible");
    for second in 0..25 {
        let now = Time::from_secs(1_800_000_000 + second / 2);
        let mut log = Log::bounded(&dir, &[], now, Bounds { head: 4, part: 4 }).unwrap();
        log.write(Stream::Err, b"0123456789\n");
        // As a daemon leaves it that is killed: its end stays beside it.
        std::mem::forget(log);
    }
    let names = files(&dir);
    let logs: Vec<_> = names.iter().filter(|name| name.ends_with(".log")).collect();
    assert_eq!(logs.len(), 10, "{names:?}");
    assert!(names.iter().all(|name| logs.iter().any(|log| name.starts_with(log.as_str()))), "{names:?}");
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    for name in &names {
        assert_eq!(fs::metadata(dir.join(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
}

#[test]
fn messages_have_no_control_characters_and_no_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::create(dir.path(), &[Secret::new("geheim")], NOON).unwrap();
    assert_eq!(log.mask("a\x1b[31m geheim\n\tb\x07\x00"), "a[31m *** b");
    log.write(Stream::Err, b"ge\x00heim \xff\xfe\n\n\n  last\x08 \xe2\x82");
    assert_eq!(log.tail(9), "*** \u{fffd}\u{fffd} / last \u{fffd}");
    log.line("ours,\ngeheim");
    assert_eq!(log.tail(1), "ours, ***");
}
