//! The one test binary.

mod http_checkin;
mod http_files;
mod http_out;
mod http_push;
mod http_rig;
mod http_status;
