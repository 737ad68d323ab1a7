//! Code that reads what older and newer code has written.

use std::sync::Arc;

use jido_cluster::storage::{Loaded, Storage};
use jido_cluster::{
    Agent, AgentError, Context, Durability, ErrorKind, Executed, InstanceManager, decode_payload,
};
use serde::{Deserialize, Serialize};

use crate::harness::{Cluster, agent_id};

#[derive(Debug, Default, Serialize, Deserialize)]
struct First {
    count: i64,
}

/// A field more, of the same version.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Wider {
    count: i64,
    #[serde(default)]
    calls: i64,
}

/// Another shape.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Second {
    total: Vec<i64>,
}

/// One that can't read what was before.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Strict {
    total: Vec<i64>,
}

macro_rules! agent {
    ($name:ident, $version:literal, |$agent:ident, $by:ident| $handle:expr, $migrate:expr) => {
        impl Agent for $name {
            const KIND: &'static str = "profile";
            const VERSION: u32 = $version;
            type Message = i64;
            type Reply = i64;

            async fn handle(&mut self, $by: i64, _: &mut Context<'_>) -> Result<i64, AgentError> {
                let $agent = self;
                Ok($handle)
            }

            fn migrate(version: u32, payload: &[u8]) -> Result<Self, AgentError> {
                $migrate(version, payload)
            }
        }
    };
}

fn never<A>(version: u32, _: &[u8]) -> Result<A, AgentError> {
    Err(AgentError::new(format!("version {version} is too old")))
}

agent!(
    First,
    1,
    |agent, by| {
        agent.count += by;
        agent.count
    },
    never
);
agent!(
    Wider,
    1,
    |agent, by| {
        agent.calls += 1;
        agent.count += by;
        agent.count * 100 + agent.calls
    },
    never
);
agent!(
    Second,
    2,
    |agent, by| {
        agent.total.push(by);
        agent.total.iter().sum()
    },
    |version, payload| {
        assert_eq!(version, 1);
        let First { count } = decode_payload(payload)?;
        Ok(Self { total: vec![count] })
    }
);
agent!(Strict, 2, |agent, by| agent.total.len() as i64 + by, never);

/// Sends messages as a node does that runs this code, and then drains it.
async fn run<A>(cluster: &Cluster, messages: &[i64]) -> Vec<Result<i64, jido_cluster::Error>>
where
    A: Agent<Message = i64, Reply = i64> + Default,
{
    let node = cluster.node("n1").start().await.unwrap();
    let manager = InstanceManager::<A>::builder("profiles")
        .shared_storage(cluster.storage.clone())
        .durability(Durability::Command);
    let handle = manager.start(&node).await.unwrap();
    let mut replies = Vec::new();
    for message in messages {
        replies.push(handle.call("a", *message).await);
    }
    node.drain().await;
    replies
}

async fn good<A>(cluster: &Cluster, messages: &[i64]) -> Vec<i64>
where
    A: Agent<Message = i64, Reply = i64> + Default,
{
    let replies = run::<A>(cluster, messages).await;
    replies.into_iter().map(|reply| reply.unwrap()).collect()
}

async fn stored(storage: &Arc<dyn Storage>) -> Loaded {
    storage
        .load(&agent_id("profiles", "a"))
        .await
        .unwrap()
        .unwrap()
}

/// Reads otherwise than it writes, from 2 on.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Lopsided {
    #[serde(serialize_with = "lopsided")]
    count: i64,
}

fn lopsided<S: serde::Serializer>(count: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    match count {
        ..2 => serializer.serialize_i64(*count),
        _ => serializer.serialize_str("many"),
    }
}

/// Changes the count by this, and fails.
const FAILS: i64 = 1_000;

agent!(
    Lopsided,
    1,
    |agent, by| {
        agent.count += by;
        if by == FAILS {
            return Err(AgentError::new("it fails"));
        }
        agent.count
    },
    never
);

#[tokio::test(start_paused = true)]
async fn an_agent_that_cannot_be_put_back_ends_with_nothing_of_what_failed() {
    let cluster = Cluster::new();
    assert_eq!(good::<Lopsided>(&cluster, &[1]).await, [1]);
    let told = run::<Lopsided>(&cluster, &[1, FAILS, 1, 0]).await;
    assert_eq!(told[0].as_ref().unwrap(), &2);
    assert_eq!(told[1].as_ref().unwrap_err().kind(), ErrorKind::Agent);
    for refused in &told[2..] {
        let error = refused.as_ref().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreadable);
        assert_eq!(error.executed(), Executed::No);
    }
    let stored = stored(&cluster.storage).await;
    assert_eq!(stored.record.revision.0, 2);
}

#[tokio::test(start_paused = true)]
async fn a_field_with_a_default_is_read_both_ways() {
    let cluster = Cluster::new();
    assert_eq!(good::<First>(&cluster, &[1, 2]).await, [1, 3]);
    assert_eq!(good::<Wider>(&cluster, &[4]).await, [701]);
    // Older code leaves aside what it does not know.
    assert_eq!(good::<First>(&cluster, &[1]).await, [8]);
}

#[tokio::test(start_paused = true)]
async fn an_older_state_is_migrated_and_written_when_the_agent_starts() {
    let cluster = Cluster::new();
    assert_eq!(good::<First>(&cluster, &[7]).await, [7]);
    let before = stored(&cluster.storage).await;
    assert_eq!(good::<Second>(&cluster, &[1, 2]).await, [8, 10]);
    let after = stored(&cluster.storage).await;
    // Once when it started, and once by each message.
    assert_eq!(after.record.revision.0, before.record.revision.0 + 3);
    let version = |loaded: &Loaded| loaded.checkpoint.as_ref().unwrap().state[4];
    assert_eq!((version(&before), version(&after)), (1, 2));
    assert_eq!(good::<Second>(&cluster, &[0]).await, [10]);
}

#[tokio::test(start_paused = true)]
async fn what_newer_code_wrote_or_a_migration_refuses_is_left_as_it_is() {
    let cluster = Cluster::new();
    good::<First>(&cluster, &[7]).await;
    let old = stored(&cluster.storage).await;
    for error in run::<Strict>(&cluster, &[1, 1]).await {
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreadable);
        assert!(error.to_string().contains("from version 1 to 2"), "{error}");
    }
    let untouched = |before: &Loaded, after: &Loaded| {
        assert_eq!(before.checkpoint, after.checkpoint);
        assert_eq!(before.record.revision, after.record.revision);
        assert_eq!(before.requests, after.requests);
        assert_eq!(after.record.owner, None, "the claim is given back");
    };
    untouched(&old, &stored(&cluster.storage).await);

    good::<Second>(&cluster, &[1]).await;
    let new = stored(&cluster.storage).await;
    for error in run::<First>(&cluster, &[1, 1]).await {
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreadable);
        let text = error.to_string();
        assert!(
            text.contains("version 2") && text.contains("up to 1"),
            "{text}"
        );
    }
    untouched(&new, &stored(&cluster.storage).await);
    assert_eq!(good::<Second>(&cluster, &[0]).await, [8]);
}
