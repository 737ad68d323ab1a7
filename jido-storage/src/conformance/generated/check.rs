//! Runs a sequence on the adapter and on the model, and compares.

use std::fmt::Debug;

use jido_core::{AgentId, Epoch, Timestamp};

use super::super::fixture::{World, cluster, registration};
use super::model::{Agent, Model, plain};
use super::operations::{AGENTS, CLIENTS, Life, Operation, REQUESTS, agent, life, request};
use crate::{ClaimRequest, Commit, NodeState, Registration, Renewal, RequestMark, RequestWindow};

type Agreed = Result<(), String>;

/// Says where the two part.
fn agree<T: PartialEq + Debug>(what: impl FnOnce() -> String, seen: &T, expected: &T) -> Agreed {
    if seen == expected {
        return Ok(());
    }
    Err(format!(
        "{}: saw {}, the model has {}",
        what(),
        short(seen),
        short(expected)
    ))
}

/// The beginning of what may be a thread of thousands of bytes.
fn short(value: &impl Debug) -> String {
    let mut text = format!("{value:?}");
    if let Some((end, _)) = text.char_indices().nth(600) {
        text.truncate(end);
        text.push_str("..");
    }
    text
}

pub(super) async fn run(world: &World, operations: &[Operation]) -> Agreed {
    let mut model = Model::default();
    for (at, operation) in operations.iter().enumerate() {
        let told = |why: String| format!("step {at}: {why}");
        step(world, &mut model, operation, at as u64)
            .await
            .map_err(told)?;
        if at % 50 == 49 {
            whole(world, &model)
                .await
                .map_err(|why| format!("after {}", told(why)))?;
        }
    }
    whole(world, &model)
        .await
        .map_err(|why| format!("at the end: {why}"))
}

async fn step(world: &World, model: &mut Model, operation: &Operation, at: u64) -> Agreed {
    let storage = &world.storage;
    let when = Timestamp(at + 1);
    match operation {
        Operation::Register { life, name } => register(world, model, *life, *name).await,
        Operation::Renew { life: which } => {
            let expected = match model.nodes.get_mut(&life(*which)) {
                Some((_, beat, true)) => {
                    *beat += 1;
                    Renewal::Renewed(*beat)
                }
                _ => Renewal::Dead,
            };
            let seen = storage.renew_node(&cluster(), life(*which)).await.unwrap();
            agree(|| "a renewal".into(), &seen, &expected)
        }
        Operation::DeclareDead {
            life: which,
            observed,
        } => {
            let observed = observed.map(u64::from);
            let expected = match model.nodes.get_mut(&life(*which)) {
                Some((_, beat, up)) => {
                    *up &= observed.is_some_and(|observed| observed != *beat);
                    !*up
                }
                None => true,
            };
            let seen = storage
                .declare_dead(&cluster(), life(*which), observed)
                .await;
            agree(|| "a declaration".into(), &seen.unwrap(), &expected)
        }
        Operation::Claim {
            agent: which,
            claimant,
            take_from,
        } => {
            let claim = ClaimRequest {
                id: agent(*which),
                claimant: life(*claimant),
                take_from: take_from.map(life),
                at: when,
            };
            let expected = model.claim(&claim);
            let seen = storage.claim(claim).await.unwrap();
            agree(|| "a claim".into(), &seen, &expected)?;
            glance(world, model, &agent(*which)).await
        }
        Operation::Delete {
            agent: which,
            epoch,
        } => {
            let id = agent(*which);
            let known = model.agents.get(&id).map_or(0, |agent| agent.epoch);
            let epoch = Epoch(epoch.of(known));
            let expected = model.delete(&id, epoch);
            let seen = plain(&storage.delete(&id, epoch, when).await);
            agree(|| "a deletion".into(), &seen, &expected)?;
            glance(world, model, &id).await
        }
        Operation::Append(change) => {
            let commit = change.commit(model, at);
            let expected = model.append(&commit);
            let seen = plain(&world.append(commit).await);
            agree(|| "an append".into(), &seen, &expected)?;
            glance(world, model, &agent(change.agent)).await
        }
        Operation::AppendMany(changes) => {
            // Each counts on the ones before it.
            let mut commits: Vec<Commit> = Vec::new();
            let mut expected = Vec::new();
            for change in changes {
                let commit = change.commit(model, at);
                expected.push(model.append(&commit));
                commits.push(commit);
            }
            let seen = storage.append_many(commits).await;
            let seen: Vec<String> = seen.iter().map(plain).collect();
            agree(|| "a batch".into(), &seen, &expected)?;
            for change in changes {
                glance(world, model, &agent(change.agent)).await?;
            }
            Ok(())
        }
    }
}

async fn register(world: &World, model: &mut Model, which: Life, name: u8) -> Agreed {
    let life = life(which);
    // A dead life that owns nothing may have been forgotten, and what then comes of it
    // is the adapter's choice.
    let owns = model.agents.values().any(|agent| agent.owner == Some(life));
    if model.nodes.contains_key(&life) && !model.up(life) && !owns {
        return Ok(());
    }
    let given = registration(&format!("n{name}"), life.0);
    let expected = model.register(life, &given.name);
    let seen = world.storage.register_node(given).await.unwrap();
    let seen = matches!(seen, Registration::Registered(_));
    agree(|| "whether it is registered".into(), &seen, &expected)
}

/// Compares an agent's record.
async fn glance(world: &World, model: &Model, id: &AgentId) -> Agreed {
    let seen = world.storage.head(id).await.unwrap();
    let none = Agent::default();
    let agent = model.agents.get(id).unwrap_or(&none);
    agree(
        || format!("whether {id} is there"),
        &seen.is_some(),
        &agent.exists,
    )?;
    let Some(seen) = seen else { return Ok(()) };
    agree(|| format!("the owner of {id}"), &seen.owner, &agent.owner)?;
    agree(|| format!("the epoch of {id}"), &seen.epoch.0, &agent.epoch)?;
    agree(
        || format!("the revision of {id}"),
        &seen.revision.0,
        &agent.revision,
    )?;
    let len = agent.thread.len() as u64;
    agree(|| format!("the length of {id}"), &seen.thread_len.0, &len)?;
    let times = (agent.created_at, agent.updated_at);
    agree(
        || format!("the times of {id}"),
        &(seen.created_at, seen.updated_at),
        &times,
    )
}

/// Compares everything that can be read.
async fn whole(world: &World, model: &Model) -> Agreed {
    for which in 0..AGENTS {
        let id = agent(which);
        let none = Agent::default();
        state(world, &id, model.agents.get(&id).unwrap_or(&none)).await?;
        glance(world, model, &id).await?;
    }
    for manager in ["agents", "agents.b"] {
        let expected: Vec<&str> = model
            .agents
            .iter()
            .filter(|(id, _)| id.manager.as_str() == manager)
            .filter(|(_, agent)| agent.exists && (agent.owner.is_some() || agent.revision > 0))
            .map(|(id, _)| id.key.as_str())
            .collect();
        let seen = world.keys(manager, 2).await;
        let seen: Vec<&str> = seen.iter().map(String::as_str).collect();
        agree(|| format!("the directory of {manager}"), &seen, &expected)?;
        let mut expected: Vec<(u64, &str)> = model
            .agents
            .iter()
            .filter(|(id, _)| id.manager.as_str() == manager)
            .filter_map(|(id, agent)| Some((agent.reminders.wake_at?.0, id.key.as_str())))
            .filter(|(wake_at, _)| *wake_at <= 12)
            .collect();
        expected.sort_unstable();
        let seen = world.due_by(manager, 12, 2).await;
        let mut seen: Vec<(u64, &str)> = seen
            .iter()
            .map(|due| (due.wake_at.0, due.key.as_str()))
            .collect();
        seen.sort_unstable();
        agree(|| format!("what is due of {manager}"), &seen, &expected)?;
    }
    nodes(world, model).await
}

async fn state(world: &World, id: &AgentId, agent: &Agent) -> Agreed {
    let loaded = world.storage.load(id).await.unwrap();
    agree(
        || format!("whether {id} loads"),
        &loaded.is_some(),
        &agent.exists,
    )?;
    let thread = world.thread_by(id, 7).await;
    agree(|| format!("the thread of {id}"), &thread, &agent.thread)?;
    for client in 0..CLIENTS {
        for seq in 0..REQUESTS {
            let request = request(client, seq);
            let seen = world.storage.reply_of(id, request).await.unwrap();
            let expected = agent.requests.get(&request).cloned();
            agree(|| format!("request {request} of {id}"), &seen, &expected)?;
        }
    }
    let Some(loaded) = loaded else { return Ok(()) };
    let head = world.storage.head(id).await.unwrap();
    agree(
        || format!("head and load of {id}"),
        &head.as_ref(),
        &Some(&loaded.record),
    )?;
    let checkpoint = loaded.checkpoint.map(|c| (c.state, c.covers.0));
    agree(
        || format!("the checkpoint of {id}"),
        &checkpoint,
        &agent.state,
    )?;
    agree(
        || format!("the metadata of {id}"),
        &loaded.thread_metadata,
        &agent.metadata,
    )?;
    agree(
        || format!("the reminders of {id}"),
        &loaded.reminders,
        &agent.reminders,
    )?;
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
    let expected = RequestWindow {
        floor: agent.floor,
        marks,
    };
    agree(
        || format!("the window of {id}"),
        &loaded.requests,
        &expected,
    )
}

/// Dead lives that own nothing may be forgotten; all others are there.
async fn nodes(world: &World, model: &Model) -> Agreed {
    let seen = world.storage.nodes(&cluster()).await.unwrap();
    for node in &seen {
        let life = node.incarnation;
        let Some((name, beat, up)) = model.nodes.get(&life) else {
            return Err(format!("life {life} was never registered"));
        };
        agree(|| format!("the name of life {life}"), &&node.name, &name)?;
        agree(|| format!("the beat of life {life}"), &node.beat, beat)?;
        agree(
            || format!("whether life {life} is up"),
            &(node.state == NodeState::Up),
            up,
        )?;
    }
    let up = model.nodes.values().filter(|(_, _, up)| *up).count();
    let seen = seen
        .iter()
        .filter(|node| node.state == NodeState::Up)
        .count();
    agree(|| "how many nodes are up".into(), &seen, &up)
}
