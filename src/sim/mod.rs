//! A whole rack without hardware, shipped to users (`rackwright demo`) and used by the tests.
//!
//! * [`machine`]: one pure state machine: power, firmware, network boot, disk, installer, installed system.
//! * [`ipxe`], [`preseed`]: what iPXE makes of a boot script and pvc-installer of an answer file.
//! * [`bmc`], [`tree`]: one Redfish service over a machine ([`chassis`]), in several vendors' shapes: sessions, power, boot,
//!   LED, drives and volumes, BIOS and manager settings, tasks and jobs.
//! * [`ipmi`]: one BMC over IPMI, as the program `ipmitool` shows it.
//! * [`fault`]: what goes wrong, by name, with a seed.
//! * [`wire`], [`https`]: DHCP and TFTP as a client speaks them, TLS as a BMC does.
//! * [`rack`]: many machines on real sockets; `actor` is what it shares with the rack of `demo --vms`.
//!
//! Tests with virtual time use the first four directly; `demo` and the end-to-end tests use the rack.

pub(crate) mod actor;
pub mod bmc;
pub mod chassis;
pub mod fault;
pub mod https;
pub mod ipmi;
pub mod ipxe;
pub mod machine;
pub mod preseed;
pub mod rack;
pub mod tree;
pub mod wire;
