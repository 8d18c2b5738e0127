//! The simulated BMC behind TLS: what a transport makes of a changed certificate, a web page and a broken connection.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rackwright::drive::bmc::Tls;
use rackwright::model::{FaultClass, Reason, Secret, Time};
use rackwright::sim::bmc::{Bmc, BmcConfig, Request};
use rackwright::sim::fault::Fault;
use rackwright::sim::https::{self, Identity};
use rackwright::sim::machine::{Machine, MachineConfig, Timings};
use rackwright::sim::tree::Vendor;

use crate::rig::bmc::{PASSWORD, probe, target};

type Shared = Arc<Mutex<(Bmc, Machine)>>;

fn desk() -> Shared {
    let bmc = Bmc::new(BmcConfig::new(Vendor::Dell, "root", Secret::new(PASSWORD)));
    let machine = MachineConfig::new("hv1", None, "52:54:00:00:00:01".parse().unwrap(), Timings::real());
    Arc::new(Mutex::new((bmc, Machine::new(machine))))
}

#[tokio::test]
async fn a_changed_certificate_a_web_page_and_a_broken_connection_arrive_as_such() {
    let shared = desk();
    let answer = {
        let shared = shared.clone();
        move |request: Request| {
            let (bmc, machine) = &mut *shared.lock().unwrap();
            let answer = bmc.handle(machine, Time(0), &request);
            std::future::ready((Duration::ZERO, answer.response))
        }
    };
    let (first, second) = (Identity::generate("bmc").unwrap(), Identity::generate("bmc").unwrap());
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut target = target(socket.local_addr().unwrap().port());
    let (stop, serving) = https::serve(socket, &first, answer).unwrap();
    let mut server = tokio::task::JoinSet::new();
    server.spawn(async move { serving.await.unwrap() });

    assert_eq!(probe(&target, None).await.unwrap().1, Some(first.fingerprint()));
    stop.show(&second);
    target.tls = Tls::Pin(Some(first.fingerprint()));
    let fault = probe(&target, None).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Operator, Reason::CertificateChanged), "{fault}");
    assert!(fault.message.contains(&first.fingerprint()) && fault.message.contains(&second.fingerprint()));
    assert_eq!(shared.lock().unwrap().0.logins, 1, "the one with the right certificate");

    target.tls = Tls::Pin(Some(second.fingerprint()));
    for fault in [Fault::BmcHtml, Fault::BmcReset] {
        shared.lock().unwrap().1.faults().give(fault, 1);
        let mut failures = 0;
        while shared.lock().unwrap().1.faults().remaining() > 0 {
            failures += u32::from(probe(&target, None).await.is_err());
        }
        assert!(failures <= 1, "{fault}: {failures} failures of one fault");
    }
    probe(&target, None).await.unwrap();
}
