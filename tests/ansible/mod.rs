//! Playbooks: what is run, over what, and how it ends.

mod checkout;
mod definition;
mod log;
mod process;
mod run;
mod trouble;
