//! Addresses as people write them: `host:port`.

use std::net::IpAddr;

/// The longest host name that DNS knows, in bytes.
pub(super) const MAX_HOST_LEN: usize = 253;

/// Takes `host:port` apart. A host of IPv6 stands in brackets.
///
/// # Errors
///
/// A text that says what is wrong.
pub(super) fn check(address: &str) -> Result<(&str, u16), String> {
    let wrong = |what: &str| format!("address {address:?} {what}: it is host:port");
    let (host, port) = address
        .rsplit_once(':')
        .ok_or_else(|| wrong("has no port"))?;
    let port = port.parse().map_err(|_| wrong("has no valid port"))?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    if bare.is_none() && host.contains(':') {
        return Err(wrong("has an IPv6 host without brackets"));
    }
    let host = bare.unwrap_or(host);
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '%');
    if host.is_empty() || host.len() > MAX_HOST_LEN || !host.chars().all(is_host) {
        return Err(wrong("has no valid host"));
    }
    Ok((host, port))
}

/// Whether a host is this machine's loopback.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether an address has an IP for a host, and not a name, which may come to stand for another.
pub(super) fn is_numeric(address: &str) -> bool {
    check(address).is_ok_and(|(host, _)| {
        // What comes after is a zone of IPv6.
        let ip = host.split_once('%').map_or(host, |(ip, _)| ip);
        ip.parse::<IpAddr>().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_numbers() {
        for address in ["127.0.0.1:70", "[::1]:70", "[fe80::1%eth0]:70"] {
            assert!(is_numeric(address), "{address}");
        }
        for address in ["localhost:70", "n1.example:70", "1.example:70", "n1"] {
            assert!(!is_numeric(address), "{address}");
        }
    }

    #[test]
    fn addresses_are_taken_apart() {
        assert_eq!(check("n1.example:70").unwrap(), ("n1.example", 70));
        assert_eq!(check("[::1]:70").unwrap(), ("::1", 70));
        for bad in [
            "", "n1", "n1:", ":70", "n1:70000", "::1:70", "a b:1", "a\n:1", "[]:1",
        ] {
            assert!(check(bad).unwrap_err().contains("host:port"), "{bad}");
        }
    }

    #[test]
    fn loopback_is_known() {
        assert!(
            ["localhost", "127.0.0.1", "127.9.9.9", "::1"]
                .into_iter()
                .all(is_loopback)
        );
        assert!(!["n1", "10.0.0.1", "0.0.0.0"].into_iter().any(is_loopback));
    }
}
