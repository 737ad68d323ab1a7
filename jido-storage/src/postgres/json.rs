//! JSON, for people who query.

use std::collections::BTreeMap;

use jido_core::decode_payload;
use serde_json::Value;

use super::fault::Fault;
use crate::ErrorKind;

/// A payload as JSON, where JSON and Postgres can hold it.
pub(super) fn of_payload(payload: &[u8]) -> Option<String> {
    let value: Value = decode_payload(payload).ok()?;
    if has_nul(&value) {
        return None;
    }
    serde_json::to_string(&value).ok()
}

/// Postgres has no NUL in its texts, in those of JSON neither.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(has_nul),
        Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| name.contains('\0') || has_nul(value)),
    }
}

/// Names and values, or none where there are none.
pub(super) fn of_pairs(pairs: &BTreeMap<String, String>) -> Result<Option<String>, Fault> {
    of(pairs, pairs.is_empty())
}

/// References in their order, or none where there are none.
pub(super) fn of_refs(refs: &[(String, String)]) -> Result<Option<String>, Fault> {
    of(refs, refs.is_empty())
}

fn of<T: serde::Serialize + ?Sized>(value: &T, is_empty: bool) -> Result<Option<String>, Fault> {
    if is_empty {
        return Ok(None);
    }
    serde_json::to_string(value).map(Some).map_err(|cause| {
        let message = format!("names and values can't be written as JSON: {cause}");
        Fault::definite(ErrorKind::InvalidInput, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jido_core::encode_payload;
    use serde::Serialize;

    #[test]
    fn what_json_can_hold_becomes_json() {
        #[derive(Serialize)]
        struct Deposited {
            amount: u64,
            by: Option<&'static str>,
            tags: Vec<&'static str>,
        }
        let payload = encode_payload(&Deposited {
            amount: u64::MAX,
            by: None,
            tags: vec!["\u{1}", "é"],
        })
        .unwrap();
        assert_eq!(
            of_payload(&payload).unwrap(),
            r#"{"amount":18446744073709551615,"by":null,"tags":["\u0001","é"]}"#
        );
    }

    #[test]
    fn what_json_or_postgres_can_not_hold_has_none() {
        let nul = encode_payload(&BTreeMap::from([("a\0", 1)])).unwrap();
        let deep = encode_payload(&[["a", "b\0"]]).unwrap();
        let numbered = encode_payload(&BTreeMap::from([(1, "a")])).unwrap();
        // MessagePack's binary, and bytes that are no MessagePack.
        for payload in [&*nul, &*deep, &*numbered, &[0xc4, 1, 7], &[0xc1], &[]] {
            assert_eq!(of_payload(payload), None, "{payload:?}");
        }
    }
}
