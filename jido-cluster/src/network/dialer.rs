//! Dials one address, and again whenever the session with whoever is there is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jido_core::Incarnation;
use tokio::time::sleep;

use super::address;
use super::attempt::{DialError, Failed, Reached, attempt};
use super::cookie::Cookie;
use super::handshake::Refused;
use super::sessions::Sessions;
use super::tls::Tls;
use crate::environment::Environment;

const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A node that was found elsewhere is given up after so many failures in a row,
/// about 40 seconds; whoever still finds it tells of it again.
const FOUND_ATTEMPTS: u32 = 12;

/// What is dialed.
#[derive(Debug)]
pub(super) enum Target {
    /// A configured address, for ever: whoever is there.
    Seed(String),
    /// A node that was found elsewhere.
    Found {
        /// The life that was found.
        incarnation: Incarnation,
        /// Where it accepts.
        address: String,
    },
}

/// How many addresses have not been tried yet.
#[derive(Debug, Default)]
pub(super) struct Unsettled(AtomicUsize);

impl Unsettled {
    pub(super) fn new(count: usize) -> Self {
        Self(AtomicUsize::new(count))
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }

    /// Takes one of those that were counted at first.
    pub(super) fn settling(self: &Arc<Self>) -> Settling {
        Settling(self.clone())
    }
}

/// An address that has not been tried yet: it was when this is dropped.
#[derive(Debug)]
pub(super) struct Settling(Arc<Unsettled>);

impl Settling {
    /// One more, beside this one.
    #[cfg(feature = "dns")]
    pub(super) fn another(&self) -> Self {
        self.0.0.fetch_add(1, Ordering::AcqRel);
        Self(self.0.clone())
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What all dialers of a node share.
#[derive(Debug, Clone)]
pub(super) struct Dialing {
    pub(super) sessions: Arc<Sessions>,
    pub(super) cookie: Cookie,
    pub(super) tls: Option<Tls>,
}

/// Dials as long as it makes sense: for ever, but for an IP address that is our own
/// or a node that is gone.
pub(super) async fn dial(target: Target, dialing: Dialing, mut settling: Option<Settling>) {
    let sessions = &dialing.sessions;
    let environment = sessions.environment();
    let (address, expected) = match target {
        Target::Seed(address) => (address, None),
        Target::Found {
            incarnation,
            address,
        } => (address, Some(incarnation)),
    };
    let mut known = expected;
    let mut failures = 0_u32;
    let mut failed = Failed::default();
    let mut is_own = false;
    loop {
        let up = known
            .filter(|known| sessions.is_up(*known))
            .or_else(|| sessions.up_at(&address));
        let reached = match up {
            Some(peer) => Ok(Reached::Peer(peer)),
            None => attempt(&address, expected, &dialing, &mut failed).await,
        };
        match reached {
            Ok(Reached::Peer(peer)) => {
                drop(settling.take());
                known = Some(peer);
                sessions.down(peer).await;
                failures = 0;
            }
            Ok(Reached::Myself) => {
                drop(settling.take());
                if !std::mem::replace(&mut is_own, true) {
                    tracing::debug!(address, "the address is our own");
                }
                // A name may lead to another node the next time.
                if expected.is_some() || address::is_numeric(&address) {
                    return;
                }
                failures = 0;
                sleep(pause(u32::MAX, environment)).await;
                continue;
            }
            Err(error) => {
                drop(settling.take());
                // One failure is usual where both ends start or dial at once, so that
                // the second is told of, and no more before there was a session.
                let is_met = matches!(error, DialError::Refused(Refused::Known(_)));
                if failures == 1 && !is_met {
                    tracing::warn!(address, %error, "no session yet; it is tried again");
                } else {
                    tracing::debug!(address, %error, failures, "still no session");
                }
                failures = failures.saturating_add(1);
                let is_gone = matches!(error, DialError::Refused(Refused::OtherLife))
                    || failures >= FOUND_ATTEMPTS;
                if expected.is_some() && is_gone {
                    return tracing::info!(address, "a node that was found is gone");
                }
            }
        }
        sleep(pause(failures, environment)).await;
    }
}

/// From 100 ms on, doubled by each failure, up to 5 s; the upper half by chance.
fn pause(failures: u32, environment: &dyn Environment) -> Duration {
    let doubled = SHORTEST_PAUSE.saturating_mul(2 << failures.min(16));
    let half = doubled.min(LONGEST_PAUSE) / 2;
    half + environment.jitter(half)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::SystemEnvironment;

    #[test]
    fn pauses_grow_up_to_a_limit() {
        for (failures, least) in [
            (0, 100),
            (1, 200),
            (2, 400),
            (5, 2500),
            (40, 2500),
            (u32::MAX, 2500),
        ] {
            let pause = pause(failures, &SystemEnvironment).as_millis();
            assert!((least..=2 * least).contains(&pause), "{failures}: {pause}");
        }
    }
}
