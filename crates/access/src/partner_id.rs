//! Short names of partners, as they stand in the configuration, in metadata keys and on command lines. Pure.

/// 1 to 63 lower-case letters, digits and `-`, starting with a letter or digit.
pub fn is_partner_id(id: &str) -> bool {
    (1..=63).contains(&id.len())
        && !id.starts_with('-')
        && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
