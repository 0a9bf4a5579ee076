//! Parses `s3://bucket/prefix`.

/// A bucket and a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) bucket: String,
    /// Empty, or ending in `/`.
    pub(crate) prefix: String,
}

impl Location {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (bucket, prefix) = split(text).ok_or("expected `s3://bucket` or `s3://bucket/prefix`")?;
        let end = if prefix.is_empty() || prefix.ends_with('/') { "" } else { "/" };
        Ok(Self { bucket: bucket.to_owned(), prefix: format!("{prefix}{end}") })
    }
}

/// Bucket and key of an `s3://` address.
pub(crate) fn split(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix("s3://")?;
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    // Other characters would change the address of the request.
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    (!bucket.is_empty() && bucket.chars().all(plain)).then_some((bucket, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations() {
        for (text, bucket, prefix) in [
            ("s3://b", "b", ""),
            ("s3://b/", "b", ""),
            ("s3://my.bucket-1/in", "my.bucket-1", "in/"),
            ("s3://b/in/acme/", "b", "in/acme/"),
            ("s3://b//x", "b", "/x/"),
        ] {
            let location = Location::parse(text).unwrap();
            assert_eq!((location.bucket.as_str(), location.prefix.as_str()), (bucket, prefix), "{text}");
        }
        for text in ["", "b", "s3:b", "s3://", "s3:///x", "https://b/x", "s3://a b", "s3://a?b/x", "s3://a@b"]
        {
            assert!(Location::parse(text).is_err(), "{text}");
        }
    }
}
