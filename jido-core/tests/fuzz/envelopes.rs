//! What peers send.

use bytes::Bytes;
use jido_core::fuzz::bounded;
use jido_core::{
    AgentKey, Answer, AnswerStatus, Ask, Envelope, EnvelopeError, Epoch, Executed, Incarnation,
    Labels, ManagerName, NodeName, Notice, Operation, PROTOCOL_VERSION, Renewal, RequestId,
    RequestTry, Revision, Route, Timestamp, TraceContext, fuzz_target,
};

fn seeds() -> Vec<Vec<u8>> {
    let manager = ManagerName::new("counters").unwrap();
    let ask = Ask {
        correlation: 7,
        operation: Operation::Call,
        verify: true,
        route: Route::PassOn { to: Incarnation(5) },
        budget_ms: 5_000,
        manager: manager.clone(),
        key: Some(AgentKey::new("ключ").unwrap()),
        request: Some(RequestTry {
            id: RequestId::new(1 << 100, 9),
            issued_at: Timestamp(8),
            first: false,
        }),
        trace: TraceContext::new(1 << 90, 9, 1)
            .and_then(|trace| trace.with_state("a=b,c=d"))
            .ok(),
        payload: Bytes::from_static(b"message"),
    };
    let plain = Ask {
        operation: Operation::Stats,
        key: None,
        request: None,
        route: Route::PassedOn {
            from: Incarnation(5),
        },
        ..ask.clone()
    };
    let direct = Ask {
        route: Route::Direct,
        trace: None,
        ..plain.clone()
    };
    let answer = Answer {
        correlation: u64::MAX,
        status: AnswerStatus::NotOwner,
        executed: Executed::Maybe,
        code: 3,
        epoch: Epoch(4),
        revision: Revision(5),
        hint: Some(Incarnation(6)),
        by: Some(NodeName::new("n2").unwrap()),
        payload: Bytes::from_static(b"why"),
    };
    let bare = Answer {
        hint: None,
        by: None,
        status: AnswerStatus::Unreachable,
        ..answer.clone()
    };
    let serves = Notice::Serves {
        manager,
        serves: true,
    };
    let labels = Labels::new().with_zone("z").and_then(|l| l.with_weight(7));
    [
        Notice::Labels(labels.unwrap()).encode(),
        ask.encode(),
        plain.encode(),
        direct.encode(),
        answer.encode(),
        bare.encode(),
        Notice::Leaving.encode(),
        serves.encode(),
    ]
    .map(|bytes| bytes.to_vec())
    .to_vec()
}

#[test]
fn envelopes() {
    fuzz_target!(seeds(), |bytes: &[u8]| {
        let shared = Bytes::copy_from_slice(bytes);
        match bounded(bytes.len(), || Envelope::decode(shared)) {
            Ok(envelope) => {
                let again = match &envelope {
                    Envelope::Ask(ask) => ask.encode(),
                    Envelope::Answer(answer) => answer.encode(),
                    Envelope::Notice(notice) => notice.encode(),
                };
                assert_eq!(Envelope::decode(again), Ok(envelope));
            }
            // An ask of another version can still be answered.
            Err(EnvelopeError::Version { version, ask }) => {
                assert_ne!(version, PROTOCOL_VERSION);
                assert_eq!(ask.is_some(), bytes[1] == 1);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}

#[test]
fn renewals() {
    let keys = ["a", "ключ"].map(|key| AgentKey::new(key).unwrap());
    let renewal = Renewal {
        for_ms: 30_000,
        keys: keys.to_vec(),
    };
    fuzz_target!(vec![renewal.encode().to_vec()], |bytes: &[u8]| {
        let shared = Bytes::copy_from_slice(bytes);
        match bounded(bytes.len(), || Renewal::decode(shared)) {
            Ok(renewal) => assert_eq!(&renewal.encode()[..], bytes),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}
