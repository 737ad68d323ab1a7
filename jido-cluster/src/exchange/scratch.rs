//! Where envelopes are written before a transport takes them.

use std::cell::Cell;

/// A buffer that has grown beyond this is not kept, in bytes.
const KEPT: usize = 64 * 1024;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends an empty buffer. Should `write` come to borrow another one, it gets one of its own.
pub(super) fn with<R>(write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    // A thread that is ending has none any more.
    let mut buffer = BUFFER.try_with(Cell::take).unwrap_or_default();
    buffer.clear();
    let result = write(&mut buffer);
    if buffer.capacity() <= KEPT {
        let _ = BUFFER.try_with(|kept| kept.set(buffer));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_lent_empty_and_to_one_at_a_time() {
        with(|outer| {
            outer.extend([1; 100]);
            with(|inner| {
                assert!(inner.is_empty());
                inner.extend([2; KEPT + 1]);
            });
            assert_eq!(outer[..], [1; 100]);
        });
        with(|again| assert!(again.is_empty() && (100..=KEPT).contains(&again.capacity())));
    }
}
