//! How states, entries and users' messages become bytes.
//!
//! MessagePack with named fields: old and new code can read each other's data
//! when a field with a default is added. A stored state begins with a header of
//! [`BLOB_HEADER_LEN`] bytes: the format (1 for MessagePack) and the version of
//! the agent's state, as a big-endian `u32`.
//!
//! What is written is read again, with two exceptions. An option within an option, or one of a
//! unit, comes back as `None` where it was `Some(None)` or `Some(())`: MessagePack writes both as
//! nil. And serde's attributes may leave out what no default gives back, or tell variants apart
//! by what they hold: try with your own types what comes back of them.
//!
//! Users may have written how a value is read, written or migrated. A panic there is an error of
//! that value, and ends nothing: others' values take the same way.

mod depth;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Agent, Error, ErrorKind};
use depth::{MAX_DEPTH, is_shallow};

/// The length of the header before a stored state, in bytes.
pub const BLOB_HEADER_LEN: usize = 5;

const FORMAT_MESSAGE_PACK: u8 = 1;

/// A stored state taken apart, its payload not yet decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blob<'a> {
    /// The version of the state's shape, `Agent::VERSION` of the code that wrote it.
    pub version: u32,
    /// The MessagePack of the state.
    pub payload: &'a [u8],
}

impl<'a> Blob<'a> {
    /// Takes a stored state apart.
    ///
    /// # Errors
    ///
    /// [`Corrupt`](ErrorKind::Corrupt) when the header is cut short, or
    /// [`NewerVersion`](ErrorKind::NewerVersion) when the format is none that
    /// this code knows.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let Some((header, payload)) = bytes.split_first_chunk::<BLOB_HEADER_LEN>() else {
            return Err(Error::corrupt(format!(
                "stored state has {} bytes: its header alone has {BLOB_HEADER_LEN}",
                bytes.len()
            )));
        };
        let [format, version @ ..] = *header;
        if format != FORMAT_MESSAGE_PACK {
            return Err(Error::new(
                ErrorKind::NewerVersion,
                format!("stored state has format {format}: this code reads {FORMAT_MESSAGE_PACK}"),
            ));
        }
        Ok(Self {
            version: u32::from_be_bytes(version),
            payload,
        })
    }
}

/// Writes a state with its header into `buffer`, which is cleared first, so that
/// one buffer can serve for many messages.
///
/// # Errors
///
/// [`Encode`](ErrorKind::Encode) when the state does not serialize, or nests deeper than 128
/// levels: every list, map, tuple and struct is one, and so is a variant that holds something.
pub fn encode_state<A: Agent>(state: &A, buffer: &mut BytesMut) -> Result<(), Error> {
    buffer.clear();
    buffer.put_u8(FORMAT_MESSAGE_PACK);
    buffer.put_u32(A::VERSION);
    write_named(state, &mut buffer.writer())?;
    let written = buffer.get(BLOB_HEADER_LEN..);
    check_depth::<A>(written.unwrap_or_default(), ErrorKind::Encode)
}

/// Reads a state, handing one of an older version to [`Agent::migrate`].
///
/// # Errors
///
/// [`NewerVersion`](ErrorKind::NewerVersion) when newer code wrote it, and
/// [`Corrupt`](ErrorKind::Corrupt) when it can't be read or migrated. The bytes
/// are left alone either way.
pub fn decode_state<A: Agent>(bytes: &[u8]) -> Result<A, Error> {
    let blob = Blob::parse(bytes)?;
    if blob.version == A::VERSION {
        return decode_payload(blob.payload);
    }
    if blob.version > A::VERSION {
        return Err(Error::new(
            ErrorKind::NewerVersion,
            format!(
                "state of agent kind {:?} has version {}: this code reads up to {}",
                A::KIND,
                blob.version,
                A::VERSION
            ),
        ));
    }
    let failed = || {
        Error::corrupt(format!(
            "state of agent kind {:?} could not be migrated from version {} to {}",
            A::KIND,
            blob.version,
            A::VERSION
        ))
    };
    guarded(|| A::migrate(blob.version, blob.payload), failed)
}

/// Writes a message, a reply or an entry's content, without a header.
///
/// # Errors
///
/// [`Encode`](ErrorKind::Encode) when the value does not serialize, or nests deeper than 128
/// levels, as [`encode_state`] counts them.
pub fn encode_payload<T: Serialize>(value: &T) -> Result<Bytes, Error> {
    // Most messages are small: this spares them growing from nothing.
    let mut buffer = Vec::with_capacity(128);
    write_payload(value, &mut buffer)?;
    Ok(buffer.into())
}

/// Appends to `out` what [`encode_payload`] returns. After an error part of it may be there.
///
/// # Errors
///
/// As [`encode_payload`].
pub fn write_payload<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), Error> {
    let before = out.len();
    write_named(value, out)?;
    let written = out.get(before..);
    check_depth::<T>(written.unwrap_or_default(), ErrorKind::Encode)
}

/// Reads what [`encode_payload`] wrote.
///
/// What follows the value is not looked at. Lengths that are claimed are not believed: room for up to 1 MiB is made for each
/// level of lists within lists before their elements are seen.
///
/// # Errors
///
/// [`Corrupt`](ErrorKind::Corrupt) when the bytes are no such value, or nest
/// deeper than 128 levels, as [`encode_state`] counts them.
pub fn decode_payload<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    check_depth::<T>(bytes, ErrorKind::Corrupt)?;
    let mut decoder = rmp_serde::Deserializer::from_read_ref(bytes);
    // It doesn't count variants, but values of other types than MessagePack's own, within the
    // last level, and refuses the last that it is told of.
    decoder.set_max_depth(MAX_DEPTH + 2);
    let failed = || {
        Error::corrupt(format!(
            "{} bytes could not be read as {}",
            bytes.len(),
            std::any::type_name::<T>()
        ))
    };
    guarded(|| T::deserialize(&mut decoder), failed)
}

fn write_named<T: Serialize>(value: &T, writer: &mut impl io::Write) -> Result<(), Error> {
    let failed = || {
        Error::new(
            ErrorKind::Encode,
            format!(
                "a value of {} could not be serialized",
                std::any::type_name::<T>()
            ),
        )
    };
    guarded(|| rmp_serde::encode::write_named(writer, value), failed)
}

/// Runs what users may have written. What it has changed when it panics is not looked at again.
fn guarded<T, E>(
    work: impl FnOnce() -> Result<T, E>,
    failed: impl Fn() -> Error,
) -> Result<T, Error>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|cause| failed().caused_by(cause)),
        Err(_told) => Err(failed().caused_by("it panicked")),
    }
}

fn check_depth<T>(bytes: &[u8], kind: ErrorKind) -> Result<(), Error> {
    if is_shallow(bytes) {
        return Ok(());
    }
    Err(Error::new(
        kind,
        format!(
            "a value of {} nests deeper than {MAX_DEPTH} levels",
            std::any::type_name::<T>()
        ),
    ))
}

#[cfg(test)]
mod tests;
