//! Images of installers: named, fetched, verified, served.

mod fetch;
mod plan;
pub mod repo;
mod serve;
