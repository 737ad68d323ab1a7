use super::*;
use jido_core::Timestamp;
use proptest::prelude::*;

fn pipeline(durability: Durability) -> Pipeline<u32> {
    Pipeline::new(durability, false, Bytes::from_static(b"s0"))
}

fn entry() -> NewEntry {
    NewEntry::new("e", Timestamp(0), Bytes::new()).unwrap()
}

#[test]
fn a_read_of_a_durable_state_leaves_at_once_and_commits_nothing() {
    let mut pipeline = pipeline(Durability::Command);
    assert_eq!(pipeline.turn(b"s0", vec![], None, 1), Some(1));
    assert_eq!(pipeline.next(0), None);
}

#[test]
fn a_change_holds_its_reply_until_it_is_durable() {
    let mut pipeline = pipeline(Durability::Command);
    assert_eq!(pipeline.turn(b"s1", vec![], None, 1), None);
    let plan = pipeline.next(0).unwrap();
    assert_eq!(&plan.state[..], b"s1");
    assert_eq!(pipeline.next(0), None, "one commit at a time");
    assert_eq!(pipeline.committed(), [1]);
    assert!(!pipeline.is_dirty());
}

#[test]
fn an_entry_alone_is_a_change() {
    let mut pipeline = pipeline(Durability::Command);
    assert_eq!(pipeline.turn(b"s0", vec![entry()], None, 1), None);
    assert_eq!(pipeline.next(0).unwrap().entries.len(), 1);
}

#[test]
fn the_record_of_a_request_is_a_change_also_where_its_message_changed_nothing() {
    let mut pipeline = pipeline(Durability::Command);
    let record = RequestRecord {
        request: RequestId::new(1, 1),
        issued_at: Timestamp(0),
        reply: Bytes::new(),
    };
    assert_eq!(pipeline.turn(b"s0", vec![], Some(record), 1), None);
    assert!(pipeline.is_pending(RequestId::new(1, 1)));
    assert_eq!(pipeline.next(0).unwrap().requests.len(), 1);
    assert_eq!(pipeline.committed(), [1]);
}

#[test]
fn what_comes_during_a_commit_shares_the_next_one() {
    let mut pipeline = pipeline(Durability::Command);
    pipeline.turn(b"s1", vec![], None, 1);
    pipeline.next(0).unwrap();
    assert_eq!(pipeline.turn(b"s2", vec![entry()], None, 2), None);
    assert_eq!(pipeline.turn(b"s3", vec![entry()], None, 3), None);
    assert_eq!(
        pipeline.turn(b"s3", vec![], None, 4),
        None,
        "a read of what is not durable waits"
    );
    assert_eq!(pipeline.committed(), [1]);
    let plan = pipeline.next(0).unwrap();
    assert_eq!((&plan.state[..], plan.entries.len()), (&b"s3"[..], 2));
    assert_eq!(pipeline.committed(), [2, 3, 4]);
}

#[test]
fn a_read_during_a_commit_leaves_with_it() {
    let mut pipeline = pipeline(Durability::Command);
    pipeline.turn(b"s1", vec![], None, 1);
    pipeline.next(0).unwrap();
    assert_eq!(pipeline.turn(b"s1", vec![], None, 2), None);
    assert_eq!(pipeline.committed(), [1, 2]);
    assert_eq!(pipeline.next(0), None);
}

#[test]
fn a_failed_commit_undoes_all_that_was_built_on_it() {
    let mut pipeline = pipeline(Durability::Command);
    pipeline.turn(b"s1", vec![entry()], None, 1);
    pipeline.next(0).unwrap();
    pipeline.turn(b"s2", vec![entry()], None, 2);
    assert_eq!(pipeline.undo(), [1, 2]);
    assert_eq!(&pipeline.current()[..], b"s0");
    assert!(!pipeline.is_dirty());
    assert_eq!(pipeline.all(), None);
}

#[test]
fn with_hibernate_replies_leave_at_once_and_changes_wait() {
    let mut pipeline = pipeline(Durability::Hibernate);
    assert_eq!(pipeline.turn(b"s1", vec![], None, 1), Some(1));
    assert_eq!(pipeline.next(0), None);
    assert_eq!(&pipeline.all().unwrap().state[..], b"s1");
    assert_eq!(pipeline.committed(), [0u32; 0]);
}

#[test]
fn with_hibernate_what_has_no_room_is_committed_and_tried_once_a_message() {
    let mut pipeline = pipeline(Durability::Hibernate);
    let one = {
        pipeline.turn(b"s1", vec![entry()], None, 1);
        pipeline.staged_len()
    };
    pipeline.turn(b"s2", vec![entry()], None, 2);
    assert_eq!(pipeline.next(2 * one), None);
    assert_eq!(pipeline.next(2 * one - 1).unwrap().entries.len(), 2);
    // What is in flight may come back.
    assert_eq!(pipeline.turn(b"s3", vec![entry()], None, 3), Some(3));
    assert_eq!(pipeline.staged_len(), 3 * one);
    pipeline.put_back();
    assert_eq!(pipeline.staged_len(), 3 * one);
    assert_eq!(pipeline.next(one), None, "it would be tried again at once");
    assert_eq!(pipeline.hold(4), Some(4));
    assert_eq!(pipeline.next(one).unwrap().entries.len(), 3);
    assert_eq!(pipeline.committed(), [0u32; 0]);
    assert_eq!(pipeline.staged_len(), 0);
    assert!(!pipeline.is_dirty());
}

#[test]
fn what_is_put_back_waits_for_the_next_commit() {
    let mut pipeline = pipeline(Durability::Command);
    pipeline.turn(b"s1", vec![entry()], None, 1);
    pipeline.all().unwrap();
    pipeline.turn(b"s2", vec![entry()], None, 2);
    pipeline.put_back();
    let plan = pipeline.next(0).unwrap();
    assert_eq!((&plan.state[..], plan.entries.len()), (&b"s2"[..], 2));
    assert_eq!(pipeline.committed(), [1, 2]);
}

proptest! {
    /// Whatever the order of turns, commits and failures, a reply leaves once, and
    /// only when the state that it saw is the committed one or older.
    #[test]
    fn no_reply_leaves_before_what_it_saw_is_durable(
        steps in proptest::collection::vec((0u8..4, 0u8..3), 1..60)
    ) {
        let mut pipeline: Pipeline<(u8, usize)> =
            Pipeline::new(Durability::Command, false, Bytes::from_static(&[0]));
        let mut durable = 0u8;
        let mut flying = None;
        let mut version = 0u8;
        let mut given = 0usize;
        let mut back = 0usize;
        for (step, change) in steps {
            let mut left: Vec<(u8, usize)> = Vec::new();
            match step {
                0 | 1 => {
                    if change > 0 {
                        version = version.saturating_add(1);
                    }
                    given += 1;
                    left.extend(pipeline.turn(&[version], vec![], None, (version, given)));
                }
                2 => {
                    if flying.is_none() && let Some(plan) = pipeline.next(0) {
                        flying = Some(plan.state[0]);
                    } else if let Some(state) = flying.take() {
                        durable = state;
                        left.extend(pipeline.committed());
                    }
                }
                _ => {
                    flying = None;
                    back += pipeline.undo().len();
                    version = durable;
                }
            }
            for (saw, _) in &left {
                prop_assert!(*saw <= durable, "saw {saw}, durable {durable}");
            }
            back += left.len();
        }
        if flying.is_some() {
            back += pipeline.committed().len();
        }
        if pipeline.next(0).is_some() {
            back += pipeline.committed().len();
        }
        prop_assert_eq!(given, back);
    }
}
