//! The states of a host, as people are told them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The rung of the ladder a host stands on (`design`: the names of the systems we replace).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostState {
    /// Not seen on the network.
    Init,
    /// BMC seen; identity not read.
    Characterizing,
    /// Identity known; LED and settings not as wanted.
    Preparing,
    /// Ready for network boot; not claimed.
    PxeBooting,
    /// Claimed; install not complete.
    Installing,
    /// Installed; first boot not seen.
    Installed,
    /// Booted; cluster not configured.
    BootedInitial,
    /// Configured; hooks not done.
    BootedConfigured,
    /// All done.
    Completed,
}

impl HostState {
    /// Every state, lowest first.
    pub const ALL: [HostState; 9] = [
        HostState::Init,
        HostState::Characterizing,
        HostState::Preparing,
        HostState::PxeBooting,
        HostState::Installing,
        HostState::Installed,
        HostState::BootedInitial,
        HostState::BootedConfigured,
        HostState::Completed,
    ];

    /// The word shown.
    pub fn as_str(self) -> &'static str {
        match self {
            HostState::Init => "init",
            HostState::Characterizing => "characterizing",
            HostState::Preparing => "preparing",
            HostState::PxeBooting => "pxe-booting",
            HostState::Installing => "installing",
            HostState::Installed => "installed",
            HostState::BootedInitial => "booted-initial",
            HostState::BootedConfigured => "booted-configured",
            HostState::Completed => "completed",
        }
    }

    /// Reads the word shown.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

impl fmt::Display for HostState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
