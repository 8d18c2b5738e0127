//! A running daemon: whether it answers, and whether a file comes whole through TFTP and HTTP.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::Check;
use crate::cli::source::client;
use crate::drive::http;
use crate::settings::Settings;

/// What is fetched: the one file that every rack has.
const FILE: &str = "ipxe.efi";
/// Octets of a file that are fetched at most.
const MOST: usize = 8 << 20;
/// How long one block may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// A daemon that answers where these settings say.
pub struct Daemon {
    address: Ipv4Addr,
}

impl Daemon {
    /// Asks for it.
    pub async fn find(settings: &Settings) -> Option<Daemon> {
        let network = &settings.network;
        let address = if network.listen.is_unspecified() { Ipv4Addr::LOCALHOST } else { network.listen };
        let url = format!("http://{address}:{}/", network.http_port);
        let get = client().ok()?.get(url).header("Accept", "application/json").timeout(PATIENCE).send();
        let answer = get.await.ok()?.text().await.ok()?;
        answer.contains("rackwright").then_some(Daemon { address })
    }

    /// Fetches one file both ways.
    pub async fn fetch(&self, settings: &Settings) -> Vec<Check> {
        let network = &settings.network;
        let http = self.http(network.http_port).await;
        let tftp = tftp(SocketAddrV4::new(self.address, network.tftp_port)).await;
        let check = |name: &str, result: &anyhow::Result<Vec<u8>>| match result {
            Ok(body) => Check::ok(name, format!("{FILE} came whole, {} octets", body.len())),
            Err(error) => {
                Check::fail(name, format!("{FILE}: {error:#}"), "look at the daemon's log; is a firewall on lo?")
            }
        };
        let mut checks = vec![check("fetch by TFTP", &tftp), check("fetch by HTTP", &http)];
        if let (Ok(tftp), Ok(http)) = (&tftp, &http)
            && tftp != http
        {
            checks.push(Check::fail("fetched files", "TFTP and HTTP gave different files", "restart the daemon"));
        }
        checks
    }

    async fn http(&self, port: u16) -> anyhow::Result<Vec<u8>> {
        let url = format!("http://{}:{port}/assets/{FILE}", self.address);
        let mut answer = client()?.get(url).send().await.map_err(reqwest::Error::without_url)?;
        if !answer.status().is_success() {
            bail!("{}", answer.status());
        }
        match http::body(&mut answer, MOST).await? {
            (body, false) => Ok(body),
            (_, true) => bail!("larger than {} MiB", MOST >> 20),
        }
    }
}

/// Reads the file in blocks of 512 octets, without options (RFC 1350).
async fn tftp(server: SocketAddrV4) -> anyhow::Result<Vec<u8>> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    let request = [b"\0\x01", FILE.as_bytes(), b"\0octet\0"].concat();
    socket.send_to(&request, SocketAddr::V4(server)).await?;
    let (mut body, mut buffer) = (Vec::new(), [0; 600]);
    loop {
        let heard = timeout(PATIENCE, socket.recv_from(&mut buffer)).await;
        let (length, from) = heard.context("no answer within 3 s")??;
        let next = u16::try_from((body.len() / 512 + 1) & 0xffff)?.to_be_bytes();
        match &buffer[..length] {
            [0, 3, high, low, data @ ..] if [*high, *low] == next => {
                body.extend_from_slice(data);
                socket.send_to(&[0, 4, *high, *low], from).await?;
                if data.len() < 512 {
                    return Ok(body);
                }
            }
            // An old block again.
            [0, 3, ..] => {}
            [0, 5, _, _, text @ ..] => bail!("{}", String::from_utf8_lossy(text).trim_end_matches('\0')),
            _ => bail!("an answer that is not TFTP"),
        }
        if body.len() > MOST {
            bail!("larger than {} MiB", MOST >> 20);
        }
    }
}
