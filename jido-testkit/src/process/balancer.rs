//! Which nodes take requests, as a load balancer finds out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::client::DemoClient;
use crate::wiring::spawn;

/// How often every node is asked whether it is ready.
const INTERVAL: Duration = Duration::from_millis(100);

/// Picks nodes that are ready, by asking each of them ten times a second, as a
/// load balancer in front of a service does. Clones share what was found.
#[derive(Debug, Clone)]
pub struct Balancer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    targets: Arc<[Target]>,
    probes: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Target {
    client: DemoClient,
    ready: AtomicBool,
}

impl Balancer {
    /// Begins to ask these nodes, which are taken for ready at first.
    pub fn start(clients: impl IntoIterator<Item = DemoClient>) -> Self {
        let targets: Arc<[Target]> = clients
            .into_iter()
            .map(|client| Target {
                client,
                ready: AtomicBool::new(true),
            })
            .collect();
        let probes = (0..targets.len())
            .map(|at| spawn(probe(Arc::clone(&targets), at)))
            .collect();
        Self(Arc::new(Inner { targets, probes }))
    }

    /// A node for the client with this number: always the same as long as that is
    /// ready, otherwise the next that is. If none is, its own.
    pub fn pick(&self, client: usize) -> Option<Picked> {
        let targets = &self.0.targets;
        let len = targets.len();
        let own = client.checked_rem(len)?;
        let at = (0..len)
            .map(|step| (own + step) % len)
            .find(|at| targets[*at].ready.load(Ordering::Relaxed))
            .unwrap_or(own);
        Some(Picked {
            targets: Arc::clone(targets),
            at,
        })
    }
}

/// A node that was picked.
#[derive(Debug)]
pub struct Picked {
    targets: Arc<[Target]>,
    at: usize,
}

impl Picked {
    /// The client of the node.
    pub fn client(&self) -> &DemoClient {
        &self.targets[self.at].client
    }

    /// Takes the node for not ready, until it says itself that it is.
    pub fn reject(&self) {
        self.targets[self.at].ready.store(false, Ordering::Relaxed);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.probes.iter().for_each(JoinHandle::abort);
    }
}

async fn probe(targets: Arc<[Target]>, at: usize) {
    let target = &targets[at];
    let client = target.client.with_timeout(Duration::from_secs(1));
    loop {
        let ready = client.ready().await.is_ok();
        target.ready.store(ready, Ordering::Relaxed);
        tokio::time::sleep(INTERVAL).await;
    }
}
