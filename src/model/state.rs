//! The words that people are shown: the state of a host and of a cluster, the result of a task, a condition's status.

use super::words::words;

words! {
    /// The rung of the ladder a host stands on.
    HostState {
        /// Not seen on the network.
        Init "init"
        /// BMC seen; identity not read.
        Characterizing "characterizing"
        /// Identity known; LED and settings not as wanted.
        Preparing "preparing"
        /// Ready for network boot; not claimed.
        PxeBooting "pxe-booting"
        /// Claimed; install not complete.
        Installing "installing"
        /// Installed; first boot not seen.
        Installed "installed"
        /// Booted; cluster not configured.
        BootedInitial "booted-initial"
        /// Configured; hooks not done.
        BootedConfigured "booted-configured"
        /// All done.
        Completed "completed"
    }
}

words! {
    /// How far a cluster is.
    ClusterState {
        /// Not all of its hosts are up.
        Provisioning "provisioning"
        /// Its playbook is to be run, or the restart that belongs to it is awaited.
        AnsibleRunning "ansible-running"
        /// Its hooks are to be run.
        HooksRunning "hooks-running"
        /// All done.
        Completed "completed"
    }
}

words! {
    /// How a task stands.
    TaskResult {
        /// Not begun.
        Pending "pending"
        Running "running"
        Done "done"
        Failed "failed"
        /// It cannot be run as it is written.
        Blocked "blocked"
    }
}

words! {
    /// Status of a GitOps condition.
    ConditionStatus {
        /// A person must act.
        Stalled "Stalled"
        /// Something is under way or waited for.
        Reconciling "Reconciling"
        /// Nothing is left to do.
        Ready "Ready"
    }
}
