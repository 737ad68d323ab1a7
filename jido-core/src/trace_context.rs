//! Where a call belongs among traces: the W3C's trace context.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use smol_str::SmolStr;

use crate::Error;

/// The longest `tracestate` that is carried, in bytes: what the recommendation asks everybody to carry
/// at the least.
pub const MAX_TRACE_STATE_LEN: usize = 512;

/// How many members a `tracestate` has at the most.
const MAX_STATE_MEMBERS: usize = 32;

/// How long a key and a value of a `tracestate` are at the most, in bytes.
const MAX_STATE_PART: usize = 256;

/// The length of a `traceparent` of version 00, in bytes.
const PARENT_LEN: usize = 55;

/// Bits of the flags that have a meaning: sampled, and a trace id that is random. Others are not
/// passed on.
const KNOWN_FLAGS: u8 = 0b11;
const SAMPLED: u8 = 0b01;

/// Which trace a call belongs to and which span caused it, as the W3C recommendation
/// [Trace Context](https://www.w3.org/TR/trace-context/) has it: what HTTP carries in the
/// headers `traceparent` and `tracestate`.
///
/// A call takes it along to the agent that handles it, on whatever node that is, and so do the calls
/// that the agent makes meanwhile. Cloning is cheap.
///
/// ```
/// use jido_core::TraceContext;
///
/// # fn main() -> Result<(), jido_core::Error> {
/// let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let context: TraceContext = header.parse()?;
/// assert!(context.is_sampled());
/// assert_eq!(context.to_string(), header);
/// let context = context.with_state("vendor=opaque")?;
/// assert_eq!(context.state(), "vendor=opaque");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TraceContext(Arc<Fields>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Fields {
    trace_id: u128,
    parent_id: u64,
    flags: u8,
    state: SmolStr,
}

impl TraceContext {
    /// The context of a span. Of the flags (1 sampled, 2 a trace id that is random) those without
    /// a meaning are dropped.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) when an id is 0, which stands for none.
    pub fn new(trace_id: u128, parent_id: u64, flags: u8) -> Result<Self, Error> {
        if trace_id == 0 {
            return Err(Error::invalid("trace id is 0: that stands for none"));
        }
        if parent_id == 0 {
            return Err(Error::invalid("parent id is 0: that stands for none"));
        }
        Ok(Self(Arc::new(Fields {
            trace_id,
            parent_id,
            flags: flags & KNOWN_FLAGS,
            state: SmolStr::default(),
        })))
    }

    /// The same with what vendors of tracing have to add, a `tracestate`: up to 32 members
    /// `key=value` with commas between them, [`MAX_TRACE_STATE_LEN`] bytes together. Several headers
    /// of that name are joined by commas before.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) when it is longer or something else. The
    /// recommendation wants it left out then, and the call to go on without it.
    pub fn with_state(self, tracestate: &str) -> Result<Self, Error> {
        check_state(tracestate)?;
        let mut fields = Arc::unwrap_or_clone(self.0);
        fields.state = SmolStr::new(tracestate);
        Ok(Self(Arc::new(fields)))
    }

    /// The trace; never 0.
    pub fn trace_id(&self) -> u128 {
        self.0.trace_id
    }

    /// The span that caused the call; never 0.
    pub fn parent_id(&self) -> u64 {
        self.0.parent_id
    }

    /// The flags that have a meaning: 1 sampled, 2 a trace id that is random.
    pub fn flags(&self) -> u8 {
        self.0.flags
    }

    /// Whether the caller may have recorded the trace.
    pub fn is_sampled(&self) -> bool {
        self.0.flags & SAMPLED != 0
    }

    /// The `tracestate`; empty where there is none.
    pub fn state(&self) -> &str {
        &self.0.state
    }

    /// The trace as logs have it: 32 hexadecimal digits.
    pub fn trace_id_hex(&self) -> TraceIdHex {
        TraceIdHex(self.0.trace_id)
    }
}

/// Writes a trace id as 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceIdHex(u128);

impl fmt::Display for TraceIdHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Writes the `traceparent`, of version 00.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fields {
            trace_id,
            parent_id,
            flags,
            ..
        } = &*self.0;
        write!(f, "00-{trace_id:032x}-{parent_id:016x}-{flags:02x}")
    }
}

/// Reads a `traceparent`. Of a version after 00 what version 00 has is read, as the recommendation wants it.
impl FromStr for TraceContext {
    type Err = Error;

    /// # Errors
    ///
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for anything else, with what is wrong. The
    /// recommendation wants the header ignored then, and the call to go on without it.
    fn from_str(traceparent: &str) -> Result<Self, Error> {
        let refused = |why: &str| Error::invalid(format!("traceparent {why}"));
        let bytes = traceparent.as_bytes();
        if bytes.len() < PARENT_LEN {
            return Err(refused("is too short: it has 55 bytes"));
        }
        if [2, 35, 52].iter().any(|at| bytes[*at] != b'-') {
            return Err(refused(
                "has no dash between its fields, of 2, 32, 16 and 2 digits",
            ));
        }
        let digits = |from: usize, to: usize| hex(&bytes[from..to]);
        let not_hex = || refused("has a field that is not of hexadecimal digits in lower case");
        let version = digits(0, 2).ok_or_else(not_hex)?;
        match (version, bytes.get(PARENT_LEN)) {
            (0xff, _) => return Err(refused("is of version ff, which there is not")),
            (0, Some(_)) => return Err(refused("is too long: of version 00 it has 55 bytes")),
            (_, None | Some(b'-')) => {}
            (_, Some(_)) => return Err(refused("has no dash after the flags")),
        }
        let trace_id = digits(3, 35).ok_or_else(not_hex)?;
        let parent_id = digits(36, 52).ok_or_else(not_hex)? as u64;
        let flags = digits(53, 55).ok_or_else(not_hex)? as u8;
        Self::new(trace_id, parent_id, flags)
    }
}

/// The number that digits in lower case make, at most 32 of them.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

fn check_state(state: &str) -> Result<(), Error> {
    let refused = |why: String| Err(Error::invalid(format!("tracestate {why}")));
    if state.len() > MAX_TRACE_STATE_LEN {
        return refused(format!(
            "has {} bytes: the limit is {MAX_TRACE_STATE_LEN}",
            state.len()
        ));
    }
    let members = state
        .split(',')
        .map(|member| member.trim_matches([' ', '\t']));
    let mut count = 0;
    for member in members.filter(|member| !member.is_empty()) {
        count += 1;
        let Some((key, value)) = member.split_once('=') else {
            return refused(format!("has a member that is no key=value: number {count}"));
        };
        if !is_state_key(key) {
            return refused(format!("has a bad key in its member number {count}"));
        }
        if !is_state_value(value) {
            return refused(format!("has a bad value in its member number {count}"));
        }
    }
    if count > MAX_STATE_MEMBERS {
        return refused(format!(
            "has {count} members: the limit is {MAX_STATE_MEMBERS}"
        ));
    }
    Ok(())
}

fn is_state_key(key: &str) -> bool {
    let begins_well = key
        .bytes()
        .next()
        .is_some_and(|first| first.is_ascii_lowercase() || first.is_ascii_digit());
    let is_known =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/@".contains(&byte);
    begins_well && key.len() <= MAX_STATE_PART && key.bytes().all(is_known)
}

fn is_state_value(value: &str) -> bool {
    let is_known = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'=' && byte != b',';
    !value.is_empty() && value.len() <= MAX_STATE_PART && value.bytes().all(is_known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_recommendations_example_is_read_and_written() {
        let context: TraceContext = HEADER.parse().unwrap();
        assert_eq!(
            context.trace_id(),
            0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736
        );
        assert_eq!(context.parent_id(), 0x00f0_67aa_0ba9_02b7);
        assert!(context.is_sampled());
        assert_eq!(context.to_string(), HEADER);
        assert_eq!(
            context.trace_id_hex().to_string(),
            "4bf92f3577b34da6a3ce929d0e0e4736"
        );
    }

    #[test]
    fn what_is_no_traceparent_is_refused_with_a_reason() {
        let cut = &HEADER[..54];
        let longer = format!("{HEADER}-00");
        let later = format!("01{}x", &HEADER[2..]);
        for (header, why) in [
            ("", "too short"),
            (cut, "too short"),
            (longer.as_str(), "too long"),
            (later.as_str(), "dash after the flags"),
            (
                "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                "version ff",
            ),
            (
                "0x-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                "hexadecimal",
            ),
            (
                "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                "hexadecimal",
            ),
            (
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
                "hexadecimal",
            ),
            (
                "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                "no dash",
            ),
            (
                "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
                "trace id is 0",
            ),
            (
                "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
                "parent id is 0",
            ),
        ] {
            let error = header.parse::<TraceContext>().unwrap_err();
            assert!(error.to_string().contains(why), "{header}: {error}");
        }
    }

    #[test]
    fn of_a_later_version_what_is_known_is_read() {
        for later in [
            format!("cc{}", &HEADER[2..]),
            format!("cc{}-more", &HEADER[2..]),
        ] {
            let context: TraceContext = later.parse().unwrap();
            assert_eq!(context.to_string(), HEADER);
        }
        // Flags without a meaning are not passed on.
        let flags = format!("{}ff", &HEADER[..53]);
        assert_eq!(flags.parse::<TraceContext>().unwrap().flags(), 0b11);
    }

    #[test]
    fn states_are_bounded_and_checked() {
        let context = || HEADER.parse::<TraceContext>().unwrap();
        let long = format!("a={}", "x".repeat(256));
        let two = format!("{long},b={}", "x".repeat(251));
        assert_eq!(two.len(), MAX_TRACE_STATE_LEN);
        for good in ["", "a=1", "a=1, b=2", "0tenant@vendor=x y,,", &long, &two] {
            assert_eq!(context().with_state(good).unwrap().state(), good);
        }
        let many = vec!["a=1"; 33].join(",");
        let too_long = format!("{two} ");
        for (bad, why) in [
            ("a", "key=value"),
            ("A=1", "bad key"),
            ("=1", "bad key"),
            ("a=", "bad value"),
            ("a=b=c", "bad value"),
            ("a=\u{e9}", "bad value"),
            ("a=\u{7f}", "bad value"),
            (many.as_str(), "33 members"),
            (too_long.as_str(), "513 bytes"),
        ] {
            let error = context().with_state(bad).unwrap_err();
            assert!(error.to_string().contains(why), "{bad}: {error}");
        }
    }

    proptest! {
        #[test]
        fn every_context_reads_back(trace_id in 1u128.., parent_id in 1u64.., flags: u8) {
            let context = TraceContext::new(trace_id, parent_id, flags).unwrap();
            prop_assert_eq!(context.to_string().parse::<TraceContext>().unwrap(), context);
        }

        #[test]
        fn no_text_panics(text in "[0-9a-f\\-é]{0,60}") {
            let _ = text.parse::<TraceContext>();
        }
    }
}
