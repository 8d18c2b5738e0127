//! What a person can do about a BMC, by the reason of what went wrong.

/// The advice; nothing for reasons that are not about BMCs.
pub fn advice(reason: &str) -> &'static str {
    match reason {
        "AuthenticationFailed" => {
            "correct bmc.username and bmc.password in bootstrap.yml and push. It is not tried again before that, \
             because more failures can lock the account."
        }
        "Forbidden" | "InsufficientPrivilege" => {
            "give the account the BMC's administrator role; nothing less may switch power and boot device."
        }
        "CertificateChanged" => {
            "if the BMC was replaced, reset or given a new certificate, have it trusted: set bmc.fingerprint to the one \
             shown, or change bmc.password. If not, find out who answers at its address before any password goes there."
        }
        "TlsFailed" | "TlsTooOld" | "TlsUnsupported" | "NoTls" => {
            "the BMC's TLS is too old or broken: update its firmware, give it a fresh certificate, or set \
             bmc.protocol: ipmi."
        }
        "BadCertificateAuthority" => "see that bmc.tls in the settings names a readable PEM file of the authority.",
        "NotRedfish" | "NoSystem" | "BmcNonsense" | "NotIpmi20" => {
            "look at the BMC's firmware version and update it, try the other protocol (bmc.protocol: redfish or ipmi), or \
             set bmc.protocol: none and press the buttons yourself."
        }
        "SeveralSystems" => "the BMC has several machines: give each host the BMC of its own machine.",
        "BmcBusy" | "BmcTooSlow" | "BmcError" | "BmcNotReady" | "IpmiError" | "SessionLost" | "Unreachable"
        | "Interrupted" | "Retrying" => {
            "usually nothing: it is tried again. If it stays, ping the BMC, look at `rackwright bmc HOST diag`, and \
             restart the BMC from its own page."
        }
        "ConnectionRefused" => {
            "somebody is at the BMC's address and serves nothing there: is it the BMC, and is HTTPS (or IPMI over LAN) \
             enabled on it?"
        }
        "NoAddress" => "see that the BMC is cabled and set to DHCP, or write its address as bmc.address.",
        "NoBmc" => "the host has bmc.protocol: none; use the buttons at the machine.",
        "NoBootMac" => "the BMC does not tell which NIC boots: write it as config.boot_mac in bootstrap.yml.",
        "TooManySessions" => {
            "other people's sessions fill the BMC: close them on its page, or restart the BMC; it is tried again."
        }
        "BmcInUse" => "wait a moment: the daemon, or somebody at a command line, is at work with this BMC.",
        "StateDirUnusable" => "run the command as the daemon's user, or as root.",
        "BootOverrideNotKept" | "PxeNotSupported" | "BootTargetNotSupported" => {
            "enable network boot of this NIC in the firmware's setup, and put it first in the boot order by hand."
        }
        "HttpBootNotSupported" => "set bmc.network_boot: pxe, or enable UEFI HTTP boot in the firmware's setup.",
        "ResetNotSupported" | "BmcRefused" | "IpmiRefused" => {
            "the message has the BMC's word for it: a firmware update or a licence may be missing; else set \
             bmc.protocol: none and press the buttons yourself."
        }
        "PowerStateNotReached" | "StillOn" => {
            "look at the machine: does it hang at shutdown, has it mains? `rackwright bmc HOST power off` cuts power."
        }
        "MachineIsOff" => "`rackwright bmc HOST power on` starts it.",
        "OutcomeUnknown" => "nothing at first: it is looked at before anything is done again.",
        "CipherSuiteRefused" => "enable cipher suite 17 (or 3) for IPMI over LAN on the BMC.",
        "PasswordTooLong" => "give the account a password of at most 20 bytes, which is all that IPMI takes.",
        "NotPossibleOverIpmi" => "do it by hand and take it out of bootstrap.yml, or use Redfish.",
        "ProgramMissing" => "apt install ipmitool",
        "ProgramFailed" => "see that ipmitool runs for the daemon's user: `ipmitool -V`.",
        _ => preparing(reason),
    }
}

/// Disks, RAID and settings.
fn preparing(reason: &str) -> &'static str {
    match reason {
        "ForeignVolume" => {
            "a RAID volume that nobody here made is on the chosen slots. Look at what is on it; if it may go, write \
             config.wipe: volumes, and raise the generation if the machine was installed before; else choose other slots."
        }
        "RaidNotSupported" => {
            "the controller makes no RAID-1 through Redfish: make it in its own setup, or name one slot or a disk."
        }
        "NoDriveInSlot" | "SlotNotUnique" | "DiskNotNamed" | "VolumeNotThere" | "StorageUnreadable" => {
            "compare system_disks with the drives that `rackwright bmc HOST info` shows: are they plugged in and healthy? \
             A disk can be named by a detect: string instead."
        }
        "SettingsNotValid" | "SettingsRefused" => {
            "correct bios_settings or manager_settings: names and values as the BMC shows them on its own page."
        }
        "SettingsOverdue" | "SettingsNotKept" | "SettingsReverted" | "BmcTaskFailed" | "RebootFailed" => {
            "look at the BMC's jobs or task page and at the machine's console: does it hang in its self test? Clear a \
             stuck job there; it is tried again."
        }
        _ => "",
    }
}
