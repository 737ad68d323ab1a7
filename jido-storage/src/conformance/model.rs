//! Generated sequences of operations, against a model in plain maps.

use std::collections::BTreeMap;

use bytes::Bytes;
use jido_core::{
    AgentId, Entry, Epoch, Incarnation, NodeName, RequestId, Revision, Seq, Timestamp,
};

use super::fixture::{Draw, World, checkpoint, cluster, entry, id_of, registration};
use crate::{
    AppendOutcome, ClaimOutcome, ClaimRequest, Commit, CommittedRequest, NodeState, Registration,
    Renewal, RequestMark, RequestRecord,
};

const STEPS: u64 = 250;

#[derive(Debug, Default)]
struct Model {
    nodes: BTreeMap<Incarnation, (NodeName, u64, bool)>,
    agents: BTreeMap<AgentId, Agent>,
}

#[derive(Debug, Default, Clone)]
struct Agent {
    owner: Option<Incarnation>,
    epoch: u64,
    revision: u64,
    exists: bool,
    state: Option<(Bytes, u64)>,
    thread: Vec<Entry>,
    metadata: BTreeMap<String, String>,
    requests: BTreeMap<RequestId, CommittedRequest>,
    floor: Timestamp,
}

/// An outcome without its error, so that two compare.
fn plain(outcome: &AppendOutcome) -> String {
    match outcome {
        AppendOutcome::Failed(error) => format!("Failed({:?})", error.kind()),
        AppendOutcome::Unknown(error) => format!("Unknown({error})"),
        other => format!("{other:?}"),
    }
}

impl Model {
    fn up(&self, node: Incarnation) -> bool {
        self.nodes.get(&node).is_some_and(|(_, _, up)| *up)
    }

    fn register(&mut self, life: Incarnation, name: &NodeName) -> bool {
        if let Some((_, _, up)) = self.nodes.get(&life) {
            return *up;
        }
        if self
            .nodes
            .values()
            .any(|(other, _, up)| other == name && *up)
        {
            return false;
        }
        self.nodes.insert(life, (name.clone(), 1, true));
        true
    }

    fn claim(&mut self, claim: &ClaimRequest) -> ClaimOutcome {
        if !self.up(claim.claimant) {
            return ClaimOutcome::ClaimantDead;
        }
        let agent = self.agents.get(&claim.id).cloned().unwrap_or_default();
        match agent.owner {
            Some(owner)
                if owner != claim.claimant && Some(owner) != claim.take_from && self.up(owner) =>
            {
                ClaimOutcome::Held {
                    owner,
                    epoch: Epoch(agent.epoch),
                }
            }
            _ => {
                let agent = self.agents.entry(claim.id.clone()).or_default();
                agent.exists = true;
                agent.owner = Some(claim.claimant);
                agent.epoch += 1;
                ClaimOutcome::Claimed(Epoch(agent.epoch))
            }
        }
    }

    fn append(&mut self, commit: &Commit) -> String {
        let agent = self.agents.entry(commit.id.clone()).or_default();
        if agent.owner.is_none() || agent.epoch != commit.epoch.0 {
            return plain(&AppendOutcome::Fenced {
                epoch: Epoch(agent.epoch),
            });
        }
        if agent.revision != commit.expected.0 {
            return plain(&AppendOutcome::Conflict {
                actual: Revision(agent.revision),
            });
        }
        let kept = if commit.erase.thread {
            0
        } else {
            agent.thread.len()
        };
        let len = (kept + commit.entries.len()) as u64;
        if commit.checkpoint.as_ref().is_some_and(|c| c.covers.0 > len) {
            return "Failed(InvalidInput)".into();
        }
        let writes = commit.entries.len() + commit.requests.len();
        let erases = commit.erase.thread || commit.erase.checkpoint;
        if writes > 0 || commit.checkpoint.is_some() || erases {
            agent.revision += 1;
        }
        if commit.erase.checkpoint {
            agent.state = None;
        }
        if commit.erase.thread {
            agent.thread.clear();
            agent.metadata.clear();
            agent.state = agent.state.take().map(|(state, _)| (state, 0));
        }
        if agent.thread.is_empty() && !commit.entries.is_empty() {
            agent.metadata = commit.thread_metadata.clone();
        }
        for new in &commit.entries {
            let seq = Seq(agent.thread.len() as u64);
            let revision = Revision(agent.revision);
            agent
                .thread
                .push(Entry::committed(new, seq, revision, commit.epoch));
        }
        if let Some(checkpoint) = &commit.checkpoint {
            agent.state = Some((checkpoint.state.clone(), checkpoint.covers.0));
        }
        for request in &commit.forget {
            agent.requests.remove(request);
        }
        for request in &commit.requests {
            let committed = CommittedRequest {
                issued_at: request.issued_at,
                revision: Revision(agent.revision),
                reply: request.reply.clone(),
            };
            agent.requests.entry(request.request).or_insert(committed);
        }
        if let Some(floor) = commit.forget_before {
            agent.floor = agent.floor.max(floor);
        }
        if commit.release {
            agent.owner = None;
        }
        plain(&AppendOutcome::Committed(Revision(agent.revision)))
    }

    fn delete(&mut self, id: &AgentId, epoch: Epoch) -> String {
        let agent = self.agents.entry(id.clone()).or_default();
        if agent.owner.is_none() || agent.epoch != epoch.0 {
            return plain(&AppendOutcome::Fenced {
                epoch: Epoch(agent.epoch),
            });
        }
        *agent = Agent {
            epoch: agent.epoch,
            revision: agent.revision + 1,
            ..Agent::default()
        };
        plain(&AppendOutcome::Committed(Revision(agent.revision)))
    }
}

fn any_id(draw: &mut Draw) -> AgentId {
    let long = "k".repeat(600);
    let keys = ["a", "b", "a/b", "é", long.as_str()];
    let managers = ["agents", "agents.b"];
    id_of(
        managers[draw.below(2) as usize],
        keys[draw.below(5) as usize],
    )
}

fn any_commit(draw: &mut Draw, model: &Model, at: u64) -> Commit {
    let id = any_id(draw);
    let agent = model.agents.get(&id).cloned().unwrap_or_default();
    let epoch = if draw.below(6) == 0 {
        draw.below(agent.epoch + 2)
    } else {
        agent.epoch
    };
    let revision = if draw.below(6) == 0 {
        draw.below(agent.revision + 2)
    } else {
        agent.revision
    };
    let mut commit = Commit::new(id, Epoch(epoch), Revision(revision), Timestamp(at));
    for _ in 0..draw.below(4) {
        let len = draw.below(300) as usize;
        commit.entries.push(entry(draw.bytes(len)));
    }
    if draw.below(3) == 0 {
        let covers = draw.below((agent.thread.len() + commit.entries.len()) as u64 + 2);
        let len = draw.below(5000) as usize;
        commit.checkpoint = Some(checkpoint(draw.bytes(len), covers));
    }
    for _ in 0..draw.below(3) {
        let request = RequestId::new(u128::from(draw.below(3)), draw.below(4));
        commit.requests.push(RequestRecord {
            request,
            issued_at: Timestamp(draw.below(4)),
            reply: draw.bytes(20),
        });
    }
    for _ in 0..draw.below(2) {
        let request = RequestId::new(u128::from(draw.below(3)), draw.below(4));
        commit.forget.push(request);
    }
    if draw.below(4) == 0 {
        commit.forget_before = Some(Timestamp(draw.below(50)));
    }
    if draw.below(2) == 0 {
        commit
            .thread_metadata
            .insert("at".into(), format!("{at} \u{1}\u{e9}"));
    }
    commit.erase.thread = draw.below(8) == 0;
    commit.erase.checkpoint = draw.below(8) == 0;
    commit.release = draw.below(8) == 0;
    commit
}

async fn step(world: &World, model: &mut Model, draw: &mut Draw, at: u64) {
    let life = Incarnation(u128::from(draw.below(5)) + 1);
    match draw.below(16) {
        0 | 1 => {
            let name = format!("n{}", draw.below(3));
            // A dead life that owns nothing may have been forgotten, and what
            // then comes of it is the adapter's choice.
            let owns = model.agents.values().any(|agent| agent.owner == Some(life));
            if model.nodes.contains_key(&life) && !model.up(life) && !owns {
                return;
            }
            let given = registration(&name, life.0);
            let expected = model.register(life, &given.name);
            let outcome = world.storage.register_node(given).await.unwrap();
            assert_eq!(
                matches!(outcome, Registration::Registered(_)),
                expected,
                "{outcome:?}"
            );
        }
        2 => {
            let expected = match model.nodes.get_mut(&life) {
                Some((_, beat, true)) => {
                    *beat += 1;
                    Renewal::Renewed(*beat)
                }
                _ => Renewal::Dead,
            };
            assert_eq!(
                world.storage.renew_node(&cluster(), life).await.unwrap(),
                expected
            );
        }
        3 => {
            let observed = Some(draw.below(4)).filter(|beat| *beat > 0);
            let expected = match model.nodes.get_mut(&life) {
                Some((_, beat, up)) => {
                    *up &= observed.is_some_and(|observed| observed != *beat);
                    !*up
                }
                None => true,
            };
            let dead = world
                .storage
                .declare_dead(&cluster(), life, observed)
                .await
                .unwrap();
            assert_eq!(dead, expected);
        }
        4..=7 => {
            let take_from = Some(Incarnation(u128::from(draw.below(10)) + 1));
            let claim = ClaimRequest {
                id: any_id(draw),
                claimant: life,
                take_from,
                at: Timestamp(at),
            };
            let expected = model.claim(&claim);
            assert_eq!(world.storage.claim(claim).await.unwrap(), expected);
        }
        8 => {
            let id = any_id(draw);
            let known = model.agents.get(&id).map_or(0, |agent| agent.epoch);
            let epoch = Epoch(known.saturating_sub(draw.below(2)));
            let expected = model.delete(&id, epoch);
            let outcome = world.storage.delete(&id, epoch, Timestamp(at)).await;
            assert_eq!(plain(&outcome), expected);
        }
        9 => {
            let commits: Vec<Commit> = (0..draw.below(6))
                .map(|_| any_commit(draw, model, at))
                .collect();
            let expected: Vec<String> = commits.iter().map(|c| model.append(c)).collect();
            let outcomes = world.storage.append_many(commits).await;
            assert_eq!(outcomes.iter().map(plain).collect::<Vec<_>>(), expected);
        }
        _ => {
            let commit = any_commit(draw, model, at);
            let expected = model.append(&commit);
            assert_eq!(plain(&world.append(commit).await), expected);
        }
    }
}

async fn compare(world: &World, model: &Model) {
    for (id, agent) in &model.agents {
        let loaded = world.storage.load(id).await.unwrap();
        assert_eq!(loaded.is_some(), agent.exists, "{id}");
        let Some(loaded) = loaded else {
            assert!(world.thread(id).await.is_empty());
            continue;
        };
        let record = &loaded.record;
        assert_eq!(
            (
                record.owner,
                record.epoch.0,
                record.revision.0,
                record.thread_len.0
            ),
            (
                agent.owner,
                agent.epoch,
                agent.revision,
                agent.thread.len() as u64
            ),
            "{id}"
        );
        assert_eq!(&world.head(id).await, record);
        assert_eq!(
            loaded.checkpoint.map(|c| (c.state, c.covers.0)),
            agent.state,
            "{id}"
        );
        assert_eq!(loaded.thread_metadata, agent.metadata, "{id}");
        assert_eq!(loaded.requests.floor, agent.floor, "{id}");
        let mut marks: Vec<RequestMark> = agent
            .requests
            .iter()
            .map(|(request, committed)| RequestMark {
                request: *request,
                issued_at: committed.issued_at,
                revision: committed.revision,
            })
            .collect();
        marks.sort_by_key(|mark| (mark.issued_at, mark.request));
        assert_eq!(loaded.requests.marks, marks, "{id}");
        assert_eq!(world.thread_by(id, 7).await, agent.thread, "{id}");
        for client in 0..3 {
            for seq in 0..4 {
                let request = RequestId::new(client, seq);
                let expected = agent.requests.get(&request).cloned();
                assert_eq!(world.storage.reply_of(id, request).await.unwrap(), expected);
            }
        }
    }
    for manager in ["agents", "agents.b"] {
        let expected: Vec<&str> = model
            .agents
            .iter()
            .filter(|(id, _)| id.manager.as_str() == manager)
            .filter(|(_, a)| a.exists && (a.owner.is_some() || a.revision > 0))
            .map(|(id, _)| id.key.as_str())
            .collect();
        assert_eq!(world.keys(manager, 2).await, expected);
    }
    // Dead lives that own nothing may be forgotten; all others are there.
    let nodes = world.storage.nodes(&cluster()).await.unwrap();
    for node in &nodes {
        let (name, beat, up) = &model.nodes[&node.incarnation];
        assert_eq!((&node.name, node.beat), (name, *beat));
        assert_eq!(node.state == NodeState::Up, *up);
    }
    let up = model.nodes.values().filter(|(_, _, up)| *up).count();
    assert_eq!(
        nodes
            .iter()
            .filter(|node| node.state == NodeState::Up)
            .count(),
        up
    );
}

async fn generated(world: World, seed: u64) {
    let mut draw = Draw::new(seed);
    let mut model = Model::default();
    for at in 0..STEPS {
        step(&world, &mut model, &mut draw, at).await;
        if at % 50 == 49 {
            compare(&world, &model).await;
        }
    }
}

/// A case for each seed, so that a failure names it and storages begin empty.
macro_rules! seeds {
    ($($name:ident = $seed:literal),* $(,)?) => {
        super::cases![$($name),*];
        $(async fn $name(world: World) {
            generated(world, $seed).await;
        })*
    };
}

seeds![
    seed_1 = 1,
    seed_2 = 2,
    seed_3 = 3,
    seed_4 = 4,
    seed_5 = 5,
    seed_6 = 6,
    seed_7 = 7,
    seed_8 = 8,
];
