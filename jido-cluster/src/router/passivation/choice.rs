//! Which agents move down: a pure policy.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use jido_core::AgentKey;

use crate::activation::Errand;
use crate::local::{Resting, millis};

/// Beyond its capacity a manager makes room for a sixteenth of it at once, so that all
/// agents need not be looked at for each that comes.
const ROOM: usize = 16;

/// How much a manager keeps of its agents on a node, running and parked; none for no
/// bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Capacity {
    pub(crate) agents: Option<usize>,
    /// Of serialized states.
    pub(crate) bytes: Option<usize>,
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) agents: usize,
    pub(super) bytes: usize,
}

impl Capacity {
    pub(super) fn is_exceeded(&self, load: Load) -> bool {
        self.agents.is_some_and(|agents| load.agents > agents)
            || self.bytes.is_some_and(|bytes| load.bytes > bytes)
    }

    /// What is left when there is room again.
    fn with_room(&self) -> Self {
        let less = |limit: usize| limit - limit / ROOM;
        Self {
            agents: self.agents.map(less),
            bytes: self.bytes.map(less),
        }
    }
}

/// For how long an unused agent stays as it is; none for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    pub(crate) park: Option<Duration>,
    pub(crate) hibernate: Option<Duration>,
}

impl Patience {
    /// What an agent that rests does now, if anything.
    fn errand(&self, one: &Resting, now_ms: u64) -> Option<Errand> {
        let unused = now_ms.saturating_sub(one.used_ms);
        let is_up = |time: Option<Duration>| time.is_some_and(|time| unused >= millis(time));
        if is_up(self.hibernate) {
            Some(Errand::Passivate(one.used_ms))
        } else if !one.parked && is_up(self.park) {
            Some(Errand::Park(one.used_ms))
        } else {
            None
        }
    }

    pub(super) fn is_over(&self, one: &Resting, now_ms: u64) -> bool {
        self.errand(one, now_ms).is_some()
    }
}

/// Chooses among the agents that rest. Of two that were used at the same time the one
/// with the smaller key goes first.
pub(super) fn choose(
    patience: Patience,
    capacity: Capacity,
    mut load: Load,
    now_ms: u64,
    resting: Vec<Resting>,
) -> Vec<(AgentKey, Errand)> {
    let mut chosen = Vec::new();
    let mut rest = resting;
    if capacity.is_exceeded(load) {
        let target = capacity.with_room();
        let oldest = |one: Resting| Reverse((one.used_ms, one.key, one.bytes, one.parked));
        let mut heap: BinaryHeap<_> = rest.into_iter().map(oldest).collect();
        while target.is_exceeded(load)
            && let Some(Reverse((used_ms, key, bytes, _))) = heap.pop()
        {
            load.agents = load.agents.saturating_sub(1);
            load.bytes = load.bytes.saturating_sub(bytes);
            chosen.push((key, Errand::Passivate(used_ms)));
        }
        let back = heap.into_iter().map(|Reverse(one)| one);
        rest = back
            .map(|(used_ms, key, bytes, parked)| Resting {
                key,
                used_ms,
                bytes,
                parked,
            })
            .collect();
    }
    let over = rest.into_iter().filter_map(|one| {
        let errand = patience.errand(&one, now_ms)?;
        Some((one.used_ms, one.key, errand))
    });
    let mut over: Vec<_> = over.collect();
    over.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    chosen.extend(over.into_iter().map(|(_, key, errand)| (key, errand)));
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NEVER: Patience = Patience {
        park: None,
        hibernate: None,
    };

    fn resting(number: usize, used_ms: u64, bytes: usize, parked: bool) -> Resting {
        Resting {
            key: AgentKey::new(format!("key-{number:05}")).unwrap(),
            used_ms,
            bytes,
            parked,
        }
    }

    fn at_most(agents: usize) -> Capacity {
        Capacity {
            agents: Some(agents),
            bytes: None,
        }
    }

    #[test]
    fn the_quiet_are_parked_and_the_quieter_hibernate() {
        let patience = Patience {
            park: Some(Duration::from_millis(10)),
            hibernate: Some(Duration::from_millis(100)),
        };
        let all = vec![
            resting(1, 995, 1, false),
            resting(2, 990, 1, false),
            resting(3, 990, 1, true),
            resting(4, 900, 1, false),
            resting(5, 900, 1, true),
        ];
        let load = Load {
            agents: 5,
            bytes: 5,
        };
        let chosen = choose(patience, Capacity::default(), load, 1_000, all);
        let chosen: Vec<_> = chosen.iter().map(|(key, e)| (key.as_str(), *e)).collect();
        let expected = [
            ("key-00004", Errand::Passivate(900)),
            ("key-00005", Errand::Passivate(900)),
            ("key-00002", Errand::Park(990)),
        ];
        assert_eq!(chosen, expected);
    }

    #[test]
    fn room_is_made_by_bytes_too() {
        let all = vec![resting(1, 2, 600, false), resting(2, 1, 500, true)];
        let capacity = Capacity {
            agents: None,
            bytes: Some(1_000),
        };
        let load = Load {
            agents: 2,
            bytes: 1_100,
        };
        let chosen = choose(NEVER, capacity, load, 9, all);
        assert_eq!(chosen.len(), 1);
        assert_eq!(chosen[0].0.as_str(), "key-00002", "the older one");
    }

    proptest! {
        /// Whatever there is: nobody goes while all fit, no agent goes before one that
        /// was used earlier, and no more go than make room.
        #[test]
        fn the_least_recently_used_go_and_no_more_than_it_takes(
            uses in proptest::collection::vec((0u64..50, 1usize..100, any::<bool>()), 0..200),
            busy in 0usize..50,
            limit in 1usize..200,
            byte_limit in proptest::option::of(1usize..10_000),
        ) {
            let all: Vec<Resting> = uses
                .iter()
                .enumerate()
                .map(|(i, (used, bytes, parked))| resting(i, *used, *bytes, *parked))
                .collect();
            let load = Load {
                agents: all.len() + busy,
                bytes: all.iter().map(|one| one.bytes).sum(),
            };
            let capacity = Capacity { bytes: byte_limit, ..at_most(limit) };
            let chosen = choose(NEVER, capacity, load, 100, all.clone());
            if !capacity.is_exceeded(load) {
                prop_assert!(chosen.is_empty());
                return Ok(());
            }
            let of = |key: &AgentKey| all.iter().find(|one| one.key == *key).unwrap();
            let gone: Vec<&Resting> = chosen.iter().map(|(key, _)| of(key)).collect();
            let stays = all.iter().filter(|one| !gone.contains(one));
            let newest = gone.iter().map(|one| (one.used_ms, &one.key)).max();
            for one in stays {
                prop_assert!(newest.is_none_or(|newest| newest < (one.used_ms, &one.key)));
            }
            let left = |gone: &[&Resting]| Load {
                agents: load.agents - gone.len(),
                bytes: load.bytes - gone.iter().map(|one| one.bytes).sum::<usize>(),
            };
            let target = capacity.with_room();
            // It fits now, unless those that rest were too few; and with one less it would not.
            prop_assert!(!target.is_exceeded(left(&gone)) || gone.len() == all.len());
            if let Some((_, but_one)) = gone.split_last() {
                prop_assert!(target.is_exceeded(left(but_one)));
            }
        }
    }
}
