//! SSH.

mod session;
