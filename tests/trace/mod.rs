//! The trace of a boot.

mod api;
mod chain;
