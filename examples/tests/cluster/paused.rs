//! An owner that is paused for three leases can do no harm when it goes on, and serves
//! again by itself.

use std::time::Duration;

use jido_testkit::postgres::TemporaryPostgres;
use jido_testkit::process::{DemoClient, Inc, ProcessCluster};
use tokio::task::JoinSet;

use crate::{PROGRAM, within};

/// A lease that isn't missed by a process that waits for its turn on a busy machine.
const TTL: Duration = Duration::from_secs(4);

/// Long enough for anything on two busy cores, where a fault would last for ever.
const LIMIT: Duration = Duration::from_secs(60);

/// The life of a node, as another one sees it.
async fn life_of(name: &str, client: &DemoClient) -> Result<String, String> {
    let members = client.members().await.map_err(|error| error.to_string())?;
    let lives: Vec<String> = members
        .into_iter()
        .filter(|member| member.name == name)
        .map(|member| member.incarnation)
        .collect();
    match &lives[..] {
        [life] => Ok(life.clone()),
        _ => Err(format!("{name} has the lives {lives:?}")),
    }
}

#[tokio::test]
async fn a_paused_owner_neither_commits_nor_answers_and_begins_a_new_life() {
    let ttl = format!("{}s", TTL.as_secs());
    // Not LMDB: one that is paused in the midst of a commit keeps all others from theirs.
    let postgres = TemporaryPostgres::builder().own().start().await.unwrap();
    let mut cluster = ProcessCluster::builder(PROGRAM)
        .nodes(3)
        .storage(postgres.url())
        .args(["--takeover", "after-lease", "--lease-ttl", &ttl])
        .start()
        .await
        .unwrap();
    cluster.wait_joined().await.unwrap();
    let owner = cluster.client("n1").unwrap().with_timeout(LIMIT);
    let other = cluster.client("n2").unwrap();
    let (pid, former) = (
        cluster.node("n1").unwrap().pid(),
        life_of("n1", &other).await.unwrap(),
    );
    let key = within(LIMIT, "a key is placed on n1", async || {
        let key = format!("paused-{}", fastrand::u64(..));
        match other.inc(&key).await {
            Ok(reply) if reply.owner == "n1" => Ok(key),
            other => Err(format!("{other:?}")),
        }
    })
    .await;

    cluster.pause("n1").await.unwrap();
    // What is asked of it meanwhile waits in its sockets, and is what it does first.
    let mut late = JoinSet::new();
    for number in 0..40 {
        let (owner, key) = (owner.clone(), key.clone());
        late.spawn(async move {
            match number % 2 {
                0 => (true, owner.get(&key).await),
                _ => (false, owner.inc_with(&key, Inc::default()).await),
            }
        });
    }
    let taken = within(LIMIT, "another node takes the key over", async || {
        other.inc(&key).await.map_err(|error| error.to_string())
    })
    .await;
    assert_eq!(taken.value, 2, "{taken:?}");
    assert_ne!(taken.owner, "n1");
    // Three leases in all, counted from before.
    tokio::time::sleep(TTL * 2).await;
    cluster.resume("n1").unwrap();

    // Whatever it answers, it has from the owner: nothing from before the pause.
    let (mut values, mut answered) = (vec![1, taken.value], 0);
    for (is_read, answer) in late.join_all().await {
        match answer {
            Ok(reply) if is_read => {
                assert!(reply.value >= taken.value, "stale: {reply:?}");
                assert!(reply.epoch >= taken.epoch, "{reply:?}, then {taken:?}");
            }
            Ok(reply) => values.push(reply.value),
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
        answered += 1;
    }
    assert_eq!(answered, 40);
    let acknowledged = values.len();
    values.sort_unstable();
    values.dedup();
    assert_eq!(values.len(), acknowledged, "two have one value: {values:?}");

    // The same process, in a new life, which keys run on again.
    let life = within(LIMIT, "n1 begins a new life", async || {
        match life_of("n1", &other).await? {
            life if life == former => Err("it is in its former life".to_owned()),
            life => Ok(life),
        }
    })
    .await;
    cluster.wait_ready("n1").await.unwrap();
    cluster.wait_joined().await.unwrap();
    assert_eq!(cluster.node("n1").unwrap().pid(), pid);
    assert_eq!(life_of("n1", &owner).await.unwrap(), life);
    for client in [&owner, &other] {
        within(LIMIT, "a key runs on n1", async || {
            match client.inc(&format!("later-{}", fastrand::u64(..))).await {
                Ok(reply) if reply.owner == "n1" => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }
    let last = owner.get(&key).await.unwrap();
    assert!(
        last.value >= *values.last().unwrap(),
        "{last:?}, {values:?}"
    );

    // It ends in good order, too.
    let status = cluster.terminate("n1", LIMIT).await.unwrap();
    assert_eq!(status.code(), Some(0), "{status}");
}
