//! The closed list of reasons: each has its words, each is made by the table alone, each is used, and what an earlier
//! version wrote is read.

use std::collections::BTreeSet;
use std::path::Path;

use rackwright::model::{Fault, FaultClass, Reason, ReasonClass};

/// Every reason that 0.1.0 wrote into journals and onto status branches.
const OLD: &str = "\
    Acting Announcing AnsibleFailed AnsibleMissing AnsibleTimedOut Arming AuthenticationFailed \
    BadCertificateAuthority Blocked BmcBusy BmcError BmcInUse BmcNonsense BmcNotReady BmcRefused BmcSlots \
    BmcTaskFailed BmcTooSlow BootOverrideNotKept BootTargetNotSupported BranchMissing BrokenAnswer \
    CertificateChanged CheckoutFailed CipherSuiteRefused ConnectionRefused DigestDiffers DiskNotNamed Done \
    DriverFailed EncryptionFailed FetchingImages FileUnreadable Finishing FirstBoot FirstBootOverdue FirstRun \
    Forbidden ForeignVolume GeneratedFiles GeneratedFilesLost GeneratedFilesUnread GeneratedNotKept \
    GenerationLowered GitFailed GitMissing GpgvFailed GpgvMissing HookFailed HookNotStarted HookTimedOut \
    HostKeyChanged HostKeyRefused HostKeyUnusable HttpBootNotSupported ImageStore InstallOverdue InstallSlots \
    Installing InsufficientPrivilege Interrupted InvalidRequest IpmiError IpmiRefused JournalLost LoadFailed \
    MachineIsOff MirrorUnusable NetworkBoot NetworkBootOverdue NoAddress NoBmc NoBootId NoBootMac NoDeployKey \
    NoDirectory NoDriveInSlot NoHostKey NoHttpClient NoKeyring NoLog NoRevision NoStaticRoot NoSuchCluster \
    NoSuchHost NoSuchImage NoSuchTask NoSystem NoTargets NoTls NotForBmcs NotFound NotInSums NotIpmi20 \
    NotPossibleOverIpmi NotReady NotRedfish NotSeen OutcomeUnknown PasswordTooLong Peers PeersMissing \
    PlaybookMissing PowerCycling PowerOffRefused PowerOnByHand PowerStateNotReached Preparing Probing ProgramFailed \
    ProgramMissing PushRace PushRefused PxeNotSupported RaidNotSupported Reaching Redirected Refused Releasing \
    Removed ReportFailed ResetNotSupported Restart RestartNotSeen Retrying RevisionMissing SecretMissing \
    SecretUnreadable ServerError SessionLost SettingsNotKept SettingsNotValid SettingsOverdue SettingsRefused \
    SettingsReverted SeveralSystems SignatureWrong SigningFailed SlotNotUnique SshDenied SshFile SshKeyUnusable \
    SshLost SshNoHostKey SshRefused SshTimedOut SshUnreachable StateDirUnusable StatusBranchUnreachable \
    StatusUnreadable StillOn StorageUnreadable SubmoduleMissing SudoRefused TaskFailed TaskRunning Timeout TlsFailed \
    TlsTooOld TlsUnsupported TokenUnusable TooLarge TooManySessions TreeTooLarge TryAgain Unreachable VolumeNotThere \
    WriteBackBlocked WriteBackConflict";

/// Words that Redfish uses as well: `TaskState`, DSP0268.
const REDFISH: &[(&str, &str)] = &[("src/drive/bmc/redfish/progress.rs", "Interrupted")];

/// The source outside the table and outside the simulator, by path: code without comments and unit tests.
fn sources() -> Vec<(String, String)> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut dirs, mut files) = (vec![home.join("src")], Vec::new());
    while let Some(dir) = dirs.pop() {
        for path in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.strip_prefix(home).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() && !["src/sim", "src/model/reason"].contains(&name.as_str()) {
                dirs.push(path);
            } else if name.ends_with(".rs") {
                let text = std::fs::read_to_string(path).unwrap();
                let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
                let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
                files.push((name, lines.collect::<Vec<_>>().join("\n")));
            }
        }
    }
    assert!(files.len() > 100, "{}", files.len());
    files
}

/// Reasons that are written as text.
fn literals(path: &str, code: &str) -> Vec<String> {
    let written = code.split('"').filter(|part| part.parse::<Reason>().is_ok());
    let wrong = written.filter(|word| !REDFISH.contains(&(path, word)));
    wrong.map(|word| format!("{path}: \"{word}\" is a reason: write Reason::{word}")).collect()
}

#[test]
fn no_reason_is_made_from_text() {
    let wrong: Vec<_> = sources().iter().flat_map(|(path, code)| literals(path, code)).collect();
    assert_eq!(wrong, Vec::<String>::new());
    let bad = "if fault.reason.as_str() == \"BmcBusy\" { other(\"Busy\") }";
    assert_eq!(literals("src/x.rs", bad), ["src/x.rs: \"BmcBusy\" is a reason: write Reason::BmcBusy"]);
}

/// The reasons that code makes: not those that it only compares with.
fn made(code: &str) -> BTreeSet<&str> {
    let mut made = BTreeSet::new();
    for (at, _) in code.match_indices("Reason::") {
        let rest = &code[at + "Reason::".len()..];
        let word = &rest[..rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len())];
        let (before, after) = (code[..at].trim_end(), rest[word.len()..].trim_start());
        let compared = ["==", "!=", "|"].iter().any(|sign| before.ends_with(sign))
            || after.starts_with("=>")
            || (after.starts_with('|') && !after.starts_with("||"));
        if !compared {
            made.insert(word);
        }
    }
    made
}

#[test]
fn what_is_documented_is_what_is_emitted() {
    let sources = sources();
    let made: BTreeSet<&str> = sources.iter().flat_map(|(_, code)| made(code)).collect();
    let unused: Vec<_> = Reason::ALL.iter().filter(|reason| !made.contains(reason.as_str())).collect();
    assert_eq!(unused, Vec::<&Reason>::new(), "in the table, and emitted by nobody");
}

#[test]
fn the_check_for_unused_reasons_tells_making_from_comparing() {
    let code =
        "a(Reason::Done); b == Reason::Peers; matches!(c, Reason::NotSeen | Reason::Arming); Reason::Blocked => 1";
    assert_eq!(made(code), BTreeSet::from(["Done"]));
}

#[test]
fn a_fault_has_the_class_that_the_table_says() {
    let mut seen = 0;
    for (path, code) in sources() {
        for (call, class) in [
            ("transient(", ReasonClass::Transient),
            ("permanent(", ReasonClass::Permanent),
            ("operator(", ReasonClass::Operator),
        ] {
            for rest in code.split(call).skip(1) {
                let Some(rest) = rest.trim_start().strip_prefix("Reason::") else { continue };
                let word = rest.split(|c: char| !c.is_alphanumeric()).next().unwrap();
                let said = word.parse::<Reason>().unwrap().class();
                assert!(said == class || said == ReasonClass::Varies, "{path}: {word} is {said:?} in the table");
                seen += 1;
            }
        }
    }
    assert!(seen > 100, "only {seen} were seen");
}

#[test]
fn every_reason_has_a_meaning_and_an_advice() {
    let mut meanings = BTreeSet::new();
    for reason in Reason::ALL {
        let (meaning, advice) = (reason.meaning(), reason.advice());
        for text in [meaning, advice] {
            assert!(text.ends_with('.') && text.split(' ').count() > 2 && !text.contains("  "), "{reason}: {text}");
        }
        assert!(meanings.insert(meaning), "{reason}: said twice: {meaning}");
        // Nothing to do is what a thing under way says, and no more than that.
        if matches!(reason.class(), ReasonClass::Stalled | ReasonClass::Operator) {
            assert!(!advice.starts_with("nothing"), "{reason} waits for a person: {advice}");
        }
    }
}

#[test]
fn the_schema_the_words_and_serde_agree() {
    let schema = serde_json::to_value(schemars::schema_for!(Reason)).unwrap();
    let listed: BTreeSet<&str> =
        schema["oneOf"].as_array().unwrap().iter().map(|one| one["const"].as_str().unwrap()).collect();
    let words: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(listed, words);
    for reason in Reason::ALL {
        let text = serde_json::to_string(reason).unwrap();
        assert_eq!(text, format!("\"{reason}\""));
        assert_eq!(serde_json::from_str::<Reason>(&text).unwrap(), *reason);
        assert_eq!(reason.as_str().parse(), Ok(*reason));
    }
    assert!("bmcbusy".parse::<Reason>().is_err());
}

#[test]
fn reasons_of_other_versions_are_read() {
    for word in OLD.split_whitespace() {
        let read = word.parse::<Reason>().unwrap();
        let renamed = [("TaskFailed", Reason::AnsibleFailed), ("NotForBmcs", Reason::DriverFailed)];
        assert!(read.as_str() == word || renamed.contains(&(word, read)), "{word} is read as {read}");
    }
    let fault: Fault = serde_json::from_str(r#"{"class":"permanent","reason":"NotYetKnown","message":"no"}"#).unwrap();
    assert_eq!(
        fault,
        Fault { class: FaultClass::Permanent, reason: Reason::Unknown, message: "NotYetKnown: no".into() }
    );
}
