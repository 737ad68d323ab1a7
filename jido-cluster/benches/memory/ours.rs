//! Agents, hot and parked.

use std::ops::Range;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use jido_cluster::loopback::LoopbackNetwork;
use jido_cluster::{Agent, AgentError, Context, Handle, InstanceManager, Node};
use serde::{Deserialize, Serialize};

use crate::elsewhere::Elsewhere;
use crate::{HOT, PARKED, ROUNDS, STATE, WOKEN, bare};

/// How many agents are activated at a time.
const AT_ONCE: usize = 64;

/// How many agents run at a time at the most before they are parked: what many more leave behind
/// in the allocator is none of the parked ones'.
const RUN_AT_ONCE: usize = 20_000;

/// Quiet for so long, an agent is parked. A round of waking takes less.
const QUIET: Duration = Duration::from_secs(6);

#[derive(Serialize, Deserialize)]
pub(crate) struct Profile {
    pub(crate) count: u64,
    about: String,
}

impl Default for Profile {
    fn default() -> Self {
        // What is around the text takes 16 bytes.
        Self {
            count: 0,
            about: "x".repeat(STATE - 16),
        }
    }
}

impl Agent for Profile {
    const KIND: &'static str = "profile";
    type Message = ();
    type Reply = u64;

    async fn handle(&mut self, (): (), _: &mut Context<'_>) -> Result<u64, AgentError> {
        self.count += 1;
        Ok(self.count)
    }
}

async fn start(park_after: Option<Duration>) -> (Node, Handle<Profile>) {
    let mut state = bytes::BytesMut::new();
    jido_core::encode_state(&Profile::default(), &mut state).unwrap();
    assert_eq!(state.len() - jido_core::BLOB_HEADER_LEN, STATE);
    let network = LoopbackNetwork::new();
    let node = Node::builder("n1")
        .transport(network.transports())
        .start()
        .await
        .unwrap();
    let handle = InstanceManager::<Profile>::builder("profiles")
        .storage(Elsewhere)
        .idle_timeout(None)
        .park_after(park_after)
        .start(&node)
        .await
        .unwrap();
    (node, handle)
}

async fn call_all(handle: &Handle<Profile>, agents: Range<usize>) {
    futures_util::stream::iter(agents)
        .for_each_concurrent(AT_ONCE, |i| async move {
            handle.call(format!("profile-{i}"), ()).await.unwrap();
        })
        .await;
}

/// Waits until all of so many agents are parked.
async fn all_parked(handle: &Handle<Profile>, agents: usize) {
    while handle.stats().await.unwrap().parked < agents as u64 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn parked() -> f64 {
    let (_node, handle) = start(Some(Duration::from_millis(200))).await;
    let before = crate::resident();
    for first in (0..PARKED).step_by(RUN_AT_ONCE) {
        let next = PARKED.min(first + RUN_AT_ONCE);
        call_all(&handle, first..next).await;
        all_parked(&handle, next).await;
    }
    (crate::resident() - before) / PARKED as f64 - STATE as f64
}

pub(crate) async fn hot() -> f64 {
    let (_node, handle) = start(None).await;
    let before = crate::resident();
    call_all(&handle, 0..HOT).await;
    (crate::resident() - before) / HOT as f64
}

/// The median of the rates at which agents are woken, each against bare spawns at that time.
pub(crate) async fn woken_against_spawned() -> f64 {
    let (_node, handle) = start(Some(QUIET)).await;
    call_all(&handle, 0..WOKEN).await;
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        all_parked(&handle, WOKEN).await;
        let floor = bare::spawned().await;
        let keys: Vec<String> = (0..WOKEN).map(|i| format!("profile-{i}")).collect();
        let start = Instant::now();
        for key in &keys {
            handle.call(key, ()).await.unwrap();
        }
        let took = start.elapsed();
        assert!(took < QUIET, "some were parked again meanwhile");
        ratios.push(floor.as_secs_f64() / took.as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}
