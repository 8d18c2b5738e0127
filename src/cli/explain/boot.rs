//! The network boot of a host, as a running daemon remembers it: where it stands, and the newest attempt's steps.

use std::io::Write;

use anstyle::{AnsiColor, Style};

use crate::cli::table::Table;
use crate::model::Time;
use crate::model::status::HostStatus;
use crate::serve::api::chain::BootChain;
use crate::serve::trace::{Attempt, Step};

/// What is said where nothing of it can be known.
pub fn elsewhere(host: &HostStatus) -> String {
    format!(
        "Network boot: what the machine asked DHCP, TFTP and HTTP for is known to the running daemon only; ask it with \
         `rackwright explain {}/{} --url http://ADDRESS:PORT`.",
        host.cluster, host.host
    )
}

/// The sentence, and then the newest attempt.
pub fn print(chain: Option<&BootChain>, out: &mut dyn Write) -> anyhow::Result<()> {
    let Some(chain) = chain else {
        writeln!(out, "\nNetwork boot: the daemon knows no boot MAC of it; set config.boot_mac in bootstrap.yml.")?;
        return Ok(());
    };
    let style = if chain.standing.stuck { AnsiColor::Yellow.on_default() } else { Style::new() };
    writeln!(out, "\nNetwork boot: {style}{}{style:#}.", chain.standing.sentence.trim_end_matches('.'))?;
    let Some(attempt) = chain.attempts.last() else { return Ok(()) };
    let Some(began) = attempt.steps.front().map(|step| step.at) else { return Ok(()) };
    let earlier = chain.attempts.len().saturating_sub(1);
    let earlier = if earlier > 0 { format!("; {earlier} earlier ones are in the API's answer") } else { String::new() };
    writeln!(out, "Attempt {}, begun at {began}{earlier}:", attempt.number)?;
    steps(attempt, began).print(out)?;
    if attempt.dropped > 0 {
        writeln!(out, "({} steps from the middle were forgotten)", attempt.dropped)?;
    }
    Ok(())
}

fn steps(attempt: &Attempt, began: Time) -> Table {
    let mut table = Table::new(&["AFTER", "SERVICE", "ASKED", "OUTCOME"]);
    for step in &attempt.steps {
        let cells =
            [relative(step.at, began), step.exchange.service().as_str().into(), asked(step), step.exchange.outcome()];
        table.row(cells.map(|cell| (cell, Style::new())));
    }
    table
}

/// `discover (BIOS PXE) ×5 over 21.0s`
fn asked(step: &Step) -> String {
    match step.count {
        1 => step.exchange.asked(),
        count => {
            format!("{} ×{count} over {}", step.exchange.asked(), relative(step.last, step.at).trim_start_matches('+'))
        }
    }
}

/// `+0.4s`, `+2m5s`
fn relative(at: Time, began: Time) -> String {
    let length = at.since(began);
    match length.as_secs() {
        0..=59 => format!("+{:.1}s", length.as_secs_f64()),
        seconds @ 60..=3599 => format!("+{}m{}s", seconds / 60, seconds % 60),
        seconds => format!("+{}h{}m", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::dhcp::wire::Kind;
    use crate::serve::trace::{
        Client, DhcpAsked, DhcpOutcome, Exchange, Grant, HttpAsked, HttpOutcome, Standing, TftpAsked, TftpOutcome,
    };

    #[test]
    fn the_newest_attempt_is_a_table_with_relative_times() {
        let step = |at: i64, last: i64, count, exchange| Step {
            at: Time(1_800_000_000_000 + at),
            last: Time(1_800_000_000_000 + last),
            count,
            exchange,
        };
        let client = Client::Firmware { arch: Some(0), http: false };
        let dhcp = Exchange::Dhcp {
            asked: DhcpAsked { kind: Kind::Discover, client, address: None, relay: None },
            outcome: DhcpOutcome::Offer(Grant { address: Some([192, 0, 2, 7].into()), boot: None }),
        };
        let tftp = Exchange::Tftp {
            asked: TftpAsked { name: "undionly.kpxe".into(), options: "tsize=0".into(), write: false },
            outcome: TftpOutcome::Sent { octets: 1 },
        };
        let http = Exchange::Http {
            asked: HttpAsked { head: false, path: "/boot/x/boot.ipxe".into() },
            outcome: HttpOutcome { code: 200, octets: Some(7), why: None },
        };
        let steps = [step(0, 21_000, 5, dhcp), step(22_400, 22_400, 1, tftp), step(125_000, 125_000, 1, http)];
        let attempts = vec![Attempt::default(), Attempt { number: 7, steps: steps.into(), dropped: 3 }];
        let standing = Standing { stuck: true, sentence: "stuck somewhere".into() };
        let mut out = anstream::StripStream::new(Vec::new());
        print(Some(&BootChain { standing, attempts }), &mut out).unwrap();
        let expected = "
Network boot: stuck somewhere.
Attempt 7, begun at 2027-01-15T08:00:00Z; 1 earlier ones are in the API's answer:
AFTER    SERVICE   ASKED                               OUTCOME
+0.0s    DHCP      discover (BIOS PXE) ×5 over 21.0s   offer 192.0.2.7
+22.4s   TFTP      undionly.kpxe tsize=0               sent 1 octets
+2m5s    HTTP      GET /boot/x/boot.ipxe               200, 7 octets
(3 steps from the middle were forgotten)
";
        assert_eq!(String::from_utf8(out.into_inner()).unwrap(), expected);
    }
}
