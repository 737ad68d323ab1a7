//! The storage contract over a [`Connection`].

use async_trait::async_trait;
use futures_util::FutureExt;
use jido_cluster::storage::{
    AgentRecord, AppendOutcome, Capabilities, ClaimOutcome, ClaimRequest, Commit, CommittedRequest,
    DirectoryPage, DirectoryQuery, Due, DueQuery, Error, Loaded, NodeRecord, NodeRegistration,
    Registration, Renewal, Storage,
};
use jido_cluster::{AgentId, ClusterName, Entry, Epoch, Incarnation, RequestId, Seq, Timestamp};

use super::connection::{Connection, Failure};
use super::{Change, Server};

/// Wraps what the memory adapter does: the result itself, and its line in the trace.
macro_rules! apply {
    (|$server:ident| $result:expr, $value:ident => $line:expr) => {
        Box::new(move |$server: Server| {
            async move {
                let $value = $result;
                let line = $line;
                ($value, line)
            }
            .boxed()
        })
    };
}

#[async_trait]
impl Storage for Connection {
    fn capabilities(&self) -> Capabilities {
        // It outlives the crash of any simulated node.
        Capabilities {
            durable: true,
            batching: self.server().0.batching,
            ..self.server().0.memory.capabilities()
        }
    }

    async fn register_node(&self, node: NodeRegistration) -> Result<Registration, Error> {
        let apply = apply!(|server| server.0.memory.register_node(node).await,
        result => match &result {
            Ok(Registration::Registered(record)) => format!("beat {}", record.beat),
            Ok(Registration::NameTaken(other)) => format!("taken, beat {}", other.beat),
            Err(error) => error.to_string(),
        });
        self.try_to("register", apply).await
    }

    async fn renew_node(&self, cluster: &ClusterName, life: Incarnation) -> Result<Renewal, Error> {
        let cluster = cluster.clone();
        let apply = apply!(|server| {
            let renewal = server.0.memory.renew_node(&cluster, life).await;
            server.count_if(matches!(renewal, Ok(Renewal::Dead)), "node found itself declared dead");
            renewal
        }, result => format!("{result:?}"));
        self.try_to("renew", apply).await
    }

    async fn declare_dead(
        &self,
        cluster: &ClusterName,
        life: Incarnation,
        observed: Option<u64>,
    ) -> Result<bool, Error> {
        let cluster = cluster.clone();
        let apply = apply!(|server| {
            let dead = server.0.memory.declare_dead(&cluster, life, observed).await;
            server.count_if(matches!(dead, Ok(true)), "declared dead");
            dead
        }, result => format!("{life} {result:?}"));
        self.try_to("declare dead", apply).await
    }

    async fn nodes(&self, cluster: &ClusterName) -> Result<Vec<NodeRecord>, Error> {
        let cluster = cluster.clone();
        let apply = apply!(|server| server.0.memory.nodes(&cluster).await,
            result => format!("{}", result.as_ref().map_or(0, Vec::len)));
        self.try_to("nodes", apply).await
    }

    async fn claim(&self, claim: ClaimRequest) -> Result<ClaimOutcome, Error> {
        let (id, owner, taken) = (claim.id.clone(), claim.claimant, claim.take_from);
        let apply = apply!(|server| {
            let outcome = server.0.memory.claim(claim).await;
            server.claimed(&id, owner, taken.is_some(), &outcome);
            outcome
        }, result => format!("{} {result:?}", id.key));
        self.try_to("claim", apply).await
    }

    async fn load(&self, id: &AgentId) -> Result<Option<Loaded>, Error> {
        let id = id.clone();
        let apply = apply!(|server| server.0.memory.load(&id).await, result => match &result {
            Ok(Some(loaded)) => format!("{} {}", id.key, loaded.record.revision),
            _ => format!("{} none", id.key),
        });
        self.try_to("load", apply).await
    }

    async fn head(&self, id: &AgentId) -> Result<Option<AgentRecord>, Error> {
        let id = id.clone();
        let apply = apply!(|server| server.0.memory.head(&id).await,
            _result => id.key.to_string());
        self.try_to("head", apply).await
    }

    async fn read_thread(
        &self,
        id: &AgentId,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        let id = id.clone();
        self.server()
            .0
            .world
            .count("thread read for the start of an agent");
        let apply = apply!(|server| server.0.memory.read_thread(&id, from, limit).await,
            _result => id.key.to_string());
        self.try_to("thread", apply).await
    }

    async fn reply_of(
        &self,
        id: &AgentId,
        request: RequestId,
    ) -> Result<Option<CommittedRequest>, Error> {
        let id = id.clone();
        let apply = apply!(|server| server.0.memory.reply_of(&id, request).await,
            _result => id.key.to_string());
        self.try_to("reply", apply).await
    }

    async fn append_many(&self, commits: Vec<Commit>) -> Vec<AppendOutcome> {
        let count = commits.len();
        let apply = apply!(|server| server.append(commits).await,
            result => format!("{result:?}"));
        match self.carry("append", apply).await {
            Ok(outcomes) => outcomes,
            Err(Failure::NotDone) => outcomes(count, || Failure::NotDone),
            Err(Failure::Unknown) => outcomes(count, || Failure::Unknown),
        }
    }

    async fn delete(&self, id: &AgentId, epoch: Epoch, at: Timestamp) -> AppendOutcome {
        let id = id.clone();
        let apply = apply!(|server| {
            let outcome = server.0.memory.delete(&id, epoch, at).await;
            if let AppendOutcome::Committed(revision) = outcome {
                server.record(&id, epoch, Change::Deleted { revision });
                server.0.world.count("deleted");
            }
            outcome
        }, result => format!("{} {result:?}", id.key));
        self.carry("delete", apply)
            .await
            .unwrap_or_else(Failure::outcome)
    }

    async fn directory(&self, query: DirectoryQuery) -> Result<DirectoryPage, Error> {
        let apply = apply!(|server| server.0.memory.directory(query).await,
            _result => String::new());
        self.try_to("directory", apply).await
    }

    async fn due(&self, query: DueQuery) -> Result<Vec<Due>, Error> {
        let apply = apply!(|server| server.0.memory.due(query).await,
            _result => String::new());
        self.try_to("directory", apply).await
    }
}

fn outcomes(count: usize, failure: impl Fn() -> Failure) -> Vec<AppendOutcome> {
    (0..count).map(|_| failure().outcome()).collect()
}
