//! SSH against a real `sshd`: host keys, login, commands, files, and servers that misbehave.

use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;

use rackwright::drive::ssh::{self, Said, Session, SshError, Target};
use rackwright::model::{FaultClass, Outcome, Reason};
use tokio::net::TcpListener;

use crate::rig::ssh::{Sshd, is_root, until};

const LIMIT: Duration = Duration::from_secs(60);

/// What a command said.
async fn say(session: &Session, command: &str) -> String {
    session.output(command, LIMIT, 1 << 20).await.unwrap().text
}

#[tokio::test]
async fn ssh_the_first_key_is_taken_and_then_no_other() {
    let Some(mut sshd) = Sshd::start() else { return };
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().to_owned();
    let learned = Outcome::Reached { key: sshd.public("host"), boot };
    assert_eq!(ssh::reach(&sshd.stranger()).await, Ok(learned.clone()));
    let pinned = sshd.target();
    assert_eq!(ssh::reach(&pinned).await, Ok(learned));

    let old = ssh::fingerprint(&sshd.public("host")).unwrap();
    sshd.keygen("host", "ed25519", "");
    sshd.restart("");
    let new = ssh::fingerprint(&sshd.public("host")).unwrap();
    let fault = ssh::reach(&Target { port: sshd.port, ..pinned }).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Operator, Reason::HostKeyChanged), "{fault}");
    assert!(fault.message.contains(&old) && fault.message.contains(&new) && old != new, "{fault}");
    assert!(fault.message.contains("cluster1/hv1"), "{fault}");
    assert!(ssh::reach(&sshd.target()).await.is_ok());

    let rsa = sshd.keygen("rsa", "rsa", "").file_name().unwrap().to_str().unwrap().to_owned();
    for (pin, word) in [("nonsense".to_owned(), "no public key"), (sshd.public(&rsa), "ssh-rsa")] {
        let fault = ssh::reach(&Target { host_key: Some(pin), ..sshd.target() }).await.unwrap_err();
        assert_eq!((fault.class, fault.reason), (FaultClass::Operator, Reason::HostKeyUnusable));
        assert!(fault.message.contains(word), "{fault}");
    }
}

#[tokio::test]
async fn ssh_a_host_with_several_keys_shows_the_pinned_one() {
    let Some(mut sshd) = Sshd::start() else { return };
    sshd.keygen("other", "ecdsa", "");
    let other = format!("HostKey {}", sshd.path("other").display());
    sshd.restart(&other);
    let key = |outcome| match outcome {
        Ok(Outcome::Reached { key, .. }) => key,
        other => panic!("{other:?}"),
    };
    assert_eq!(key(ssh::reach(&sshd.stranger()).await), sshd.public("host"), "ed25519 comes first");
    let pinned = Target { host_key: Some(sshd.public("other")), ..sshd.target() };
    assert_eq!(key(ssh::reach(&pinned).await), sshd.public("other"));

    // The pinned key has gone; another kind is no way around the pin.
    sshd.restart("");
    let fault = ssh::reach(&Target { port: sshd.port, ..pinned }).await.unwrap_err();
    assert_eq!(fault.reason, Reason::HostKeyChanged, "{fault}");
    assert!(fault.message.contains(&ssh::fingerprint(&sshd.public("host")).unwrap()), "{fault}");
}

#[tokio::test]
async fn ssh_who_is_refused_is_told_with_which_key() {
    let Some(mut sshd) = Sshd::start() else { return };
    fs::write(sshd.path("authorized_keys"), "").unwrap();
    let fault = ssh::reach(&sshd.target()).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Operator, Reason::SshRefused));
    let fingerprint = ssh::fingerprint(&sshd.public("user")).unwrap();
    assert!(fault.message.contains(&fingerprint) && fault.message.contains(&sshd.target().user), "{fault}");

    sshd.restart("MaxAuthTries 1");
    let fault = ssh::reach(&sshd.target()).await.unwrap_err();
    assert_eq!(fault.reason, Reason::SshRefused, "also by a server that hangs up: {fault}");

    fs::write(sshd.path("banner"), "System is booting up. See pam_nologin(8)\n").unwrap();
    sshd.restart(&format!("Banner {}", sshd.path("banner").display()));
    let fault = ssh::reach(&sshd.target()).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Transient, Reason::SshUnreachable), "{fault}");
    assert!(fault.message.contains("System is booting up."), "{fault}");
}

#[tokio::test]
async fn ssh_keys_that_cannot_be_used_are_told_before_anything_is_sent() {
    let Some(sshd) = Sshd::start() else { return };
    let attempt = async |key_file| ssh::reach(&Target { key_file, ..sshd.target() }).await.unwrap_err();
    let cases = [
        (sshd.keygen("locked", "ed25519", "secret words"), "passphrase"),
        (sshd.keygen("rsa", "rsa", ""), "ssh-rsa are not supported"),
        (sshd.path("sshd_config"), "no private key"),
        (sshd.path("missing"), "No such file"),
    ];
    for (path, word) in cases {
        let fault = attempt(path.clone()).await;
        assert_eq!((fault.class, fault.reason), (FaultClass::Operator, Reason::SshKeyUnusable));
        assert!(fault.message.contains(word) && fault.message.contains(&path.display().to_string()), "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn ssh_a_server_that_never_speaks_is_given_up() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let Some(sshd) = Sshd::start() else { return };
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let target = Target { port: port(&silent), ..sshd.target() };
    let fault = ssh::reach(&target).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Transient, Reason::SshUnreachable));
    assert!(fault.message.contains("in time"), "{fault}");

    let target = Target { port: port(&closed), ..target };
    drop(closed);
    let fault = ssh::reach(&target).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Transient, Reason::SshUnreachable));
    assert!(fault.message.contains("refused"), "{fault}");
}

#[tokio::test]
async fn ssh_commands_get_their_input_and_tell_how_they_ended() {
    let Some(sshd) = Sshd::start() else { return };
    let session = Session::connect(&sshd.target()).await.unwrap();
    let input: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut keep = |said: &Said| match said {
        Said::Out(bytes) => out.extend_from_slice(bytes),
        Said::Err(bytes) => err.extend_from_slice(bytes),
    };
    let exit = session.exec("cat; echo oops >&2; exit 75", &input, LIMIT, &mut keep).await.unwrap();
    assert_eq!((exit.status, err.as_slice()), (Some(75), b"oops\n".as_slice()));
    assert!(out == input, "{} bytes came back", out.len());

    // A program that does not read, and one that is killed.
    let exit = session.exec("exit 3", &input, LIMIT, &mut |_| {}).await.unwrap();
    assert_eq!(exit.status, Some(3));
    let exit = session.exec("kill -9 $$", &[], LIMIT, &mut |_| {}).await.unwrap();
    assert_eq!((exit.status, exit.signal.as_deref()), (None, Some("KILL")));

    let error = session.exec("cat; sleep 600", &[], Duration::from_millis(300), &mut |_| {}).await.unwrap_err();
    assert!(matches!(error, SshError::TimedOut { .. }), "{error}");
    assert_eq!(say(&session, "echo still here").await, "still here\n");
    session.close().await;
}

#[tokio::test]
async fn ssh_a_hundred_megabytes_of_output_are_read_and_not_kept() {
    let Some(sshd) = Sshd::start() else { return };
    let session = Session::connect(&sshd.target()).await.unwrap();
    let peak = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    let before = peak();
    let mut count = 0;
    let mut add = |said: &Said| count += said.bytes().len();
    let exit = session.exec("head -c 100000000 /dev/zero; echo done", &[], LIMIT, &mut add).await.unwrap();
    assert_eq!((exit.status, count), (Some(0), 100_000_005));
    let grown = peak() - before;
    assert!(grown < 50_000, "{grown} KiB more");
    let kept = session.output("head -c 1000000 /dev/zero", LIMIT, 10).await.unwrap();
    assert_eq!(kept.text.len(), 10);
}

#[tokio::test]
async fn ssh_what_a_command_leaves_running_does_not_hold_us() {
    let Some(sshd) = Sshd::start() else { return };
    let session = Session::connect(&sshd.target()).await.unwrap();
    // It keeps the output open.
    let said = session.output("sleep 600 & echo $!", LIMIT, 100).await.unwrap();
    assert!(said.exit.success());
    let left = said.text.trim();
    assert!(say(&session, &format!("kill {left} && echo killed")).await.contains("killed"));
}

#[tokio::test]
async fn ssh_a_connection_that_is_cut_is_noticed() {
    let Some(sshd) = Sshd::start() else { return };
    let session = Session::connect(&sshd.target()).await.unwrap();
    let mut running = session.start("echo begun; cat").await.unwrap();
    assert_eq!(running.next().await, Some(Said::Out("begun\n".into())));
    sshd.cut();
    assert_eq!(running.next().await, None);
    assert!(matches!(running.exit(), Err(SshError::Lost { .. })));
    assert!(matches!(session.files().await, Err(SshError::Lost { .. })));
}

#[tokio::test]
async fn ssh_a_host_that_falls_silent_is_given_up() {
    let Some(sshd) = Sshd::start() else { return };
    let proxy = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let target = Target { port: proxy.local_addr().unwrap().port(), ..sshd.target() };
    let mut forward = tokio::task::JoinSet::new();
    let held = std::sync::Arc::new(tokio::sync::Mutex::new(None));
    let (hold, port) = (held.clone(), sshd.port);
    forward.spawn(async move {
        let (near, _) = proxy.accept().await.unwrap();
        let far = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let mut both = hold.lock().await;
        let (near, far) = both.insert((near, far));
        tokio::io::copy_bidirectional(near, far).await.unwrap();
    });
    let session = Session::connect(&target).await.unwrap();
    let mut running = session.start("echo begun; cat").await.unwrap();
    assert_eq!(running.next().await, Some(Said::Out("begun\n".into())));
    // The connection stands, and nothing comes through any more.
    forward.shutdown().await;
    assert!(held.lock().await.is_some());
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    assert_eq!(running.next().await, None);
    let error = running.exit().unwrap_err();
    assert!(error.to_string().contains("Keepalive timeout"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(120));
}

#[tokio::test]
async fn ssh_files_arrive_with_their_mode_and_nothing_is_overwritten() {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(sshd) = Sshd::start() else { return };
    let session = Session::connect(&sshd.target()).await.unwrap();
    let files = session.files().await.unwrap();
    let big: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 253) as u8).collect();
    fs::write(sshd.path("big"), &big).unwrap();
    let there = |name: &str| sshd.path("tmp").join(name);
    let name = |name: &str| there(name).to_str().unwrap().to_owned();
    files.make_dir(&name("sub")).await.unwrap();
    files.put(&name("sub/run"), b"#!/bin/sh\n", 0o700).await.unwrap();
    files.put_file(&name("sub/big 'ä"), &sshd.path("big"), 0o600).await.unwrap();
    let mode = |path: &str| fs::metadata(there(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("sub/run"), mode("sub/big 'ä")), (0o700, 0o600));
    assert_eq!(fs::read(there("sub/run")).unwrap(), b"#!/bin/sh\n");
    assert!(fs::read(there("sub/big 'ä")).unwrap() == big);

    let error = files.put(&name("sub/run"), b"other", 0o600).await.unwrap_err();
    assert!(matches!(error, SshError::File { .. }), "{error}");
    assert_eq!(fs::read(there("sub/run")).unwrap(), b"#!/bin/sh\n");
    let error = files.put_file(&name("x"), &sshd.path("missing"), 0o600).await.unwrap_err();
    assert!(error.to_string().contains("cannot be read"), "{error}");
}

#[tokio::test]
async fn ssh_power_off_needs_a_known_host_and_its_consent() {
    let Some(sshd) = Sshd::start() else { return };
    if !is_root() {
        println!("SKIPPED power-off of somebody who is not root");
        return;
    }
    let stranger = ssh::power_off(&sshd.stranger()).await.unwrap_err();
    assert_eq!((stranger.class, stranger.reason), (FaultClass::Operator, Reason::NoHostKey));

    sshd.program("systemctl", "#!/bin/sh\necho \"$@\" >>\"$TMPDIR/said\"\necho not today\nexit 1\n");
    sshd.program("poweroff", "#!/bin/sh\necho poweroff >>\"$TMPDIR/said\"\necho nor tomorrow >&2\nexit 1\n");
    let refused = ssh::power_off(&sshd.target()).await.unwrap_err();
    assert_eq!(refused.class, FaultClass::Permanent);
    assert!(refused.message.contains("nor tomorrow"), "{refused}");
    assert_eq!(fs::read_to_string(sshd.path("tmp/said")).unwrap(), "poweroff\npoweroff\n");

    sshd.program("systemctl", "#!/bin/sh\nexit 0\n");
    assert_eq!(ssh::power_off(&sshd.target()).await, Ok(Outcome::Finished(rackwright::model::PowerState::Off)));
    // The connection may be gone before the answer.
    sshd.program("systemctl", "#!/bin/sh\ntouch \"$TMPDIR/going\"\nexec sleep 600\n");
    let cut = until("it goes down", || sshd.path("tmp/going").exists());
    let target = sshd.target();
    let (off, ()) = tokio::join!(ssh::power_off(&target), async {
        cut.await;
        sshd.cut()
    });
    assert_eq!(off, Ok(Outcome::Finished(rackwright::model::PowerState::Off)));
}
