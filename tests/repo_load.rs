//! Loading repositories: what is accepted, what comes out.

use rackwright::model::Site;
use rackwright::repo;
use rackwright::sim::fault::Dice;

use crate::racks::{self, Rack};

#[test]
fn made_up_racks_load_without_a_finding() {
    for seed in 0..50 {
        let rack = Rack::random(&mut Dice::new(seed));
        let site = rackwright::model::Policy::default().site;
        let desired = racks::load(&rack, &site, None, "0".repeat(40)).expect("no errors");
        assert_eq!(desired.warnings, [], "seed {seed}");
        assert_eq!(desired.hosts.len(), rack.hosts.len());
        let _: (&Site, fn(&repo::Tree, &repo::Context<'_>) -> repo::Loaded) = (&site, repo::load);
    }
}
