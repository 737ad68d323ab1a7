//! Peers that fall silent without the end of a connection.

use std::time::{Duration, Instant};

use crate::namespaces::Namespaces;
use crate::process::{Launch, Process, free_address};
use crate::{GREETINGS, exchange};

/// How soon a silent peer has to be found.
const FOUND_WITHIN: Duration = Duration::from_millis(2_500);

/// So often is tried what a machine with much else to do may be late for now and then, but
/// not always.
const ATTEMPTS: usize = 4;

/// That one of a few attempts was in time.
fn assert_found(what: &str, took: &[Duration]) {
    println!("{what}: found after {took:?}");
    assert!(
        took.iter().any(|took| *took <= FOUND_WITHIN),
        "{what}: {took:?}"
    );
    // Not because of something else, which would have been sooner.
    let least = Duration::from_millis(1_000);
    assert!(took.iter().all(|took| *took >= least), "{what}: {took:?}");
}

fn is_in_time(took: &[Duration]) -> bool {
    took.last().is_some_and(|took| *took <= FOUND_WITHIN)
}

pub(crate) fn a_paused_peer() {
    // Whichever of the two dials, and decides.
    for (first, second) in [("a", "b"), ("b", "a")] {
        let mut still = Process::start(first, &[]);
        let mut paused = Process::start(second, &[&still.address]);
        still.sees_up(&paused);
        paused.sees_up(&still);
        let mut took = Vec::new();
        while took.len() < ATTEMPTS && !is_in_time(&took) {
            paused.signal("-STOP");
            let since = Instant::now();
            took.push(still.says_after(&format!("down {}", paused.incarnation), since));
            paused.signal("-CONT");
            // The same lives of both.
            still.sees_up(&paused);
            paused.says(&format!("down {}", still.incarnation));
            paused.sees_up(&still);
        }
        assert_found("a paused peer", &took);
        exchange(&mut still, &mut paused, GREETINGS, 1_000);
        still.tell("stats fell_silent 1");
        still.hear("stats fell_silent");
        still.never_said("down");
        paused.never_said("down");
    }
}

pub(crate) fn patience_that_differs() {
    // One would wait ten seconds between heartbeats and look at its sessions every 2.5 s, and the
    // other waits for less than either.
    let mut slow = Launch::new("a", &[])
        .set("heartbeat_every", 10_000)
        .set("unreachable_after", 60_000)
        .start();
    let mut quick = Launch::new("b", &[&slow.address])
        .set("heartbeat_every", 100)
        .set("unreachable_after", 2_000)
        .start();
    slow.sees_up(&quick);
    quick.sees_up(&slow);
    // Longer than the patience of the one; the stop of a third is the event to wait for.
    let mut third = Launch::new("c", &[&quick.address])
        .set("heartbeat_every", 1_000)
        .set("unreachable_after", 4_000)
        .start();
    quick.sees_up(&third);
    third.signal("-STOP");
    quick.says(&format!("down {}", third.incarnation));
    third.kill();
    quick.tell("stats fell_silent 1");
    quick.says("stats fell_silent 1");
    quick.never_said("down");
    slow.never_said("down");
    exchange(&mut slow, &mut quick, GREETINGS, 1_000);
}

pub(crate) fn a_peer_that_flaps() {
    let (at_a, at_b) = (free_address(), free_address());
    let mut a = Process::launch_at("a", &at_a, &[&at_b]).start();
    let mut b = Process::launch_at("b", &at_b, &[&at_a]).start();
    a.sees_up(&b);
    b.sees_up(&a);
    // Each loss of the gateway ends all sessions.
    let mut pauses = Vec::new();
    for _ in 0..5 {
        // The pause begins with the loss, and the test hears of that later.
        let since = Instant::now();
        b.tell("kill gateway");
        a.says(&format!("down {}", b.incarnation));
        a.sees_up(&b);
        pauses.push(since.elapsed());
        b.says(&format!("down {}", a.incarnation));
        b.sees_up(&a);
    }
    println!("a peer that flaps: up again after {pauses:?}");
    // After the fourth loss 1 s, after the fifth 2 s.
    assert!(pauses[4] >= Duration::from_millis(1_900), "{pauses:?}");
    exchange(&mut a, &mut b, GREETINGS, 1_000);
}

pub(crate) fn dropped_packets() {
    let namespaces = Namespaces::new();
    let launch = |name, end: usize, seeds: &[&str]| Launch {
        listen: format!("{}:7000", namespaces.address(end)),
        namespace: Some(namespaces.name(end)),
        ..Launch::new(name, seeds).set("plain_text", true)
    };
    let mut a = launch("a", 0, &[]).start();
    let mut b = launch("b", 1, &[&a.address]).start();
    a.sees_up(&b);
    b.sees_up(&a);
    for (what, deaf) in [
        ("neither hears the other", &[0, 1][..]),
        ("a hears nothing", &[0]),
        ("b hears nothing", &[1]),
    ] {
        let mut took = Vec::new();
        while took.len() < ATTEMPTS && !is_in_time(&took) {
            for end in deaf {
                namespaces.deafen(*end);
            }
            let since = Instant::now();
            let (down_at_a, down_at_b) = (
                format!("down {}", b.incarnation),
                format!("down {}", a.incarnation),
            );
            let at_a = a.says_after(&down_at_a, since);
            let at_b = b.says_after(&down_at_b, since);
            took.push(match deaf {
                [0] => at_a,
                [1] => at_b,
                _ => at_a.max(at_b),
            });
            for end in deaf {
                namespaces.heal(*end);
            }
            a.sees_up(&b);
            b.sees_up(&a);
        }
        assert_found(what, &took);
        exchange(&mut a, &mut b, GREETINGS, 1_000);
        for peer in [&mut a, &mut b] {
            peer.never_said("down");
        }
    }
}
