//! What travels between gateways: a header and a run of envelopes.
//!
//! A frame is `version u8, kind u8, session u128`, and for envelopes (kind 0) then each
//! one's length as `u32` and its bytes; a goodbye (1) and a heartbeat (2) have no more. Numbers
//! are big-endian.

use std::fmt;

use bytes::{Buf, BufMut, Bytes};
use thiserror::Error as ThisError;

/// The format's version.
const VERSION: u8 = 1;
/// The header's length in bytes.
const HEADER_LEN: usize = 18;
/// A frame holds envelopes up to this many bytes, header and all; a larger
/// envelope is a frame of its own.
pub(super) const FRAME_LEN: usize = 1024 * 1024;

/// Names one session. The dialer draws it, and both ends know it before the
/// session layer sees the stream, so that every frame tells which session it
/// belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SessionId(pub(super) u128);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// What waits to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outgoing {
    /// An envelope.
    Envelope(Bytes),
    /// This node is there.
    Heartbeat,
    /// Nothing more follows: this node is stopping.
    Goodbye,
}

/// What a frame holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Envelopes, to be taken off with [`split_envelope`].
    Envelopes(Bytes),
    /// The peer sends nothing more through this gateway.
    Goodbye,
    /// The peer is there.
    Heartbeat,
}

impl Content {
    const ENVELOPES: u8 = 0;
    const GOODBYE: u8 = 1;
    const HEARTBEAT: u8 = 2;

    /// Bytes that it holds.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Envelopes(bytes) => bytes.len(),
            Self::Goodbye | Self::Heartbeat => 0,
        }
    }
}

/// Why a frame can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ThisError)]
pub(super) enum FrameError {
    #[error("the frame is cut short")]
    Short,
    #[error("the frame has version {0}, and this node knows {VERSION}")]
    Version(u8),
    #[error("the frame is of the unknown kind {0}")]
    Kind(u8),
}

/// Reads a frame's header. What can't be read may still tell its session.
pub(super) fn read(
    mut frame: Bytes,
) -> Result<(SessionId, Content), (Option<SessionId>, FrameError)> {
    if frame.len() < HEADER_LEN {
        return Err((None, FrameError::Short));
    }
    let version = frame.get_u8();
    if version != VERSION {
        return Err((None, FrameError::Version(version)));
    }
    let kind = frame.get_u8();
    let session = SessionId(frame.get_u128());
    match kind {
        Content::ENVELOPES => Ok((session, Content::Envelopes(frame))),
        Content::GOODBYE => Ok((session, Content::Goodbye)),
        Content::HEARTBEAT => Ok((session, Content::Heartbeat)),
        kind => Err((Some(session), FrameError::Kind(kind))),
    }
}

/// Takes the next envelope off, without a copy; it keeps its frame's memory.
pub(super) fn split_envelope(rest: &mut Bytes) -> Result<Option<Bytes>, FrameError> {
    if rest.is_empty() {
        return Ok(None);
    }
    let len = rest.try_get_u32().map_err(|_| FrameError::Short)? as usize;
    if len > rest.len() {
        return Err(FrameError::Short);
    }
    Ok(Some(rest.split_to(len)))
}

fn header(session: SessionId, kind: u8, len: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(len);
    frame.put_u8(VERSION);
    frame.put_u8(kind);
    frame.put_u128(session.0);
    frame
}

/// Packs what waits into as few frames as [`FRAME_LEN`] allows, in order.
#[derive(Debug)]
pub(super) struct Packed<'a> {
    session: SessionId,
    rest: &'a [Outgoing],
}

impl<'a> Packed<'a> {
    pub(super) fn new(session: SessionId, waiting: &'a [Outgoing]) -> Self {
        Self {
            session,
            rest: waiting,
        }
    }
}

impl Iterator for Packed<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let alone = match self.rest.first()? {
            Outgoing::Goodbye => Some(Content::GOODBYE),
            Outgoing::Heartbeat => Some(Content::HEARTBEAT),
            Outgoing::Envelope(_) => None,
        };
        if let Some(kind) = alone {
            self.rest = &self.rest[1..];
            return Some(header(self.session, kind, HEADER_LEN));
        }
        let (mut count, mut len) = (0, HEADER_LEN);
        for outgoing in self.rest {
            let Outgoing::Envelope(envelope) = outgoing else {
                break;
            };
            if count > 0 && len + 4 + envelope.len() > FRAME_LEN {
                break;
            }
            count += 1;
            len += 4 + envelope.len();
        }
        if count == 0 {
            return None;
        }
        let (taken, rest) = self.rest.split_at(count);
        self.rest = rest;
        let mut frame = header(self.session, Content::ENVELOPES, len);
        for outgoing in taken {
            if let Outgoing::Envelope(envelope) = outgoing {
                // The sender refused what is longer than `MAX_ENVELOPE_LEN`.
                frame.put_u32(envelope.len() as u32);
                frame.put_slice(envelope);
            }
        }
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: SessionId = SessionId(7 << 100 | 3);

    fn envelopes(sizes: &[usize]) -> Vec<Outgoing> {
        sizes
            .iter()
            .enumerate()
            .map(|(i, len)| Outgoing::Envelope(Bytes::from(vec![i as u8; *len])))
            .collect()
    }

    fn unpack(frames: impl Iterator<Item = Vec<u8>>) -> Vec<Outgoing> {
        let mut all = Vec::new();
        for frame in frames {
            let (session, content) = read(Bytes::from(frame)).unwrap();
            assert_eq!(session, SESSION);
            match content {
                Content::Goodbye => all.push(Outgoing::Goodbye),
                Content::Heartbeat => all.push(Outgoing::Heartbeat),
                Content::Envelopes(mut rest) => {
                    while let Some(envelope) = split_envelope(&mut rest).unwrap() {
                        all.push(Outgoing::Envelope(envelope));
                    }
                }
            }
        }
        all
    }

    #[test]
    fn what_is_packed_is_unpacked_in_order() {
        let mut waiting = envelopes(&[0, 1, FRAME_LEN / 2, FRAME_LEN / 2, 5, 3 * FRAME_LEN, 0, 9]);
        waiting.insert(1, Outgoing::Heartbeat);
        waiting.push(Outgoing::Goodbye);
        let sizes: Vec<_> = Packed::new(SESSION, &waiting)
            .map(|frame| frame.len())
            .collect();
        assert_eq!(sizes.len(), 7, "{sizes:?}");
        assert!(
            sizes
                .iter()
                .all(|len| *len <= FRAME_LEN || *len == 3 * FRAME_LEN + 22)
        );
        assert_eq!(unpack(Packed::new(SESSION, &waiting)), waiting);
        assert_eq!(Packed::new(SESSION, &[]).next(), None);
    }

    #[test]
    fn small_envelopes_share_a_frame() {
        let waiting = envelopes(&[64; 1000]);
        assert_eq!(Packed::new(SESSION, &waiting).count(), 1);
    }

    #[test]
    fn what_is_cut_short_or_unknown_is_an_error() {
        let frame = Packed::new(SESSION, &envelopes(&[10])).next().unwrap();
        for len in 0..HEADER_LEN {
            let cut = Bytes::copy_from_slice(&frame[..len]);
            assert_eq!(read(cut).unwrap_err(), (None, FrameError::Short));
        }
        for len in HEADER_LEN + 1..frame.len() {
            let (_, content) = read(Bytes::copy_from_slice(&frame[..len])).unwrap();
            let Content::Envelopes(mut rest) = content else {
                panic!("{content:?}")
            };
            assert_eq!(
                split_envelope(&mut rest).unwrap_err(),
                FrameError::Short,
                "{len}"
            );
        }
        let mut other = frame.clone();
        other[1] = 9;
        assert_eq!(
            read(other.into()).unwrap_err(),
            (Some(SESSION), FrameError::Kind(9))
        );
        let mut newer = frame;
        newer[0] = 2;
        assert_eq!(
            read(newer.into()).unwrap_err(),
            (None, FrameError::Version(2))
        );
    }
}
