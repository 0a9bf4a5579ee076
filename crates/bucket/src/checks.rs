//! Which checksums a store verifies.

/// What a store verifies of the bytes it receives, as far as we use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checks {
    /// CRC-64/NVME of each part, and of the whole object when it is completed.
    Whole,
    /// CRC-64/NVME of each part. Of the whole object, only the size is compared.
    Parts,
    /// No CRC-64/NVME: `Content-MD5` of each part.
    Md5,
}

impl Checks {
    /// Strongest first.
    pub(crate) const ALL: [Self; 3] = [Self::Whole, Self::Parts, Self::Md5];
}
