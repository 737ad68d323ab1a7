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
///
/// The session layer reads a frame in pieces of 8 KiB to a buffer that doubles, and passes it on
/// when it is whole: what is in long frames is copied again and waits longer. Much shorter ones
/// cost more than they save, since each has its own way through the layer.
pub(super) const FRAME_LEN: usize = 64 * 1024;

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

/// A frame that holds no envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
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

fn header(session: SessionId, kind: u8, room: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEADER_LEN + room);
    frame.put_u8(VERSION);
    frame.put_u8(kind);
    frame.put_u128(session.0);
    frame
}

fn add(frame: &mut Vec<u8>, envelope: &[u8]) {
    // The sender refused what is longer than `MAX_ENVELOPE_LEN`.
    frame.put_u32(envelope.len() as u32);
    frame.put_slice(envelope);
}

/// A frame of one envelope alone.
pub(super) fn alone(session: SessionId, envelope: &[u8]) -> Vec<u8> {
    let mut frame = header(session, Content::ENVELOPES, 4 + envelope.len());
    add(&mut frame, envelope);
    frame
}

/// Packs what waits to be sent into as few frames as [`FRAME_LEN`] allows, in order.
pub(super) struct Packer {
    session: SessionId,
    /// Those that are full, then the one that is being filled, if there is one.
    frames: Vec<Vec<u8>>,
    is_open: bool,
    /// How much has been packed since frames were last taken.
    count: usize,
    /// So long the last frames became, those of before counting less and less: the next one
    /// begins with room for as much.
    usual: usize,
}

/// Without what the frames hold, which is their senders'.
impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packer")
            .field("session", &self.session)
            .field("frames", &self.frames.len())
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

impl Packer {
    pub(super) fn new(session: SessionId) -> Self {
        Self {
            session,
            frames: Vec::new(),
            is_open: false,
            count: 0,
            usual: 0,
        }
    }

    /// How many envelopes and signals wait.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn push(&mut self, envelope: &[u8]) {
        self.count += 1;
        let len = 4 + envelope.len();
        if let Some(frame) = self.frames.last_mut().filter(|_| self.is_open) {
            if frame.len() + len <= FRAME_LEN {
                return add(frame, envelope);
            }
            self.usual = frame.len();
        }
        let room = len.max(self.usual.min(FRAME_LEN));
        let mut frame = header(self.session, Content::ENVELOPES, room);
        add(&mut frame, envelope);
        self.frames.push(frame);
        self.is_open = true;
    }

    /// Takes a frame that is complete.
    pub(super) fn push_frame(&mut self, frame: Vec<u8>) {
        self.count += 1;
        self.frames.push(frame);
        self.is_open = false;
    }

    pub(super) fn signal(&mut self, signal: Signal) {
        let kind = match signal {
            Signal::Heartbeat => Content::HEARTBEAT,
            Signal::Goodbye => Content::GOODBYE,
        };
        self.push_frame(header(self.session, kind, 0));
    }

    /// Takes what has been packed.
    pub(super) fn take(&mut self) -> Vec<Vec<u8>> {
        if self.is_open
            && let Some(frame) = self.frames.last()
        {
            self.usual = frame.len().max(self.usual - self.usual / 8);
        }
        self.is_open = false;
        self.count = 0;
        std::mem::take(&mut self.frames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: SessionId = SessionId(7 << 100 | 3);

    /// Something that is sent.
    #[derive(Debug, PartialEq, Eq)]
    enum Sent {
        Envelope(Vec<u8>),
        Signal(Signal),
    }

    fn pack(sent: &[Sent]) -> Vec<Vec<u8>> {
        let mut packer = Packer::new(SESSION);
        for sent in sent {
            match sent {
                Sent::Envelope(envelope) => packer.push(envelope),
                Sent::Signal(signal) => packer.signal(*signal),
            }
        }
        assert_eq!(packer.count(), sent.len());
        let frames = packer.take();
        assert_eq!((packer.count(), packer.take()), (0, Vec::new()));
        frames
    }

    fn envelopes(sizes: &[usize]) -> Vec<Sent> {
        let sizes = sizes.iter().enumerate();
        sizes
            .map(|(i, len)| Sent::Envelope(vec![i as u8; *len]))
            .collect()
    }

    fn unpack(frames: Vec<Vec<u8>>) -> Vec<Sent> {
        let mut all = Vec::new();
        for frame in frames {
            let (session, content) = read(Bytes::from(frame)).unwrap();
            assert_eq!(session, SESSION);
            match content {
                Content::Goodbye => all.push(Sent::Signal(Signal::Goodbye)),
                Content::Heartbeat => all.push(Sent::Signal(Signal::Heartbeat)),
                Content::Envelopes(mut rest) => {
                    while let Some(envelope) = split_envelope(&mut rest).unwrap() {
                        all.push(Sent::Envelope(envelope.to_vec()));
                    }
                }
            }
        }
        all
    }

    #[test]
    fn what_is_packed_is_unpacked_in_order() {
        let mut sent = envelopes(&[0, 1, FRAME_LEN / 2, FRAME_LEN / 2, 5, 3 * FRAME_LEN, 0, 9]);
        sent.insert(1, Sent::Signal(Signal::Heartbeat));
        sent.push(Sent::Signal(Signal::Goodbye));
        let frames = pack(&sent);
        let sizes: Vec<_> = frames.iter().map(Vec::len).collect();
        assert_eq!(sizes.len(), 7, "{sizes:?}");
        assert!(
            sizes
                .iter()
                .all(|len| *len <= FRAME_LEN || *len == 3 * FRAME_LEN + 22)
        );
        assert_eq!(unpack(frames), sent);
    }

    #[test]
    fn what_is_packed_apart_keeps_its_place() {
        let mut packer = Packer::new(SESSION);
        packer.push(&[1]);
        packer.push_frame(alone(SESSION, &[2; 100]));
        packer.push(&[3]);
        let sent = [vec![1], vec![2; 100], vec![3]].map(Sent::Envelope);
        assert_eq!(unpack(packer.take()), sent);
    }

    #[test]
    fn small_envelopes_share_a_frame() {
        assert_eq!(pack(&envelopes(&[64; 900])).len(), 1);
    }

    #[test]
    fn what_is_cut_short_or_unknown_is_an_error() {
        let frame = alone(SESSION, &[0; 10]);
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
