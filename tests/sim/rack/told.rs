//! What a run amounted to, so that a simulation in which nothing happens is noticed.

macro_rules! told {
    ($($name:ident)*) => {
        #[derive(Clone, Debug, Default)]
        pub struct Told {
            $(pub $name: u64,)*
        }

        impl Told {
            pub fn add(&mut self, other: &Told) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

told! {
    hosts installs crashes journals_lost rejected_pushes races refused_claims refused_checkins commits events
    requests writes logins ipmi_logins ipmi_changes failed_logins mid_crashes left_open recovered unheard leaked actions faults
    passwords_corrected certificates_renewed reboots pending configured volumes_made volumes_deleted
    playbooks bootstraps hooks failed_tasks runs_raised reaches restarted_by_hand written_back came_back
}
