//! What the task of a machine with a BMC needs, whether the machine is simulated or real firmware in an emulator: a place
//! where the machine is seen from outside, and Redfish over TLS whose requests the task answers.

use std::io;
use std::net::{SocketAddrV4, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::bmc::{Request, Response};
use super::https::{self, Identity, Stop};

/// Takes the answer to a request and how long it waits; without an answer the connection breaks.
pub(crate) type Reply = oneshot::Sender<(Duration, Option<Response>)>;

/// What can be seen of each machine of a rack.
pub(crate) struct Views<V>(Arc<watch::Sender<Vec<V>>>);

impl<V: Clone + PartialEq> Views<V> {
    pub(crate) fn new() -> Self {
        Views(Arc::new(watch::Sender::new(Vec::new())))
    }

    /// The place of one more machine.
    pub(crate) fn add(&self, view: V) -> Place<V> {
        self.0.send_modify(|views| views.push(view));
        Place { views: self.0.clone(), index: self.0.borrow().len() - 1 }
    }

    pub(crate) fn now(&self) -> Vec<V> {
        self.0.borrow().clone()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Vec<V>> {
        self.0.subscribe()
    }
}

/// Where one machine is seen.
pub(crate) struct Place<V> {
    views: Arc<watch::Sender<Vec<V>>>,
    index: usize,
}

impl<V: PartialEq> Place<V> {
    /// Wakes those who watch, if anything is different.
    pub(crate) fn publish(&self, view: V) {
        self.views.send_if_modified(|views| {
            let changed = views[self.index] != view;
            if changed {
                views[self.index] = view;
            }
            changed
        });
    }
}

/// Redfish at this address: each request becomes a command to the task behind `door`, which need not be there any more.
pub(crate) fn serve<C: Send + 'static>(
    at: SocketAddrV4,
    identity: &Identity,
    door: mpsc::WeakSender<C>,
    command: fn(Request, Reply) -> C,
) -> io::Result<(Stop, impl Future<Output = io::Result<()>> + use<C>)> {
    let answer = move |request| {
        let door = door.clone();
        async move {
            let (reply, answer) = oneshot::channel();
            if let Some(door) = door.upgrade() {
                let _ = door.send(command(request, reply)).await;
            }
            answer.await.unwrap_or((Duration::ZERO, None))
        }
    };
    https::serve(TcpListener::bind(at)?, identity, answer)
}
