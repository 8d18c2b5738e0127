//! The one test binary.

mod net_dhcp;
mod net_plan;
mod net_support;
mod net_tftp;
