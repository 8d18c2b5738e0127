//! How it ends: nobody is wiped any more, and everything is as the repository wants it.

use super::*;

impl Sim {
    pub(super) fn story(&self) -> String {
        let Some(daemon) = &self.daemon else { return "the daemon is down".into() };
        let plan = plan::plan(&daemon.world, self.now);
        let mut text = String::new();
        for host in plan.hosts {
            let unit = look(&self.machines[&host.id]);
            let machine = &unit.machine;
            text += &format!(
                "\n{} {} {:?} [{:?} {:?} {}]",
                host.id,
                host.state,
                host.step,
                machine.stage(),
                machine.disk(),
                machine.console
            );
        }
        for cluster in plan.clusters {
            text += &format!("\n{} {} {:?}", cluster.name, cluster.state, cluster.step);
        }
        text
    }

    /// Machines of a completed rack may boot from the network as often as they like.
    pub(super) async fn nobody_is_wiped_any_more(&mut self) {
        let wipes = |sim: &Sim| sim.machines.values().map(|unit| look(unit).machine.wipes.len()).sum::<usize>();
        let before = wipes(self);
        for _ in 0..self.season.rounds {
            for id in self.machines.keys().cloned().collect::<Vec<_>>() {
                self.machine(&id, MachineEvent::SetOverride(Some(Override { network: true, once: true })));
                self.start_by_hand(&id);
            }
            let until = Time(self.now.0 + HOUR);
            while self.now < until {
                self.step().await;
            }
        }
        assert_eq!(wipes(self), before, "a completed machine was wiped");
    }

    pub(super) async fn final_laws(&mut self) {
        self.until_settled().await;
        let daemon = self.daemon.as_ref().expect("the daemon is up");
        let again = self.journal.fold(&self.policy, &self.trees);
        assert!(again == daemon.world, "replay differs from what is live");
        let plan = plan::plan(&daemon.world, self.now);
        assert_eq!(self.status.as_ref(), Some(&report::report(&daemon.world, &plan)), "the status branch is behind");
        for (id, unit) in &self.machines {
            let machine = &look(unit).machine;
            let facts = &daemon.world.hosts[id];
            let wanted = daemon.world.spec(id).unwrap().generation;
            assert_eq!(facts.installed.as_ref().map(|installed| installed.generation), Some(wanted), "{id}");
            assert!(machine.os_boots > 0, "{id} never booted its system");
        }
        self.wishes_came_true();
        self.tasks.nothing_is_lost();
    }

    /// What was prepared is as wished, wherever the machine has such a thing.
    fn wishes_came_true(&mut self) {
        for host in &self.rack.hosts {
            let unit = look(&self.machines[&host.id()]);
            let Some(bmc) = &unit.bmc else { continue };
            for (wishes, have) in [(&host.wishes.bios, bmc.bios()), (&host.wishes.manager, bmc.manager())] {
                for (name, wanted) in wishes {
                    let Some(value) = have.get(name) else { continue };
                    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    assert_eq!(&value, wanted, "{}: {name} is not as wished", host.name);
                }
            }
            if let [first, second] = &host.wishes.slots[..] {
                let bays = [first, second].map(|slot| slot.parse::<u32>().unwrap());
                let right = |volume: &Volume| volume.raid == "RAID1" && volume.bays == bays;
                assert!(bmc.volumes().iter().any(right), "{}: no RAID-1: {:?}", host.name, bmc.volumes());
            }
        }
    }
}
