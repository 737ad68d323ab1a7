//! Draws a plan from its seed.

use std::time::Duration;

use fastrand::Rng;
use jido_core::Missed;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{
    ABOUT_REMINDERS, ATTACHED, Ask, Doubt, Fault, FaultKind, NAMES, Options, Plan, REBALANCED,
    REMINDED, ReadMode, SCRATCH, Task, Zones,
};
use crate::history::{Action, Reminding, When};
use crate::sim::StorageFaults;

impl Plan {
    /// Draws a plan.
    pub fn new(seed: u64, options: Options) -> Self {
        let mut chance = Rng::with_seed(xxh3_64_with_seed(b"plan", seed));
        let span = 4_000 + 60 * options.ops as u64;
        let tasks = (0..options.ops as u64).map(|number| {
            let mut task = task(&mut chance, number, options);
            task.at = chance.u64(0..span);
            task
        });
        let mut tasks: Vec<Task> = tasks.collect();
        let ops = options.ops as u64;
        let attached = ops / ATTACHED as u64;
        tasks.extend((ops..ops + attached).map(|number| Task {
            number,
            client: chance.usize(..options.clients.max(1)),
            at: chance.u64(0..span),
            ..Task::plain(Ask::Attach(chance.usize(..options.keys.max(1))), 1_000)
        }));
        let (from, about) = (ops + attached, ops / ABOUT_REMINDERS as u64);
        tasks.extend((from..from + about).map(|number| Task {
            ask: about_reminders(&mut chance, options),
            at: chance.u64(0..span),
            again: None,
            ..task(&mut chance, number, options)
        }));
        // Drawn apart, so that it changes nothing else.
        let mut placing = Rng::with_seed(xxh3_64_with_seed(b"placement", seed));
        let (from, moves) = (from + about, ops / REBALANCED as u64);
        tasks.extend((from..from + moves).map(|number| Task {
            number,
            client: placing.usize(..options.clients.max(1)),
            at: placing.u64(0..span),
            ..Task::plain(Ask::Rebalance, 1_000)
        }));
        tasks.sort_by_key(|task| (task.at, task.number));
        // Most often what promises most.
        let on_disconnect = chance.u8(..3) == 0;
        let reads = match chance.u8(..6) {
            0..3 => ReadMode::Leased,
            3 | 4 => ReadMode::Strict,
            _ => ReadMode::Local,
        };
        let mut faults: Vec<Fault> = (0..options.faults)
            .map(|_| fault(&mut chance, options.nodes, span))
            .collect();
        let remembered = [4_096, 4_096, 4_096, 3, 1][chance.usize(..5)];
        let remembered_for = Duration::from_secs([600, 600, 600, 1][chance.usize(..4)]);
        for fault in &mut faults {
            if let FaultKind::Jump { ahead, wall, .. } = &mut fault.kind {
                // Leases are worth what clocks are: those of elapsed time may drift, not jump.
                if reads == ReadMode::Leased {
                    *ahead = 0;
                }
                // A caller whose clock is behind is refused for as long as that, where
                // agents remember nothing from before.
                if remembered < 4_096 || remembered_for < Duration::from_secs(60) {
                    *wall /= 30;
                }
            }
        }
        for fault in &mut faults {
            // Long enough for what is stale by then to show.
            if on_disconnect
                && matches!(
                    fault.kind,
                    FaultKind::Partition { .. } | FaultKind::Deaf { .. } | FaultKind::OneWay { .. }
                )
            {
                fault.lasts *= 2;
            }
        }
        faults.sort_by_key(|fault| fault.at);
        for (number, fault) in faults.iter_mut().enumerate() {
            fault.number = number;
        }
        Self {
            seed,
            options,
            lease_ttl: Duration::from_millis([400, 1_000, 3_000][chance.usize(..3)]),
            idle_timeout: [None, Some(Duration::from_millis(500))][chance.usize(..2)],
            park_after: [None, Some(Duration::from_millis(60))][chance.usize(..2)],
            capacity: [None, Some(1), Some(3)][chance.usize(..3)],
            capacity_bytes: [None, None, Some(500)][chance.usize(..3)],
            rebalance: (placing.bool()).then(|| Duration::from_millis(placing.u64(50..500))),
            max_migrations: [1, 1, 2, 100][placing.usize(..4)],
            weights: match placing.u8(..3) {
                0 => (0..options.nodes.max(1))
                    .map(|_| [20, 100, 300][placing.usize(..3)])
                    .collect(),
                _ => vec![100],
            },
            zones: match placing.u8(..6) {
                0 => Zones::First,
                1 => Zones::SecondThenFirst,
                _ => Zones::All,
            },
            on_disconnect,
            sourced: chance.u8(..6) == 0,
            reads,
            remembered,
            remembered_for,
            hooks: chance.u8(..4) == 0,
            mailbox_limit: [1, 10_000, 10_000, 10_000][chance.usize(..4)],
            activations: [1, 2, 64][chance.usize(..3)],
            drains: chance.bool(),
            tasks,
            faults,
        }
    }
}

fn task(chance: &mut Rng, number: u64, options: Options) -> Task {
    let place = chance.usize(..options.keys.max(1));
    let amount = chance.i64(1..1_000);
    let account = |chance: &mut Rng| {
        let accounts = (options.keys / 4).max(1);
        4 * chance.usize(..accounts) + 3
    };
    let ask = match (chance.u8(..100), place % 4) {
        (0..4, _) => Ask::Hibernate(place),
        (4..7, _) => Ask::One(place, Action::Fail),
        (7, _) => Ask::Delete,
        (8..10, _) => Ask::One(SCRATCH, Action::Add(amount)),
        (10..30, _) => Ask::One(place, Action::Read),
        (30..33, 0 | 3) => Ask::Cast(place, Action::Add(amount)),
        (30..33, 1) => Ask::Cast(place, Action::Note),
        (_, 0) => Ask::One(place, Action::Add(amount)),
        (_, 1) => Ask::One(place, Action::Note),
        (_, 2) => Ask::Increase(place, amount),
        (33..58, _) => Ask::One(place, Action::Add(amount)),
        _ => Ask::Transfer(place, account(chance), amount),
    };
    let named = chance.bool();
    let doubt = match chance.u8(..8) {
        0..4 => Doubt::Retry,
        4 | 5 => Doubt::Ask,
        6 => Doubt::AskLater,
        _ => Doubt::Leave,
    };
    Task {
        number,
        client: chance.usize(..options.clients.max(1)),
        at: 0,
        patience: [150, 1_000, 5_000][chance.usize(..3)],
        takes: if chance.u8(..8) == 0 {
            chance.u16(1..40)
        } else {
            0
        },
        named,
        doubt: if named { doubt } else { Doubt::Leave },
        doubled: named && chance.u8(..16) == 0,
        again: (named && chance.u8(..8) == 0).then(|| chance.u64(..3_000)),
        ask,
    }
}

fn about_reminders(chance: &mut Rng, options: Options) -> Ask {
    let place = match chance.u8(..4) {
        0 => chance.usize(..options.keys.max(1)),
        _ => chance.usize(REMINDED),
    };
    match chance.u8(..100) {
        0..55 => Ask::One(place, Action::Remind(reminding(chance))),
        55..70 => Ask::One(place, Action::Forget(chance.u8(..NAMES))),
        70..85 => Ask::Hibernate(place),
        85..90 => Ask::One(place, Action::Read),
        _ => Ask::One(place, Action::Schedule(chance.u16(..2_000))),
    }
}

fn reminding(chance: &mut Rng) -> Reminding {
    let every = chance.u32(1_000..6_000);
    let when = match chance.u8(..8) {
        0..3 => When::Once(chance.i32(0..12_000)),
        3 => When::Once(chance.i32(-90_000..0)),
        4 | 5 => When::Every(every),
        6 => When::Grid {
            every,
            ago: chance.u32(..100_000),
        },
        _ => When::Seconds([1, 2, 3, 5][chance.usize(..4)]),
    };
    let once = matches!(when, When::Once(_));
    Reminding {
        name: chance.u8(..NAMES),
        when,
        missed: [Missed::All, Missed::Latest, Missed::Skip][chance.usize(..3)],
        // One that comes again may fail each time, and never come.
        fails_for: match once && chance.u8(..4) == 0 {
            true => chance.u16(100..1_500),
            false => 0,
        },
    }
}

fn fault(chance: &mut Rng, nodes: usize, span: u64) -> Fault {
    let nodes = nodes.max(1);
    let node = chance.usize(..nodes);
    let other = (node + 1 + chance.usize(..nodes.max(2) - 1)) % nodes;
    let who = [None, Some(super::node(node))][chance.usize(..2)].clone();
    let kind = match chance.u8(..100) {
        0..14 => FaultKind::Crash {
            node,
            power: chance.u8(..3) == 0,
        },
        14..20 => FaultKind::Drain { node },
        20..32 => FaultKind::Pause { node },
        32..39 => FaultKind::Partition { side: vec![node] },
        39..49 => FaultKind::Deaf { node },
        49..55 => FaultKind::OneWay {
            from: node,
            to: other,
        },
        55..61 => FaultKind::Reset { one: node, other },
        61..67 => FaultKind::Slow {
            one: node,
            other,
            most: chance.u64(50..800),
        },
        67..85 => FaultKind::Storage(StorageFaults {
            node: who,
            before: chance.u8(..20),
            after: chance.u8(..25),
            lost: chance.u8(..25),
            late: chance.u8(..25),
            stall: chance.u8(..15),
        }),
        85..91 => FaultKind::Storage(StorageFaults {
            node: who,
            ..StorageFaults::away()
        }),
        91..96 => FaultKind::Jump {
            node,
            ahead: chance.u64(..3_000),
            wall: chance.i64(-60_000..60_000),
        },
        _ => FaultKind::Double { node },
    };
    Fault {
        number: 0,
        at: chance.u64(span / 20..span * 9 / 10),
        lasts: [300, 2_000, 6_000][chance.usize(..3)] + chance.u64(..500),
        kind,
    }
}
