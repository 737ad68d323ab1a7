use super::*;
use crate::{AgentError, Context};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Old {
    count: i64,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct New {
    count: i64,
    #[serde(default)]
    label: String,
}

macro_rules! agent {
    ($name:ident, $version:literal) => {
        impl Agent for $name {
            const KIND: &'static str = "counter";
            const VERSION: u32 = $version;
            type Message = ();
            type Reply = ();

            async fn handle(&mut self, (): (), _: &mut Context<'_>) -> Result<(), AgentError> {
                Ok(())
            }
        }
    };
}
agent!(Old, 1);
agent!(New, 2);

fn encoded<A: Agent>(state: &A) -> Vec<u8> {
    let mut buffer = BytesMut::new();
    encode_state(state, &mut buffer).unwrap();
    buffer.to_vec()
}

#[test]
fn an_older_state_is_read_by_newer_code() {
    let new: New = decode_state(&encoded(&Old { count: 7 })).unwrap();
    assert_eq!(
        new,
        New {
            count: 7,
            label: String::new()
        }
    );
}

#[test]
fn a_newer_state_is_refused_and_named() {
    let error = decode_state::<Old>(&encoded(&New::default())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NewerVersion);
    assert!(error.to_string().contains("version 2"), "{error}");
}

#[test]
fn unknown_fields_are_tolerated() {
    let bytes = encode_payload(&New {
        count: 3,
        label: "x".into(),
    })
    .unwrap();
    assert_eq!(decode_payload::<Old>(&bytes).unwrap(), Old { count: 3 });
}

#[test]
fn short_and_foreign_headers_are_refused() {
    assert_eq!(
        Blob::parse(&[1, 0, 0]).unwrap_err().kind(),
        ErrorKind::Corrupt
    );
    assert_eq!(
        Blob::parse(&[9, 0, 0, 0, 1]).unwrap_err().kind(),
        ErrorKind::NewerVersion
    );
}

#[test]
fn deep_nesting_is_an_error_and_not_a_stack_overflow() {
    #[derive(Debug, Deserialize)]
    struct Nested {
        #[allow(dead_code, reason = "only its decoding matters")]
        inner: Option<Box<Nested>>,
    }
    // A fixarray of one within another, a million levels deep.
    let error = decode_payload::<Nested>(&vec![0x91; 1_000_000]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_state::<New>(&bytes);
        let _ = decode_payload::<Vec<String>>(&bytes);
    }
}
