//! When a certificate expires: the one field that is read here from its DER (RFC 5280 section 4.1).

use jiff::civil::DateTime;

/// Tags (X.690 section 8).
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The end of a certificate, seconds since 1970; none if it is no certificate.
pub(super) fn seconds(certificate: &[u8]) -> Option<i64> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut rest, _) = element(certificate)?;
    if *rest.first()? == VERSION {
        rest = element(rest)?.2;
    }
    // Serial number, signature, issuer.
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (_, validity, _) = element(rest)?;
    let (_, _, rest) = element(validity)?;
    let (tag, time, _) = element(rest)?;
    let time = std::str::from_utf8(time).ok()?;
    let time = match tag {
        // Years of two digits are 1950 to 2049 (section 4.1.2.5.1).
        UTC_TIME => format!("{}{time}", if time < "50" { "20" } else { "19" }),
        GENERALIZED_TIME => time.to_owned(),
        _ => return None,
    };
    let time = DateTime::strptime("%Y%m%d%H%M%SZ", time).ok()?;
    Some(time.duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0)).as_secs())
}

/// The first element: its tag, its content, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(length - 0x80))?;
            (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (inside, after) = rest.split_at_checked(length)?;
    Some((tag, inside, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The start of a certificate that ends at this time.
    fn certificate(tag: u8, end: &str) -> Vec<u8> {
        let element = |tag: u8, inside: &[u8]| {
            let length = u8::try_from(inside.len()).unwrap();
            [&[tag][..], if length < 0x80 { &[] } else { &[0x81] }, &[length], inside].concat()
        };
        let validity = [element(UTC_TIME, b"250101000000Z"), element(tag, end.as_bytes())].concat();
        let head = [
            element(VERSION, &[2, 1, 2]),
            element(2, &[7]),
            element(0x30, &[5, 0]),
            element(0x30, &[1; 100]),
            element(0x30, &validity),
        ];
        element(0x30, &element(0x30, &head.concat()))
    }

    #[test]
    fn expiry_is_read() {
        for (tag, end, expected) in [
            (UTC_TIME, "300101000000Z", Some(1_893_456_000)),
            (UTC_TIME, "700101000001Z", Some(1)),
            (GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000)),
            (GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799)),
            (UTC_TIME, "tomorrow", None),
            (4, "300101000000Z", None),
        ] {
            let whole = certificate(tag, end);
            assert_eq!(seconds(&whole), expected, "{end}");
            for length in 0..whole.len() {
                assert_eq!(seconds(&whole[..length]), None, "{end}, cut after {length}");
            }
        }
    }
}
