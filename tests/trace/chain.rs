//! The boot-chain trace: attempts, folding, bounds, and the sentence that says where a network boot stands.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use rackwright::model::{Mac, Time};
use rackwright::serve::dhcp::respond::DropReason;
use rackwright::serve::dhcp::wire::Kind;
use rackwright::serve::trace::{
    ATTEMPTS, Attempt, BUDGET, BootFile, CheckinAsked, CheckinOutcome, Client, DhcpAsked, DhcpOutcome, Exchange, Grant,
    HttpAsked, HttpOutcome, Known, MACHINES, STEPS, Standing, Step, TEXT, TftpAsked, TftpOutcome, Trace, standing,
};

const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
/// 2027-01-15T08:00:00Z
const BASE: i64 = 1_800_000_000;
const UEFI: Client = Client::Firmware { arch: Some(7), http: false };
const UEFI_HTTP: Client = Client::Firmware { arch: Some(16), http: true };
const ADDRESS: Option<Ipv4Addr> = Some(Ipv4Addr::new(192, 0, 2, 7));
const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

type Told = (i64, Exchange);

fn dhcp(at: i64, kind: Kind, client: Client, outcome: DhcpOutcome) -> Told {
    let address = if kind == Kind::Request { ADDRESS } else { None };
    (at, Exchange::Dhcp { asked: DhcpAsked { kind, client, address, relay: None }, outcome })
}

fn granted(boot: Option<BootFile>) -> Grant {
    Grant { address: ADDRESS, boot }
}

fn ipxe_efi() -> Grant {
    granted(Some(BootFile::Tftp { name: "ipxe.efi".into(), server: SERVER }))
}

fn script_url() -> Grant {
    granted(Some(BootFile::Url("http://192.0.2.1:9999/boot/02:00/boot.ipxe".into())))
}

fn tftp(at: i64, options: &str, outcome: TftpOutcome) -> Told {
    let asked = TftpAsked { name: "ipxe.efi".into(), options: options.into(), write: false };
    (at, Exchange::Tftp { asked, outcome })
}

fn http(at: i64, path: &str, code: u16, octets: Option<u64>, why: Option<&str>) -> Told {
    let outcome = HttpOutcome { code, octets, why: why.map(Into::into) };
    (at, Exchange::Http { asked: HttpAsked { head: false, path: path.into() }, outcome })
}

fn claim(outcome: CheckinOutcome) -> Told {
    (45, Exchange::Checkin { asked: CheckinAsked::Claim, outcome })
}

fn discover() -> Told {
    dhcp(0, Kind::Discover, UEFI, DhcpOutcome::Offer(ipxe_efi()))
}

fn request() -> Told {
    dhcp(4, Kind::Request, UEFI, DhcpOutcome::Ack(ipxe_efi()))
}

fn size() -> Told {
    tftp(5, "tsize=0 blksize=1468", TftpOutcome::Aborted { code: 8, message: "User aborted".into() })
}

fn fetch() -> Told {
    tftp(6, "blksize=1468", TftpOutcome::Sent { octets: 174_592 })
}

fn ipxe_discover() -> Told {
    dhcp(9, Kind::Discover, Client::Ipxe, DhcpOutcome::Offer(script_url()))
}

fn ipxe_request() -> Told {
    dhcp(10, Kind::Request, Client::Ipxe, DhcpOutcome::Ack(script_url()))
}

fn script() -> Told {
    http(11, "/boot/02:00:00:00:00:01/boot.ipxe", 200, Some(911), None)
}

fn kernel() -> Told {
    http(12, "/assets/vmlinuz", 200, Some(8_000_000), None)
}

fn system() -> Told {
    dhcp(40, Kind::Discover, Client::System, DhcpOutcome::Offer(granted(None)))
}

fn all() -> [Told; 10] {
    [
        discover(),
        request(),
        size(),
        fetch(),
        ipxe_discover(),
        ipxe_request(),
        script(),
        kernel(),
        system(),
        claim(CheckinOutcome::Accepted),
    ]
}

fn note(trace: &Trace, offset: i64, told: Told) {
    let (at, exchange) = told;
    trace.note(MAC, Time::from_secs(BASE + offset + at), exchange);
}

fn traced(steps: &[Told]) -> Vec<Attempt> {
    let trace = Trace::default();
    steps.iter().for_each(|step| note(&trace, 0, step.clone()));
    trace.attempts(MAC)
}

/// Where it stands so many seconds after the first step.
fn after(seconds: i64, steps: &[Told], known: Known) -> Standing {
    standing(traced(steps).last(), known, Time::from_secs(BASE + seconds))
}

fn stuck(seconds: i64, steps: &[Told], words: &[&str]) {
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
    let lost: Vec<Told> = (0..5).map(|n| (n * 5, discover().1)).collect();
    stuck(60, &lost, &["×5 over 20 s", "offered 192.0.2.7 and never requested it", "another DHCP server won"]);
    let server = Ipv4Addr::new(192, 0, 2, 66);
    let foreign = dhcp(4, Kind::Request, UEFI, DhcpOutcome::OtherServer { server });
    stuck(60, &[discover(), foreign], &["took another server's offer", "192.0.2.66"]);
    let reason = DropReason::UnknownSegment;
    let none = dhcp(0, Kind::Discover, UEFI, DhcpOutcome::Dropped { reason });
    stuck(60, &[none], &["dropped: unknown-segment", "no subnet"]);
    stuck(
        180,
        &[discover(), request()],
        &[
            "stuck after the DHCP reply: it was offered ipxe.efi at 08:00:04 and has asked for nothing",
            "nothing since (2 min)",
            "the TFTP port is blocked, or the firmware wants HTTP",
        ],
    );
    stuck(180, &[discover(), request(), size()], &["aborted at 08:00:05", "asks for the size first"]);
    let timed_out = tftp(40, "blksize=1468", TftpOutcome::TimedOut { after: 1 });
    stuck(180, &[discover(), request(), size(), timed_out], &["timed out after block 1", "MTU"]);
    let missing = tftp(5, "tsize=0", TftpOutcome::Refused { why: "no such file".into() });
    stuck(180, &[discover(), request(), missing], &["no such file", "network.ipxe"]);
    stuck(180, &all()[..4], &["fetched ipxe.efi at 08:00:06", "second of this boot", "Secure Boot"]);
    stuck(180, &all()[..5], &["in iPXE's own DHCP", "never requested"]);
    stuck(180, &all()[..6], &["stuck after the second DHCP reply", "08:00:10", "HTTP port is blocked"]);
    stuck(180, &all()[..7], &["read its boot script", "no kernel"]);
    let refused = http(11, "/boot/02:00:00:00:00:01/boot.ipxe", 403, None, Some("not the address leased"));
    stuck(180, &[&all()[..6], &[refused]].concat(), &["`403: not the address leased`"]);
    let absent = http(12, "/assets/vmlinuz", 404, None, None);
    stuck(180, &[&all()[..7], &[absent]].concat(), &["assets/vmlinuz: 404", "network.tftp.root"]);
    stuck(600, &all()[..8], &["fetched assets/vmlinuz", "no claim came"]);
    stuck(900, &all()[..9], &["no claim came"]);
    let wrong = claim(CheckinOutcome::Refused);
    stuck(46, &[&all()[..9], &[wrong]].concat(), &["not accepted"]);
}

#[test]
fn what_goes_on_or_went_well_is_not_stuck() {
    for count in 1..=8 {
        let now = all()[count - 1].0 + 3;
        let said = after(now, &all()[..count], Known::default());
        assert!(!said.stuck && said.sentence.starts_with("under way"), "{count}: {said:?}");
    }
    let said = after(3600, &all(), Known::default());
    assert_eq!((said.stuck, said.sentence.as_str()), (false, "its claim check-in came at 08:00:45 (59 min ago)"));
    let claimed = Known { claimed: Some(Time::from_secs(BASE + 50)), ..Known::default() };
    assert!(
        !after(900, &all()[..8], claimed).stuck,
        "an installer that claims by its answer file has no claim check-in"
    );
    let old = Known { claimed: Some(Time::from_secs(BASE - 50)), ..Known::default() };
    assert!(after(900, &all()[..8], old).stuck, "an earlier attempt's claim says nothing of this one");
    let local = Known { local: true, ..Known::default() };
    let said = after(900, &all()[..7], local);
    assert!(!said.stuck && said.sentence.contains("boot its own disk at 08:00:11"), "{said:?}");
}

#[test]
fn each_power_on_is_an_attempt_and_a_second_dhcp_is_none() {
    let trace = Trace::default();
    all().into_iter().for_each(|step| note(&trace, 0, step));
    assert_eq!(trace.attempts(MAC).len(), 1, "iPXE's DHCP and the installer's belong to the same boot");
    all().into_iter().for_each(|step| note(&trace, 100, step));
    assert_eq!(trace.attempts(MAC).len(), 2);
    // a card with iPXE in it: the same client, again after it had gone on
    for offset in [1000, 1100] {
        [ipxe_discover(), ipxe_request(), script()].into_iter().for_each(|step| note(&trace, offset, step));
    }
    let attempts = trace.attempts(MAC);
    assert_eq!(attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(attempts[3].steps.len(), 3);
    // firmware that tries another way
    let by_http = {
        let url = BootFile::Url("http://192.0.2.1:9999/assets/ipxe.efi".into());
        dhcp(0, Kind::Discover, UEFI_HTTP, DhcpOutcome::Offer(granted(Some(url))))
    };
    for (offset, step) in [(2000, discover()), (2000, request()), (2060, by_http.clone())] {
        note(&trace, offset, step);
    }
    assert_eq!(trace.attempts(MAC).last().unwrap().number, 6);
    assert_eq!(trace.attempts(MAC).len(), ATTEMPTS, "only the newest are kept");
    // the same discover() after a long silence
    note(&trace, 2060, by_http.clone());
    note(&trace, 3060, by_http);
    assert_eq!(trace.attempts(MAC).last().unwrap().number, 7);
}

#[test]
fn repeats_are_folded_and_a_transfer_is_one_step() {
    let trace = Trace::default();
    for n in 0..5 {
        note(&trace, n * 5, discover());
    }
    note(&trace, 21, request());
    note(&trace, 26, tftp(0, "blksize=1468", TftpOutcome::Sending { octets: 174_592, block: 1468, window: 1 }));
    let steps = trace.of(MAC);
    assert_eq!((steps[0].count, steps[0].last.since(steps[0].at)), (5, Duration::from_secs(20)));
    assert!(steps[2].exchange.outcome().starts_with("sending"));
    note(&trace, 21, fetch());
    let steps = trace.of(MAC);
    assert_eq!((steps.len(), steps[2].exchange.outcome().as_str()), (3, "sent 174592 octets"));
}

#[test]
fn renewals_do_not_push_out_a_boot() {
    let trace = Trace::default();
    all().into_iter().for_each(|step| note(&trace, 0, step));
    let before = trace.of(MAC).len();
    for n in 0..10_000 {
        note(&trace, 60 + n * 1800, dhcp(0, Kind::Request, Client::System, DhcpOutcome::Ack(granted(None))));
    }
    let steps = trace.of(MAC);
    assert_eq!((trace.attempts(MAC).len(), steps.len()), (1, before + 1));
    assert_eq!(steps.last().unwrap().count, 10_000);
}

#[test]
fn an_attempt_keeps_its_beginning_and_its_end() {
    let trace = Trace::default();
    all().into_iter().for_each(|step| note(&trace, 0, step));
    for n in 0..500 {
        note(&trace, 60 + n, http(0, &format!("/assets/{n}"), 200, Some(1), None));
    }
    let attempt = trace.attempts(MAC).pop().unwrap();
    assert_eq!((attempt.steps.len(), attempt.dropped), (STEPS, 510 - u32::try_from(STEPS).unwrap()));
    assert_eq!(attempt.steps[0].exchange.asked(), "discover (UEFI x64 PXE)");
    assert_eq!(attempt.steps[STEPS - 1].exchange.asked(), "GET /assets/499");
}

#[test]
fn memory_is_bounded_whatever_machines_say() {
    let trace = Trace::default();
    let long = "é\n".repeat(500);
    let at = |n: u32| Time::from_secs(BASE + i64::from(n));
    for n in 0..20_000u32 {
        let [_, a, b, c] = n.to_be_bytes();
        trace.note(Mac([2, 0, 0, a, b, c]), at(n), http(0, &long, 403, None, Some(&long)).1);
    }
    let (machines, octets) = trace.size();
    assert!((MACHINES / 2..=MACHINES).contains(&machines) && octets <= BUDGET, "{machines} machines, {octets} octets");
    for n in 20_000..22_500u32 {
        let [_, a, b, c] = n.to_be_bytes();
        for step in 0..STEPS {
            trace.note(Mac([2, 0, 0, a, b, c]), at(n), http(0, &format!("{step} {long}"), 403, None, Some(&long)).1);
        }
    }
    let (machines, octets) = trace.size();
    assert!(machines > 500 && (BUDGET / 2..=BUDGET).contains(&octets), "{machines} machines, {octets} octets");
    let newest = trace.of(Mac([2, 0, 0, 0, 0x57, 0xe3]));
    let Step { exchange: Exchange::Http { asked, outcome }, .. } = &newest[0] else { panic!("{newest:?}") };
    let (path, why) = (asked.path.as_str(), outcome.why.as_ref().unwrap().as_str());
    assert!(path.len() <= TEXT && why.len() <= TEXT && !path.contains('\n'), "{path}");
    assert!(trace.of(Mac([2, 0, 0, 0, 0, 0])).is_empty(), "the one that was silent longest is forgotten");
}

#[test]
fn what_is_counted_is_what_is_kept() {
    let (trace, all) = (Trace::default(), all());
    for round in 0..50i64 {
        for n in 0..200u8 {
            let (at, exchange) = all[usize::from(n) % all.len()].clone();
            trace.note(Mac([2, 0, 0, 0, 0, n % 7]), Time::from_secs(BASE + round * 100 + at), exchange);
        }
    }
    let kept = (0..7u8).flat_map(|n| trace.of(Mac([2, 0, 0, 0, 0, n])));
    let octets: usize = kept.map(|step| step.octets()).sum();
    assert_eq!(trace.size(), (7, octets));
}

#[test]
fn a_rack_that_powers_on_at_once_is_traced_whole() {
    let trace = Arc::new(Trace::default());
    std::thread::scope(|scope| {
        for part in 0..4u8 {
            let trace = trace.clone();
            scope.spawn(move || {
                for (at, exchange) in all() {
                    for n in 0..250u8 {
                        let mac = Mac([2, 0, 0, 0, part, n]);
                        trace.note(mac, Time::from_secs(BASE + at), exchange.clone());
                    }
                }
            });
        }
    });
    assert_eq!(trace.size().0, 1000);
    for (part, n) in (0..4u8).flat_map(|part| (0..250u8).map(move |n| (part, n))) {
        assert_eq!(trace.of(Mac([2, 0, 0, 0, part, n])).len(), all().len());
    }
}

#[test]
fn an_attempt_survives_the_way_to_a_client() {
    let attempts = traced(&all());
    let json = serde_json::to_value(&attempts).unwrap();
    assert_eq!(json[0]["steps"][1]["at"], "2027-01-15T08:00:04.000Z");
    assert_eq!(json[0]["steps"][1]["by"], "dhcp");
    assert_eq!(json[0]["steps"][1]["outcome"], "ack 192.0.2.7, ipxe.efi from 192.0.2.1");
    assert_eq!(serde_json::from_value::<Vec<Attempt>>(json).unwrap(), attempts);
}
