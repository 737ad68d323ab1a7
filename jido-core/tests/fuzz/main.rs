//! Every decoder of this crate, on hostile bytes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "this is test code: what a decoder does wrong ends the test"
)]

mod codec;
mod envelopes;
mod names;
mod planted;
mod reminders;

use jido_core::fuzz::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;
