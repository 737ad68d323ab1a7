//! What shows that an end of a connection has the cluster's cookie.
//!
//! Each end sends one word, what it makes of the other, with a code over it. The code
//! is an HMAC-SHA256 under the cookie over all that was said before, over which end says it, and
//! over what tells this connection's encryption from any other's. So a code is good for one
//! connection, one end and one word, and can't be said again elsewhere.

use aws_lc_rs::hmac;

use super::cookie::Cookie;

/// The code's length in bytes.
pub(super) const CODE_LEN: usize = 32;

/// An end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Dialer,
    Acceptor,
}

/// What one end makes of the other, once it has heard its hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Word {
    /// There is to be a session.
    Go = 0,
    /// The other end has another cookie. Sent without a code.
    Cookie = 1,
    /// There is a session with the other end already, or one is opening.
    Known = 2,
    /// This node is stopping.
    Closing = 3,
    /// Sessions between the two don't last: not yet.
    Later = 4,
}

impl Word {
    pub(super) fn read(byte: u8) -> Option<Self> {
        [
            Self::Go,
            Self::Cookie,
            Self::Known,
            Self::Closing,
            Self::Later,
        ]
        .into_iter()
        .find(|word| *word as u8 == byte)
    }
}

/// All that was said on a connection before the words, and what its encryption is known by.
pub(super) struct Transcript {
    /// The dialer's hello, as it was sent.
    pub(super) dialer: Vec<u8>,
    /// The acceptor's.
    pub(super) acceptor: Vec<u8>,
    /// Zeros where nothing is encrypted.
    pub(super) channel: [u8; 32],
}

impl Transcript {
    fn bytes(&self, side: Side, word: Word) -> Vec<u8> {
        let mut bytes = b"jido proof 1".to_vec();
        bytes.push(side as u8);
        bytes.push(word as u8);
        bytes.extend_from_slice(&self.channel);
        for hello in [&self.dialer, &self.acceptor] {
            bytes.extend_from_slice(&(hello.len() as u64).to_be_bytes());
            bytes.extend_from_slice(hello);
        }
        bytes
    }

    /// The code that an end sends with its word.
    pub(super) fn code(&self, cookie: &Cookie, side: Side, word: Word) -> [u8; CODE_LEN] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, cookie.expose().as_bytes());
        let tag = hmac::sign(&key, &self.bytes(side, word));
        let mut code = [0; CODE_LEN];
        code.copy_from_slice(tag.as_ref());
        code
    }

    /// Whether a code is that of an end with the same cookie, in a time that tells nothing.
    pub(super) fn proves(&self, cookie: &Cookie, side: Side, word: Word, code: &[u8]) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, cookie.expose().as_bytes());
        hmac::verify(&key, &self.bytes(side, word), code).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript() -> Transcript {
        Transcript {
            dialer: b"here is n1".to_vec(),
            acceptor: b"and n2".to_vec(),
            channel: [7; 32],
        }
    }

    #[test]
    fn a_code_is_good_for_one_cookie_side_word_and_connection() {
        let cookie = Cookie::new("0123456789abcdef").unwrap();
        let code = transcript().code(&cookie, Side::Dialer, Word::Go);
        let proves =
            |transcript: &Transcript, side, word| transcript.proves(&cookie, side, word, &code);
        assert!(proves(&transcript(), Side::Dialer, Word::Go));
        assert!(!proves(&transcript(), Side::Acceptor, Word::Go));
        assert!(!proves(&transcript(), Side::Dialer, Word::Known));
        for change in [
            |t: &mut Transcript| t.channel[31] ^= 1,
            |t: &mut Transcript| t.dialer.push(0),
            |t: &mut Transcript| std::mem::swap(&mut t.dialer, &mut t.acceptor),
            // The same bytes, shared out otherwise.
            |t: &mut Transcript| {
                let first = t.acceptor.remove(0);
                t.dialer.push(first);
            },
        ] {
            let mut other = transcript();
            change(&mut other);
            assert!(!proves(&other, Side::Dialer, Word::Go));
        }
        let other = Cookie::new("0123456789abcdeF").unwrap();
        assert!(!transcript().proves(&other, Side::Dialer, Word::Go, &code));
        assert!(!transcript().proves(&cookie, Side::Dialer, Word::Go, &code[..31]));
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        let known = (0..=u8::MAX).filter_map(Word::read).map(|word| word as u8);
        assert_eq!(known.collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    }
}
