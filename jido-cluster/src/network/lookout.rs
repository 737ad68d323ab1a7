//! Whether a reader that has nothing to read goes to sleep at once.
//!
//! To be woken costs a thread tens of microseconds where processors are virtual, as much as all
//! else that a call to another node costs, and until then its processor does nothing. What
//! answers a message is often there by then: so the reader looks again for a while, whenever
//! its worker would go to sleep. Where looking was in vain it is tried more and more seldom: what
//! it costs is bounded.

use std::future::Future;
use std::pin::pin;
use std::task::Context;
use std::thread;

/// Looks of one reader for one read, each of less than a microsecond: longer than an answer takes
/// whose sender has to be woken, so that two who look come to do so at the same time.
const LOOKS: u32 = 100;

/// After so many looks its thread steps back for any other that waits for a processor: it may be
/// one that has something to send to it.
const STEP: u32 = 4;

/// Reads after which looking is tried again at the latest, where it has been in vain.
const SELDOM: u32 = 64;

/// When one reader looks again.
#[derive(Debug)]
pub(super) struct Lookout {
    /// Whether it ever does.
    is_wanted: bool,
    /// Looks since the last read; none where it does not look.
    looks: Option<u32>,
    /// How many reads are waited for without, since it was in vain the last time.
    pause: u32,
    /// How many of them are left.
    left: u32,
}

impl Lookout {
    pub(super) fn new(is_wanted: bool) -> Self {
        Self {
            is_wanted,
            looks: None,
            pause: 0,
            left: 0,
        }
    }

    /// Something was read.
    pub(super) fn came(&mut self) {
        if matches!(self.looks, Some(1..)) {
            self.pause = 0;
        }
        self.looks = (self.is_wanted && self.left == 0).then_some(0);
        self.left = self.left.saturating_sub(1);
    }

    /// There is nothing to read. Has the task polled again soon, if it is to look again.
    pub(super) fn nothing(&mut self, cx: &mut Context<'_>) {
        match &mut self.looks {
            None => {}
            Some(looks) if *looks < LOOKS => {
                *looks += 1;
                if looks.is_multiple_of(STEP) {
                    thread::yield_now();
                }
                // Once the worker has looked for what is ready elsewhere.
                let _pending = pin!(tokio::task::yield_now()).poll(cx);
            }
            Some(_) => {
                self.looks = None;
                self.pause = (self.pause * 2).clamp(1, SELDOM);
                self.left = self.pause;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::task::noop_waker_ref;

    use super::*;

    /// How often it looks for a read that never comes.
    fn looks(lookout: &mut Lookout) -> u32 {
        let mut count = 0;
        loop {
            let before = lookout.looks;
            lookout.nothing(&mut Context::from_waker(noop_waker_ref()));
            match before.and(lookout.looks) {
                Some(_) => count += 1,
                None => return count,
            }
        }
    }

    #[tokio::test]
    async fn a_reader_looks_again_for_a_while() {
        let mut lookout = Lookout::new(true);
        assert_eq!(looks(&mut lookout), 0, "before anything came");
        lookout.came();
        assert_eq!(looks(&mut lookout), LOOKS);
        assert_eq!(looks(&mut lookout), 0, "more than once for one read");
        let mut unwanted = Lookout::new(false);
        unwanted.came();
        assert_eq!(looks(&mut unwanted), 0);
    }

    #[tokio::test]
    async fn what_is_in_vain_is_done_ever_more_seldom_until_it_helps() {
        let mut lookout = Lookout::new(true);
        let mut pauses = Vec::new();
        for _ in 0..10 {
            let mut pause = 0;
            loop {
                lookout.came();
                match looks(&mut lookout) {
                    0 => pause += 1,
                    _ => break pauses.push(pause),
                }
            }
        }
        assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 32, 64, 64, 64]);
        // Once something comes while it looks, it looks every time.
        while lookout.looks.is_none() {
            lookout.came();
        }
        for _ in 0..3 {
            lookout.nothing(&mut Context::from_waker(noop_waker_ref()));
            lookout.came();
            assert_eq!(lookout.looks, Some(0));
        }
        assert_eq!(looks(&mut lookout), LOOKS);
        lookout.came();
        assert_eq!(looks(&mut lookout), 0);
        lookout.came();
        assert_eq!(looks(&mut lookout), LOOKS, "one read is left out again");
    }
}
