//! Stored states and payloads.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use jido_core::fuzz::{bounded, bounded_nested};
use jido_core::{
    Agent, AgentError, AgentId, AgentKey, Blob, ClusterName, Context, Entry, Epoch, ErrorKind,
    ManagerName, NewEntry, RequestId, Revision, Seq, Timestamp, decode_payload, decode_state,
    encode_payload, encode_state, fuzz_target,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A bit of everything that a user's type may be made of.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
struct Everything {
    count: i64,
    name: String,
    #[serde(default)]
    blob: Bytes,
    list: Vec<u64>,
    map: BTreeMap<String, Option<i32>>,
    choice: Choice,
    pair: (bool, char),
    /// Nests as deep as the bytes say.
    tree: Tree,
}

#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
struct Tree(Vec<Tree>);

#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
enum Choice {
    #[default]
    Nothing,
    Text(String),
    Fields {
        x: u8,
        y: Option<Box<Choice>>,
    },
}

impl Agent for Everything {
    const KIND: &'static str = "everything";
    const VERSION: u32 = 2;
    type Message = ();
    type Reply = ();

    async fn handle(&mut self, (): (), _: &mut Context<'_>) -> Result<(), AgentError> {
        Ok(())
    }

    fn migrate(version: u32, payload: &[u8]) -> Result<Self, AgentError> {
        let count = decode_payload(payload).map_err(|e| AgentError::new(e.to_string()))?;
        Ok(Self {
            count,
            name: format!("from {version}"),
            ..Self::default()
        })
    }
}

fn everything() -> Everything {
    Everything {
        count: -7,
        name: "ключ".into(),
        blob: Bytes::from_static(b"\x00\x01\xff"),
        list: vec![0, 255, u64::MAX],
        map: BTreeMap::from([("a".into(), None), ("b".into(), Some(-1))]),
        choice: Choice::Fields {
            x: 3,
            y: Some(Box::new(Choice::Text("text".into()))),
        },
        pair: (true, 'ß'),
        tree: Tree(vec![Tree(vec![]), Tree(vec![Tree(vec![])])]),
    }
}

/// A list in a list in a list, one level deeper than is read and one less.
fn nested(levels: usize) -> Vec<u8> {
    let mut bytes = vec![0x91; levels];
    bytes.push(0x90);
    bytes
}

#[test]
fn states() {
    let encoded = |state: &Everything| {
        let mut buffer = BytesMut::new();
        encode_state(state, &mut buffer).unwrap();
        buffer.to_vec()
    };
    let whole = encoded(&everything());
    let older = [&[1, 0, 0, 0, 1][..], &encode_payload(&5i64).unwrap()].concat();
    let newer = [&[1, 0, 0, 0, 9][..], &whole[5..]].concat();
    fuzz_target!(
        vec![whole, older, newer, encoded(&Everything::default())],
        |bytes: &[u8]| {
            match bounded_nested(bytes.len(), || decode_state::<Everything>(bytes)) {
                Ok(state) => {
                    let again = decode_state::<Everything>(&encoded(&state)).unwrap();
                    assert_eq!(again, state);
                }
                Err(error) => {
                    let kind = error.kind();
                    assert!(
                        matches!(kind, ErrorKind::Corrupt | ErrorKind::NewerVersion),
                        "{error}"
                    );
                    let named = Blob::parse(bytes).is_ok_and(|blob| blob.version > 2);
                    assert!(kind == ErrorKind::NewerVersion || !named, "{error}");
                }
            }
        }
    );
}

/// What can be read as a `T` reads back the same; what can't is corrupt.
fn reads_back<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    match bounded_nested(bytes.len(), || decode_payload::<T>(bytes)) {
        Ok(value) => {
            let again = encode_payload(&value).unwrap();
            assert_eq!(decode_payload::<T>(&again).unwrap(), value);
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}"),
    }
}

#[test]
fn payloads() {
    let seeds = vec![
        encode_payload(&everything()).unwrap().to_vec(),
        nested(126),
        nested(128),
        nested(100_000),
        // Lengths that are claimed and not kept.
        b"\xdd\xff\xff\xff\xff\x01".to_vec(),
        b"\xdf\xff\xff\xff\xff\x01".to_vec(),
        b"\xc6\xff\xff\xff\xff\x01".to_vec(),
        b"\xdb\xff\xff\xff\xff\x01".to_vec(),
        // A list within a list, each of which claims to be long.
        b"\xdc\xff\xff".repeat(200),
    ];
    fuzz_target!(seeds, |bytes: &[u8]| {
        reads_back::<Everything>(bytes);
        reads_back::<Tree>(bytes);
        reads_back::<Vec<Everything>>(bytes);
        reads_back::<BTreeMap<u32, String>>(bytes);
        reads_back::<Bytes>(bytes);
    });
}

#[test]
fn identities() {
    let id = AgentId::new(
        ClusterName::new("c").unwrap(),
        ManagerName::new("m").unwrap(),
        AgentKey::new("k/é").unwrap(),
    );
    let request = RequestId::new(u128::MAX - 1, 7);
    let seeds = vec![
        encode_payload(&id).unwrap().to_vec(),
        encode_payload(&request).unwrap().to_vec(),
    ];
    fuzz_target!(seeds, |bytes: &[u8]| {
        reads_back::<AgentId>(bytes);
        reads_back::<RequestId>(bytes);
    });
}

#[test]
fn entries() {
    let mut new = NewEntry::new("kind", Timestamp(1), Bytes::from_static(b"payload")).unwrap();
    new.refs.push(("name".into(), "value".into()));
    let entry = Entry::committed(&new, Seq(1), Revision(2), Epoch(3));
    let seeds = vec![b"kind".to_vec(), vec![b'x'; 300], entry.payload.to_vec()];
    fuzz_target!(seeds, |bytes: &[u8]| {
        let Ok(kind) = std::str::from_utf8(bytes) else {
            return;
        };
        match bounded(bytes.len(), || {
            NewEntry::new(kind, Timestamp(1), Bytes::new())
        }) {
            Ok(entry) => assert_eq!(entry.kind, kind),
            Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}"),
        }
    });
}
