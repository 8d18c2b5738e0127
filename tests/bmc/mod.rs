//! BMCs: Redfish and IPMI drivers, the pool, the simulator, recorded trees.

mod ipmi;
pub mod ipmi_bench;
mod ipmi_real;
mod ipmi_texts;
mod pool;
mod prepare;
mod prepare_settings;
mod prepare_trees;
mod rack;
mod redfish;
mod redfish_boot;
mod redfish_session;
mod sim;
mod sim_tls;
pub mod trees;
