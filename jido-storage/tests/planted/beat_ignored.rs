//! A node is declared dead whatever beat was observed.

use async_trait::async_trait;
use jido_core::{ClusterName, Incarnation};
use jido_storage::conformance::Rule;
use jido_storage::{Error, Storage};

use crate::double::{Flaw, Rows};
use crate::verdict::is_caught;

#[derive(Debug)]
struct BeatIgnored {
    on: bool,
}

#[async_trait]
impl Flaw for BeatIgnored {
    async fn declare_dead(
        &self,
        rows: &Rows,
        cluster: &ClusterName,
        life: Incarnation,
        observed: Option<u64>,
    ) -> Result<bool, Error> {
        let observed = observed.filter(|_| !self.on);
        rows.declare_dead(cluster, life, observed).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_caught() {
    is_caught(|on| BeatIgnored { on }, &[Rule::Node, Rule::Whole]).await;
}
