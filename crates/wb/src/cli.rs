//! The command line, as clap types. What was typed is checked here; nothing is done here.
//! No option takes a secret: command lines are visible to every process of the machine.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum, builder::NonEmptyStringValueParser};
use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};

use crate::s3::Location;

const AFTER_HELP: &str = "\
Settings:
  WEIGHBRIDGE_URL, WEIGHBRIDGE_TOKEN, or `url` and `token` in $XDG_CONFIG_HOME/weighbridge/wb.toml
  (default ~/.config/weighbridge/wb.toml); the environment wins. HTTPS_PROXY and the like count, but never for this machine.

Without the gateway: --s3 s3://BUCKET/PREFIX
  ls, get and verify read the bucket itself, as the usual AWS settings say (AWS_PROFILE, AWS_ENDPOINT_URL_S3, AWS_REGION,
  ~/.aws/config, …), also objects that the gateway did not put there. PREFIX is the gateway's own, if it has one.
  Files are named by KEY as `ls` shows it, by ID (looked for in the whole listing), by TICKET/ID or by TICKET.

Exit status:
  0 done, 1 failed, 2 wrong usage, 3 not found, 4 not allowed, 5 integrity mismatch.
  Of several files a mismatch counts most, then the first failure.";

/// List, download and verify files that partners have sent.
#[derive(Debug, Parser)]
#[command(name = "wb", version, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    /// Print one JSON object a line instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No progress bars and no remarks; errors are still shown
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Address of the gateway
    #[arg(long, global = true, env = "WEIGHBRIDGE_URL", value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Read this bucket directly instead of asking the gateway
    #[arg(long, global = true, value_name = "s3://BUCKET/PREFIX", value_parser = Location::parse)]
    pub(crate) s3: Option<Location>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Where files are written to, if that is what was asked.
    pub(crate) fn download_folder(&self) -> Option<&Path> {
        match &self.command {
            Command::Get(get) if !get.is_to_stdout() => Some(&get.output),
            _ => None,
        }
    }
}

/// One variant a file in `commands/`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List uploads, newest as the gateway orders them
    Ls(Ls),
    /// Download uploads, verified against their receipts; goes on where an interrupted run has stopped
    Get(Get),
    /// Create or revoke an upload link
    #[command(subcommand)]
    Link(Link),
    /// List partners, or show one with the organisation's notes
    Partner(Partner),
    /// Remove uploads
    Rm(Rm),
    /// Compare local files, or what is stored, with the receipt
    Verify(Verify),
    /// Print a completion script
    Completions {
        /// For this shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages
    Man {
        /// Folder to write to, created if missing
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

/// `wb ls`
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Only this ticket
    #[arg(long, value_name = "T", value_parser = given())]
    pub(crate) ticket: Option<String>,
    /// Only this partner
    #[arg(long, value_name = "P", value_parser = given())]
    pub(crate) partner: Option<String>,
    /// Not before: `2026-11-22`, `2026-11-22T10:00:00Z`, or an age such as `48h` or `7d`
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub(crate) since: Option<Timestamp>,
    /// Not after: as `--since`
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub(crate) until: Option<Timestamp>,
    /// Only this state, e.g. `open`, `pending`, `done`, `undeliverable`; with --s3 also `unverified`. Of what is not
    /// complete, SIZE is the bytes that have come / all there will be
    #[arg(long)]
    pub(crate) state: Option<String>,
    /// Also the SHA-256. With --s3 the receipts are read for this, and for --ticket, --partner and --state; without, a
    /// listing shows only what the keys say
    #[arg(long, short)]
    pub(crate) long: bool,
}

/// `wb get`
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// Upload ids, or ticket numbers (digits only) for all files of a ticket; with --s3 also keys
    #[arg(required = true, value_name = "ID|TICKET|KEY", value_parser = given())]
    pub(crate) what: Vec<String>,
    /// Folder to write to, created if missing; `-` is standard output, for one file
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    pub(crate) output: PathBuf,
    /// Replace files of the same name instead of writing `name (2)`
    #[arg(long)]
    pub(crate) force: bool,
    /// Fail with status 5 where nothing vouches for the bytes: no receipt, no digest or CRC-64/NVME of the object
    #[arg(long)]
    pub(crate) require_verified: bool,
    #[command(flatten)]
    pub(crate) transfer: Transfer,
}

impl Get {
    /// Whether the bytes go to standard output.
    pub(crate) fn is_to_stdout(&self) -> bool {
        self.output == Path::new("-")
    }
}

/// How bytes are fetched.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Transfer {
    /// Ranges of 16 MiB in flight for each file; each holds its bytes in memory
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=32))]
    pub(crate) parallel: u8,
    /// Fetch through the gateway, where the bucket cannot be reached from here
    #[arg(long)]
    pub(crate) via_gateway: bool,
}

/// `wb link`
#[derive(Debug, Subcommand)]
pub(crate) enum Link {
    /// Create an upload link and print its URL
    Create(LinkCreate),
    /// Revoke upload links at once
    Revoke {
        /// Ids of the links
        #[arg(required = true, value_name = "ID", value_parser = given())]
        ids: Vec<String>,
    },
}

/// `wb link create`
#[derive(Debug, Args)]
pub(crate) struct LinkCreate {
    /// The partner who will send
    #[arg(long, value_name = "P", value_parser = given())]
    pub(crate) partner: String,
    /// Bind the link to this ticket
    #[arg(long, value_name = "T", value_parser = given())]
    pub(crate) ticket: Option<String>,
    /// What the link allows; `upload` is always among it
    #[arg(long, value_enum, value_delimiter = ',', default_value = "upload")]
    pub(crate) rights: Vec<Right>,
    /// Life of the link, e.g. `48h`, `7d`; the gateway's default otherwise
    #[arg(long, value_name = "AGE", value_parser = age_s)]
    pub(crate) expires: Option<u64>,
    /// Largest file, in bytes or as `20GB`, `512MiB`
    #[arg(long, value_name = "N", value_parser = bytes)]
    pub(crate) max_bytes: Option<u64>,
    /// Most uploads open at a time
    #[arg(long, value_name = "N")]
    pub(crate) max_open: Option<u64>,
    /// Most bytes of uploads that are not complete, together, in bytes or as `2TB`
    #[arg(long, value_name = "N", value_parser = bytes)]
    pub(crate) max_unfinished_bytes: Option<u64>,
    /// Most requests in a minute
    #[arg(long, value_name = "N")]
    pub(crate) max_requests_per_minute: Option<u64>,
}

/// What a link allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Right {
    Upload,
    List,
    Remove,
    OpenTicket,
    Escalate,
}

impl Right {
    /// The word of the API.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::List => "list",
            Self::Remove => "remove",
            Self::OpenTicket => "open-ticket",
            Self::Escalate => "escalate",
        }
    }
}

/// `wb partner`
#[derive(Debug, Args)]
pub(crate) struct Partner {
    /// Show this partner instead of the list
    #[arg(value_parser = given())]
    pub(crate) id: Option<String>,
    /// List everything in the partner's bucket
    #[arg(long, requires = "id")]
    pub(crate) objects: bool,
}

/// `wb rm`
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Ids of the uploads
    #[arg(required = true, value_name = "ID", value_parser = given())]
    pub(crate) ids: Vec<String>,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// `wb verify`
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Local files; or ids of uploads, whose stored bytes are then fetched and compared but not kept. With --s3 the
    /// stored bytes of ids, tickets or keys; local files only with --id or --receipt
    #[arg(required = true, value_name = "FILE|ID|KEY", value_parser = given())]
    pub(crate) what: Vec<String>,
    /// Compare the file with this upload; otherwise its receipt is looked for by digest, then by name
    #[arg(long, value_name = "ID", value_parser = given())]
    pub(crate) id: Option<String>,
    /// Compare the file with a saved receipt, its JSON or the text that `curl -o receipt.txt` saved; needs no gateway
    #[arg(long, value_name = "FILE", conflicts_with = "id")]
    pub(crate) receipt: Option<PathBuf>,
    /// Look for receipts on this ticket only
    #[arg(long, value_name = "T", value_parser = given())]
    pub(crate) ticket: Option<String>,
    /// Look for receipts of this partner only
    #[arg(long, value_name = "P", value_parser = given())]
    pub(crate) partner: Option<String>,
    #[command(flatten)]
    pub(crate) transfer: Transfer,
}

/// A text that is not empty: `wb get "$ID"` with nothing in `ID` must not mean something else.
fn given() -> NonEmptyStringValueParser {
    NonEmptyStringValueParser::new()
}

/// A point in time: RFC 3339, a date (midnight UTC), or an age counted back from now.
fn when(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    if let Ok(date) = text.parse::<Date>() {
        return date.to_zoned(TimeZone::UTC).map(|day| day.timestamp()).map_err(|e| e.to_string());
    }
    let seconds = age_s(text).map_err(|_| "expected a date, an RFC 3339 time, or an age such as `48h`")?;
    let age = i64::try_from(seconds).map_err(|_| "too long ago")?;
    Timestamp::now().checked_sub(SignedDuration::from_secs(age)).map_err(|_| "too long ago".to_owned())
}

/// A whole number with a unit out of `s`, `m`, `h`, `d`, `w`, as seconds.
fn age_s(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 5] = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400), ("w", 604_800)];
    let wrong = || "expected a number and a unit, such as `30m`, `48h` or `7d`".to_owned();
    UNITS
        .iter()
        .find_map(|(unit, seconds)| text.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(*seconds))
        .filter(|seconds| *seconds > 0)
        .ok_or_else(wrong)
}

/// A number of bytes, plain or with a decimal (`GB`) or binary (`GiB`) unit.
fn bytes(text: &str) -> Result<u64, String> {
    // Longest first: `B` ends every other unit.
    const UNITS: [(&str, u64); 9] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("B", 1),
    ];
    let (number, unit) = UNITS
        .iter()
        .find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?.trim_end(), *bytes)))
        .unwrap_or((text, 1));
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit))
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "expected a number of bytes, such as `20000000`, `20MB` or `20MiB`".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn ages_and_sizes() {
        let seconds = [("30s", 30), ("5m", 300), ("48h", 172_800), ("7d", 604_800), ("2w", 1_209_600)];
        for (text, expected) in seconds {
            assert_eq!(age_s(text), Ok(expected), "{text}");
        }
        for text in ["", "48", "h", "-1h", "0h", "1.5h", "99999999999999999999h", "1y"] {
            assert!(age_s(text).is_err(), "{text}");
        }
        let sizes = [("1", 1), ("20MB", 20_000_000), ("20 MB", 20_000_000), ("1GiB", 1 << 30), ("5B", 5)];
        for (text, expected) in sizes {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for text in ["", "MB", "0", "-1", "1PB", "1e9", "99999999TB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn points_in_time() {
        assert_eq!(when("2026-11-22").unwrap().to_string(), "2026-11-22T00:00:00Z");
        assert_eq!(when("2026-11-22T10:00:00+02:00").unwrap().to_string(), "2026-11-22T08:00:00Z");
        assert!(when("1h").unwrap() < Timestamp::now());
        assert!(when("yesterday").is_err());
    }
}
