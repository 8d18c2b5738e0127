//! What a person can do, reason by reason: a command, a key to change, or that there is nothing to do. It follows "What
//! you can do:" in `rackwright explain`.

use super::Reason::{self, *};

pub(super) const fn of(reason: Reason) -> &'static str {
    match reason {
        Done | Removed => "nothing: this is as the repository wants it.",
        NotSeen => {
            "check power and cabling of the machine and its BMC, that the BMC asks for an address by DHCP on this \
             segment, and that the MAC in bootstrap.yml is the one on the label."
        }
        Probing | Preparing | Arming | PowerCycling | Finishing | Releasing | Acting | FetchingImages | Installing
        | FirstBoot | Reaching | Restart | TaskRunning | GeneratedFiles => {
            "nothing: it is under way, and is looked at again at the time shown."
        }
        NetworkBoot => "nothing, if it has a BMC. Without one, restart it and choose network boot at its console.",
        Peers => "nothing yet. See what the hosts in the message wait for: `rackwright explain HOST`.",
        Retrying => "nothing yet: it is tried again by itself. If it stays, the message says what to look at.",
        Announcing => {
            "nothing yet: the daemon is pushing to the status branch. If it stays, see the page or `rackwright \
             status`."
        }
        InstallSlots => "nothing: its turn comes. limits.concurrent_installs in rackwright.yaml is the limit.",
        BmcSlots => "nothing: its turn comes. bmc.concurrency in rackwright.yaml is the limit.",
        BmcInUse => "wait a moment: the daemon, or somebody at a command line, is at work with this BMC.",
        StatusBranchUnreachable => {
            "the message has git's own words. See that the daemon's key may push to repository.status_branch; it is \
             tried again by itself."
        }
        NetworkBootOverdue => {
            "look at the machine's console: is network boot enabled for the right interface, does it get an address, \
             does it load the boot file? `GET /boot/<mac>/boot.ipxe` shows what it would be told."
        }
        PowerOnByHand => "power the machine on, or restart it, and choose network boot at its console.",
        InstallOverdue => {
            "look at the installer's messages on the machine's console; restarting the machine from the network lets \
             it begin again."
        }
        FirstBootOverdue => {
            "look at the machine's console: it should boot its own disk and call /checkin/host. Check the firmware's \
             boot order and the disk."
        }
        PeersMissing => "see to the hosts in the message, or set their state to maintenance or retired.",
        GenerationLowered => {
            "set generation to the one in the message to keep what is installed, or higher to install it again."
        }
        FirstRun => {
            "on a new rack, start the daemon once with --first-run. On an old one, restore the status branch or \
             state_dir first: without them an installed disk looks blank."
        }
        JournalLost => {
            "for a host: look at the machine, then raise its generation to the one in the message. For a task: read \
             its log and look at the hosts, then raise cluster.run."
        }
        SecretMissing => {
            "make readable what the message names (a password file, a vault password); it then goes on by itself."
        }
        NoSuchHost | NoSuchCluster | NoSuchTask | NoSuchImage | NoTargets => {
            "nothing: what left the repository is left alone. Put it back there if that was a mistake."
        }
        LoadFailed | ReportFailed => "report it as a bug, with the daemon's log; restarting the daemon tries again.",
        DriverFailed => "report it as a bug, with the daemon's log; it is tried again by itself.",
        StateDirUnusable => {
            "see that the disk of state_dir has room and that its files belong to the daemon's user; run commands by \
             hand as that user or as root."
        }
        Unknown => "look the word up in the documents of the newest rackwright that has run here.",

        NoBmc => "use the buttons at the machine, or describe its BMC: bmc.protocol in bootstrap.yml.",
        NoAddress => {
            "for a BMC: see that it is cabled and set to DHCP, or write its address as bmc.address. For a host that is \
             up: restart it, so that it asks for an address and reports."
        }
        Unreachable => {
            "usually nothing: it is tried again. If it stays, ping the address in the message from the bootstrap host; \
             for a BMC, `rackwright bmc HOST diag` shows more, and its reset button or a power cut restarts it."
        }
        ConnectionRefused => {
            "find out whether the address in the message is the BMC's, and enable HTTPS (or IPMI over LAN) on the BMC."
        }
        AuthenticationFailed => {
            "correct bmc.username and bmc.password in bootstrap.yml and push. The account is not tried before that, \
             because more failures can lock it; if they are right after all, raise cluster.run. Where the message \
             names the forge, give the daemon's key (repository.ssh_key) access to the repository instead."
        }
        Forbidden => {
            "read the BMC's words in the message: they may ask for the administrator role, a new password for the \
             account, a licence, or an end of lockdown mode."
        }
        InsufficientPrivilege => "give the account the administrator privilege for IPMI over LAN on the BMC.",
        TooManySessions => {
            "close other people's sessions on the BMC's page, or restart the BMC; it is tried again by itself."
        }
        SessionLost | BmcBusy | BmcTooSlow | BmcError | BmcNotReady | IpmiError => {
            "usually nothing: it is tried again. If it stays, look at `rackwright bmc HOST diag`, and restart the BMC \
             from its own page."
        }
        CertificateChanged => {
            "if the BMC was replaced, reset or given a new certificate, have it trusted: set bmc.fingerprint to the \
             one shown, or change bmc.password. If not, find out who answers at its address before any password goes \
             there."
        }
        TlsFailed | TlsTooOld => {
            "update the BMC's firmware, have it make a new certificate, or set bmc.protocol: ipmi. Where bmc.tls names \
             an authority, the certificate must be signed by it."
        }
        TlsUnsupported => "the message has the TLS library's words; report it as a bug, or set bmc.protocol: ipmi.",
        NoTls => "enable HTTPS on the BMC, or set bmc.protocol: ipmi.",
        BadCertificateAuthority => "see that bmc.tls in rackwright.yaml names a readable PEM file of the authority.",
        NotRedfish | NotIpmi20 | NoSystem | BmcNonsense => {
            "look at the BMC's firmware version and update it, try the other protocol (bmc.protocol: redfish or ipmi), \
             or set bmc.protocol: none and press the buttons yourself."
        }
        CipherSuiteRefused => "enable cipher suite 17 (or 3) for IPMI over LAN on the BMC.",
        PasswordTooLong => "give the account a password of at most 20 bytes, which is all that IPMI takes.",
        ProgramMissing => "`apt install ipmitool`.",
        ProgramFailed => "see that ipmitool runs for the daemon's user: `ipmitool -V`.",

        BmcRefused | IpmiRefused | ResetNotSupported => {
            "read the BMC's words in the message: a firmware update or a licence may be missing. Else set \
             bmc.protocol: none and press the buttons yourself."
        }
        NotPossibleOverIpmi => {
            "do it by hand and take it out of bootstrap.yml, or use Redfish (bmc.protocol: redfish)."
        }
        SeveralSystems => "give each host the BMC of its own machine; a BMC for several machines cannot be used.",
        NoBootMac => "write the MAC that the machine boots from as config.boot_mac in bootstrap.yml.",
        BootOverrideNotKept | PxeNotSupported | BootTargetNotSupported => {
            "enable network boot of this interface in the firmware's setup, and put it first in the boot order by \
             hand."
        }
        HttpBootNotSupported => "set bmc.network_boot: pxe, or use Redfish (bmc.protocol: redfish).",
        PowerStateNotReached | StillOn => {
            "look at the machine: does it hang at shutdown, has it mains? `rackwright bmc HOST power off` cuts power."
        }
        MachineIsOff => "`rackwright bmc HOST power on` starts it.",
        OutcomeUnknown => {
            "for a BMC nothing: it is looked at before anything is done again. For a hook: read its log and look at \
             the host, then raise cluster.run."
        }

        ForeignVolume => {
            "look at what is on the volume. If it may go, write config.wipe: volumes, and raise the generation if the \
             machine was installed before; else choose other slots."
        }
        RaidNotSupported => {
            "make the RAID-1 in the controller's own setup, or name one slot or a disk in system_disks."
        }
        NoDriveInSlot | SlotNotUnique | DiskNotNamed | VolumeNotThere | StorageUnreadable => {
            "compare system_disks with the drives that `rackwright bmc HOST info` shows: are they plugged in and \
             healthy? A disk can be named by a detect: string instead."
        }
        SettingsNotValid | SettingsRefused => {
            "correct bios_settings or manager_settings: names and values as the BMC shows them on its own page."
        }
        SettingsOverdue | SettingsNotKept | SettingsReverted | BmcTaskFailed => {
            "look at the BMC's jobs or task page and at the machine's console: does it hang in its self test? Clear a \
             stuck job there; it is tried again."
        }

        DigestDiffers => "correct the digest in the installer's manifest, or find out who changed the file.",
        SignatureWrong | NotInSums => {
            "find out whether the vendor changed the key or the file; correct the signature's keys in the installer's \
             manifest only if so."
        }
        NoKeyring => "correct the keyring in the installer's manifest, or install the package that has it.",
        GpgvMissing => "`apt install gpgv`.",
        GpgvFailed => "see that gpgv runs for the daemon's user: `gpgv --version`.",
        TooLarge => "correct the address of the image, or its signature, in the installer's manifest.",
        NoStaticRoot => "set network.tftp.root in rackwright.yaml, or give the image a URL.",
        NotFound => {
            "put the file below network.tftp.root, readable by the daemon's user; links must not lead out of it."
        }
        ImageStore => "see that the disk of state_dir has room and works; it is tried again by itself.",

        InvalidRequest => "correct the address or method that the message names.",
        Refused => {
            "read the server's answer in the message: correct the address, the token, or what the server allows; for \
             an image, the address in the installer's manifest."
        }
        Redirected => "write the address that the server redirects to.",
        ServerError | Timeout | BrokenAnswer | PushRace => {
            "nothing: it is tried again. If it stays, look at the server that the message names."
        }
        TryAgain => "nothing, if the service is still coming up; else look at it on the host or server that is named.",
        NoHttpClient => "see that the package ca-certificates is installed; the message has the library's words.",
        SecretUnreadable => "write the secret into the file that the message names, readable by the daemon's user.",
        TokenUnusable => "write the token alone into the first line of commit_status.token_file.",

        HostKeyRefused => {
            "compare the forge's host key with the one it publishes; if it is right, write it into \
             repository.known_hosts."
        }
        BranchMissing => "push the branch, or correct repository.branch in rackwright.yaml.",
        PushRefused => "allow the daemon's key to push to the branch in the message: branch protection, roles, hooks.",
        SigningFailed => "correct repository.signing_key as the message says.",
        EncryptionFailed | WriteBackBlocked => "correct what the message names; it is tried again by itself.",
        MirrorUnusable => "nothing: it is made anew. If it stays, look at the disk of state_dir.",
        RevisionMissing => {
            "push a new commit to the watched branch; a history that was rewritten may have dropped this one."
        }
        TreeTooLarge => "take large files out of the repository: installers fetch images from a URL.",
        GitMissing => "`apt install git`.",
        GitFailed => "see that git runs for the daemon's user: `git --version`.",
        StatusUnreadable => {
            "correct the file in the message on the status branch, or reset the branch to the last commit of the \
             daemon."
        }
        GeneratedFilesUnread => "correct what rejected.yaml names on the watched branch, and push.",
        GeneratedFilesLost => {
            "put the files back below state_dir from a backup, or raise cluster.run to go on without them."
        }
        GeneratedNotKept => {
            "see that the disk of state_dir has room, then raise cluster.run: the playbook is run again and makes them \
             anew."
        }
        WriteBackConflict => {
            "put the files in the message back as they were on the watched branch, or raise cluster.run to give up the \
             generated ones."
        }

        SshUnreachable | SshLost | SshTimedOut | NoBootId => {
            "check that the machine is on and that its sshd answers at the address shown (see its console); it is \
             tried again by itself."
        }
        SshFile => "see that the host's disk has room and is writable; it is tried again by itself.",
        SshRefused | SshDenied => {
            "see that deploy.username exists on the host, may log in, and has the public half of deploy.ssh_key in \
             authorized_keys."
        }
        SshNoHostKey => "make an ed25519 host key on the host: `ssh-keygen -A`, then restart sshd.",
        SshKeyUnusable | NoDeployKey => {
            "set deploy.ssh_key in rackwright.yaml to an ed25519 key without passphrase that the daemon may read, and \
             start the daemon again."
        }
        HostKeyChanged => {
            "find out which machine answers at the host's address: an impostor looks like this, and so does an address \
             that another machine has taken. If its keys were made anew on purpose, install it anew (raise its \
             generation); if the right machine is back, it goes on by itself."
        }
        HostKeyUnusable => "raise the host's generation: a reinstall lets its key be learned anew.",
        NoHostKey => "see that the host is up and answers over SSH: its key is learned at the first connection.",
        PowerOffRefused => "let deploy.username use sudo without a password, or press the power button.",
        RestartNotSeen => {
            "restart the hosts in the message and look at their consoles (PVC's roles restart a host only in the run \
             that configures it first)."
        }

        Blocked => "correct what the message names, in the repository or the settings; then it goes on.",
        AnsibleFailed | HookFailed | HookTimedOut => {
            "read the task's log, put right what made it fail, then raise cluster.run in bootstrap.yml and push. A \
             cluster that its playbook has half made is best installed anew first (raise the generation of its hosts)."
        }
        AnsibleTimedOut => {
            "read the task's log: put right what hangs, or raise ansible.timeout in rackwright.yaml; then raise \
             cluster.run and push. A half-made cluster is best installed anew first (raise the generation of its \
             hosts)."
        }
        Interrupted => {
            "read the task's log and look at the hosts, then raise cluster.run and push. If everything was done, set \
             cluster.ansible: none, or take the hook out. A task that may run twice is tried again by itself."
        }
        NoRevision => "nothing: it goes on once a revision is in force; `rackwright status` shows why none is.",
        PlaybookMissing => "correct cluster.ansible.playbook, or commit the playbook or its submodule.",
        CheckoutFailed => "see that the disk of state_dir has room; it is tried again by itself.",
        SubmoduleMissing => {
            "see that the submodule's address in .gitmodules is right, its commit was pushed, and the daemon's key may \
             read it."
        }
        AnsibleMissing => "apt install ansible, or set ansible.playbook in rackwright.yaml to the program's path.",
        HookNotStarted => "correct the #! line of the hook's program `run`, or install the interpreter that it names.",
        NotReady => "nothing, if the cluster's service is still coming up; else look at it on the host named.",
        SudoRefused => "let deploy.username run everything with sudo without a password on the host.",
        FileUnreadable => "put the file in the message in its place, readable by the daemon's user.",
        NoDirectory => "see that the disk has room: /tmp on the host, or state_dir on the bootstrap host.",
        NoLog => "see that the disk of state_dir has room; it is tried again by itself.",
    }
}
