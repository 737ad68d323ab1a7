//! Keys and names.

use jido_core::fuzz::bounded;
use jido_core::{
    AgentKey, ClusterName, Error, ErrorKind, MAX_KEY_LEN, MAX_NAME_LEN, MAX_TRACE_STATE_LEN,
    ManagerName, NodeName, TraceContext, fuzz_target,
};

fn seeds() -> Vec<Vec<u8>> {
    vec![
        b"room-7".to_vec(),
        "tenant%2F1/user é".into(),
        b"%25%2F//".to_vec(),
        b"n1.zone-a_b".to_vec(),
        vec![b'x'; MAX_KEY_LEN],
        vec![b'x'; MAX_NAME_LEN],
    ]
}

/// What is taken is taken as it is; what is refused is the caller's to mend.
fn is_kept_or_refused(text: &str, limit: usize, taken: Result<String, Error>) {
    match taken {
        Ok(kept) => {
            assert_eq!(kept, text);
            assert!((1..=limit).contains(&text.len()) && !text.contains('\0'));
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}"),
    }
}

#[test]
fn keys_and_names() {
    fuzz_target!(seeds(), |bytes: &[u8]| {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return;
        };
        let key = bounded(bytes.len(), || AgentKey::new(text));
        assert_eq!(key.is_ok(), AgentKey::check(text).is_ok());
        is_kept_or_refused(text, MAX_KEY_LEN, key.map(String::from));
        is_kept_or_refused(text, MAX_NAME_LEN, ClusterName::new(text).map(String::from));
        is_kept_or_refused(text, MAX_NAME_LEN, ManagerName::new(text).map(String::from));
        is_kept_or_refused(text, MAX_NAME_LEN, NodeName::new(text).map(String::from));
    });
}

#[test]
fn composite_keys() {
    fuzz_target!(seeds(), |bytes: &[u8]| {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return;
        };
        let parts: Vec<_> = text.split('-').collect();
        match bounded(bytes.len(), || AgentKey::composite(&parts)) {
            Ok(key) => assert_eq!(key.parts(), parts),
            Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}"),
        }
        // A key that was put together by other means splits all the same.
        if let Ok(key) = AgentKey::new(text) {
            assert!(!key.parts().is_empty());
        }
    });
}

/// What HTTP brings as `traceparent` and `tracestate`.
#[test]
fn trace_contexts() {
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let later = format!("cc{}-more", &parent[2..]);
    let seeds = vec![
        parent.into(),
        later.into(),
        b"vendor=opaque, t@v=1,,".to_vec(),
        vec![b'='; MAX_TRACE_STATE_LEN + 1],
    ];
    fuzz_target!(seeds, |bytes: &[u8]| {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return;
        };
        match bounded(bytes.len(), || text.parse::<TraceContext>()) {
            Ok(context) => {
                let written = context.to_string();
                assert_eq!(written.parse::<TraceContext>().unwrap(), context);
                assert_eq!(written[3..52], text[3..52]);
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}"),
        }
        let context = TraceContext::new(1, 2, 3).unwrap();
        match bounded(bytes.len(), || context.with_state(text)) {
            Ok(context) => assert_eq!(context.state(), text),
            Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}"),
        }
    });
}
