//! Hostile bytes for decoders: targets that run as plain tests, and under a fuzzer.
//!
//! A target takes bytes that were once whole records, keys or envelopes (its seeds)
//! and mangles them. Its check holds whatever the bytes are: the decoder
//! answers or refuses, never panics, takes memory in proportion to what it is
//! given, and what it answers reads back the same after it was written again.
//!
//! As a test a target runs for one second, or for as many as `JIDO_FUZZ_SECONDS`
//! says. Under `cargo bolero test`, its bytes are chosen by which code they reach.
//!
//! ```
//! use jido_core::fuzz::{PeakAlloc, bounded};
//! use jido_core::{Envelope, Notice, fuzz_target};
//!
//! #[global_allocator]
//! static ALLOCATOR: PeakAlloc = PeakAlloc;
//!
//! # fn main() {
//! let whole = Notice::Leaving.encode().to_vec();
//! fuzz_target!(vec![whole], |bytes: &[u8]| {
//!     let decoded = bounded(bytes.len(), || Envelope::decode(bytes.to_vec().into()));
//!     if let Ok(Envelope::Notice(notice)) = decoded {
//!         assert_eq!(Envelope::decode(notice.encode()), Ok(Envelope::Notice(notice)));
//!     }
//! });
//! # }
//! ```
#![allow(
    clippy::panic,
    reason = "this is test code: what a decoder does wrong ends the test with a panic"
)]

use std::time::Duration;

pub use bolero;
/// The allocator by which [`bounded`] sees what a decoder takes. Every program with
/// targets has it as its `#[global_allocator]`.
pub use peak_alloc::PeakAlloc;

/// What a decoder may take whatever it is given.
const BASE: usize = 4 * MIB;
/// What serde makes room for before the elements of a collection are seen, whatever
/// length is claimed; levels of nesting hold theirs at the same time.
const PER_LEVEL: usize = MIB;
/// The levels that are read, and the fewest bytes that claim a length worth that much.
const LEVELS: usize = 128;
const BYTES_PER_LEVEL: usize = 3;
const MIB: usize = 1024 * 1024;
/// What it may take for each byte that it is given.
const PER_BYTE: usize = 128;

/// Bytes that mean much to decoders: bounds of numbers, and the marks of
/// MessagePack before long texts, bytes, lists and maps.
const TELLING: [u8; 12] = [
    0x00, 0x01, 0x7f, 0x80, 0xc0, 0xc1, 0xc6, 0xdb, 0xdd, 0xdf, 0xfe, 0xff,
];

/// Edits beyond this leave nothing of the seed.
const MAX_EDITS: usize = 6;

/// How bytes are made from seeds: which seed, bytes of its own, and edits, each a kind, a
/// place and a value.
pub type Plan = (u8, Vec<u8>, Vec<(u8, u16, u8)>);

/// Carries a plan out: takes a seed, or the plan's own bytes instead, and edits it.
pub fn mangle(plan: &Plan, seeds: &[Vec<u8>]) -> Vec<u8> {
    let (choice, own, edits) = plan;
    let chosen = |choice: u8| seeds.get(usize::from(choice) % (seeds.len() + 1));
    let mut bytes = chosen(*choice).unwrap_or(own).clone();
    for (kind, place, value) in edits.iter().take(MAX_EDITS) {
        let at = usize::from(*place) % (bytes.len() + 1);
        let end = bytes.len().min(at + usize::from(*value));
        let telling = TELLING[usize::from(*value) % TELLING.len()];
        match kind % 9 {
            0 => bytes.iter_mut().skip(at).take(1).for_each(|b| *b ^= value),
            1 => bytes.iter_mut().skip(at).take(1).for_each(|b| *b = telling),
            2 => bytes.iter_mut().skip(at).take(4).for_each(|b| *b = telling),
            3 => bytes.insert(at, *value),
            4 => bytes.insert(at, telling),
            5 => drop(bytes.drain(at..end)),
            6 => bytes.truncate(at),
            7 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            _ => bytes.extend_from_slice(chosen(*value).unwrap_or(own)),
        }
    }
    bytes
}

/// How long a target runs as a test: one second, or `JIDO_FUZZ_SECONDS`.
///
/// # Panics
///
/// When that is set to anything but a whole number.
pub fn time() -> Duration {
    let seconds = match std::env::var("JIDO_FUZZ_SECONDS") {
        Err(_) => 1,
        Ok(text) => match text.parse() {
            Ok(seconds) => seconds,
            Err(_) => panic!("JIDO_FUZZ_SECONDS is {text:?}: it is a whole number of seconds"),
        },
    };
    Duration::from_secs(seconds)
}

/// Decodes `len` bytes and holds that the decoder takes memory in proportion.
///
/// # Panics
///
/// When it takes more than 4 MiB and 128 bytes for each of its bytes, or when
/// [`PeakAlloc`] is not the program's allocator, so that nothing is measured.
pub fn bounded<T>(len: usize, decode: impl FnOnce() -> T) -> T {
    measured(len, BASE, decode)
}

/// As [`bounded`], for types of users, which may nest: each level of lists within lists
/// may take 1 MiB more, up to 128 levels and one for every three bytes.
///
/// # Panics
///
/// As [`bounded`], with that.
pub fn bounded_nested<T>(len: usize, decode: impl FnOnce() -> T) -> T {
    let levels = LEVELS.min(len / BYTES_PER_LEVEL);
    measured(len, BASE + levels * PER_LEVEL, decode)
}

fn measured<T>(len: usize, base: usize, decode: impl FnOnce() -> T) -> T {
    let before = PeakAlloc.current_usage();
    assert!(before > 0, "PeakAlloc is not the global allocator");
    PeakAlloc.reset_peak_usage();
    let decoded = decode();
    let taken = PeakAlloc.peak_usage().saturating_sub(before);
    let bound = base.saturating_add(len.saturating_mul(PER_BYTE));
    assert!(
        taken <= bound,
        "the decoder took {taken} bytes for {len}: the bound is {bound}"
    );
    decoded
}

/// Runs a target: a check of type `Fn(&[u8])` on whole seeds of type
/// `Vec<Vec<u8>>`, then on what [`mangle`] makes of them. A check that
/// panics ends it; the message has the plan, made small, and a seed for
/// `BOLERO_RANDOM_SEED` that gives it again.
#[macro_export]
macro_rules! fuzz_target {
    ($seeds:expr, $check:expr) => {{
        let seeds: ::std::vec::Vec<::std::vec::Vec<u8>> = $seeds;
        // A check that panics ends the target: nothing is looked at after it.
        let check = ::std::panic::AssertUnwindSafe($check);
        for seed in &seeds {
            (check.0)(seed.as_slice());
        }
        $crate::fuzz::bolero::check!()
            .with_type::<$crate::fuzz::Plan>()
            .with_test_time($crate::fuzz::time())
            .for_each(|plan| {
                let check = &check;
                (check.0)($crate::fuzz::mangle(plan, &seeds).as_slice());
            });
    }};
}
