//! The boot-chain trace: attempts, folding, bounds, and the sentence that says where a network boot stands.

use std::sync::Arc;
use std::time::Duration;

use rackwright::model::{Mac, Time};
use rackwright::serve::trace::{
    ATTEMPTS, Attempt, BUDGET, Known, MACHINES, STEPS, Service, Standing, Step, TEXT, Trace, standing,
};

use Service::{Checkin, Dhcp, Http, Tftp};

const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
/// 2027-01-15T08:00:00Z
const BASE: i64 = 1_800_000_000;

type Told<'a> = (i64, Service, &'a str, &'a str);

const DISCOVER: Told = (0, Dhcp, "discover (UEFI x64 PXE)", "offer 192.0.2.7, ipxe.efi from 192.0.2.1");
const REQUEST: Told = (4, Dhcp, "request 192.0.2.7 (UEFI x64 PXE)", "ack 192.0.2.7, ipxe.efi from 192.0.2.1");
const SIZE: Told = (5, Tftp, "ipxe.efi tsize=0 blksize=1468", "aborted by the client: User aborted (code 8)");
const FETCH: Told = (6, Tftp, "ipxe.efi blksize=1468", "sent 174592 octets");
const IPXE_DISCOVER: Told = (9, Dhcp, "discover (iPXE)", "offer 192.0.2.7, http://192.0.2.1:9999/boot/02:00/boot.ipxe");
const IPXE_REQUEST: Told =
    (10, Dhcp, "request 192.0.2.7 (iPXE)", "ack 192.0.2.7, http://192.0.2.1:9999/boot/02:00/boot.ipxe");
const SCRIPT: Told = (11, Http, "GET /boot/02:00:00:00:00:01/boot.ipxe", "200, 911 octets");
const KERNEL: Told = (12, Http, "GET /assets/vmlinuz", "200, 8000000 octets");
const SYSTEM: Told = (40, Dhcp, "discover", "offer 192.0.2.7");
const CLAIM: Told = (45, Checkin, "claim", "accepted");
const ALL: [Told; 10] = [DISCOVER, REQUEST, SIZE, FETCH, IPXE_DISCOVER, IPXE_REQUEST, SCRIPT, KERNEL, SYSTEM, CLAIM];

fn note(trace: &Trace, offset: i64, told: Told<'_>) {
    let (at, by, asked, outcome) = told;
    trace.note(MAC, Time::from_secs(BASE + offset + at), by, asked, outcome);
}

fn traced(steps: &[Told<'_>]) -> Vec<Attempt> {
    let trace = Trace::default();
    steps.iter().for_each(|step| note(&trace, 0, *step));
    trace.attempts(MAC)
}

/// Where it stands so many seconds after the first step.
fn after(seconds: i64, steps: &[Told<'_>], known: Known) -> Standing {
    standing(traced(steps).last(), known, Time::from_secs(BASE + seconds))
}

fn stuck(seconds: i64, steps: &[Told<'_>], words: &[&str]) {
    let said = after(seconds, steps, Known::default());
    assert!(said.stuck, "{said:?}");
    for word in words {
        assert!(said.sentence.contains(word), "`{word}` is not in: {}", said.sentence);
    }
}

#[test]
fn every_place_to_be_stuck_has_its_sentence() {
    let said = standing(None, Known::default(), Time::from_secs(BASE));
    assert!(said.stuck && said.sentence.starts_with("no DHCP request"), "{said:?}");
    let lost: Vec<Told> = (0..5).map(|n| (n * 5, DISCOVER.1, DISCOVER.2, DISCOVER.3)).collect();
    stuck(60, &lost, &["×5 over 20 s", "offered 192.0.2.7 and never requested it", "another DHCP server won"]);
    let foreign = (4, Dhcp, "request 192.0.2.9 (UEFI x64 PXE)", "left to the server at 192.0.2.66");
    stuck(60, &[DISCOVER, foreign], &["took another server's offer", "192.0.2.66"]);
    let none = (0, Dhcp, "discover (UEFI x64 PXE)", "dropped: unknown-segment");
    stuck(60, &[none], &["dropped: unknown-segment", "no subnet"]);
    stuck(
        180,
        &[DISCOVER, REQUEST],
        &[
            "stuck after the DHCP reply: it was offered ipxe.efi at 08:00:04 and has asked for nothing",
            "nothing since (2 min)",
            "the TFTP port is blocked, or the firmware wants HTTP",
        ],
    );
    stuck(180, &[DISCOVER, REQUEST, SIZE], &["aborted at 08:00:05", "asks for the size first"]);
    let timed_out = (40, Tftp, "ipxe.efi blksize=1468", "timed out after block 1");
    stuck(180, &[DISCOVER, REQUEST, SIZE, timed_out], &["timed out after block 1", "MTU"]);
    let missing = (5, Tftp, "ipxe.efi tsize=0", "refused: no such file");
    stuck(180, &[DISCOVER, REQUEST, missing], &["no such file", "network.ipxe"]);
    stuck(180, &ALL[..4], &["fetched ipxe.efi at 08:00:06", "second of this boot", "Secure Boot"]);
    stuck(180, &ALL[..5], &["in iPXE's own DHCP", "never requested"]);
    stuck(180, &ALL[..6], &["stuck after the second DHCP reply", "08:00:10", "HTTP port is blocked"]);
    stuck(180, &ALL[..7], &["read its boot script", "no kernel"]);
    let refused = (11, Http, "GET /boot/02:00:00:00:00:01/boot.ipxe", "403: not the address leased");
    stuck(180, &[&ALL[..6], &[refused]].concat(), &["`403: not the address leased`"]);
    let absent = (12, Http, "GET /assets/vmlinuz", "404");
    stuck(180, &[&ALL[..7], &[absent]].concat(), &["assets/vmlinuz: 404", "network.tftp.root"]);
    stuck(600, &ALL[..8], &["fetched assets/vmlinuz", "no claim came"]);
    stuck(900, &ALL[..9], &["no claim came"]);
    let wrong = (45, Checkin, "claim", "refused");
    stuck(46, &[&ALL[..9], &[wrong]].concat(), &["not accepted"]);
}

#[test]
fn what_goes_on_or_went_well_is_not_stuck() {
    for count in 1..=8 {
        let now = ALL[count - 1].0 + 3;
        let said = after(now, &ALL[..count], Known::default());
        assert!(!said.stuck && said.sentence.starts_with("under way"), "{count}: {said:?}");
    }
    let said = after(3600, &ALL, Known::default());
    assert_eq!((said.stuck, said.sentence.as_str()), (false, "its claim check-in came at 08:00:45 (59 min ago)"));
    let claimed = Known { claimed: Some(Time::from_secs(BASE + 50)), ..Known::default() };
    assert!(!after(900, &ALL[..8], claimed).stuck, "an installer that claims by its answer file has no claim check-in");
    let old = Known { claimed: Some(Time::from_secs(BASE - 50)), ..Known::default() };
    assert!(after(900, &ALL[..8], old).stuck, "an earlier attempt's claim says nothing of this one");
    let local = Known { local: true, ..Known::default() };
    let said = after(900, &ALL[..7], local);
    assert!(!said.stuck && said.sentence.contains("boot its own disk at 08:00:11"), "{said:?}");
}

#[test]
fn each_power_on_is_an_attempt_and_a_second_dhcp_is_none() {
    let trace = Trace::default();
    ALL.iter().for_each(|step| note(&trace, 0, *step));
    assert_eq!(trace.attempts(MAC).len(), 1, "iPXE's DHCP and the installer's belong to the same boot");
    ALL.iter().for_each(|step| note(&trace, 100, *step));
    assert_eq!(trace.attempts(MAC).len(), 2);
    // a card with iPXE in it: the same client, again after it had gone on
    for offset in [1000, 1100] {
        [IPXE_DISCOVER, IPXE_REQUEST, SCRIPT].iter().for_each(|step| note(&trace, offset, *step));
    }
    let attempts = trace.attempts(MAC);
    assert_eq!(attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(attempts[3].steps.len(), 3);
    // firmware that tries another way
    let http = (0, Dhcp, "discover (UEFI x64 HTTP boot)", "offer 192.0.2.7, http://192.0.2.1:9999/assets/ipxe.efi");
    [(2000, DISCOVER), (2000, REQUEST), (2060, http)].iter().for_each(|(offset, step)| note(&trace, *offset, *step));
    assert_eq!(trace.attempts(MAC).last().unwrap().number, 6);
    assert_eq!(trace.attempts(MAC).len(), ATTEMPTS, "only the newest are kept");
    // the same DISCOVER after a long silence
    note(&trace, 2060, http);
    note(&trace, 3060, http);
    assert_eq!(trace.attempts(MAC).last().unwrap().number, 7);
}

#[test]
fn repeats_are_folded_and_a_transfer_is_one_step() {
    let trace = Trace::default();
    for n in 0..5 {
        note(&trace, n * 5, DISCOVER);
    }
    note(&trace, 21, REQUEST);
    note(&trace, 26, (0, Tftp, "ipxe.efi blksize=1468", "sending 174592 octets in blocks of 1468, 1 at once"));
    let steps = trace.of(MAC);
    assert_eq!((steps[0].count, steps[0].last.since(steps[0].at)), (5, Duration::from_secs(20)));
    assert!(steps[2].outcome.starts_with("sending"));
    note(&trace, 21, FETCH);
    let steps = trace.of(MAC);
    assert_eq!((steps.len(), steps[2].outcome.as_str()), (3, FETCH.3));
}

#[test]
fn renewals_do_not_push_out_a_boot() {
    let trace = Trace::default();
    ALL.iter().for_each(|step| note(&trace, 0, *step));
    let before = trace.of(MAC).len();
    for n in 0..10_000 {
        note(&trace, 60 + n * 1800, (0, Dhcp, "request 192.0.2.7", "ack 192.0.2.7"));
    }
    let steps = trace.of(MAC);
    assert_eq!((trace.attempts(MAC).len(), steps.len()), (1, before + 1));
    assert_eq!(steps.last().unwrap().count, 10_000);
}

#[test]
fn an_attempt_keeps_its_beginning_and_its_end() {
    let trace = Trace::default();
    ALL.iter().for_each(|step| note(&trace, 0, *step));
    for n in 0..500 {
        note(&trace, 60 + n, (0, Http, &format!("GET /assets/{n}"), "200, 1 octets"));
    }
    let attempt = trace.attempts(MAC).pop().unwrap();
    assert_eq!((attempt.steps.len(), attempt.dropped), (STEPS, 510 - u32::try_from(STEPS).unwrap()));
    assert_eq!(attempt.steps[0].asked, DISCOVER.2);
    assert_eq!(attempt.steps[STEPS - 1].asked, "GET /assets/499");
}

#[test]
fn memory_is_bounded_whatever_machines_say() {
    let trace = Trace::default();
    let long = "é\n".repeat(500);
    let at = |n: u32| Time::from_secs(BASE + i64::from(n));
    for n in 0..20_000u32 {
        let [_, a, b, c] = n.to_be_bytes();
        trace.note(Mac([2, 0, 0, a, b, c]), at(n), Http, long.as_str(), long.as_str());
    }
    let (machines, octets) = trace.size();
    assert!((MACHINES / 2..=MACHINES).contains(&machines) && octets <= BUDGET, "{machines} machines, {octets} octets");
    for n in 20_000..22_500u32 {
        let [_, a, b, c] = n.to_be_bytes();
        for step in 0..STEPS {
            trace.note(Mac([2, 0, 0, a, b, c]), at(n), Http, format!("{step} {long}"), long.as_str());
        }
    }
    let (machines, octets) = trace.size();
    assert!(machines > 500 && (BUDGET / 2..=BUDGET).contains(&octets), "{machines} machines, {octets} octets");
    let newest = trace.of(Mac([2, 0, 0, 0, 0x57, 0xe3]));
    let Step { asked, outcome, .. } = &newest[0];
    assert!(asked.len() <= TEXT && outcome.len() <= TEXT && !asked.contains('\n'), "{asked}");
    assert!(trace.of(Mac([2, 0, 0, 0, 0, 0])).is_empty(), "the one that was silent longest is forgotten");
}

#[test]
fn what_is_counted_is_what_is_kept() {
    let trace = Trace::default();
    for round in 0..50i64 {
        for n in 0..200u8 {
            let (at, by, asked, outcome) = ALL[usize::from(n) % ALL.len()];
            trace.note(Mac([2, 0, 0, 0, 0, n % 7]), Time::from_secs(BASE + round * 100 + at), by, asked, outcome);
        }
    }
    let kept = (0..7u8).flat_map(|n| trace.of(Mac([2, 0, 0, 0, 0, n])));
    let octets: usize = kept.map(|step| size_of::<Step>() + step.asked.len() + step.outcome.len()).sum();
    assert_eq!(trace.size(), (7, octets));
}

#[test]
fn a_rack_that_powers_on_at_once_is_traced_whole() {
    let trace = Arc::new(Trace::default());
    std::thread::scope(|scope| {
        for part in 0..4u8 {
            let trace = trace.clone();
            scope.spawn(move || {
                for (at, by, asked, outcome) in ALL {
                    for n in 0..250u8 {
                        let mac = Mac([2, 0, 0, 0, part, n]);
                        trace.note(mac, Time::from_secs(BASE + at), by, asked, outcome);
                    }
                }
            });
        }
    });
    assert_eq!(trace.size().0, 1000);
    for (part, n) in (0..4u8).flat_map(|part| (0..250u8).map(move |n| (part, n))) {
        assert_eq!(trace.of(Mac([2, 0, 0, 0, part, n])).len(), ALL.len());
    }
}

#[test]
fn an_attempt_survives_the_way_to_a_client() {
    let attempts = traced(&ALL);
    let json = serde_json::to_value(&attempts).unwrap();
    assert_eq!(json[0]["steps"][1]["at"], "2027-01-15T08:00:04.000Z");
    assert_eq!(json[0]["steps"][1]["by"], "dhcp");
    assert_eq!(serde_json::from_value::<Vec<Attempt>>(json).unwrap(), attempts);
}
