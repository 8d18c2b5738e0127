//! An installer that announces what it boots: nobody is installed by what is not what was announced.

use rackwright::model::{ConditionStatus, HostState, Reason};

use crate::rig::e2e::{Rig, hasty};

/// What the stage has as its kernel, and its digest.
const KERNEL: &str = "stands for vmlinuz in the demo\n";

fn digest() -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(KERNEL))
}

/// PVC's installer as a site's own, with a kernel that is announced.
fn own_installer(rig: &mut Rig, sha256: &str) {
    let manifest = include_str!("../../templates/installers/pvc/installer.yaml");
    let images = format!("images:\n  - {{ name: vmlinuz, path: vmlinuz, sha256: {sha256} }}\n");
    let boot = include_str!("../../templates/installers/pvc/boot.ipxe.j2");
    let boot = boot.replace("kernel ${assets-url}/vmlinuz", "kernel {{ images.vmlinuz }}");
    assert!(boot.contains("images.vmlinuz"));
    for (name, text) in [
        ("installer.yaml", format!("{manifest}{images}")),
        ("boot.ipxe.j2", boot),
        ("mac.ipxe.j2", include_str!("../../templates/installers/pvc/mac.ipxe.j2").to_owned()),
        ("mac.preseed.j2", include_str!("../../templates/installers/pvc/mac.preseed.j2").to_owned()),
    ] {
        rig.files.insert(format!("installers/pvc/{name}"), text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2e_nobody_is_installed_before_the_image_is_what_was_announced() {
    let mut rig = Rig::new(2).await;
    own_installer(&mut rig, &"f".repeat(64));
    rig.start(&["--first-run"]).await;
    rig.machines(hasty(), |_| {}).await;
    rig.push("Define the cluster with a digest that is wrong").await;
    let stalled = rig.until_status("everybody waits for the image", |status| {
        let hosts = status.hosts();
        !hosts.is_empty() && hosts.iter().all(|host| host.condition.reason == Reason::DigestDiffers)
    });
    for host in stalled.await.hosts() {
        assert_eq!((host.state, host.condition.status), (HostState::PxeBooting, ConditionStatus::Stalled));
        assert!(host.condition.message.contains(&digest()), "what was found: {}", host.condition.message);
    }
    assert!(rig.wipes().iter().all(|wipes| *wipes == 0));
    let path = format!("/images/{}/vmlinuz", digest());
    assert_eq!(rig.ask(&path).await.unwrap().code, 404);

    own_installer(&mut rig, &digest());
    rig.push("Correct the digest").await;
    rig.until_completed().await;
    let served = rig.ask(&path).await.unwrap();
    assert_eq!((served.code, served.body.as_str()), (200, KERNEL));
    rig.check_history().await;
}
