//! The way to one gateway of a peer: what is sent to it together travels in few frames.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use ractor::ActorRef;
use tokio::sync::Notify;
use tokio::task::yield_now;

use super::frame::{Packer, SessionId, Signal, alone};
use super::gateway::Frame;
use super::stream::Switch;
use crate::runtime::OwnedTask;
use crate::transport::SendError;

/// How often the sender steps back to let more come before it passes on what came, as long as
/// more does come. Without it frames hold one envelope each.
const YIELDS: usize = 2;

/// A lane by which nothing has gone for so long sends what comes at once, without its task:
/// where one call follows another, nobody comes to share its frame, and two tasks less lie on
/// its way. Calls that are under way side by side come more often than this.
const QUIET: Duration = Duration::from_micros(50);

/// So many envelopes at the least are passed on by who brings the last of them: waiting for
/// the lane's task they would wait for all that their worker has to do before, and the
/// peer's processors with them.
const CROWD: usize = 14;

/// Where more come together, frames of this part of as many as came the last time are enough to
/// keep the peer busy.
const PARTS: usize = 3;

/// An envelope beyond this is copied before the lane is locked, so that nobody waits for that,
/// in bytes.
const LARGE: usize = 16 * 1024;

/// The way to one gateway: frames that are being packed, and a task that passes them on.
///
/// What is packed has no bound of its own. The queues below, in the session layer,
/// have none either, and what callers may have under way to a peer is limited above,
/// where it can be refused with an answer.
#[derive(Debug)]
pub(super) struct Lane {
    session: SessionId,
    gateway: ActorRef<Frame>,
    shared: Arc<Shared>,
    _task: OwnedTask,
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// Told when the task has something to pass on.
    some: Notify,
}

#[derive(Debug)]
struct Waiting {
    packer: Packer,
    /// Whether the task has taken frames that it hasn't passed on yet. It looks for more
    /// after them.
    is_passing: bool,
    /// Whether nothing is passed on any more: the gateway is gone.
    is_over: bool,
    /// When an envelope came last while no other waited, as `Environment::elapsed` has it.
    last: Duration,
    /// Whether others came while that one waited.
    in_company: bool,
    /// How many came since the task last took what had come.
    came: usize,
    /// How many don't wait for the task.
    crowd: usize,
}

impl Lane {
    pub(super) fn open(session: SessionId, switch: Switch, gateway: ActorRef<Frame>) -> Self {
        let shared = Arc::new(Shared::new(session));
        let (to, packed) = (gateway.clone(), shared.clone());
        let task = OwnedTask::spawn(async move {
            packed.pass_on(|frame| to.cast(frame).is_ok()).await;
            switch.cut();
        });
        Self {
            session,
            gateway,
            shared,
            _task: task,
        }
    }

    pub(super) fn send(
        &self,
        now: impl FnOnce() -> Duration,
        envelope: &[u8],
    ) -> Result<(), SendError> {
        let large = (envelope.len() > LARGE).then(|| alone(self.session, envelope));
        let mut waiting = self.shared.waiting.lock();
        if waiting.is_over {
            return Err(SendError::Unreachable);
        }
        let is_first = waiting.packer.count() == 0 && !waiting.is_passing;
        match large {
            Some(frame) => waiting.packer.push_frame(frame),
            None => waiting.packer.push(envelope),
        }
        waiting.came += 1;
        if !is_first {
            waiting.in_company = true;
            let crowded = waiting.packer.count() >= waiting.crowd && !waiting.is_passing;
            return match crowded {
                true => waiting.pass_on(&self.gateway),
                false => Ok(()),
            };
        }
        let now = now();
        let last = std::mem::replace(&mut waiting.last, now);
        let in_company = std::mem::take(&mut waiting.in_company);
        if in_company || now.saturating_sub(last) <= QUIET {
            drop(waiting);
            self.shared.some.notify_one();
            return Ok(());
        }
        waiting.pass_on(&self.gateway)
    }

    pub(super) fn signal(&self, signal: Signal) {
        self.shared.waiting.lock().packer.signal(signal);
        self.shared.some.notify_one();
    }
}

impl Waiting {
    /// Passes on what is packed, with the lane locked, so that nothing overtakes it.
    fn pass_on(&mut self, gateway: &ActorRef<Frame>) -> Result<(), SendError> {
        let mut frames = self.packer.take().into_iter();
        let passed = frames.all(|frame| gateway.cast(Frame(frame)).is_ok());
        passed.then_some(()).ok_or(SendError::Unreachable)
    }
}

impl Shared {
    fn new(session: SessionId) -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                packer: Packer::new(session),
                is_passing: false,
                is_over: false,
                last: Duration::ZERO,
                in_company: false,
                came: 0,
                crowd: CROWD,
            }),
            some: Notify::new(),
        }
    }

    /// Passes on what is packed, until nobody takes any more.
    async fn pass_on(&self, mut pass: impl FnMut(Frame) -> bool) {
        loop {
            while self.has_some() {
                self.step_back().await;
                for frame in self.take() {
                    if !pass(Frame(frame)) {
                        self.waiting.lock().is_over = true;
                        return;
                    }
                }
            }
            self.some.notified().await;
        }
    }

    /// Whether something waits. What was taken before has been passed on.
    fn has_some(&self) -> bool {
        let mut waiting = self.waiting.lock();
        waiting.is_passing = false;
        waiting.packer.count() > 0
    }

    /// Lets more come.
    async fn step_back(&self) {
        let mut before = self.waiting.lock().packer.count();
        for _ in 0..YIELDS {
            yield_now().await;
            let count = self.waiting.lock().packer.count();
            if count == before {
                break;
            }
            before = count;
        }
    }

    fn take(&self) -> Vec<Vec<u8>> {
        let mut waiting = self.waiting.lock();
        waiting.is_passing = true;
        let came = std::mem::take(&mut waiting.came);
        waiting.crowd = CROWD.max(came / PARTS);
        waiting.packer.take()
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::{Content, read, split_envelope};
    use super::*;
    use ractor::{Actor, ActorProcessingErr};
    use tokio::sync::mpsc;

    /// The envelopes of a frame.
    fn unpack(frame: Frame) -> Vec<u32> {
        let (_, Content::Envelopes(mut rest)) = read(frame.0.into()).unwrap() else {
            panic!("no signal was given")
        };
        let mut held = Vec::new();
        while let Some(envelope) = split_envelope(&mut rest).unwrap() {
            held.push(u32::from_be_bytes(envelope[..].try_into().unwrap()));
        }
        held
    }

    #[tokio::test]
    async fn what_comes_together_travels_together() {
        let shared = Shared::new(SessionId(1));
        // One at a time, as callers on other tasks do.
        let sender = async {
            for i in 0..300_u32 {
                shared.waiting.lock().packer.push(&i.to_be_bytes());
                shared.some.notify_one();
                yield_now().await;
            }
        };
        let mut frames = Vec::new();
        let passed = shared.pass_on(|frame| {
            frames.push(unpack(frame));
            frames.iter().map(Vec::len).sum::<usize>() < 300
        });
        tokio::join!(passed, sender);
        // Each frame waits for another envelope at least.
        assert!(frames.len() <= 150, "{}", frames.len());
        assert_eq!(frames.concat(), (0..300).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn it_ends_when_the_gateway_is_gone() {
        let shared = Shared::new(SessionId(1));
        shared.waiting.lock().packer.signal(Signal::Goodbye);
        shared.pass_on(|_| false).await;
        assert!(shared.waiting.lock().is_over);
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
            self.0.send(unpack(frame)).unwrap();
            Ok(())
        }
    }

    /// The frames that a gateway got.
    struct Frames(mpsc::UnboundedReceiver<Vec<u32>>);

    impl Frames {
        async fn next(&mut self) -> Vec<u32> {
            self.0.recv().await.unwrap()
        }

        /// The next ones, until they hold so many envelopes.
        async fn next_with(&mut self, envelopes: usize) -> Vec<Vec<u32>> {
            let mut got = Vec::new();
            while got.iter().map(Vec::len).sum::<usize>() < envelopes {
                got.push(self.next().await);
            }
            got
        }
    }

    /// A lane, and what comes by it.
    async fn open() -> (Lane, Frames) {
        let (told, frames) = mpsc::unbounded_channel();
        let (gateway, _) = Actor::spawn(None, Gateway(told), ()).await.unwrap();
        let lane = Lane::open(SessionId(1), Switch::default(), gateway);
        (lane, Frames(frames))
    }

    /// Waits until the lane's task has nothing in hand any more.
    async fn idle(lane: &Lane) {
        while lane.shared.waiting.lock().is_passing {
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_crowd_does_not_wait_for_the_task() {
        let (lane, mut frames) = open().await;
        let at = Duration::from_secs(1);
        let send = |numbers: std::ops::Range<usize>| {
            for number in numbers {
                let number = u32::try_from(number).unwrap();
                lane.send(|| at, &number.to_be_bytes()).unwrap();
            }
        };
        // The first goes at once, and the task waits for company with the others.
        let sent = 1 + 20 * CROWD + 2;
        send(0..sent);
        assert_eq!(lane.shared.waiting.lock().packer.count(), 2);
        let got = frames.next_with(sent).await;
        let lens: Vec<_> = got.iter().map(Vec::len).collect();
        assert_eq!(lens, [&[1][..], &[CROWD; 20], &[2]].concat());
        assert!(got.concat().into_iter().eq(0..sent as u32));
        // As many are expected again, and larger frames are enough for so many.
        idle(&lane).await;
        send(sent..2 * sent);
        assert_eq!(frames.next().await.len(), sent / PARTS);
    }

    #[tokio::test]
    async fn a_quiet_lane_sends_at_once_and_overtakes_nothing() {
        let (lane, mut frames) = open().await;
        let second = Duration::from_secs(1);
        let send = |number: u32, at: Duration| {
            lane.send(|| at, &number.to_be_bytes()).unwrap();
        };
        // One after the other: no task of the lane has run when the second is sent.
        send(0, second);
        send(1, 2 * second);
        // Side by side, and then late, while those before it still wait.
        send(2, 2 * second);
        send(3, 2 * second + QUIET);
        send(4, 3 * second);
        let got = frames.next_with(5).await;
        assert_eq!(got, [vec![0], vec![1], vec![2, 3, 4]]);
        idle(&lane).await;
        // Whether more come again with the next one is seen then.
        send(5, 4 * second);
        send(6, 4 * second);
        assert_eq!(frames.next().await, [5, 6]);
        idle(&lane).await;
        send(7, 5 * second);
        assert_eq!(frames.next().await, [7]);
        idle(&lane).await;
        // Nobody came with that one.
        send(8, 6 * second);
        assert_eq!(lane.shared.waiting.lock().packer.count(), 0);
        assert_eq!(frames.next().await, [8]);
    }
}
