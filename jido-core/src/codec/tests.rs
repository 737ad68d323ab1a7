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

/// What somebody else wrote.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Document {
    value: serde_json::Value,
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
agent!(Document, 1);

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

/// What nests: lists, structs, variants that hold one or several, and maps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Tree {
    Leaf,
    Text(String),
    Boxed(Box<Tree>),
    List(Vec<Tree>),
    Pair(Box<Tree>, Box<Tree>),
    Named { tree: Box<Tree>, rest: Vec<u64> },
    Map(std::collections::BTreeMap<u8, Tree>),
}

/// A list within a list, so many deep.
fn lists(depth: usize) -> Tree {
    (0..depth).fold(Tree::Leaf, |inner, _| Tree::List(vec![inner]))
}

#[test]
fn what_is_written_can_be_read_however_deep_it_nests() {
    // A variant and its list are two levels.
    let deepest = lists(64);
    let bytes = encode_payload(&deepest).unwrap();
    assert_eq!(decode_payload::<Tree>(&bytes).unwrap(), deepest);
    let error = encode_payload(&lists(65)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Encode);
    assert!(error.to_string().contains("128 levels"), "{error}");
    // Among others, and with texts and numbers whose bytes look like lists.
    let noise = Tree::Text("\u{91}\u{dd}\u{df}".repeat(1_000));
    let wide = |deep: Tree| {
        let named = Tree::Named {
            tree: Box::new(noise.clone()),
            rest: vec![0x9191_9191_9191_9191; 300],
        };
        Tree::List(vec![
            noise.clone(),
            named,
            noise.clone(),
            deep,
            noise.clone(),
        ])
    };
    let deepest = wide(lists(63));
    let bytes = encode_payload(&deepest).unwrap();
    assert_eq!(decode_payload::<Tree>(&bytes).unwrap(), deepest);
    assert!(encode_payload(&wide(lists(64))).is_err());
    // The decoder below counts no variants.
    let boxed = (0..129).fold(Tree::Leaf, |inner, _| Tree::Boxed(Box::new(inner)));
    assert!(encode_payload(&boxed).is_err());
    let hostile = b"\x81\xa5Boxed".repeat(300_000);
    let error = decode_payload::<Tree>(&hostile).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[test]
fn a_state_that_nests_too_deep_is_not_written() {
    let nested = |depth: usize| {
        let value = (0..depth).fold(serde_json::json!(null), |inner, _| {
            serde_json::json!([inner])
        });
        let mut buffer = BytesMut::new();
        let wrote = encode_state(&Document { value }, &mut buffer);
        wrote.map(|()| buffer.freeze())
    };
    // The document itself is a level.
    let bytes = nested(127).unwrap();
    decode_state::<Document>(&bytes).unwrap();
    assert_eq!(nested(128).unwrap_err().kind(), ErrorKind::Encode);
}

/// Panics as it is read and as it is written.
#[derive(Debug, Default)]
struct Touchy;

impl Serialize for Touchy {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("panicked as asked");
    }
}

impl<'de> Deserialize<'de> for Touchy {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("panicked as asked");
    }
}

#[test]
fn what_panics_is_an_error_of_its_value() {
    let error = encode_payload(&Touchy).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Encode);
    let error = decode_payload::<Touchy>(b"\xc0").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "it panicked");
}

fn trees() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![Just(Tree::Leaf), ".{0,40}".prop_map(Tree::Text)];
    leaf.prop_recursive(90, 400, 3, |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        let rest = proptest::collection::vec(any::<u64>(), 0..40);
        prop_oneof![
            4 => boxed.clone().prop_map(Tree::Boxed),
            4 => proptest::collection::vec(inner.clone(), 0..3).prop_map(Tree::List),
            1 => (boxed.clone(), boxed.clone()).prop_map(|(a, b)| Tree::Pair(a, b)),
            1 => (boxed, rest).prop_map(|(tree, rest)| Tree::Named { tree, rest }),
            1 => proptest::collection::btree_map(any::<u8>(), inner, 0..3).prop_map(Tree::Map),
        ]
    })
}

/// How many levels a tree nests.
fn levels(tree: &Tree) -> usize {
    match tree {
        Tree::Leaf => 0,
        Tree::Text(_) => 1,
        Tree::Boxed(inner) => 1 + levels(inner),
        Tree::List(all) => 2 + all.iter().map(levels).max().unwrap_or(0),
        Tree::Pair(a, b) => 2 + levels(a).max(levels(b)),
        Tree::Named { tree, .. } => 2 + levels(tree).max(1),
        Tree::Map(all) => 2 + all.values().map(levels).max().unwrap_or(0),
    }
}

proptest! {
    #[test]
    fn a_value_is_written_if_it_can_be_read(tree in trees(), around in 0_usize..130) {
        let tree = (0..around).fold(tree, |inner, _| Tree::Boxed(Box::new(inner)));
        match encode_payload(&tree) {
            Ok(bytes) => {
                prop_assert!(levels(&tree) <= 128);
                prop_assert_eq!(decode_payload::<Tree>(&bytes).unwrap(), tree);
            }
            Err(error) => {
                prop_assert_eq!(error.kind(), ErrorKind::Encode);
                prop_assert!(levels(&tree) > 128);
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_state::<New>(&bytes);
        let _ = decode_payload::<Vec<String>>(&bytes);
    }
}
