//! The storage of the model and the memory adapter, which is the reference for
//! all others, answer alike.

use std::collections::BTreeMap;

use bytes::Bytes;
use jido_core::{
    AgentId, AgentKey, Checkpoint, ClusterName, Epoch, Incarnation, ManagerName, NodeName,
    Revision, Seq, Timestamp,
};
use jido_storage::{
    AppendOutcome, ClaimOutcome, ClaimRequest, MemoryStorage, NodeRegistration, Registration,
    Renewal, Storage,
};

use crate::rules::{Bounds, Clocks, Rules, Takeover};
use crate::state::{Log, Outcome, Replies};
use crate::store::{Claimed, Commit, Owner, Store};

const RULES: Rules = Rules {
    bounds: Bounds {
        nodes: 3,
        keys: 1,
        requests: 0,
        epochs: 0,
        ends: 0,
        rebirths: 0,
        unknowns: 0,
        strays: 0,
        doubles: 0,
        clocks: Clocks::None,
    },
    takeover: Takeover::AfterLease,
    flaw: None,
};

/// Both, and which life each node has.
struct Pair {
    model: Store,
    memory: MemoryStorage,
    lives: [u128; 3],
    cluster: ClusterName,
    id: AgentId,
}

impl Pair {
    async fn new() -> Self {
        let cluster = ClusterName::new("c").unwrap();
        let manager = ManagerName::new("m").unwrap();
        let pair = Self {
            model: Store::default(),
            memory: MemoryStorage::shared(),
            lives: [1, 2, 3],
            id: AgentId::new(cluster.clone(), manager, AgentKey::new("k").unwrap()),
            cluster,
        };
        for node in 0..3 {
            assert!(pair.register_in_memory(node).await);
        }
        pair
    }

    fn life(&self, node: usize) -> Incarnation {
        Incarnation(self.lives[node])
    }

    async fn register_in_memory(&self, node: usize) -> bool {
        let registration = NodeRegistration {
            cluster: self.cluster.clone(),
            name: NodeName::new(format!("n{node}")).unwrap(),
            incarnation: self.life(node),
            address: String::new(),
            metadata: BTreeMap::new(),
            at: Timestamp(0),
        };
        let answer = self.memory.register_node(registration).await.unwrap();
        matches!(answer, Registration::Registered(_))
    }

    async fn claim(&mut self, node: usize, takeover: Takeover) {
        let rules = Rules { takeover, ..RULES };
        let mut take_from = None;
        if takeover == Takeover::OnDisconnect {
            let record = self.memory.head(&self.id).await.unwrap();
            take_from = record.and_then(|record| record.owner);
        }
        let request = ClaimRequest {
            id: self.id.clone(),
            claimant: self.life(node),
            take_from,
            at: Timestamp(0),
        };
        let memory = match self.memory.claim(request).await.unwrap() {
            ClaimOutcome::Claimed(epoch) => Claimed::Epoch(u8::try_from(epoch.0).unwrap()),
            ClaimOutcome::Held { .. } => Claimed::Held,
            ClaimOutcome::ClaimantDead => Claimed::ClaimantDead,
        };
        assert_eq!(self.model.claim(&rules, 0, node), memory);
    }

    async fn append(&mut self, epoch: u8, expected: u8, release: bool) {
        let commit = Commit {
            key: 0,
            epoch,
            expected,
            state: Log::default(),
            replies: Replies::default(),
            release,
            denied: false,
        };
        let mut same = jido_storage::Commit::new(
            self.id.clone(),
            Epoch(epoch.into()),
            Revision(expected.into()),
            Timestamp(0),
        );
        same.release = release;
        if !release {
            same.checkpoint = Some(Checkpoint {
                state: Bytes::from_static(b"state"),
                covers: Seq(0),
            });
        }
        let memory = match self.memory.append(same).await {
            AppendOutcome::Committed(_) => Outcome::Committed,
            AppendOutcome::Conflict { .. } => Outcome::Conflict,
            AppendOutcome::Fenced { .. } => Outcome::Fenced,
            other => panic!("the memory adapter answered {other:?}"),
        };
        assert_eq!(self.model.append(&RULES, &commit), memory);
    }

    async fn renew(&self, node: usize) {
        let answer = self.memory.renew_node(&self.cluster, self.life(node));
        let renewed = matches!(answer.await.unwrap(), Renewal::Renewed(_));
        assert_eq!(self.model.renew(&RULES, node), renewed);
    }

    async fn declare_dead(&mut self, node: usize) {
        let (cluster, life) = (&self.cluster, self.life(node));
        assert!(self.memory.declare_dead(cluster, life, None).await.unwrap());
        self.model.declare_dead(node);
    }

    async fn register(&mut self, node: usize) {
        let former = self.lives[node];
        self.lives[node] += 3;
        let registered = self.register_in_memory(node).await;
        assert_eq!(self.model.register(node), registered);
        if !registered {
            self.lives[node] = former;
        }
    }

    async fn compare(&self) {
        let Some(record) = self.memory.head(&self.id).await.unwrap() else {
            assert_eq!(self.model.agents[0].epoch, 0);
            return;
        };
        let agent = &self.model.agents[0];
        let counters = (u64::from(agent.epoch), u64::from(agent.revision));
        assert_eq!(counters, (record.epoch.0, record.revision.0));
        match agent.owner {
            Owner::None => assert_eq!(record.owner, None),
            Owner::Node(node) => assert_eq!(record.owner, Some(self.life(usize::from(node)))),
            Owner::Dead => {
                let owner = record.owner.unwrap();
                let alive = (0..3).any(|node| !self.model.dead[node] && self.life(node) == owner);
                assert!(!alive, "{owner:?} lives");
            }
        }
    }
}

#[test]
fn the_model_and_the_memory_adapter_answer_alike() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for seed in 0..3_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        runtime.block_on(async {
            let mut pair = Pair::new().await;
            for _ in 0..30 {
                let node = random.usize(0..3);
                let agent = pair.model.agents[0];
                match random.u8(0..12) {
                    0..=2 => pair.claim(node, Takeover::AfterLease).await,
                    3 => pair.claim(node, Takeover::OnDisconnect).await,
                    kind @ 4..=8 => {
                        let epoch = agent.epoch.saturating_sub(random.u8(0..2));
                        let expected = agent.revision.saturating_sub(random.u8(0..2));
                        pair.append(epoch, expected, kind == 8).await;
                    }
                    9 => pair.declare_dead(node).await,
                    10 => pair.register(node).await,
                    _ => pair.renew(node).await,
                }
                pair.compare().await;
            }
        });
    }
}
