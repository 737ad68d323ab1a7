//! The way out to a peer that is up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ractor::ActorRef;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::yield_now;

use super::frame::{Outgoing, Packed, SessionId};
use super::gateway::{Frame, GATEWAYS};
use super::stream::Switch;
use crate::environment::Environment;
use crate::runtime::OwnedTask;
use crate::transport::{Peer, SendError};

/// Envelopes that are taken off a queue at once.
const TAKEN: usize = 4096;
/// How often the sender steps back to let more come before it packs what came, as long as
/// more does come. Without it frames hold one envelope each.
const YIELDS: usize = 2;

/// A lane by which nothing has gone for so long sends what comes at once, without its task:
/// where one call follows another, nobody comes to share its frame, and two tasks less lie on
/// its way. Calls that are under way side by side come more often than this.
const QUIET: Duration = Duration::from_micros(50);

/// A peer that is up: a way to each of its gateways.
///
/// What waits when the link is dropped is lost, with the session.
#[derive(Debug)]
pub(super) struct Link {
    peer: Peer,
    lanes: [Lane; GATEWAYS],
    environment: Arc<dyn Environment>,
    switch: Switch,
}

/// The way to one gateway: a queue, and a task that packs what is in it.
///
/// The queue has no bound of its own. Those below, in the session layer, have
/// none either, and what callers may have under way to a peer is limited above,
/// where it can be refused with an answer.
#[derive(Debug)]
struct Lane {
    session: SessionId,
    gateway: ActorRef<Frame>,
    queue: UnboundedSender<Outgoing>,
    /// How many envelopes were ever queued, and how many of those the task has passed on.
    queued: AtomicU64,
    passed: Arc<AtomicU64>,
    /// When an envelope came last, in nanoseconds of `Environment::elapsed`.
    last: AtomicU64,
    _task: OwnedTask,
}

impl Link {
    /// Opens the way to a peer's gateways. If one of them is gone, the session is
    /// cut, since envelopes are then lost.
    pub(super) fn open(
        peer: Peer,
        session: SessionId,
        switch: &Switch,
        gateways: [ActorRef<Frame>; GATEWAYS],
        environment: Arc<dyn Environment>,
    ) -> Self {
        Self {
            peer,
            lanes: gateways.map(|gateway| Lane::open(session, switch.clone(), gateway)),
            environment,
            switch: switch.clone(),
        }
    }

    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Sends an envelope behind all others of its lane.
    pub(super) fn send(&self, lane: u64, envelope: Bytes) -> Result<(), SendError> {
        let lane = &self.lanes[(lane % GATEWAYS as u64) as usize];
        let sent = lane.send(self.environment.elapsed(), envelope);
        if sent.is_err() {
            self.switch.cut();
        }
        sent
    }

    /// Tells the peer that this node is there.
    pub(super) fn beat(&self) {
        if let Some(lane) = self.lanes.first() {
            // A queue that nobody reads belongs to a session that is ending anyway.
            let _ = lane.enqueue(Outgoing::Heartbeat);
        }
    }

    /// Tells the peer that nothing more comes; once it has all, it ends the session.
    pub(super) fn say_goodbye(&self) {
        for lane in &self.lanes {
            // A queue that nobody reads belongs to a session that is ending anyway.
            let _ = lane.enqueue(Outgoing::Goodbye);
        }
    }
}

impl Lane {
    fn open(session: SessionId, switch: Switch, gateway: ActorRef<Frame>) -> Self {
        let (queue, waiting) = mpsc::unbounded_channel();
        let passed = Arc::new(AtomicU64::new(0));
        let (to, counted) = (gateway.clone(), passed.clone());
        let task = OwnedTask::spawn(async move {
            drain(session, waiting, &counted, |frame| to.cast(frame).is_ok()).await;
            switch.cut();
        });
        Self {
            session,
            gateway,
            queue,
            queued: AtomicU64::new(0),
            passed,
            last: AtomicU64::new(0),
            _task: task,
        }
    }

    fn send(&self, now: Duration, envelope: Bytes) -> Result<(), SendError> {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let last = self.last.load(Ordering::Relaxed);
        self.last.store(now, Ordering::Relaxed);
        let outgoing = Outgoing::Envelope(envelope);
        // What this sender has queued before it sees counted, so that it overtakes none of it.
        let is_quiet = Duration::from_nanos(now.saturating_sub(last)) > QUIET
            && self.queued.load(Ordering::Relaxed) == self.passed.load(Ordering::Acquire);
        if !is_quiet {
            return self.enqueue(outgoing);
        }
        let alone = [outgoing];
        let mut frames = Packed::new(self.session, &alone);
        let passed = frames.all(|frame| self.gateway.cast(Frame(frame)).is_ok());
        passed.then_some(()).ok_or(SendError::Unreachable)
    }

    fn enqueue(&self, outgoing: Outgoing) -> Result<(), SendError> {
        self.queued.fetch_add(1, Ordering::Relaxed);
        self.queue
            .send(outgoing)
            .map_err(|_| SendError::Unreachable)
    }
}

/// Packs and passes on what is queued until nobody queues or takes any more, and counts it.
async fn drain(
    session: SessionId,
    mut waiting: UnboundedReceiver<Outgoing>,
    passed: &AtomicU64,
    mut pass: impl FnMut(Frame) -> bool,
) {
    let mut taken = Vec::with_capacity(TAKEN);
    while waiting.recv_many(&mut taken, TAKEN).await > 0 {
        for _ in 0..YIELDS {
            yield_now().await;
            let before = taken.len();
            while taken.len() < TAKEN
                && let Ok(outgoing) = waiting.try_recv()
            {
                taken.push(outgoing);
            }
            if taken.len() == before {
                break;
            }
        }
        for frame in Packed::new(session, &taken) {
            if !pass(Frame(frame)) {
                return;
            }
        }
        passed.fetch_add(taken.len() as u64, Ordering::Release);
        taken.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::{Content, read, split_envelope};
    use super::*;
    use ractor::{Actor, ActorProcessingErr};

    #[tokio::test]
    async fn what_is_queued_together_travels_together() {
        let (queue, waiting) = mpsc::unbounded_channel();
        // One at a time, as callers on other tasks do.
        let sender = async move {
            for i in 0..300_u32 {
                let envelope = Bytes::copy_from_slice(&i.to_be_bytes());
                queue.send(Outgoing::Envelope(envelope)).unwrap();
                yield_now().await;
            }
        };
        let mut frames = Vec::new();
        let passed = AtomicU64::new(0);
        let drained = drain(SessionId(1), waiting, &passed, |frame| {
            frames.push(frame);
            true
        });
        tokio::join!(drained, sender);
        assert_eq!(passed.load(Ordering::Relaxed), 300);
        // Each frame waits for another envelope at least.
        assert!(frames.len() <= 150, "{}", frames.len());
        let mut next = 0_u32;
        for frame in frames {
            let (_, Content::Envelopes(mut rest)) = read(frame.0.into()).unwrap() else {
                panic!("no goodbye was said")
            };
            while let Some(envelope) = split_envelope(&mut rest).unwrap() {
                assert_eq!(envelope[..], next.to_be_bytes());
                next += 1;
            }
        }
        assert_eq!(next, 300);
    }

    #[tokio::test]
    async fn it_ends_when_the_gateway_is_gone() {
        let (queue, waiting) = mpsc::unbounded_channel();
        queue.send(Outgoing::Goodbye).unwrap();
        drain(SessionId(1), waiting, &AtomicU64::new(0), |_| false).await;
        assert!(queue.is_closed());
    }

    /// What a gateway gets, frame by frame: how many envelopes each holds, and their bytes.
    struct Gateway(mpsc::UnboundedSender<Vec<u32>>);

    impl Actor for Gateway {
        type Msg = Frame;
        type State = ();
        type Arguments = ();

        async fn pre_start(&self, _: ActorRef<Frame>, (): ()) -> Result<(), ActorProcessingErr> {
            Ok(())
        }

        async fn handle(
            &self,
            _: ActorRef<Frame>,
            frame: Frame,
            (): &mut (),
        ) -> Result<(), ActorProcessingErr> {
            let (_, Content::Envelopes(mut rest)) = read(frame.0.into()).unwrap() else {
                panic!("no goodbye was said")
            };
            let mut held = Vec::new();
            while let Some(envelope) = split_envelope(&mut rest).unwrap() {
                held.push(u32::from_be_bytes(envelope[..].try_into().unwrap()));
            }
            self.0.send(held).unwrap();
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_quiet_lane_sends_at_once_and_overtakes_nothing() {
        let (told, mut frames) = mpsc::unbounded_channel();
        let (gateway, _) = Actor::spawn(None, Gateway(told), ()).await.unwrap();
        let lane = Lane::open(SessionId(1), Switch::default(), gateway);
        let second = Duration::from_secs(1);
        let send = |number: u32, at: Duration| {
            let envelope = Bytes::copy_from_slice(&number.to_be_bytes());
            lane.send(at, envelope).unwrap();
        };
        // One after the other: no task of the lane has run when the second is sent.
        send(0, second);
        send(1, 2 * second);
        // Side by side, and then late, while those before it still wait.
        send(2, 2 * second);
        send(3, 2 * second + QUIET);
        send(4, 3 * second);
        let mut got = Vec::new();
        while got.iter().map(Vec::len).sum::<usize>() < 5 {
            got.push(frames.recv().await.unwrap());
        }
        assert_eq!(got, [vec![0], vec![1], vec![2, 3, 4]]);
        // The queue is empty again.
        while lane.passed.load(Ordering::Acquire) < 3 {
            yield_now().await;
        }
        send(5, 4 * second);
        assert_eq!(frames.recv().await.unwrap(), [5]);
    }
}
