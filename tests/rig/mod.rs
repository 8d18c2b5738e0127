//! What tests are made of: servers, peers, worlds and repositories.

pub mod ansible;
pub mod bmc;
pub mod bmc_ipmi;
pub mod bmc_pool;
pub mod bmc_prepare;
pub mod bmc_redfish;
pub mod e2e;
pub mod e2e_cluster;
pub mod e2e_vm;
pub mod git;
pub mod hook;
pub mod http;
pub mod net;
pub mod net_clients;
pub mod net_dhcp;
pub mod plan;
pub mod progress;
pub mod racks;
pub mod repo;
pub mod schema;
pub mod ssh;
