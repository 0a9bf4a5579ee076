//! Short names of partners: they stand in the configuration, in keys of metadata and in command lines.

/// 1 to 63 lower-case letters, digits and `-`, beginning with a letter or digit.
pub(crate) fn is_partner_id(id: &str) -> bool {
    (1..=63).contains(&id.len())
        && !id.starts_with('-')
        && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
