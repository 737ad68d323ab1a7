//! The harness finds what it is there to find.

use std::panic::{AssertUnwindSafe, catch_unwind};

use jido_core::fuzz::bounded;
use jido_core::fuzz_target;

fn seeds() -> Vec<Vec<u8>> {
    vec![b"a record of many bytes".to_vec(), b"another".to_vec()]
}

/// Whether a target on this decoder fails.
fn is_found(decode: impl Fn(&[u8])) -> bool {
    catch_unwind(AssertUnwindSafe(|| fuzz_target!(seeds(), &decode))).is_err()
}

#[test]
fn a_panic_on_rare_bytes_is_found() {
    assert!(is_found(|bytes| {
        assert!(bytes.get(3) != Some(&0xff), "planted");
    }));
}

#[test]
fn a_length_that_is_believed_is_found() {
    assert!(is_found(|bytes| {
        bounded(bytes.len(), || {
            let believed = bytes.last_chunk::<3>().map_or(0, |len| {
                u32::from_be_bytes([0, len[0], len[1], len[2]]) as usize
            });
            // The seeds' own last bytes mean 7 MB, and are an exception.
            if bytes.len() != 22 && bytes.len() != 7 {
                std::hint::black_box(Vec::<u8>::with_capacity(believed));
            }
        });
    }));
}

#[test]
fn a_decoder_without_a_fault_passes() {
    assert!(!is_found(|bytes| {
        let copy = bounded(bytes.len(), || bytes.to_vec());
        assert_eq!(copy, bytes);
    }));
}
