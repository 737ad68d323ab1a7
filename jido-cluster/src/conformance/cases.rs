//! The cases.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jido_core::{Incarnation, NodeName};

use super::recorder::{Batch, Counts};
use super::{Stage, Subject};
use crate::transport::{MAX_ENVELOPE_LEN, Peer, SendError};

/// Looks at what no event tells of, so many times at the most: minutes, far beyond what
/// anything here takes.
const LOOKS: u32 = 20_000;
const PAUSE: Duration = Duration::from_millis(5);

/// What a case ends with: the reason, if the promise is broken.
pub type Verdict = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// One case: it is run on a stage, and says what is broken.
pub type Case = fn(Arc<dyn Stage>) -> Verdict;

/// Every case: the promise that it holds, and the case itself.
pub fn cases() -> Vec<(&'static str, Case)> {
    vec![
        (
            "nodes come up for each other once, as who they are",
            |stage| Box::pin(nodes_come_up(stage)),
        ),
        (
            "envelopes of a lane arrive once each and in order",
            |stage| Box::pin(envelopes_arrive(stage)),
        ),
        ("what is sent to one node arrives at no other", |stage| {
            Box::pin(none_goes_astray(stage))
        }),
        (
            "the largest envelope passes, and a larger one is refused",
            |stage| Box::pin(sizes(stage)),
        ),
        ("an envelope for nobody is refused", |stage| {
            Box::pin(nobody(stage))
        }),
        (
            "a stop hands over what was sent, and then the peer is down once",
            |stage| Box::pin(a_stop(stage)),
        ),
        (
            "a lost node is down once, and nothing is taken for it",
            |stage| Box::pin(a_loss(stage)),
        ),
        ("a node that was restarted is another peer", |stage| {
            Box::pin(a_restart(stage))
        }),
    ]
}

macro_rules! hold {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(format!($($why)+));
        }
    };
}

async fn start(stage: &Arc<dyn Stage>, name: &str, life: u128) -> Result<Arc<dyn Subject>, String> {
    let peer = Peer {
        name: NodeName::new(name).map_err(|error| error.to_string())?,
        incarnation: Incarnation(life),
        address: format!("{name}.{life}"),
    };
    Ok(stage.start(peer).await)
}

fn life(of: &Arc<dyn Subject>) -> Incarnation {
    of.peer().incarnation
}

/// Waits until what came from a peer is as it should be.
async fn until(
    at: &Arc<dyn Subject>,
    from: &Arc<dyn Subject>,
    what: &str,
    reached: impl Fn(&Counts) -> bool,
) -> Result<Counts, String> {
    let mut counts = Counts::default();
    for _ in 0..LOOKS {
        counts = at.counts(life(from)).await;
        if reached(&counts) {
            return Ok(counts);
        }
        tokio::time::sleep(PAUSE).await;
    }
    let (at, from, faults) = (at.peer().name, from.peer().name, at.faults().await);
    Err(format!(
        "{at} waits for {what} of {from}: {counts:?}, {faults:?}"
    ))
}

async fn met(one: &Arc<dyn Subject>, other: &Arc<dyn Subject>) -> Result<(), String> {
    until(one, other, "the coming", |counts| counts.ups > 0).await?;
    until(other, one, "the coming", |counts| counts.ups > 0).await?;
    Ok(())
}

async fn pair(stage: &Arc<dyn Stage>) -> Result<(Arc<dyn Subject>, Arc<dyn Subject>), String> {
    let one = start(stage, "one", 1).await?;
    let other = start(stage, "other", 2).await?;
    met(&one, &other).await?;
    Ok((one, other))
}

/// Nothing was seen that may not be.
async fn is_clean(all: &[&Arc<dyn Subject>]) -> Result<(), String> {
    for at in all {
        let faults = at.faults().await;
        hold!(faults.is_empty(), "{}: {faults:?}", at.peer().name);
    }
    Ok(())
}

/// Sends that many envelopes by each of eight lanes, in turn.
async fn send(from: &Arc<dyn Subject>, to: Incarnation, each: u64) -> Result<(), String> {
    const PIECE: u64 = 50;
    for first in (0..each).step_by(PIECE as usize) {
        for lane in 0..8 {
            let batch = Batch {
                lane: lane * 0x1111_1111,
                first,
                count: PIECE.min(each - first),
                len: 17 + (first as usize + lane as usize * 100) % 1_000,
            };
            let sent = from.send(to, batch).await;
            sent.map_err(|error| format!("an envelope was refused: {error}"))?;
        }
    }
    Ok(())
}

async fn nodes_come_up(stage: Arc<dyn Stage>) -> Result<(), String> {
    let (one, other) = pair(&stage).await?;
    let third = start(&stage, "third", 3).await?;
    met(&one, &third).await?;
    met(&other, &third).await?;
    let all = [&one, &other, &third];
    for at in all {
        for from in all.into_iter().filter(|from| life(from) != life(at)) {
            let (counts, peer) = (at.counts(life(from)).await, from.peer());
            hold!((counts.ups, counts.downs) == (1, 0), "{counts:?}");
            let expected = format!("{}@{}", peer.name, peer.address);
            hold!(
                counts.peer == expected,
                "{} is taken for {}",
                expected,
                counts.peer
            );
        }
        let own = at.counts(life(at)).await;
        hold!(own == Counts::default(), "a node is its own peer: {own:?}");
        let mut looks = 0;
        while !at.is_settled().await {
            looks += 1;
            hold!(looks < LOOKS, "{} is not settled", at.peer().name);
            tokio::time::sleep(PAUSE).await;
        }
    }
    is_clean(&all).await
}

async fn envelopes_arrive(stage: Arc<dyn Stage>) -> Result<(), String> {
    const EACH: u64 = 500;
    let (one, other) = pair(&stage).await?;
    send(&one, life(&other), EACH).await?;
    send(&other, life(&one), EACH).await?;
    until(&one, &other, "all", |counts| counts.delivered >= 8 * EACH).await?;
    until(&other, &one, "all", |counts| counts.delivered >= 8 * EACH).await?;
    is_clean(&[&one, &other]).await?;
    // And none a second time: the next one would be out of order.
    for (from, to) in [(&one, &other), (&other, &one)] {
        let counts = to.counts(life(from)).await;
        hold!(counts.delivered == 8 * EACH, "{counts:?}");
        hold!((counts.ups, counts.downs) == (1, 0), "{counts:?}");
    }
    Ok(())
}

async fn none_goes_astray(stage: Arc<dyn Stage>) -> Result<(), String> {
    let (one, other) = pair(&stage).await?;
    let third = start(&stage, "third", 3).await?;
    met(&one, &third).await?;
    met(&other, &third).await?;
    send(&one, life(&other), 100).await?;
    send(&one, life(&third), 10).await?;
    until(&other, &one, "all", |counts| counts.delivered >= 800).await?;
    until(&third, &one, "all", |counts| counts.delivered >= 80).await?;
    let counts = [
        other.counts(life(&one)).await.delivered,
        third.counts(life(&one)).await.delivered,
        other.counts(life(&third)).await.delivered,
        one.counts(life(&other)).await.delivered,
    ];
    hold!(counts == [800, 80, 0, 0], "{counts:?}");
    is_clean(&[&one, &other, &third]).await
}

async fn sizes(stage: Arc<dyn Stage>) -> Result<(), String> {
    let (one, other) = pair(&stage).await?;
    let batch = |first, len| Batch {
        lane: 7,
        first,
        count: 1,
        len,
    };
    for (first, len) in [(0, MAX_ENVELOPE_LEN), (1, 17), (2, MAX_ENVELOPE_LEN)] {
        let sent = one.send(life(&other), batch(first, len)).await;
        hold!(sent == Ok(()), "{len} bytes: {sent:?}");
    }
    let len = MAX_ENVELOPE_LEN + 1;
    let sent = one.send(life(&other), batch(3, len)).await;
    hold!(sent == Err(SendError::TooLarge { len }), "{sent:?}");
    let sent = one.send(life(&other), batch(3, 100)).await;
    hold!(sent == Ok(()), "after one that was too large: {sent:?}");
    let counts = until(&other, &one, "all", |counts| counts.delivered >= 4).await?;
    hold!((counts.ups, counts.downs) == (1, 0), "{counts:?}");
    is_clean(&[&one, &other]).await
}

async fn nobody(stage: Arc<dyn Stage>) -> Result<(), String> {
    let (one, other) = pair(&stage).await?;
    let batch = Batch {
        lane: 0,
        first: 0,
        count: 1,
        len: 64,
    };
    let sent = one.send(Incarnation(99), batch).await;
    hold!(sent == Err(SendError::Unreachable), "{sent:?}");
    send(&one, life(&other), 1).await?;
    until(&other, &one, "all", |counts| counts.delivered == 8).await?;
    is_clean(&[&one, &other]).await
}

/// A peer that went down is down for good, and nothing is taken for it.
async fn is_gone(at: &Arc<dyn Subject>, gone: &Arc<dyn Subject>) -> Result<(), String> {
    let counts = until(at, gone, "the end", |counts| counts.downs > 0).await?;
    hold!((counts.ups, counts.downs) == (1, 1), "{counts:?}");
    let batch = Batch {
        lane: 3,
        first: 0,
        count: 1,
        len: 64,
    };
    let sent = at.send(life(gone), batch).await;
    hold!(sent == Err(SendError::Unreachable), "{sent:?}");
    Ok(())
}

async fn a_stop(stage: Arc<dyn Stage>) -> Result<(), String> {
    const EACH: u64 = 300;
    let (one, other) = pair(&stage).await?;
    send(&one, life(&other), EACH).await?;
    one.stop().await;
    is_gone(&other, &one).await?;
    let counts = other.counts(life(&one)).await;
    hold!(counts.delivered == 8 * EACH, "{counts:?}");
    is_clean(&[&other]).await
}

async fn a_loss(stage: Arc<dyn Stage>) -> Result<(), String> {
    let (one, other) = pair(&stage).await?;
    let third = start(&stage, "third", 3).await?;
    met(&one, &third).await?;
    met(&other, &third).await?;
    send(&one, life(&other), 200).await?;
    one.kill().await;
    is_gone(&other, &one).await?;
    is_gone(&third, &one).await?;
    // What came of it came before.
    let before = other.counts(life(&one)).await;
    send(&other, life(&third), 50).await?;
    until(&third, &other, "all", |counts| counts.delivered == 400).await?;
    let after = other.counts(life(&one)).await;
    hold!(before == after, "{before:?} became {after:?}");
    is_clean(&[&other, &third]).await
}

async fn a_restart(stage: Arc<dyn Stage>) -> Result<(), String> {
    let (one, other) = pair(&stage).await?;
    send(&one, life(&other), 5).await?;
    other.kill().await;
    is_gone(&one, &other).await?;
    let again = start(&stage, "other", 22).await?;
    met(&one, &again).await?;
    send(&one, life(&again), 20).await?;
    send(&again, life(&one), 20).await?;
    until(&again, &one, "all", |counts| counts.delivered == 160).await?;
    until(&one, &again, "all", |counts| counts.delivered == 160).await?;
    is_gone(&one, &other).await?;
    is_clean(&[&one, &again]).await
}
