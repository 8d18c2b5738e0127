//! From drafts to the desired state: every boot file of every host is rendered here, once.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::Context;
use super::cluster::ClusterDraft;
use super::disk;
use super::host::{self, Draft};
use super::installer::{Installer, Installers, RenderError, Variables};
use crate::model::desired::TOKEN_MARK;
use crate::model::{
    BmcSpec, BootFile, ClusterSpec, Credential, CredentialKind, Digest, DiskChoice, Finding, Generation, HostId,
    HostSpec, Prepare, Protocol, Secret,
};
use crate::yaml::Place;

/// What many hosts share, kept once.
#[derive(Default)]
struct Pool {
    texts: HashSet<Arc<str>>,
    /// By their digests.
    preparations: BTreeMap<Option<Digest>, Arc<Prepare>>,
}

impl Pool {
    fn share(&mut self, text: &str) -> Arc<str> {
        match self.texts.get(text) {
            Some(known) => known.clone(),
            None => {
                let text: Arc<str> = text.into();
                self.texts.insert(text.clone());
                text
            }
        }
    }

    fn prepare(&mut self, draft: &Draft) -> Arc<Prepare> {
        let (config, bmc) = (&draft.config, &draft.bmc);
        let replace = config.wipe_volumes.is_some() && config.choice != DiskChoice::Named;
        let prepare = match bmc.protocol {
            Protocol::Auto | Protocol::Redfish => {
                Prepare::new(config.choice.clone(), replace, bmc.bios.clone(), bmc.manager.clone())
            }
            Protocol::Ipmi | Protocol::None => Prepare::default(),
        };
        self.preparations.entry(prepare.id.clone()).or_insert_with(|| Arc::new(prepare)).clone()
    }
}

/// What a template failed for.
struct Failed {
    /// The first host.
    host: String,
    /// Where that host is written.
    path: Arc<str>,
    place: Place,
    /// Whether the template is the site's own.
    own: bool,
    /// How many hosts it fails for.
    count: usize,
}

type Failures = BTreeMap<RenderError, Failed>;

/// Renders everything. What cannot be rendered becomes findings; hosts with mistakes of their own are left out (the
/// revision is refused anyway).
pub fn everything(
    clusters: Vec<ClusterDraft>,
    installers: &Installers,
    context: &Context<'_>,
    found: &mut Vec<Finding>,
) -> (Vec<ClusterSpec>, Vec<HostSpec>) {
    let (mut pool, mut failures) = (Pool::default(), Failures::new());
    let (mut specs, mut hosts) = (Vec::new(), Vec::new());
    let next_server = context.address.to_string();
    let checkin_uri = format!("{}/checkin/host/{TOKEN_MARK}", context.http_base);
    for cluster in clusters {
        let installer = cluster.installer.as_ref().and_then(|name| installers.get(name)).and_then(Option::as_ref);
        let images = installer.map(|installer| installer.images.urls(&context.http_base)).unwrap_or_default();
        for draft in cluster.hosts {
            let (Some(installer), true) = (installer, draft.sound) else { continue };
            let production = cluster.production.as_ref();
            let site = SiteTexts {
                context,
                next_server: &next_server,
                checkin_uri: &checkin_uri,
                images: &images,
                production,
            };
            match one(&cluster.spec, &cluster.path, &draft, installer, &site, &mut pool) {
                Ok(spec) => hosts.push(spec),
                Err(errors) => {
                    let host = draft.hostname.as_ref().map(|(name, _)| name.clone()).unwrap_or_default();
                    for error in errors {
                        let failed = failures.entry(error).or_insert_with(|| Failed {
                            host: host.clone(),
                            path: cluster.path.clone(),
                            place: draft.place,
                            own: installer.is_own(),
                            count: 0,
                        });
                        failed.count += 1;
                    }
                }
            }
        }
        specs.push(cluster.spec);
    }
    found.extend(failures.into_iter().map(failure));
    (specs, hosts)
}

fn failure((error, failed): (RenderError, Failed)) -> Finding {
    let Failed { host, path, place, own, count } = failed;
    let others = if count > 1 { format!(" and {} more hosts", count - 1) } else { String::new() };
    let hint = "variables: hostname, fqdn, domain, cluster, disk, kernel_options, packages, filesystem, release, mirror, \
                deploy_username, http_base, next_server, token, checkin_uri, images; filters: shell, ipxe";
    if own {
        let message = format!("the template fails for `{host}`{others}: {}", error.message);
        let place = (error.line, u32::from(error.line > 0));
        Finding::error(&error.path, place, "template", message).hint(hint)
    } else {
        let message = format!("the shipped template `{}` fails for `{host}`{others}: {}", error.path, error.message);
        Finding::error(&path, place, "template", message).hint("look at this host's `config`")
    }
}

struct SiteTexts<'a> {
    context: &'a Context<'a>,
    next_server: &'a str,
    checkin_uri: &'a str,
    images: &'a BTreeMap<String, String>,
    production: Option<&'a (String, Secret)>,
}

fn one(
    cluster: &ClusterSpec,
    path: &Arc<str>,
    draft: &Draft,
    installer: &Installer,
    site: &SiteTexts<'_>,
    pool: &mut Pool,
) -> Result<HostSpec, Vec<RenderError>> {
    let hostname = draft.hostname.as_ref().map(|(name, _)| name.as_str()).unwrap_or_default();
    let fqdn = format!("{hostname}.{}", cluster.domain);
    let config = &draft.config;
    let variables = Variables {
        hostname,
        fqdn: &fqdn,
        domain: &cluster.domain,
        cluster: cluster.name.as_str(),
        disk: disk::in_files(draft),
        kernel_options: &config.kernel_options,
        packages: &config.packages,
        filesystem: config.filesystem,
        release: &config.release,
        mirror: &config.mirror,
        deploy_username: &site.context.deploy_username,
        http_base: &site.context.http_base,
        next_server: site.next_server,
        token: TOKEN_MARK,
        checkin_uri: site.checkin_uri,
        images: site.images,
    };
    let rendered = installer.render(&variables)?;
    let files = rendered.into_iter().map(|(name, body, claims)| BootFile { name, body: pool.share(&body), claims });
    let files = files.collect();
    let boot_mac = host::boot_mac(draft);
    Ok(HostSpec {
        id: HostId::new(&cluster.name, hostname),
        // `sound` means that the key was readable.
        bmc_mac: draft.key.or(boot_mac).unwrap_or(crate::model::Mac([0; 6])),
        fqdn,
        generation: Generation(draft.generation.0),
        state: draft.state,
        boot_mac,
        address: config.address.map(|(ip, _)| ip),
        installer: pool.share(&installer.name),
        claim: installer.claim,
        spec: spec_digest(cluster, hostname, draft, installer),
        files,
        images: installer.images.specs.clone(),
        local_boot: config.local_boot,
        disks: config.disks.clone(),
        bmc: bmc(cluster, draft, site.production, pool),
        prepare: pool.prepare(draft),
        blocked: draft.blocked.clone(),
        origin: (path.clone(), draft.place.0),
    })
}

/// Digest of what decides what gets installed: not of URLs, tokens, MACs, BMC data or the generation.
fn spec_digest(cluster: &ClusterSpec, hostname: &str, draft: &Draft, installer: &Installer) -> Digest {
    let fingerprint = installer.fingerprint.as_ref().map(Digest::as_str).unwrap_or_default();
    let own = host::spec_parts(draft);
    let head = ["1", hostname, &cluster.domain, &installer.name, fingerprint];
    Digest::of(head.into_iter().chain(own.iter().map(|part| &**part)).map(str::as_bytes))
}

/// A password that cannot be read is none: nobody may be locked out by trying an empty one.
fn bmc(cluster: &ClusterSpec, draft: &Draft, production: Option<&(String, Secret)>, pool: &mut Pool) -> BmcSpec {
    let address = draft.bmc.address.map(|(ip, _)| ip);
    let text = address.map(|ip| ip.to_string()).unwrap_or_default();
    let fingerprint = draft.bmc.fingerprint.as_deref().unwrap_or_default();
    let parts = |username: &str, password: &Secret| {
        Digest::of([text.as_str(), username, password.reveal(), fingerprint].map(str::as_bytes))
    };
    let run = cluster.run.to_string();
    let mut account = |kind, username: &String, password: &Secret| {
        let id = [text.as_str(), username, password.reveal(), fingerprint, &run].map(str::as_bytes);
        let id = Digest::new(pool.share(Digest::of(id).as_str()));
        Credential { kind, username: username.clone(), password: password.clone(), id }
    };
    let username = &draft.bmc.username;
    let initial = draft.bmc.password.as_ref().map(|password| (username, password));
    let mut credentials: Vec<_> = Vec::new();
    if let Some((username, password)) = initial {
        credentials.push(account(CredentialKind::Initial, username, password));
    }
    // The same pair twice would be two failed logins with one wrong password.
    if let Some((user, secret)) = production.filter(|(user, secret)| Some((user, secret)) != initial) {
        credentials.push(account(CredentialKind::Production, user, secret));
    }
    let (nothing, nobody) = (Secret::new(""), String::new());
    let (user, secret) = initial.unwrap_or((&nobody, &nothing));
    let identity = Digest::new(pool.share(parts(user, secret).as_str()));
    let without = draft.bmc.protocol == Protocol::None;
    BmcSpec {
        protocol: draft.bmc.protocol,
        address,
        credentials: if without { Arc::default() } else { credentials.into() },
        fingerprint: draft.bmc.fingerprint.as_deref().map(|text| pool.share(text)),
        network_boot: draft.bmc.network_boot,
        boot_mode: draft.bmc.boot_mode,
        identity,
    }
}
