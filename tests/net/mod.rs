//! DHCP and TFTP, by hand-made packets and by real clients.

mod clients;
mod dhcp;
mod dhcp_proxy;
mod dhcp_relay;
mod dhcp_states;
mod dhcp_wire;
mod files;
mod plan;
pub mod tftp;
mod tftp_clients;
mod tftp_engine;
mod tftp_machine;
mod tftp_random;
