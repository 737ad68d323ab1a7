use super::*;
use crate::{Epoch, Executed, Incarnation, Labels, MAX_WEIGHT, NodeName, Revision};
use proptest::prelude::*;

fn ask() -> Ask {
    Ask {
        correlation: 7,
        operation: Operation::Call,
        verify: true,
        route: Route::PassOn { to: Incarnation(5) },
        budget_ms: 5_000,
        manager: ManagerName::new("counters").unwrap(),
        key: Some(AgentKey::new("ключ").unwrap()),
        request: Some(RequestTry {
            id: RequestId::new(u128::MAX - 1, 9),
            issued_at: Timestamp(u64::MAX - 3),
            first: true,
        }),
        trace: Some(trace()),
        payload: Bytes::from_static(b"message"),
    }
}

fn trace() -> TraceContext {
    let trace = TraceContext::new(u128::MAX - 5, 6, 1).unwrap();
    trace.with_state("vendor=opaque,other=x y").unwrap()
}

fn answer() -> Answer {
    Answer {
        correlation: u64::MAX,
        status: AnswerStatus::NotOwner,
        executed: Executed::No,
        code: 3,
        epoch: Epoch(4),
        revision: Revision(5),
        hint: Some(Incarnation(6)),
        by: Some(NodeName::new("n2").unwrap()),
        payload: Bytes::from_static(b"why"),
    }
}

fn labels() -> Labels {
    let labels = Labels::new().with_weight(MAX_WEIGHT).unwrap();
    let labels = labels.with_zone("eu-1a").unwrap();
    labels.with_version("1.2.3").unwrap()
}

#[test]
fn an_ask_is_given_its_number_last() {
    let mut written = Vec::new();
    Ask {
        correlation: 0,
        payload: Bytes::new(),
        ..ask()
    }
    .encode_into(&mut written);
    written.extend_from_slice(&ask().payload);
    Ask::correlate(&mut written, ask().correlation);
    assert_eq!(written[..], ask().encode()[..]);
    // Of what is none, nothing is touched.
    let mut none = [7; 9];
    Ask::correlate(&mut none, 1);
    assert_eq!(none, [7; 9]);
}

#[test]
fn labels_out_of_their_range_are_refused() {
    let good = Notice::Labels(labels()).encode();
    let place = good.len() - "1.2.3".len();
    for (at, byte) in [(11, 0xff), (place, b'/'), (place - 1, 0xff), (place - 1, 6)] {
        let mut bad = good.to_vec();
        bad[at] = byte;
        let decoded = Envelope::decode(bad.into());
        assert!(
            matches!(decoded, Err(EnvelopeError::Malformed(_))),
            "{decoded:?}"
        );
    }
}

#[test]
fn envelopes_read_back_as_written() {
    assert_eq!(Envelope::decode(ask().encode()), Ok(Envelope::Ask(ask())));
    assert_eq!(
        Envelope::decode(answer().encode()),
        Ok(Envelope::Answer(answer()))
    );
    for route in [
        Route::Direct,
        Route::PassedOn {
            from: Incarnation(u128::MAX),
        },
    ] {
        let ask = Ask { route, ..ask() };
        assert_eq!(Envelope::decode(ask.encode()), Ok(Envelope::Ask(ask)));
    }
    for (hint, by) in [(None, answer().by), (answer().hint, None), (None, None)] {
        let answer = Answer {
            hint,
            by,
            ..answer()
        };
        assert_eq!(
            Envelope::decode(answer.encode()),
            Ok(Envelope::Answer(answer))
        );
    }
    let manager = ManagerName::new("counters").unwrap();
    for notice in [
        Notice::Leaving,
        Notice::Health { healthy: true },
        Notice::Health { healthy: false },
        Notice::TookOver,
        Notice::Serves {
            manager: manager.clone(),
            serves: true,
        },
        Notice::Serves {
            manager,
            serves: false,
        },
        Notice::Labels(Labels::new()),
        Notice::Labels(labels()),
    ] {
        assert_eq!(
            Envelope::decode(notice.encode()),
            Ok(Envelope::Notice(notice))
        );
    }

    let stateless = Ask {
        trace: Some(TraceContext::new(7, 8, 0).unwrap()),
        ..ask()
    };
    assert_eq!(
        Envelope::decode(stateless.encode()),
        Ok(Envelope::Ask(stateless))
    );

    let bare = Ask {
        request: None,
        trace: None,
        verify: false,
        payload: Bytes::new(),
        ..ask()
    };
    assert_eq!(Envelope::decode(bare.encode()), Ok(Envelope::Ask(bare)));
    for operation in [
        Operation::Stats,
        Operation::Renew,
        Operation::Misplaced,
        Operation::Rebalance,
    ] {
        let keyless = Ask {
            operation,
            key: None,
            ..ask()
        };
        assert_eq!(
            Envelope::decode(keyless.encode()),
            Ok(Envelope::Ask(keyless))
        );
    }
}

#[test]
fn renewals_read_back_as_written_and_no_cut_is_mistaken_for_one() {
    let keys = ["a", "ключ", "b"].map(|key| AgentKey::new(key).unwrap());
    let renewal = Renewal {
        for_ms: 30_000,
        keys: keys.to_vec(),
    };
    let bytes = renewal.encode();
    assert_eq!(Renewal::decode(bytes.clone()), Ok(renewal));
    // The time, and each key's end, are where a shorter one may end.
    let whole = [4, 7, 17, 20];
    for len in 0..bytes.len() {
        let cut = Renewal::decode(bytes.slice(..len));
        assert_eq!(cut.is_ok(), whole.contains(&len), "{len}");
    }
}

#[test]
fn another_version_can_still_be_answered() {
    let mut bytes = ask().encode().to_vec();
    bytes[0] = 2;
    bytes.truncate(10);
    assert_eq!(
        Envelope::decode(bytes.clone().into()),
        Err(EnvelopeError::Version {
            version: 2,
            ask: Some(7)
        })
    );
    bytes[1] = KIND_ANSWER;
    assert_eq!(
        Envelope::decode(bytes.into()),
        Err(EnvelopeError::Version {
            version: 2,
            ask: None
        })
    );
}

#[test]
fn every_cut_is_refused_or_shortens_the_payload() {
    let whole = ask().encode();
    let head = whole.len() - ask().payload.len();
    for len in 0..head {
        assert!(Envelope::decode(whole.slice(..len)).is_err(), "{len}");
    }
    for len in head..whole.len() {
        assert!(Envelope::decode(whole.slice(..len)).is_ok(), "{len}");
    }
}

#[test]
fn unknown_flags_routes_and_statuses_are_refused() {
    // After ten bytes that all envelopes have.
    const OPERATION_OR_STATUS: usize = 10;
    const ASK_FLAGS: usize = 11;
    const ASK_ROUTE: usize = 12;
    const ANSWER_FLAGS: usize = 13;
    let ask = ask().encode();
    let answer = answer().encode();
    for (envelope, at, byte) in [
        (&ask, OPERATION_OR_STATUS, 0),
        (&ask, OPERATION_OR_STATUS, 12),
        (&ask, ASK_FLAGS, 16),
        (&ask, ASK_ROUTE, 3),
        (&answer, OPERATION_OR_STATUS, 7),
        (&answer, ANSWER_FLAGS, 4),
    ] {
        let mut bytes = envelope.to_vec();
        bytes[at] = byte;
        let read = Envelope::decode(bytes.into());
        assert!(
            matches!(read, Err(EnvelopeError::Malformed(_))),
            "{at} {byte} {read:?}"
        );
    }
}

#[test]
fn a_trace_costs_nothing_where_there_is_none_and_little_where_there_is() {
    let with = |trace| Ask { trace, ..ask() }.encode().len();
    let stateless = TraceContext::new(1, 2, 3).unwrap();
    assert_eq!(with(Some(stateless)) - with(None), trace::FIXED_LEN);
    assert_eq!(
        with(Some(trace())) - with(None),
        trace::FIXED_LEN + trace().state().len()
    );
}

#[test]
fn an_ask_without_a_trace_is_written_as_before_there_were_any() {
    let ask = Ask {
        operation: Operation::Cast,
        verify: false,
        route: Route::Direct,
        budget_ms: 258,
        manager: ManagerName::new("m").unwrap(),
        key: Some(AgentKey::new("k").unwrap()),
        request: None,
        trace: None,
        payload: Bytes::from_static(b"!"),
        ..ask()
    };
    let bytes = [
        1, 1, 0, 0, 0, 0, 0, 0, 0, 7, 2, 0, 0, 0, 0, 1, 2, 1, b'm', 0, 1, b'k', b'!',
    ];
    assert_eq!(&ask.encode()[..], bytes);
}

#[test]
fn a_trace_out_of_its_range_is_refused() {
    let whole = ask().encode();
    let state = trace().state().len();
    let trace_at = whole.len() - ask().payload.len() - state - trace::FIXED_LEN;
    let (parent, len) = (trace_at + 16, trace_at + 25);
    for (from, bytes) in [
        (trace_at, &[0u8; 16][..]),
        (parent, &[0; 8]),
        (len, &[2, 1]),
        (len + 2, b"V"),
        (len + 2, &[0xff]),
    ] {
        let mut bad = whole.to_vec();
        bad[from..from + bytes.len()].copy_from_slice(bytes);
        let read = Envelope::decode(bad.into());
        assert!(
            matches!(read, Err(EnvelopeError::Malformed(_))),
            "{from} {read:?}"
        );
    }
}

#[test]
fn a_key_where_none_belongs_and_none_where_one_does_are_refused() {
    let stats = Ask {
        operation: Operation::Stats,
        ..ask()
    };
    assert!(Envelope::decode(stats.encode()).is_err());
    let keyless = Ask { key: None, ..ask() };
    assert!(Envelope::decode(keyless.encode()).is_err());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = Envelope::decode(bytes.into());
    }

    #[test]
    fn a_flipped_byte_never_panics(at in 0usize..60, to: u8) {
        let mut bytes = ask().encode().to_vec();
        let at = at % bytes.len();
        bytes[at] = to;
        let _ = Envelope::decode(bytes.into());
    }
}
