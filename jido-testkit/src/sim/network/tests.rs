//! The simulated network keeps what transports promise.

use async_trait::async_trait;
use jido_cluster::conformance::{Local, Stage, Subject, cases};

use super::*;
use crate::sim::simulate;

#[derive(Debug)]
struct Simulated(Network);

#[async_trait]
impl Stage for Simulated {
    async fn start(&self, peer: Peer) -> Arc<dyn Subject> {
        let (network, life) = (self.0.clone(), peer.incarnation);
        let label = peer.address.clone();
        let transport = SimTransport::new(network.clone(), peer.clone(), label);
        Local::start(peer, Arc::new(transport), move || network.kill(life, false)).await
    }
}

#[test]
fn the_simulated_transport_keeps_every_promise_from_every_seed() {
    let mut broken = Vec::new();
    let mut simulated = 0;
    for seed in 1..=40 {
        for (name, case) in cases() {
            let body = |world: World| async move {
                let network = Network::new(&world);
                // Nodes that know each other by storage alone don't meet by themselves.
                if !network.0.state.lock().seeds {
                    return None;
                }
                Some(case(Arc::new(Simulated(network))).await)
            };
            match simulate(seed, false, body).unwrap().0 {
                None => break,
                Some(Ok(())) => simulated += 1,
                Some(Err(why)) => broken.push(format!("seed {seed}, {name}: {why}")),
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(simulated >= 100, "{simulated}");
}
