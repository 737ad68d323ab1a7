//! The beat is compared in one step and death is declared in the next: a node that
//! renewed in between is dead although its beat moved.

use std::time::Duration;

use async_trait::async_trait;
use jido_core::{ClusterName, Incarnation};
use jido_storage::conformance::Rule;
use jido_storage::{Error, NodeState, Storage};

use crate::double::{Flaw, Rows};
use crate::verdict::is_caught;

const ROUND_TRIP: Duration = Duration::from_millis(2);

#[derive(Debug)]
struct BeatCheckedBefore {
    on: bool,
}

#[async_trait]
impl Flaw for BeatCheckedBefore {
    async fn declare_dead(
        &self,
        rows: &Rows,
        cluster: &ClusterName,
        life: Incarnation,
        observed: Option<u64>,
    ) -> Result<bool, Error> {
        let nodes = rows.nodes(cluster).await?;
        let Some(node) = nodes.iter().find(|node| node.incarnation == life) else {
            return Ok(true);
        };
        if observed.is_some_and(|beat| beat != node.beat) {
            return Ok(node.state == NodeState::Dead);
        }
        // The way to a server and back.
        tokio::time::sleep(ROUND_TRIP).await;
        let again = observed.filter(|_| !self.on);
        rows.declare_dead(cluster, life, again).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_caught() {
    is_caught(|on| BeatCheckedBefore { on }, &[Rule::Node]).await;
}
