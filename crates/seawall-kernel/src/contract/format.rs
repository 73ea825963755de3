//! The string formats of the standard: email, uuid, uri, hostname, ipv4, ipv6, byte.
//!
//! Each is a linear check of syntax; nothing is looked up.

/// A string format that the gate checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StringFormat {
    Email,
    Uuid,
    Uri,
    Hostname,
    Ipv4,
    Ipv6,
    /// Base64.
    Byte,
}

impl StringFormat {
    /// The format called `name`.
    pub(super) fn named(name: &str) -> Option<StringFormat> {
        Some(match name {
            "email" => StringFormat::Email,
            "uuid" => StringFormat::Uuid,
            "uri" => StringFormat::Uri,
            "hostname" => StringFormat::Hostname,
            "ipv4" => StringFormat::Ipv4,
            "ipv6" => StringFormat::Ipv6,
            "byte" => StringFormat::Byte,
            _ => return None,
        })
    }

    /// Whether `text` has the format.
    pub(super) fn matches(self, text: &str) -> bool {
        match self {
            StringFormat::Email => email(text),
            StringFormat::Uuid => uuid(text),
            StringFormat::Uri => uri(text),
            StringFormat::Hostname => hostname(text),
            StringFormat::Ipv4 => text.parse::<std::net::Ipv4Addr>().is_ok(),
            StringFormat::Ipv6 => text.parse::<std::net::Ipv6Addr>().is_ok(),
            StringFormat::Byte => base64(text),
        }
    }
}

/// A dot-atom of RFC 5321 before the last `@`, a host name or an address literal after it.
fn email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let is_atom = |b: u8| {
        b.is_ascii_alphanumeric()
            || !b.is_ascii()
            || matches!(b, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'/' | b'=' | b'?' | b'^'..=b'`' | b'{'..=b'~')
    };
    let mut atoms = local.as_bytes().split(|b| *b == b'.');
    let local_reads = local.len() <= 64 && atoms.all(|atom| !atom.is_empty() && atom.iter().all(|b| is_atom(*b)));
    let literal = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let domain_reads = match literal {
        Some(address) => match address.strip_prefix("IPv6:") {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => address.parse::<std::net::Ipv4Addr>().is_ok(),
        },
        None => hostname(domain),
    };
    local_reads && domain_reads && text.len() <= 254
}

/// Groups of 8-4-4-4-12 hexadecimal digits.
fn uuid(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(i, byte)| match i {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// `scheme:rest` in the characters of RFC 3986, percent escapes complete.
fn uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let scheme_reads = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    scheme_reads && uri_characters(rest.as_bytes())
}

fn uri_characters(bytes: &[u8]) -> bool {
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'%' => {
                let escaped = bytes.get(at + 1..at + 3);
                if !escaped.is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit)) {
                    return false;
                }
                at += 3;
            }
            b if b.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=".contains(&b) => at += 1,
            _ => return false,
        }
    }
    true
}

/// Labels of 1 to 63 letters, digits and inner hyphens; at most 253 bytes.
fn hostname(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let label_reads = |label: &[u8]| {
        (1..=63).contains(&label.len())
            && label.first() != Some(&b'-')
            && label.last() != Some(&b'-')
            && label.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
    };
    text.len() <= 253 && text.as_bytes().split(|b| *b == b'.').all(label_reads)
}

/// The standard alphabet of RFC 4648 with padding.
fn base64(text: &str) -> bool {
    let unpadded = text.trim_end_matches('=');
    let padding = text.len() - unpadded.len();
    text.len().is_multiple_of(4)
        && padding <= 2
        && unpadded.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
}
