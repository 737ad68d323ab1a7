//! Reminders: committed with what they belong to, and found when they are due.

use bytes::Bytes;
use jido_core::{AgentKey, ManagerName, Revision, Timestamp};

use super::fixture::{
    Draw, World, cluster, commit, committed, conflict, failed, fenced, id, id_of, note,
};
use crate::{Commit, Due, DueQuery, ErrorKind, Reminders};

super::cases![
    Reminder: [
        they_are_loaded_as_they_were_committed,
        a_refused_commit_leaves_them,
        a_commit_without_any_leaves_them,
        dormant_agents_are_due_too,
        the_due_come_in_order_of_time_by_pages,
        a_new_time_replaces_the_old_one,
        managers_and_clusters_are_not_mixed_up,
        odd_times_and_long_keys_are_kept,
    ],
    Delete: [deletion_takes_reminders_along],
    Limit: [reminders_count_towards_the_limit],
];

fn reminders(wake_at: impl Into<Option<u64>>, list: impl Into<Bytes>) -> Reminders {
    Reminders {
        wake_at: wake_at.into().map(Timestamp),
        list: list.into(),
    }
}

fn reminding(mut commit: Commit, wake_at: impl Into<Option<u64>>) -> Commit {
    commit.reminders = Some(reminders(wake_at, "list"));
    commit
}

/// A due agent of the usual keys.
fn due(wake_at: u64, key: &str) -> Due {
    Due {
        wake_at: Timestamp(wake_at),
        key: AgentKey::new(key).expect("a key"),
    }
}

impl World {
    async fn due(&self, manager: &str, until: u64) -> Vec<Due> {
        self.due_by(manager, until, 1000).await
    }

    /// All that are due, in pages of `limit`.
    pub(super) async fn due_by(&self, manager: &str, until: u64, limit: usize) -> Vec<Due> {
        let mut all: Vec<Due> = Vec::new();
        loop {
            let query = DueQuery {
                cluster: cluster(),
                manager: ManagerName::new(manager).expect("a name"),
                until: Timestamp(until),
                after: all.last().cloned(),
                limit,
            };
            let page = self.storage.due(query).await.expect("due answers");
            let asked = limit.max(1);
            assert!(page.len() <= asked, "{} on a page of {asked}", page.len());
            let last = page.len() < asked;
            all.extend(page);
            if last {
                return all;
            }
        }
    }

    async fn loaded_reminders(&self, key: &str) -> Reminders {
        let loaded = self.storage.load(&id(key)).await.expect("load answers");
        loaded.expect("the agent has a record").reminders
    }
}

async fn they_are_loaded_as_they_were_committed(world: World) {
    let one = world.node(1).await;
    let epoch = world.claim(&id("a"), one).await;
    assert_eq!(world.loaded_reminders("a").await, Reminders::default());
    for (at, wanted) in [
        reminders(7, Draw::new(1).bytes(300)),
        reminders(None, "none left, and still something to say"),
        reminders(9, ""),
        Reminders::default(),
    ]
    .into_iter()
    .enumerate()
    {
        let mut changing = commit(&id("a"), epoch, at as u64);
        changing.reminders = Some(wanted.clone());
        let revision = committed(world.append(changing).await);
        assert_eq!(revision, at as u64 + 1, "reminders alone count a revision");
        assert_eq!(world.loaded_reminders("a").await, wanted);
    }
}

async fn a_refused_commit_leaves_them(world: World) {
    let one = world.node(1).await;
    let epoch = world.claim(&id("a"), one).await;
    committed(world.append(reminding(note(&id("a"), epoch, 0), 7)).await);
    assert_eq!(
        conflict(world.append(reminding(note(&id("a"), epoch, 0), 8)).await),
        1
    );
    let newer = world.claim(&id("a"), one).await;
    assert_eq!(
        fenced(world.append(reminding(note(&id("a"), epoch, 1), 8)).await),
        newer
    );
    let mut beyond = reminding(note(&id("a"), newer, 1), 8);
    beyond.checkpoint = Some(super::fixture::checkpoint("state", 9));
    failed(world.append(beyond).await, ErrorKind::InvalidInput);
    assert_eq!(world.loaded_reminders("a").await, reminders(7, "list"));
    assert_eq!(world.due("agents", 100).await, [due(7, "a")]);
}

async fn a_commit_without_any_leaves_them(world: World) {
    let one = world.node(1).await;
    let epoch = world.claim(&id("a"), one).await;
    committed(world.append(reminding(note(&id("a"), epoch, 0), 7)).await);
    let mut other = note(&id("a"), epoch, 1);
    other.erase.checkpoint = true;
    other.erase.thread = true;
    committed(world.append(other).await);
    assert_eq!(world.loaded_reminders("a").await, reminders(7, "list"));
    assert_eq!(world.due("agents", 7).await, [due(7, "a")]);
}

async fn dormant_agents_are_due_too(world: World) {
    let one = world.node(1).await;
    let epoch = world.claim(&id("a"), one).await;
    let mut last = reminding(note(&id("a"), epoch, 0), 7);
    last.release = true;
    committed(world.append(last).await);
    assert_eq!(world.due("agents", 7).await, [due(7, "a")]);
    // Claimed again, it is as due as before.
    world.claim(&id("a"), one).await;
    assert_eq!(world.due("agents", 7).await, [due(7, "a")]);
}

async fn the_due_come_in_order_of_time_by_pages(world: World) {
    let one = world.node(1).await;
    let mut expected = Vec::new();
    for n in 0..30u64 {
        // Several of one time, so that pages end between them.
        let (key, wake_at) = (format!("k{}", n * 7 % 30), 10 + n / 4);
        let epoch = world.claim(&id(&key), one).await;
        committed(
            world
                .append(reminding(note(&id(&key), epoch, 0), wake_at))
                .await,
        );
        expected.push(due(wake_at, &key));
    }
    expected.sort();
    for limit in [0, 1, 2, 3, 7, 29, 30, 31, 1000] {
        let seen = world.due_by("agents", 100, limit).await;
        assert!(seen.is_sorted_by_key(|due| due.wake_at), "{seen:?}");
        let mut sorted = seen;
        sorted.sort();
        assert_eq!(sorted, expected, "limit {limit}");
    }
    assert_eq!(world.due("agents", 9).await, []);
    assert_eq!(world.due("agents", 10).await.len(), 4);
    assert_eq!(world.due("agents", 16).await.len(), 28);
}

async fn a_new_time_replaces_the_old_one(world: World) {
    let one = world.node(1).await;
    let epoch = world.claim(&id("a"), one).await;
    committed(world.append(reminding(note(&id("a"), epoch, 0), 7)).await);
    committed(world.append(reminding(note(&id("a"), epoch, 1), 50)).await);
    assert_eq!(world.due("agents", 49).await, []);
    assert_eq!(world.due("agents", 50).await, [due(50, "a")]);
    committed(world.append(reminding(note(&id("a"), epoch, 2), 3)).await);
    assert_eq!(world.due("agents", 100).await, [due(3, "a")]);
    committed(
        world
            .append(reminding(note(&id("a"), epoch, 3), None))
            .await,
    );
    assert_eq!(world.due("agents", u64::MAX >> 1).await, []);
    // Two in a batch: the later one holds.
    let both = vec![
        reminding(note(&id("a"), epoch, 4), 20),
        reminding(note(&id("a"), epoch, 5), 30),
    ];
    for outcome in world.storage.append_many(both).await {
        committed(outcome);
    }
    assert_eq!(world.due("agents", 100).await, [due(30, "a")]);
}

async fn managers_and_clusters_are_not_mixed_up(world: World) {
    let one = world.node(1).await;
    for (manager, key, wake_at) in [
        ("agents", "a", 5),
        ("agents.b", "a", 4),
        ("agents", "b", 3),
        ("agent", "sa", 2),
    ] {
        let id = id_of(manager, key);
        let epoch = world.claim(&id, one).await;
        committed(world.append(reminding(note(&id, epoch, 0), wake_at)).await);
    }
    assert_eq!(world.due("agents", 9).await, [due(3, "b"), due(5, "a")]);
    assert_eq!(world.due("agents.b", 9).await, [due(4, "a")]);
    assert_eq!(world.due("agent", 9).await, [due(2, "sa")]);
    assert_eq!(world.due("none", 9).await, []);
}

async fn odd_times_and_long_keys_are_kept(world: World) {
    let one = world.node(1).await;
    let latest = i64::MAX as u64;
    let long = "k".repeat(1000);
    let other = format!("{}x", "k".repeat(999));
    for (key, wake_at) in [
        ("first", 0),
        ("last", latest),
        (long.as_str(), 300),
        (other.as_str(), 256),
    ] {
        let epoch = world.claim(&id(key), one).await;
        committed(
            world
                .append(reminding(note(&id(key), epoch, 0), wake_at))
                .await,
        );
    }
    let expected = [
        due(0, "first"),
        due(256, &other),
        due(300, &long),
        due(latest, "last"),
    ];
    for limit in [1, 2, 10] {
        assert_eq!(world.due_by("agents", latest, limit).await, expected);
    }
    assert_eq!(world.due("agents", latest - 1).await, expected[..3]);
    assert_eq!(world.due("agents", 0).await, expected[..1]);
}

async fn deletion_takes_reminders_along(world: World) {
    let one = world.node(1).await;
    let epoch = world.claim(&id("a"), one).await;
    committed(world.append(reminding(note(&id("a"), epoch, 0), 7)).await);
    committed(world.storage.delete(&id("a"), epoch, Timestamp(9)).await);
    assert_eq!(world.due("agents", 100).await, []);
    let epoch = world.claim(&id("a"), one).await;
    assert_eq!(world.loaded_reminders("a").await, Reminders::default());
    assert_eq!(world.due("agents", 100).await, []);
    committed(world.append(reminding(note(&id("a"), epoch, 2), 8)).await);
    assert_eq!(world.due("agents", 100).await, [due(8, "a")]);
}

async fn reminders_count_towards_the_limit(world: World) {
    let one = world.node(1).await;
    let epoch = world.claim(&id("a"), one).await;
    let limit = world.storage.capabilities().max_commit_bytes;
    let mut draw = Draw::new(3);
    let mut commit = Commit::new(id("a"), epoch, Revision(0), Timestamp(1));
    commit.reminders = Some(reminders(7, draw.bytes(limit + 1)));
    let message = failed(world.append(commit.clone()).await, ErrorKind::TooLarge);
    assert!(message.contains(&limit.to_string()), "{message}");
    assert_eq!(world.due("agents", 100).await, []);
    let largest = reminders(7, draw.bytes(limit));
    commit.reminders = Some(largest.clone());
    committed(world.append(commit).await);
    assert_eq!(world.loaded_reminders("a").await, largest);
}
