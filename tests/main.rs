//! The one test binary.
mod git_fetch;
mod git_publish;
mod git_rig;
