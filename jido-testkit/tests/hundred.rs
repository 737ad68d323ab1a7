//! A hundred simulated members, of the real code.

#![allow(clippy::expect_used, reason = "this is a test")]

use std::collections::BTreeMap;
use std::time::Duration;

use jido_cluster::{Agent, AgentError, Context, Error, Handle};
use jido_testkit::sim::{SimCluster, World, simulate};
use serde::{Deserialize, Serialize};

const MEMBERS: usize = 100;
const KEYS: usize = 1_000;

#[derive(Default, Serialize, Deserialize)]
struct Counter {
    count: i64,
}

impl Agent for Counter {
    const KIND: &'static str = "counter";
    type Message = i64;
    type Reply = i64;

    async fn handle(&mut self, by: i64, _: &mut Context<'_>) -> Result<i64, AgentError> {
        self.count += by;
        Ok(self.count)
    }
}

fn name(number: usize) -> String {
    format!("n{number:02}")
}

fn key(number: usize) -> String {
    format!("agent-{number}")
}

/// Waits until this node hears from so many members.
async fn sees(handle: &Handle<Counter>, members: usize) -> Result<(), Error> {
    while handle.stats().await?.by_node.len() != members {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Where each key is placed, as a node sees it.
async fn placed(handle: &Handle<Counter>) -> Result<BTreeMap<String, String>, Error> {
    let mut places = BTreeMap::new();
    for number in 0..KEYS {
        let place = handle.owner(key(number)).await?.placed;
        places.insert(key(number), place.expect("a member takes it").to_string());
    }
    Ok(places)
}

async fn lives(world: World) -> Result<(), Error> {
    let cluster = SimCluster::<Counter>::new(&world, Duration::from_secs(1), |manager| manager);
    for number in 0..MEMBERS {
        cluster.start(&name(number)).await?;
    }
    let handle = |number: usize| cluster.handle(&name(number)).expect("it runs");
    for number in 0..MEMBERS {
        sees(&handle(number), MEMBERS).await?;
    }
    let before = placed(&handle(0)).await?;
    for number in [1, MEMBERS / 2, MEMBERS - 1] {
        assert_eq!(placed(&handle(number)).await?, before, "{}", name(number));
    }
    let mut by_node = BTreeMap::<&str, usize>::new();
    for place in before.values() {
        *by_node.entry(place).or_default() += 1;
    }
    // Ten keys each, on average.
    assert!(by_node.len() > MEMBERS * 9 / 10, "{by_node:?}");
    assert!(
        by_node.values().all(|&keys| keys <= KEYS * 4 / MEMBERS),
        "{by_node:?}"
    );
    for number in 0..KEYS {
        // From any of them, it runs where it is placed.
        let caller = handle(number * 7 % MEMBERS);
        let reply = caller.request(&key(number), 1).send().await?;
        assert_eq!(reply.owner.as_str(), before[&key(number)]);
    }

    let lost = before[&key(0)].clone();
    cluster.crash(&lost, false);
    let others: Vec<usize> = (0..MEMBERS).filter(|&n| name(n) != lost).collect();
    for &number in &others {
        sees(&handle(number), MEMBERS - 1).await?;
    }
    let after = placed(&handle(others[0])).await?;
    for (key, place) in &before {
        if *place == lost {
            assert_ne!(after[key], lost, "{key}");
        } else {
            assert_eq!(after[key], *place, "{key} need not move");
        }
    }
    for number in 0..KEYS {
        let caller = handle(others[number * 7 % others.len()]);
        assert_eq!(caller.call(key(number), 1).await?, 2, "{}", key(number));
    }
    Ok(())
}

#[test]
fn a_hundred_members_agree_and_move_the_keys_of_a_lost_one_alone() {
    let (outcome, _) = simulate(1, false, lives).unwrap();
    outcome.unwrap();
}
