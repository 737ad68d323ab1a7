//! How the trace of a call travels.

use bytes::{Buf, BufMut, Bytes};

use super::{EnvelopeError, text};
use crate::{MAX_TRACE_STATE_LEN, TraceContext};

/// Its bytes, but for those of the state.
pub(super) const FIXED_LEN: usize = 27;

/// How many bytes it takes.
pub(super) fn encoded_len(context: &TraceContext) -> usize {
    FIXED_LEN + context.state().len()
}

pub(super) fn encode(context: &TraceContext, out: &mut Vec<u8>) {
    out.put_u128(context.trace_id());
    out.put_u64(context.parent_id());
    out.put_u8(context.flags());
    // The length fits: states were checked when they were made.
    out.put_u16(context.state().len() as u16);
    out.put_slice(context.state().as_bytes());
}

pub(super) fn decode(bytes: &mut Bytes) -> Result<TraceContext, EnvelopeError> {
    let short = |_| EnvelopeError::Malformed("trace cut short");
    let trace_id = bytes.try_get_u128().map_err(short)?;
    let parent_id = bytes.try_get_u64().map_err(short)?;
    let flags = bytes.try_get_u8().map_err(short)?;
    let len = usize::from(bytes.try_get_u16().map_err(short)?);
    let state = text(
        bytes,
        len,
        MAX_TRACE_STATE_LEN,
        |state| Ok(state.to_owned()),
    )?;
    let context = TraceContext::new(trace_id, parent_id, flags)
        .map_err(|_| EnvelopeError::Malformed("bad trace"))?;
    if state.is_empty() {
        return Ok(context);
    }
    context
        .with_state(&state)
        .map_err(|_| EnvelopeError::Malformed("bad trace state"))
}
