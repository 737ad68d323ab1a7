//! Keys: their order, what a range holds, odd bytes, lengths.

use super::super::layout::{Layout, Span, chunk, chunks};
use super::*;

fn name(text: &str) -> ClusterName {
    ClusterName::new(text).unwrap()
}

fn holds(span: &Span, key: &[u8]) -> bool {
    span.begin.as_slice() <= key && key < span.end.as_slice()
}

const KEYS: &[&str] = &[
    "\u{1}",
    "\u{1}\u{1}",
    " ",
    "A",
    "a",
    "a\u{1}b",
    "a/b",
    "aa",
    "b",
    "é",
    "\u{feff}",
    "\u{ffff}",
    "🦀",
    "\u{10ffff}",
];

#[test]
fn keys_keep_the_order_of_agents_and_give_them_back() {
    let layout = layout();
    let keys: Vec<_> = KEYS.iter().map(|key| layout.claim(&id(key))).collect();
    assert!(keys.is_sorted(), "the order of keys is another");
    let agents = id("a");
    let all = layout.claims(&agents.cluster, &agents.manager, None);
    for (text, key) in KEYS.iter().zip(&keys) {
        assert!(holds(&all, key), "{text:?}");
        assert_eq!(layout.agent_of(key).unwrap().as_str(), *text);
        let after = AgentKey::new(text).unwrap();
        let rest = layout.claims(&agents.cluster, &agents.manager, Some(&after));
        let behind: Vec<_> = keys.iter().filter(|key| holds(&rest, key)).collect();
        let expected: Vec<_> = keys.iter().filter(|other| *other > key).collect();
        assert_eq!(behind, expected, "behind {text:?}");
    }
    // Of what stands beside them, from one to another.
    let states: Vec<_> = KEYS.iter().map(|key| layout.state(&id(key))).collect();
    for (first, last) in [(0, 0), (0, 3), (2, KEYS.len() - 1)] {
        let ends = [first, last].map(|at| AgentKey::new(KEYS[at]).unwrap());
        let span = layout.states(&agents.cluster, &agents.manager, [&ends[0], &ends[1]]);
        let inside = states.iter().map(|key| holds(&span, key));
        assert!(inside.eq((0..KEYS.len()).map(|at| (first..=last).contains(&at))));
        assert!(!keys.iter().any(|key| holds(&span, key)));
    }
}

#[test]
fn ranges_hold_their_own_and_no_neighbours() {
    let layout = layout();
    for other in ["test.b", "tes", "test-", "tesu", "test0"] {
        let key = layout.node(&name(other), Incarnation(1));
        assert!(!holds(&layout.nodes(&cluster()), &key), "{other}");
    }
    for life in [0, 1, 0xff, u128::MAX] {
        let life = Incarnation(life);
        let (node, beat) = (layout.node(&cluster(), life), layout.beat(&cluster(), life));
        assert!(holds(&layout.nodes(&cluster()), &node));
        assert!(holds(&layout.beats(&cluster()), &beat));
        assert!(!holds(&layout.nodes(&cluster()), &beat));
        assert_eq!(layout.life_of(&node), Some(life));
        assert_eq!(layout.life_of(&beat), Some(life));
    }
    let of_a = layout.content(&id("a")).everything();
    for other in KEYS.iter().filter(|key| **key != "a") {
        let content = layout.content(&id(other));
        assert!(!holds(&of_a, &chunk(&content.checkpoint(), 0)), "{other:?}");
        assert!(
            !holds(&of_a, &chunk(&content.entry(Seq(3)), 0)),
            "{other:?}"
        );
    }
    let everything = layout.everything();
    for key in [
        layout.schema(),
        layout.node(&cluster(), NODE),
        layout.claim(&id("a")),
        layout.state(&id("a")),
        layout
            .content(&id("\u{10ffff}"))
            .reply(RequestId::new(u128::MAX, u64::MAX)),
        layout.marker(u128::MAX, u64::MAX),
    ] {
        assert!(holds(&everything, &key));
    }
}

#[test]
fn content_is_in_order_and_apart() {
    let content = layout().content(&id("a"));
    let places = [0, 1, 255, 256, 65_535, 65_536, 1 << 40, u64::MAX];
    let entries: Vec<_> = places.map(|seq| chunk(&content.entry(Seq(seq)), 0)).into();
    assert!(entries.is_sorted());
    for (seq, key) in places.iter().zip(&entries) {
        assert_eq!(content.seq_of(key), Some(Seq(*seq)));
        assert!(holds(&content.thread(), key));
        for other in [
            content.marks(),
            chunks(&content.metadata()),
            chunks(&content.checkpoint()),
        ] {
            assert!(!holds(&other, key), "entry {seq}");
        }
    }
    let some = content.entries(Seq(1), Seq(256));
    let inside: Vec<_> = entries.iter().map(|key| holds(&some, key)).collect();
    assert_eq!(
        inside,
        [false, true, true, false, false, false, false, false]
    );
    // Chunks of one entry stay before the next entry.
    let late = chunk(&content.entry(Seq(0)), u64::MAX);
    assert!(late > entries[0] && late < entries[1]);
    assert!(holds(&chunks(&content.entry(Seq(0))), &late));
    assert!(!holds(&chunks(&content.entry(Seq(0))), &entries[1]));
    for request in [(0, 0), (0, 1), (1 << 64, 0), (u128::MAX, u64::MAX)] {
        let request = RequestId::new(request.0, request.1);
        let mark = content.mark(request);
        assert_eq!(content.request_of(&mark), Some(request));
        assert!(holds(&content.marks(), &mark));
    }
}

#[test]
fn what_is_no_key_of_ours_is_told() {
    let layout = layout();
    let content = layout.content(&id("a"));
    for odd in [&b""[..], PREFIX, b"\x15\x2a\xff", b"elsewhere"] {
        assert_eq!(layout.life_of(odd), None);
        assert_eq!(layout.agent_of(odd), None);
        assert_eq!(content.seq_of(odd), None);
        assert_eq!(content.request_of(odd), None);
    }
    assert_eq!(layout.agent_of(&layout.node(&cluster(), NODE)), None);
    assert_eq!(content.seq_of(&content.mark(RequestId::new(1, 1))), None);
}

#[test]
fn the_longest_keys_fit() {
    let manager = ManagerName::new("m".repeat(128)).unwrap();
    let key = AgentKey::new("é".repeat(512)).unwrap();
    let longest = AgentId::new(name(&"c".repeat(128)), manager, key);
    let layout = Layout::new(vec![1; 1024]);
    let content = layout.content(&longest);
    // Of NULs in numbers the tuple layer makes two bytes.
    let reply = chunk(&content.reply(RequestId::new(0, u64::MAX)), u64::MAX);
    assert!(reply.len() <= content.longest_key());
    assert!(content.longest_key() < 4_000 && layout.claim(&longest).len() < 4_000);
}

#[test]
fn markers_are_swept_from_an_instance_on() {
    let layout = layout();
    let span = layout.markers_from(5);
    let inside = [4, 5, 6, u128::MAX].map(|instance| holds(&span, &layout.marker(instance, 300)));
    assert_eq!(inside, [false, true, true, true]);
    assert!(!holds(&span, &layout.claim(&id("a"))));
}

#[test]
fn those_that_are_due_stand_in_order_of_time() {
    let layout = layout();
    let times = [0, 1, 255, 256, 1 << 40, u64::MAX];
    let keys: Vec<_> = times
        .iter()
        .flat_map(|at| ["a", "b"].map(|key| (Timestamp(*at), key)))
        .collect();
    let stored: Vec<_> = keys
        .iter()
        .map(|(at, key)| layout.due(&id(key), *at))
        .collect();
    assert!(stored.is_sorted());
    let query = |until: u64, after: Option<Due>| DueQuery {
        cluster: cluster(),
        manager: id("a").manager,
        until: Timestamp(until),
        after,
        limit: 1,
    };
    for until in times {
        for (at, key) in &keys {
            let due = layout.due_at(&layout.due(&id(key), *at)).unwrap();
            assert_eq!((due.wake_at, due.key.as_str()), (*at, *key));
            let span = layout.due_by(&query(until, Some(due)));
            assert!(span.begin <= span.end);
            for ((other_at, other), stored) in keys.iter().zip(&stored) {
                let expected = other_at.0 <= until && (other_at, other) > (at, key);
                assert_eq!(
                    holds(&span, stored),
                    expected,
                    "{other_at:?}/{other} after {at:?}/{key} until {until}"
                );
            }
        }
        let all = keys.iter().filter(|(at, _)| at.0 <= until).count();
        let span = layout.due_by(&query(until, None));
        assert_eq!(stored.iter().filter(|key| holds(&span, key)).count(), all);
    }
    assert_eq!(layout.due_at(&layout.claim(&id("a"))), None);
    for neighbour in ["agents.b", "agent"] {
        let mut other = id("a");
        other.manager = ManagerName::new(neighbour).unwrap();
        let span = layout.due_by(&query(u64::MAX, None));
        assert!(!holds(&span, &layout.due(&other, Timestamp(1))));
    }
}
