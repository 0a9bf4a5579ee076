//! How large each part is. Parts begin at 8 MiB. A file of known length is cut into few enough for S3's 10,000; for an unknown
//! length the parts grow with their number, so that the file can become large although its first parts are small.

/// A part that is not the last has at least this many bytes (Amazon S3 quotas: 5 MiB).
pub(crate) const PART_BYTES_MIN: u64 = 5 * MIB;
/// A multipart upload has at most this many parts (Amazon S3 quotas).
pub const PARTS_MAX: u64 = 10_000;
/// Parts begin at this size: large enough that a request costs little, small enough that an interruption does too.
const PART_BYTES_FIRST: u64 = 8 * MIB;
/// For an unknown length, the part size doubles after this many parts.
const PARTS_PER_SIZE: u64 = 1_000;
const MIB: u64 = 1024 * 1024;

/// Cuts an upload into parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartPlan {
    part_bytes_max: u64,
}

impl PartPlan {
    /// Parts of at most a quarter of the byte budget, so that no upload needs more memory than there is.
    pub fn new(budget_bytes: u64) -> Self {
        Self { part_bytes_max: (budget_bytes / 4 / MIB * MIB).clamp(PART_BYTES_FIRST, 5 * 1024 * MIB) }
    }

    /// Bytes of the part `number` (from 1) that begins at `offset`.
    pub fn part_bytes(self, number: u64, offset: u64, length: Option<u64>) -> u64 {
        let wanted = match length {
            Some(length) => {
                let parts_left = (PARTS_MAX + 1).saturating_sub(number).max(1);
                length.saturating_sub(offset).div_ceil(parts_left).next_multiple_of(MIB)
            }
            None => {
                let doublings = (number.saturating_sub(1) / PARTS_PER_SIZE).min(16);
                PART_BYTES_FIRST << doublings
            }
        };
        wanted.clamp(PART_BYTES_FIRST, self.part_bytes_max)
    }

    /// The largest upload of unknown length that fits into its parts.
    pub fn upload_bytes_max(self) -> u64 {
        (1..=PARTS_MAX).step_by(1_000).map(|number| self.part_bytes(number, 0, None) * PARTS_PER_SIZE).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_sizes() {
        let plan = PartPlan::new(256 * MIB);
        let gib = 1024 * MIB;
        for (number, offset, length, expected) in [
            (1, 0, None, 8 * MIB),
            (1_000, 0, None, 8 * MIB),
            (1_001, 0, None, 16 * MIB),
            (3_001, 0, None, 64 * MIB),
            (10_000, 0, None, 64 * MIB),
            (1, 0, Some(0), 8 * MIB),
            (1, 0, Some(20_000_000), 8 * MIB),
            (1, 0, Some(78 * gib), 8 * MIB),
            (1, 0, Some(100 * gib), 11 * MIB),
            (1, 0, Some(500 * gib), 52 * MIB),
            // Short parts used up half of the numbers: the rest grow.
            (5_001, 25 * gib, Some(100 * gib), 16 * MIB),
            (10_000, 0, Some(500 * gib), 64 * MIB),
        ] {
            assert_eq!(
                plan.part_bytes(number, offset, length),
                expected,
                "part {number} of {length:?} at {offset}"
            );
        }
    }

    #[test]
    fn every_allowed_length_fits() {
        let plan = PartPlan::new(256 * MIB);
        assert_eq!(plan.upload_bytes_max(), 504_000 * MIB);
        for length in [1, 8 * MIB, 8 * MIB + 1, 100_000_000_000, plan.upload_bytes_max()] {
            for known in [Some(length), None] {
                let (mut offset, mut number) = (0, 0);
                while offset < length {
                    number += 1;
                    offset += plan.part_bytes(number, offset, known);
                }
                assert!(number <= PARTS_MAX, "{length} bytes took {number} parts");
            }
        }
    }

    #[test]
    fn parts_take_a_quarter_of_the_budget_at_most() {
        for budget_mib in [32, 100, 256, 4096] {
            let plan = PartPlan::new(budget_mib * MIB);
            for number in [1, 5_000, 10_000] {
                assert!(plan.part_bytes(number, 0, Some(u64::MAX / 2)) <= budget_mib * MIB / 4);
            }
        }
    }
}
