//! The form of a record: format, version, checksum, MessagePack.

use std::fmt;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::{Error, ErrorKind};

/// Begins every record: that it is one of ours, in MessagePack.
const FORMAT: u8 = b'J';
/// The version of the form of records.
const VERSION: u8 = 1;
/// Format, version, checksum.
const HEADER_LEN: usize = 10;

/// Encodes a record: format, version, checksum of the rest, MessagePack.
///
/// # Errors
///
/// [`InvalidInput`](ErrorKind::InvalidInput) when the value can't be serialized.
pub(crate) fn encode<T: Serialize>(record: &T) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    encode_into(&mut bytes, record)?;
    Ok(bytes)
}

/// Encodes a record as [`encode`] does, in the place of what `bytes` held.
///
/// # Errors
///
/// As [`encode`].
pub(crate) fn encode_into<T: Serialize>(bytes: &mut Vec<u8>, record: &T) -> Result<(), Error> {
    bytes.clear();
    bytes.extend_from_slice(&[0; HEADER_LEN]);
    rmp_serde::encode::write(bytes, record).map_err(|cause| {
        Error::new(ErrorKind::InvalidInput, "the record can't be serialized").caused_by(cause)
    })?;
    let checksum = xxh3_64(&bytes[HEADER_LEN..]).to_le_bytes();
    bytes[0] = FORMAT;
    bytes[1] = VERSION;
    bytes[2..HEADER_LEN].copy_from_slice(&checksum);
    Ok(())
}

/// Decodes a record; `name` tells people which one it is.
///
/// # Errors
///
/// [`Schema`](ErrorKind::Schema) for a record of another version,
/// [`Corrupt`](ErrorKind::Corrupt) for bytes that aren't what was written.
pub(crate) fn decode<'b, T: Deserialize<'b>>(
    bytes: &'b [u8],
    name: impl fmt::Display,
) -> Result<T, Error> {
    let corrupt = |why: &str| Error::new(ErrorKind::Corrupt, format!("{name} is corrupt: {why}"));
    let (Some([format, version, checksum @ ..]), Some(body)) =
        (bytes.first_chunk::<HEADER_LEN>(), bytes.get(HEADER_LEN..))
    else {
        return Err(corrupt("it is shorter than a header"));
    };
    if *format != FORMAT {
        return Err(corrupt("it doesn't begin as a record does"));
    }
    if *version != VERSION {
        return Err(Error::new(
            ErrorKind::Schema,
            format!("{name} has version {version}: this build reads version {VERSION}"),
        ));
    }
    if *checksum != xxh3_64(body).to_le_bytes() {
        return Err(corrupt("its checksum doesn't fit its content"));
    }
    rmp_serde::from_slice(body).map_err(|cause| corrupt("it can't be read").caused_by(cause))
}
