//! What the network answers to machines and BMCs.

use super::*;

impl Sim {
    pub(super) fn request(&mut self, id: &HostId, effect: Effect) {
        self.say(|| format!("{id} asks {effect:?}"));
        let answer = match effect {
            Effect::Dhcp { id, mac, client, requested } => {
                MachineEvent::Dhcp { id, ack: self.dhcp(mac, client, requested) }
            }
            Effect::Tftp { id, from, name, .. } => MachineEvent::Tftp { id, result: self.tftp(from, &name) },
            Effect::Http { id, from, url } => MachineEvent::Http { id, result: self.http(from, &url) },
            Effect::CheckIn { id, from, uri, body } => {
                MachineEvent::Http { id, result: self.checkin(from, &uri, &body) }
            }
        };
        self.later(1, 200, Item::Answer(id.clone(), answer));
    }

    pub(super) fn lease(&mut self, mac: Mac, requested: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        let daemon = self.daemon.as_ref()?;
        let segment = self.policy.site.address;
        let (ip, subnet) = lease::choose(&daemon.world, mac, requested, segment, self.now).ok()?;
        let until = self.now + subnet.lease_time;
        let verdict = self.tell(&Event::Leased { mac, ip, until, by: LeaseOrigin::Own });
        (verdict == Some(Verdict::Ok)).then_some(ip)
    }

    pub(super) fn dhcp(&mut self, mac: Mac, client: DhcpClient, requested: Option<Ipv4Addr>) -> Option<Ack> {
        let ip = self.lease(mac, requested)?;
        let firmware = match client {
            DhcpClient::Pxe(arch) => boot::Firmware { arch: Some(arch), pxe: true, ..boot::Firmware::default() },
            DhcpClient::Ipxe(arch) => boot::Firmware { arch: Some(arch), pxe: true, ipxe: true, http: false },
            DhcpClient::Http(arch) => boot::Firmware { arch: Some(arch), http: true, ..boot::Firmware::default() },
            DhcpClient::Os => boot::Firmware::default(),
        };
        let options = boot::dhcp(&self.daemon.as_ref()?.world, mac, firmware);
        Some(Ack { ip, next_server: self.policy.site.address, file: options.map(|options| options.file) })
    }

    pub(super) fn bmc_boots(&mut self, id: &HostId) {
        let unit = self.machines[id].clone();
        let again = Item::BmcBoots(id.clone());
        self.bmc_asks(&unit, again);
    }

    pub(super) fn stranger_boots(&mut self) {
        let unit = self.stranger.clone();
        self.bmc_asks(&unit, Item::StrangerBoots);
    }

    fn bmc_asks(&mut self, unit: &Shared, again: Item) {
        let (mac, had) = {
            let unit = look(unit);
            (unit.machine.config().bmc_mac, unit.machine.bmc_ip)
        };
        let Some(mac) = mac else { return };
        match self.lease(mac, had) {
            Some(ip) => {
                if had != Some(ip) {
                    let seed = self.dice.draw();
                    had.iter().for_each(|had| self.hub.disconnect(IpAddr::V4(*had)));
                    self.hub.connect(IpAddr::V4(ip), unit, seed);
                    look(unit).machine.bmc_ip = Some(ip);
                }
                self.later(1_700_000, 1_800_000, again);
            }
            None => self.later(10_000, 30_000, again),
        }
    }

    pub(super) fn tftp(&mut self, from: Ipv4Addr, name: &str) -> Result<Vec<u8>, String> {
        let name = name.trim_start_matches('/');
        let Some(name) = name.strip_prefix("host/") else {
            return self.daemon.as_ref().map(|_| b"a file".to_vec()).ok_or_else(|| "timeout".into());
        };
        let mac = name.get(4..16).and_then(|hex| hex.parse().ok()).ok_or("no such file")?;
        self.file(from, mac, name)
    }

    pub(super) fn http(&mut self, from: Ipv4Addr, url: &str) -> Result<(u16, Vec<u8>), String> {
        if self.daemon.is_none() {
            return Err("connection refused".into());
        }
        let path = url.splitn(4, '/').nth(3).ok_or("no path")?;
        if path.starts_with("assets/") {
            return Ok((200, b"an asset".to_vec()));
        }
        let mut parts = path.splitn(3, '/').skip(1);
        let (mac, name) = (parts.next().ok_or("no MAC")?, parts.next().ok_or("no name")?);
        let mac = mac.parse().map_err(|_| "bad MAC")?;
        let name = name.to_owned();
        Ok(self.file(from, mac, &name).map_or_else(|_| (404, Vec::new()), |body| (200, body)))
    }

    pub(super) fn file(&mut self, from: Ipv4Addr, mac: Mac, name: &str) -> Result<Vec<u8>, String> {
        let daemon = self.daemon.as_ref().ok_or("timeout")?;
        match boot::file(&daemon.world, mac, name, IpAddr::V4(from)) {
            FileAnswer::Body(body) => Ok(body.as_bytes().to_vec()),
            FileAnswer::NotFound => Err("no such file".into()),
            FileAnswer::Refused(why) => Err(why),
            FileAnswer::Claim { mac, body } => self.claim(from, mac, &body),
        }
    }

    pub(super) fn claim(&mut self, from: Ipv4Addr, mac: Mac, body: &str) -> Result<Vec<u8>, String> {
        let mut octets = [0; 16];
        octets[..8].copy_from_slice(&self.dice.draw().to_be_bytes());
        octets[8..].copy_from_slice(&self.dice.draw().to_be_bytes());
        let token = Token::from_random(octets);
        let peer = SocketAddr::from((from, 2000));
        match self.tell(&Event::Claimed { mac, token: token.id(), peer }) {
            Some(Verdict::Ok) => {
                let world = &self.daemon.as_ref().unwrap().world;
                let claimed = world.hosts.iter().find_map(|(id, facts)| {
                    Some((id, facts.claim.as_ref()?)).filter(|(_, claim)| claim.token == token.id())
                });
                let (id, claim) = claimed.expect("a claim that was granted is known");
                self.oracle.claims.insert(token.id(), (id.clone(), claim.generation));
                Ok(body.replace(TOKEN_MARK, token.reveal()).into_bytes())
            }
            Some(Verdict::Refused(why)) => {
                self.told.refused_claims += 1;
                Err(why)
            }
            None => Err("timeout".into()),
        }
    }

    pub(super) fn checkin(
        &mut self,
        from: Ipv4Addr,
        uri: &str,
        body: &serde_json::Value,
    ) -> Result<(u16, Vec<u8>), String> {
        if self.daemon.is_none() {
            return Err("connection refused".into());
        }
        let token = uri.split("/checkin/host/").nth(1);
        let parsed = parse_checkin(body.to_string().as_bytes(), token, IpAddr::V4(from));
        let Parsed::Report(report) = parsed? else { return Ok((409, Vec::new())) };
        let event = Event::CheckedIn(report);
        match self.tell(&event) {
            Some(Verdict::Ok) => Ok((200, Vec::new())),
            Some(Verdict::Refused(why)) => {
                self.say(|| format!("refused: {why}"));
                self.told.refused_checkins += 1;
                Ok((409, Vec::new()))
            }
            None => Err("timeout".into()),
        }
    }
}
