//! How deep values nest in the bytes that they are written to.

use rmp::Marker;

/// Nested deeper than this, values are neither written nor read: a decoder that follows
/// hostile nesting runs out of stack, which no error can catch, and what is written must be
/// read again. Every list, map, tuple and struct is a level, and so is an enum's variant that
/// holds something.
pub(super) const MAX_DEPTH: usize = 128;

/// Whether the first value of these bytes nests [`MAX_DEPTH`] levels at the most. Bytes that
/// are no value pass: whoever decodes them finds out what they are.
pub(super) fn is_shallow(bytes: &[u8]) -> bool {
    // A level takes a byte that opens it, so small values have no more than these. Of large ones
    // many are a few long texts, and few of the others have as many such bytes: counting them
    // costs a fraction of following all values.
    bytes.len() <= MAX_DEPTH
        || follow(bytes, FEW).unwrap_or_else(|| {
            opening(bytes) <= MAX_DEPTH || follow(bytes, usize::MAX).unwrap_or(true)
        })
}

/// So many values are followed before bytes are counted.
const FEW: usize = 32;

/// How many bytes may open a level.
fn opening(bytes: &[u8]) -> usize {
    let opens = |byte: &u8| u8::from(byte & 0xe0 == 0x80) | u8::from(byte & 0xfc == 0xdc);
    // A byte holds the count of a piece, so many of them are looked at with each instruction.
    let pieces = bytes.chunks(128);
    pieces
        .map(|piece| usize::from(piece.iter().map(opens).sum::<u8>()))
        .sum()
}

/// Follows the nesting of a value, without recursion; none where the bytes end before it does,
/// or that many values don't.
fn follow(mut bytes: &[u8], values: usize) -> Option<bool> {
    // How many values are left of each level that is open.
    let mut open: Vec<u64> = Vec::new();
    for _ in 0..values {
        let (first, rest) = bytes.split_first()?;
        bytes = rest;
        let held = match Marker::from_u8(*first) {
            Marker::FixArray(len) => Some(len.into()),
            Marker::Array16 => Some(number(&mut bytes, 2)?),
            Marker::Array32 => Some(number(&mut bytes, 4)?),
            Marker::FixMap(len) => Some(2 * u64::from(len)),
            Marker::Map16 => Some(2 * number(&mut bytes, 2)?),
            Marker::Map32 => Some(2 * number(&mut bytes, 4)?),
            scalar => {
                let len = scalar_len(scalar, &mut bytes)?;
                bytes = bytes.get(usize::try_from(len).ok()?..)?;
                None
            }
        };
        match held {
            Some(_) if open.len() == MAX_DEPTH => return Some(false),
            Some(held) if held > 0 => {
                open.push(held);
                continue;
            }
            _ => {}
        }
        // One value is complete, and those that it was the last of.
        while let Some(left) = open.last_mut() {
            *left -= 1;
            if *left > 0 {
                break;
            }
            open.pop();
        }
        if open.is_empty() {
            return Some(true);
        }
    }
    None
}

/// How many bytes of a value follow that holds no others.
fn scalar_len(marker: Marker, bytes: &mut &[u8]) -> Option<u64> {
    Some(match marker {
        Marker::FixStr(len) => len.into(),
        Marker::Str8 | Marker::Bin8 => number(bytes, 1)?,
        Marker::Str16 | Marker::Bin16 => number(bytes, 2)?,
        Marker::Str32 | Marker::Bin32 => number(bytes, 4)?,
        // With a byte that tells their type.
        Marker::Ext8 => number(bytes, 1)? + 1,
        Marker::Ext16 => number(bytes, 2)? + 1,
        Marker::Ext32 => number(bytes, 4)? + 1,
        Marker::FixExt1 => 2,
        Marker::FixExt2 => 3,
        Marker::FixExt4 => 5,
        Marker::FixExt8 => 9,
        Marker::FixExt16 => 17,
        Marker::U8 | Marker::I8 => 1,
        Marker::U16 | Marker::I16 => 2,
        Marker::U32 | Marker::I32 | Marker::F32 => 4,
        Marker::U64 | Marker::I64 | Marker::F64 => 8,
        _ => 0,
    })
}

/// Takes a big-endian number of so many bytes.
fn number(bytes: &mut &[u8], len: usize) -> Option<u64> {
    let (number, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(
        number
            .iter()
            .fold(0, |all, byte| all << 8 | u64::from(*byte)),
    )
}
