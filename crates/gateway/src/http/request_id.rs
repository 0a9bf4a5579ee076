//! The id of a request, which is in its answer, its problem and every log line about it.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// A client's id that is longer is replaced.
const BYTES_MAX: usize = 64;

#[derive(Debug, Clone)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// The id that the client or a proxy gave, if it is sane, so that their logs and ours match; otherwise a new one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut given = headers.get_all(HEADER).iter();
        match (given.next(), given.next()) {
            (Some(id), None) if is_sane(id.as_bytes()) => Self(id.clone()),
            // Our own ids are letters and digits.
            _ => Self(HeaderValue::from_str(&ledger::new_id()).unwrap_or(HeaderValue::from_static("none"))),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    pub(crate) fn value(&self) -> HeaderValue {
        self.0.clone()
    }
}

fn is_sane(id: &[u8]) -> bool {
    let sane = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    (1..=BYTES_MAX).contains(&id.len()) && id.iter().all(sane)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sane_ids_are_kept() {
        let long = "x".repeat(65);
        for (given, sane) in [
            (vec!["abc-1.2_3"], true),
            (vec![&long[..64]], true),
            (vec![long.as_str()], false),
            (vec!["a b"], false),
            (vec!["a;b"], false),
            (vec![""], false),
            (vec!["a", "b"], false),
            (vec![], false),
        ] {
            let headers = given.iter().map(|text| (HEADER, HeaderValue::from_str(text).unwrap())).collect();
            let id = RequestId::of(&headers);
            assert_eq!(given.first().is_some_and(|text| *text == id.as_str()), sane, "{given:?}: {id:?}");
            assert!(is_sane(id.as_str().as_bytes()), "{id:?}");
        }
        assert_ne!(RequestId::of(&HeaderMap::new()).as_str(), RequestId::of(&HeaderMap::new()).as_str());
    }
}
