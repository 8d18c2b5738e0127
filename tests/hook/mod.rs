//! Hooks: on hosts, on the bootstrap host, the shipped ones.

mod bootstrap;
mod host;
mod shipped;
