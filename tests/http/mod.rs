//! The HTTP server, and what is sent over HTTP.

mod assets;
mod checkin;
mod files;
mod flow;
pub mod out;
mod page;
mod push;
pub mod status;
