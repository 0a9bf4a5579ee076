//! The options after `cargo bench -p benches --`.

use anyhow::{Context, bail};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Runs of each scenario; the median counts.
    pub runs: usize,
    /// Bytes each sender sends in one run.
    pub bytes: u64,
}

/// 1 GiB: long enough that starting `curl` does not count.
const BYTES: u64 = 1 << 30;
const RUNS: usize = 3;
/// 256 MiB, once: to see that it works.
const QUICK: Options = Options { runs: 1, bytes: 256 << 20 };

impl Options {
    /// Reads `--runs N`, `--bytes N`, `--quick`; `--bench` is what cargo adds.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> anyhow::Result<Self> {
        let mut options = Self { runs: RUNS, bytes: BYTES };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut number = || {
                let text = arguments.next().with_context(|| format!("`{argument}` needs a number"))?;
                text.parse::<u64>()
                    .ok()
                    .filter(|n| *n > 0)
                    .with_context(|| format!("`{text}` is not a number above 0"))
            };
            match argument.as_str() {
                "--bench" => {}
                "--quick" => options = QUICK,
                "--runs" => options.runs = usize::try_from(number()?)?,
                "--bytes" => options.bytes = number()?,
                other => bail!("`{other}` is unknown: `--runs N`, `--bytes N` or `--quick`"),
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> anyhow::Result<Options> {
        Options::parse(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn arguments() {
        assert_eq!(parse("--bench").unwrap(), Options { runs: RUNS, bytes: BYTES });
        assert_eq!(parse("--quick --bench").unwrap(), QUICK);
        assert_eq!(parse("--runs 5 --bytes 1000").unwrap(), Options { runs: 5, bytes: 1000 });
        for wrong in ["--runs", "--runs x", "--runs 0", "--bytes -1", "throughput"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
