//! TFTP clients that others wrote fetch files octet for octet.

use std::process::Stdio;
use std::time::Duration;

use crate::net::tftp::{Site, count, site};
use crate::rig::net::*;

/// Lengths around the ends of blocks of 512 and 1468, and one of many blocks.
const LENGTHS: &[usize] = &[0, 1, 511, 512, 513, 1467, 1468, 1469, 2936, 1_500_000];

/// Whether the program is there; where it must be, its absence is a failure.
fn there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&path).any(|directory| directory.join(program).is_file());
    if !there {
        assert!(std::env::var_os("CI").is_none(), "{program} is missing: see tests/run");
        println!("SKIPPED: {program} is missing");
    }
    there
}

fn contents(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 31 % 253) as u8).collect()
}

/// Runs a client: `{host}`, `{port}`, `{file}` and `{to}` are filled in.
async fn fetch(site: &Site, words: &[&str], file: &str) -> Result<Vec<u8>, String> {
    let to = site.dir.path().join("fetched");
    let _ = std::fs::remove_file(&to);
    let fill = |word: &&str| {
        let word = word.replace("{host}", &site.server.ip().to_string());
        let word = word.replace("{port}", &site.server.port().to_string());
        word.replace("{file}", file).replace("{to}", to.to_str().unwrap())
    };
    let words: Vec<String> = words.iter().map(fill).collect();
    let mut client = tokio::process::Command::new(&words[0]);
    client.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let ended = tokio::time::timeout(Duration::from_secs(60), client.output()).await.map_err(|_| "does not end")?;
    let ended = ended.map_err(|error| error.to_string())?;
    if !ended.status.success() {
        return Err(String::from_utf8_lossy(&ended.stderr).into_owned() + &String::from_utf8_lossy(&ended.stdout));
    }
    // Some make no file when there is nothing to put into it.
    Ok(std::fs::read(&to).unwrap_or_default())
}

/// Fetches files of every length with each of these commands.
async fn fetches(program: &str, commands: &[&[&str]]) {
    if !there(program) {
        return;
    }
    let site = site(world(Vec::new())).await;
    let mut fetched = 0;
    for length in LENGTHS {
        let name = format!("f{length}");
        std::fs::write(site.dir.path().join("tftp").join(&name), contents(*length)).unwrap();
        for words in commands {
            // curl 7.88 fails on an empty file from any server when its first packet is DATA.
            if program == "curl" && *length == 0 {
                continue;
            }
            let body = fetch(&site, words, &name).await.unwrap_or_else(|error| panic!("{words:?}: {error}"));
            assert!(body == contents(*length), "{words:?}: {} octets instead of {length}", body.len());
            fetched += 1;
        }
    }
    for words in commands {
        // Not every one of them ends with an error; none may end with a file.
        assert_eq!(fetch(&site, words, "nothing").await.unwrap_or_default(), b"", "{words:?}");
    }
    let ended = count(&site, "transfer", "completed") + count(&site, "transfer", "unconfirmed");
    assert_eq!((ended, count(&site, "read", "not-found")), (fetched, commands.len() as u64));
}

#[tokio::test]
async fn tftp_hpa_fetches() {
    fetches("tftp", &[&["tftp", "-m", "binary", "{host}", "{port}", "-c", "get", "{file}", "{to}"]]).await;
}

#[tokio::test]
async fn atftp_fetches() {
    let get = ["-g", "-r", "{file}", "-l", "{to}", "{host}", "{port}"];
    let with = |options: &[&'static str]| {
        let options = options.iter().flat_map(|option| ["--option", option]);
        ["atftp"].into_iter().chain(options).chain(get).collect::<Vec<_>>()
    };
    let (plain, large) = (with(&[]), with(&["blksize 1468", "tsize 0", "timeout 3"]));
    let (windows, wide) = (with(&["blksize 1468", "windowsize 8"]), with(&["windowsize 64"]));
    fetches("atftp", &[&plain, &large, &windows, &wide]).await;
}

#[tokio::test]
async fn curl_fetches() {
    let url = "tftp://{host}:{port}/{file}";
    let (plain, large) = (
        ["curl", "-sS", "-o", "{to}", url].to_vec(),
        ["curl", "-sS", "--tftp-blksize", "1468", "-o", "{to}", url].to_vec(),
    );
    let bare = ["curl", "-sS", "--tftp-no-options", "-o", "{to}", url].to_vec();
    fetches("curl", &[&plain, &large, &bare]).await;
}

#[tokio::test]
async fn busybox_fetches() {
    let plain = ["busybox", "tftp", "-g", "-r", "{file}", "-l", "{to}", "{host}", "{port}"];
    let large = ["busybox", "tftp", "-g", "-b", "1468", "-r", "{file}", "-l", "{to}", "{host}", "{port}"];
    fetches("busybox", &[&plain, &large]).await;
}
