//! The checksums that a client may give with a body, in a header before it or a trailer after it, and their verification.
//! Invariant: bytes whose declared checksum does not hold are never stored.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderMap;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Md5, Sha1, Sha256};
use s3s::{S3Result, s3_error};
use serde::{Deserialize, Serialize};

/// The algorithms that S3 clients of today compute themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

const ALL: [Algorithm; 5] =
    [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme, Algorithm::Sha1, Algorithm::Sha256];

impl Algorithm {
    /// As S3 spells it, its header, and the bytes of a digest.
    fn about(self) -> (&'static str, &'static str, usize) {
        match self {
            Self::Crc32 => ("CRC32", "x-amz-checksum-crc32", 4),
            Self::Crc32c => ("CRC32C", "x-amz-checksum-crc32c", 4),
            Self::Crc64Nvme => ("CRC64NVME", "x-amz-checksum-crc64nvme", 8),
            Self::Sha1 => ("SHA1", "x-amz-checksum-sha1", 20),
            Self::Sha256 => ("SHA256", "x-amz-checksum-sha256", 32),
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        self.about().0
    }

    fn header(self) -> &'static str {
        self.about().1
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}

/// A checksum with its algorithm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checksum {
    pub(crate) algorithm: Algorithm,
    pub(crate) digest: Vec<u8>,
}

impl Checksum {
    /// Reads the base64 that S3 headers and XML carry; refuses a value of the wrong length as S3 does.
    pub(crate) fn parse(algorithm: Algorithm, base64: &str) -> S3Result<Self> {
        match STANDARD.decode(base64) {
            Ok(digest) if digest.len() == algorithm.about().2 => Ok(Self { algorithm, digest }),
            _ => Err(s3_error!(InvalidRequest, "Value for {} header is invalid.", algorithm.header())),
        }
    }

    /// The value in base64 if it is of this algorithm.
    pub(crate) fn of(&self, algorithm: Algorithm) -> Option<String> {
        (self.algorithm == algorithm).then(|| STANDARD.encode(&self.digest))
    }

    pub(crate) fn to_file_name(&self) -> String {
        format!("{}.{}", self.algorithm.as_str(), URL_SAFE_NO_PAD.encode(&self.digest))
    }

    pub(crate) fn from_file_name(text: &str) -> Option<Self> {
        let (algorithm, value) = text.split_once('.')?;
        Some(Self { algorithm: Algorithm::parse(algorithm)?, digest: URL_SAFE_NO_PAD.decode(value).ok()? })
    }
}

/// A CRC64NVME as S3 writes it: base64 of the big-endian bytes.
pub(crate) fn crc64_base64(crc: u64) -> String {
    STANDARD.encode(crc.to_be_bytes())
}

/// The checksums that a request declares for its body.
#[derive(Debug, Default)]
pub(crate) struct Declared {
    /// The algorithm, and the value if it came before the body.
    checksum: Option<(Algorithm, Option<Checksum>)>,
    md5: Option<Vec<u8>>,
}

impl Declared {
    pub(crate) fn from_headers(headers: &HeaderMap) -> S3Result<Self> {
        let mut declared = Self::default();
        for algorithm in ALL {
            if let Some(value) = headers.get(algorithm.header()) {
                let checksum = Checksum::parse(algorithm, value.to_str().unwrap_or_default())?;
                declared.add(algorithm, Some(checksum))?;
            }
            if headers
                .get_all("x-amz-trailer")
                .iter()
                .any(|name| name.as_bytes().eq_ignore_ascii_case(algorithm.header().as_bytes()))
            {
                declared.add(algorithm, None)?;
            }
        }
        if let Some(value) = headers.get("content-md5") {
            let digest = STANDARD.decode(value.as_bytes()).ok().filter(|digest| digest.len() == 16);
            declared.md5 =
                Some(digest.ok_or_else(|| {
                    s3_error!(InvalidDigest, "The Content-MD5 you specified is not valid.")
                })?);
        }
        Ok(declared)
    }

    fn add(&mut self, algorithm: Algorithm, value: Option<Checksum>) -> S3Result<()> {
        if self.checksum.is_some() {
            return Err(s3_error!(
                InvalidRequest,
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
            ));
        }
        self.checksum = Some((algorithm, value));
        Ok(())
    }

    pub(crate) fn algorithm(&self) -> Option<Algorithm> {
        self.checksum.as_ref().map(|(algorithm, _)| *algorithm)
    }
}

/// The sums computed while the bytes were written.
#[derive(Debug)]
pub(crate) struct Sums {
    pub(crate) crc64nvme: u64,
    /// The declared checksum, verified, where it is not the CRC64NVME.
    pub(crate) checksum: Option<Checksum>,
}

/// Computes the sums over a body as it passes.
pub(crate) struct Verifier {
    declared: Declared,
    crc64nvme: crc_fast::Digest,
    others: ChecksumHasher,
    md5: Option<Md5>,
}

impl Verifier {
    pub(crate) fn new(declared: Declared) -> Self {
        let wanted = declared.algorithm();
        let others = ChecksumHasher {
            crc32: (wanted == Some(Algorithm::Crc32)).then(Crc32::new),
            crc32c: (wanted == Some(Algorithm::Crc32c)).then(Crc32c::new),
            sha1: (wanted == Some(Algorithm::Sha1)).then(Sha1::new),
            sha256: (wanted == Some(Algorithm::Sha256)).then(Sha256::new),
            crc64nvme: None,
        };
        let md5 = declared.md5.is_some().then(Md5::new);
        Self { declared, crc64nvme: crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme), others, md5 }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.crc64nvme.update(bytes);
        self.others.update(bytes);
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
    }

    /// Compares with the declared values; `trailers` are those of an aws-chunked body.
    pub(crate) fn finish(self, trailers: Option<&HeaderMap>) -> S3Result<Sums> {
        let crc64nvme = self.crc64nvme.finalize();
        if let (Some(md5), Some(expected)) = (self.md5, self.declared.md5)
            && md5.finalize().as_slice() != expected
        {
            return Err(s3_error!(
                BadDigest,
                "The Content-MD5 you specified did not match what we received."
            ));
        }
        let Some((algorithm, value)) = self.declared.checksum else {
            return Ok(Sums { crc64nvme, checksum: None });
        };
        let expected = match value {
            Some(checksum) => checksum,
            None => {
                let value = trailers.and_then(|trailers| trailers.get(algorithm.header()));
                let value = value.and_then(|value| value.to_str().ok());
                Checksum::parse(algorithm, value.unwrap_or_default())?
            }
        };
        let sums = self.others.finalize();
        let actual = match algorithm {
            Algorithm::Crc32 => sums.checksum_crc32,
            Algorithm::Crc32c => sums.checksum_crc32c,
            Algorithm::Sha1 => sums.checksum_sha1,
            Algorithm::Sha256 => sums.checksum_sha256,
            Algorithm::Crc64Nvme => Some(crc64_base64(crc64nvme)),
        };
        if actual != expected.of(algorithm) {
            let name = algorithm.as_str();
            return Err(s3_error!(
                BadDigest,
                "The {name} you specified did not match the calculated checksum."
            ));
        }
        let checksum = (algorithm != Algorithm::Crc64Nvme).then_some(expected);
        Ok(Sums { crc64nvme, checksum })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn check(header: &str, value: &str, refused_with: Option<&str>) {
        let mut headers = HeaderMap::new();
        headers.insert(http::HeaderName::try_from(header).unwrap(), HeaderValue::try_from(value).unwrap());
        let outcome = Declared::from_headers(&headers).and_then(|declared| {
            let mut verifier = Verifier::new(declared);
            verifier.update(b"1234");
            verifier.update(b"56789");
            verifier.finish(None)
        });
        let code = outcome.err().map(|error| error.code().as_str().to_owned());
        assert_eq!(code.as_deref(), refused_with, "{header}: {value}");
    }

    #[test]
    fn declared_checksums() {
        // The check values of the CRC catalogue for "123456789", and its digests.
        check("x-amz-checksum-crc32", "y/Q5Jg==", None);
        check("x-amz-checksum-crc32c", "4waSgw==", None);
        check("x-amz-checksum-crc64nvme", "rosUhgp5mIg=", None);
        check("x-amz-checksum-sha256", "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=", None);
        check("content-md5", "JfnnlDI7RTiF9RgfG2JNCw==", None);
        check("x-amz-checksum-crc32", "y/Q5Jw==", Some("BadDigest"));
        check("x-amz-checksum-crc64nvme", "rosUhgp5mIk=", Some("BadDigest"));
        check("content-md5", "JfnnlDI7RTiF9RgfG2JNDA==", Some("BadDigest"));
        check("x-amz-checksum-crc64nvme", "y/Q5Jg==", Some("InvalidRequest"));
        check("x-amz-checksum-crc32", "", Some("InvalidRequest"));
        check("content-md5", "abc", Some("InvalidDigest"));
        check("x-amz-trailer", "x-amz-checksum-crc32", Some("InvalidRequest"));
    }

    #[test]
    fn trailer_is_verified() {
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-trailer", HeaderValue::from_static("x-amz-checksum-crc32"));
        for (value, good) in [("y/Q5Jg==", true), ("AAAAAA==", false)] {
            let mut verifier = Verifier::new(Declared::from_headers(&headers).unwrap());
            verifier.update(b"123456789");
            let mut trailers = HeaderMap::new();
            trailers.insert("x-amz-checksum-crc32", HeaderValue::from_static(value));
            assert_eq!(verifier.finish(Some(&trailers)).is_ok(), good);
        }
    }
}
