//! The whole program, from a push to what machines and people see.

pub mod alone;
mod bmc_cli;
mod bmc_secrets;
mod bmc_sushy;
mod boot;
mod checkin;
mod cluster;
mod cluster_kill;
mod demo;
pub mod http;
mod images;
mod install;
mod publish;
mod state;
pub mod status;
mod vm;
mod vm_demo;
mod vm_wire;
