//! **rackwright** turns a `git push` of cluster definitions into running bare metal. This page is the map of its source:
//! where a thing lives, what may call what, and which laws hold everywhere.
//!
//! # The one idea
//!
//! ```text
//!           facts                    World                      plan
//! machines ───────► inbox ─► reduce ───────► plan(world, now) ───────► actions ─► drivers ─► machines
//!    ▲                         │                    │                                │
//!    │                      journal               report ─► status commit            │
//!    └──── serve (DHCP/TFTP/HTTP) reads World ◄─────┘             facts ◄────────────┘
//! ```
//!
//! Facts are folded into a [`World`](model::World). One pure function turns the World and the time into a
//! [`Plan`](plan::Plan). The shell carries the plan out and reports facts. States are derived, never stored. Four pure
//! functions; everything else is wiring:
//!
//! | function | question |
//! |---|---|
//! | [`plan::reduce()`] | what do we know? |
//! | [`plan::plan()`] | what now; if nothing, why, and until when? |
//! | [`plan::boot`] | what is this machine told? (DHCP, TFTP and HTTP all ask this one) |
//! | [`plan::report::report()`] | what are people told? |
//!
//! # Laws
//!
//! 1. [`model`], [`plan`], [`yaml`] and [`repo`] never do I/O, never read a clock, never await. Time, randomness and identity are
//!    arguments.
//! 2. Only [`plan::reduce()`] changes a World; only [`daemon`] calls it. One writer, many readers, no locks.
//! 3. Events never cause actions. They change the World; the World is then planned. A repeated check-in changes nothing.
//! 4. A host's state is the first unmet rung of a ladder of facts ([`plan::host`]), not a stored field. Facts cannot
//!    disagree with it.
//! 5. [`Plan::wake_at`](plan::Plan::wake_at) is the only alarm. Nothing sleeps until something is due: polling git is
//!    [`Action::Fetch`](model::Action::Fetch), publishing is [`Action::Publish`](model::Action::Publish). A driver waits only
//!    for the other side, inside one action and within its time limit (law 12).
//! 6. Every wait has a deadline ([`Step::Wait`](plan::Step::Wait) cannot be written without one), counted from the last
//!    thing that could have caused the awaited fact.
//! 7. Consent to wipe a disk is a number in git: a host is installed only when its `generation` in the repository is
//!    greater than the one acknowledged as installed. A changed definition at the same generation is drift: reported,
//!    never acted on. A deleted host, a bad merge, an unreadable repository: no power, boot or disk action.
//! 8. Claim before wipe. Each claim mints a fresh token, and only the newest token's "install complete" counts. Reading a
//!    boot file has no side effect, except where an installer has no step before its answer file: there the one read of
//!    that file, from the address leased to that MAC, is the claim.
//! 9. Once installed at the wanted generation, every network boot of a machine is answered with "boot the local disk", on
//!    every route. Unknown machines are never answered with an installer.
//! 10. A fact is journaled before it is acted on; a restart is a replay. A 200 to a claim or to "install complete" means
//!     durable.
//! 11. An empty journal must not look like a rack of blank machines: the daemon adopts from the status branch, and with
//!     neither refuses to arm anything until it is started once with `--first-run`. An install is announced on the status
//!     branch before it begins, so that a journal lost in between cannot hide it.
//! 12. A server never acts and never decides; it answers and reports facts. A driver decides nothing that the plan could,
//!     and never repeats an action: it performs one, and reports one outcome. Retries, backoff and budgets live in the
//!     plan. Inside one action a driver may: pace its requests and its reports; wait for what it has ordered, and read it
//!     back; follow a task that the other side names; repeat a few times a step that certainly had no effect (a push that
//!     lost against another one, a program whose file is still open for writing); after a refusal without effect, ask the
//!     same in the next form that is known (another ETag, property, apply time, cipher suite or path; IPMI where there is
//!     no Redfish). It never shows a refused account again, and never orders again what may have been done. Each driver's
//!     module says what it does of this.
//! 13. Every host in the repository appears in every plan with a reason that a person can read.
//! 14. Publishing the same World twice makes one commit. Nothing changed, same bytes, no commit.
//! 15. Every queue has a bound, every subprocess a limit, every request a timeout. Secrets never reach a log, a commit or a
//!     process's argument list.
//!
//! # Floor plan
//!
//! | | floor | imports |
//! |---|---|---|
//! | [`model`] | 0: nouns. Plain data | nothing of ours |
//! | [`plan`] | 1: decisions. Pure, synchronous, total: [`host`](plan::host) (the ladder), [`cluster`](plan::cluster) (barrier and tasks), [`reduce`](mod@plan::reduce), [`boot`](plan::boot), [`lease`](plan::lease), [`report`](plan::report), [`diff`](plan::diff), [`check`](mod@plan::check) | `model` |
//! | [`yaml`] | 1: YAML with places and the habits of 1.1, and what its scalars mean. Pure | `model` |
//! | [`repo`] | 2: desired state in. Pure over a tree of bytes: [`file`](mod@repo::file), [`inventory`](repo::inventory), [`installer`](repo::installer), [`template`](repo::template) | `model`, `yaml` |
//! | [`settings`] | how the daemon runs | `model`, `yaml` |
//! | [`serve`] | 3: machines and people call us: [`dhcp`](serve::dhcp), [`tftp`](serve::tftp), [`http`](serve::http), [`files`](serve::files), [`api`](serve::api) | `model`, `plan`, `repo`, `settings` |
//! | [`drive`] | 3: we call machines: [`bmc`](drive::bmc), [`git`](drive::git), [`hook`](drive::hook), [`image`](drive::image), [`notify`](drive::notify), [`process`](drive::process) | `model`, `yaml`, `plan`, `repo`, `settings` |
//! | [`daemon`] | 4: the loop, the one [`clock`](daemon::clock), the [`journal`](daemon::journal) | everything above in this table |
//! | [`cli`] | 5: one file per command; the only place that prints | everything above |
//! | [`sim`] | a whole rack without hardware: machines, BMCs, faults | `model` |
//!
//! ```text
//! main -> cli -> daemon -> { serve, drive } -> { plan, repo -> yaml } -> model      serve x drive    plan x repo    sim -> model
//! ```
//!
//! `tests/tidy.rs` keeps this table and other laws, and `tests/tidy/circles.rs` names the files that need each other;
//! `.clippy.toml` says which functions may not be called where, and why.
//! Beside the source lie `templates/` (installers, and how a machine is told to boot its disk), `hooks/`, `repo-schema/` (JSON
//! Schemas and an example repository that is also the demo's), `docs/` (its
//! reference pages are made from the types), `tests/` (one test binary) and `benches/`.
//!
//! # The loop
//!
//! [`daemon::run`] drains the inbox, journals the facts in one transaction, reduces them, plans, journals what it begins,
//! begins it, and shows readers the new World. It then waits for a fact, for the end of an action, for a change in a local
//! repository, or for `wake_at`; there is nothing else. The journal keeps the revision of what was loaded, not the tree.
//! A fact that comes alone is journaled at once; many that come together share a transaction every two milliseconds. A
//! plan stands until it is due or something other than a lease has changed, for nothing planned depends on leases.
//!
//! # From `git push` to a status commit
//!
//! 1. A push webhook, a watched local repository or `wake_at` leads to a fetch.
//! 2. The tree is read at the revision, without a checkout, and all of it is validated, down to rendering every template
//!    for every host. On an error the last good revision stays in force, and every finding is published with its place.
//! 3. The plan probes and prepares the machine through its BMC, announces the install, and arms one network boot.
//! 4. DHCP, TFTP and HTTP answer from [`plan::boot`]; the installer claims; the claim is durable before it is answered.
//! 5. "Install complete" is durable before its 200; from then on the answer is the local disk.
//! 6. The first boot is seen; the last host opens the cluster's barrier; tasks run in their order.
//! 7. The report's bytes changed: one commit on the status branch.
//!
//! # Where things are added
//!
//! | new … | where |
//! |---|---|
//! | OS installer | `templates/installers/<name>/`, no Rust |
//! | BMC protocol | a module under [`drive::bmc`] and a variant of [`model::Protocol`]; the compiler lists the rest |
//! | BMC vendor's oddity | one row in `drive/bmc/redfish/quirk.rs` |
//! | kind of hook | `hooks/<name>/`, no Rust |
//! | kind of fact | [`model::Event`]; the compiler points to `reduce` |
//! | provisioning stage | one rung in [`plan::host`] |
//! | repository key | [`repo::file`](mod@repo::file); a test compares the schema |
//! | setting | `settings/raw.rs` and [`settings::Settings`] |
//! | status field | [`plan::report`] |
//! | simulated fault | [`sim::fault::Fault`] |
//! | command | a file under [`cli`] |
//!
//! Errors are `thiserror` enums inside `drive` and `serve`, turned at the edge into a classed [`model::Fault`]; the core
//! returns values, and `anyhow` is for `cli` only. There are no actors, no stored phases, no retries inside drivers and no
//! cargo features.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod cli;
pub mod daemon;
pub mod drive;
pub mod model;
pub mod plan;
pub mod repo;
pub mod serve;
pub mod settings;
pub mod sim;
pub mod yaml;
