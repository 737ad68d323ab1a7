//! `beat + 1 where incarnation = me`, without `and state = up`.

use async_trait::async_trait;
use jido_core::{ClusterName, Incarnation};
use jido_storage::conformance::Rule;
use jido_storage::{Error, Renewal, Storage};

use crate::double::{Flaw, Rows};
use crate::verdict::is_caught;

#[derive(Debug)]
struct DeadRenews {
    on: bool,
}

#[async_trait]
impl Flaw for DeadRenews {
    async fn renew_node(
        &self,
        rows: &Rows,
        cluster: &ClusterName,
        life: Incarnation,
    ) -> Result<Renewal, Error> {
        let renewal = rows.renew_node(cluster, life).await?;
        let nodes = rows.nodes(cluster).await?;
        let own = nodes.iter().find(|node| node.incarnation == life);
        match (renewal, own) {
            (Renewal::Dead, Some(own)) if self.on => Ok(Renewal::Renewed(own.beat + 1)),
            _ => Ok(renewal),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_is_caught() {
    is_caught(|on| DeadRenews { on }, &[Rule::Node, Rule::Whole]).await;
}
