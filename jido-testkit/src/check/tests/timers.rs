//! What is held against the diaries of agents that send themselves messages.

use std::time::Duration;

use crate::check::reminders::Diary;
use crate::check::timers::check;
use crate::history::Reminded;

fn found(entries: &[Reminded]) -> Vec<&'static str> {
    let at = |entry: &Reminded| (Duration::ZERO, *entry);
    let diary = Diary {
        entries: entries.iter().map(at).collect(),
        ..Diary::default()
    };
    let found = check("k", &diary);
    found.iter().map(|violation| violation.invariant).collect()
}

fn scheduled(id: u64) -> Reminded {
    Reminded::Scheduled { id }
}

fn echoed(id: u64) -> Reminded {
    Reminded::Echoed { id }
}

#[test]
fn what_was_scheduled_may_come_once() {
    let good = [
        scheduled(1),
        scheduled(2),
        echoed(2),
        scheduled(3),
        echoed(1),
    ];
    assert_eq!(found(&good), [""; 0]);
    let twice = [scheduled(1), echoed(1), echoed(1)];
    assert_eq!(
        found(&twice),
        ["what an agent has scheduled comes at most once"]
    );
    let undone = "nothing comes of what was not scheduled";
    assert_eq!(found(&[echoed(1)]), [undone]);
    assert_eq!(found(&[scheduled(2), echoed(1), scheduled(1)]), [undone]);
}
