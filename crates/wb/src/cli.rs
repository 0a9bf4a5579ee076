//! The command line, as clap types. Values are checked in `cli/values.rs`.
//! Invariant: no option takes a secret, because every process on the machine can read command lines.

mod values;

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use jiff::Timestamp;

use crate::s3::location::Location;
use values::{age_s, bytes, given, when};

const AFTER_HELP: &str = "\
Settings:
  WEIGHBRIDGE_URL, WEIGHBRIDGE_TOKEN, or `url` and `token` in $XDG_CONFIG_HOME/weighbridge/wb.toml
  (default ~/.config/weighbridge/wb.toml). The environment wins. HTTPS_PROXY and similar are used, except for this machine.

Without the gateway: --s3 s3://BUCKET/PREFIX
  ls, get and verify read the bucket directly, with the usual AWS settings (AWS_PROFILE, AWS_ENDPOINT_URL_S3, AWS_REGION,
  ~/.aws/config, …). They also see objects that others have put there. PREFIX is the gateway's own, if it has one.
  Name files by KEY as printed by `ls`, by ID (which reads the whole listing), by TICKET/ID or by TICKET.

Exit status:
  0 done, 1 failed, 2 wrong usage, 3 not found, 4 not allowed, 5 integrity mismatch.
  With several files, a mismatch wins, then the first failure counts.";

/// List, download and verify files that partners have sent, and answer their escalations.
#[derive(Debug, Parser)]
#[command(name = "wb", version, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    /// Print one JSON object per line instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print no progress bars and no messages, only errors
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
    /// The folder to download to, for `wb get`.
    pub(crate) fn download_folder(&self) -> Option<&Path> {
        match &self.command {
            Command::Get(get) if !get.is_to_stdout() => Some(&get.output),
            _ => None,
        }
    }
}

/// Each variant has a file in `commands/`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List uploads, newest first
    Ls(Ls),
    /// Download uploads and verify them; resumes an interrupted download
    Get(Get),
    /// Create, list, renew or revoke upload links
    #[command(subcommand)]
    Link(Link),
    /// List partners, or show one with its notes
    Partner(Partner),
    /// Remove uploads
    Rm(Rm),
    /// Verify local or stored files against their receipts
    Verify(Verify),
    /// List escalations, newest first, or show or change one
    Escalations(Escalations),
    /// Escalate a ticket for a partner
    Escalate(Escalate),
    /// List, add or disable the people of a partner who may open tickets
    #[command(subcommand)]
    Contact(Contact),
    /// Ask for files on a ticket, or list what it waits for
    Ask(Ask),
    /// Keep the files of a ticket until the hold is lifted
    #[command(subcommand)]
    Hold(Hold),
    /// Show who did what, and when, oldest first
    Audit(Audit),
    /// Print a completion script
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages
    Man {
        /// Folder to write to; created if missing
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
    /// Only this state, such as `open`, `pending`, `done`, `undeliverable`; with --s3 also `unverified`. The SIZE of an
    /// incomplete upload is received / total
    #[arg(long)]
    pub(crate) state: Option<String>,
    /// Also print the SHA-256. With --s3, this option, --ticket, --partner and --state read the receipts; a listing without
    /// them shows only what is in the keys
    #[arg(long, short)]
    pub(crate) long: bool,
}

/// `wb get`
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// Upload IDs, or ticket numbers (digits only) for all files of a ticket; with --s3 also keys
    #[arg(required = true, value_name = "ID|TICKET|KEY", value_parser = given())]
    pub(crate) what: Vec<String>,
    /// Folder to write to, created if missing; `-` for standard output, with one file
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    pub(crate) output: PathBuf,
    /// Replace existing files instead of writing `name (2)`
    #[arg(long)]
    pub(crate) force: bool,
    /// Fail with status 5 if a file cannot be verified: it has no receipt, digest or CRC-64/NVME
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

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Transfer {
    /// Ranges of 16 MiB to download at a time for each file; each is held in memory
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=32))]
    pub(crate) parallel: u8,
    /// Download through the gateway, if the bucket cannot be reached from here
    #[arg(long)]
    pub(crate) via_gateway: bool,
}

/// `wb link`
#[derive(Debug, Subcommand)]
pub(crate) enum Link {
    /// Create an upload link and print its URL
    Create(LinkCreate),
    /// List upload links, newest first, without their URLs
    List {
        /// Only this partner
        #[arg(long, value_name = "P", value_parser = given())]
        partner: Option<String>,
        /// Only this ticket
        #[arg(long, value_name = "T", value_parser = given())]
        ticket: Option<String>,
    },
    /// Let upload links work for another lifetime from now, at the same URL
    Renew {
        /// IDs of the links
        #[arg(required = true, value_name = "ID", value_parser = given())]
        ids: Vec<String>,
        /// Lifetime from now, such as `48h` or `7d`; the default is the gateway's
        #[arg(long, value_name = "AGE", value_parser = age_s)]
        expires: Option<u64>,
    },
    /// Revoke upload links immediately
    Revoke {
        /// IDs of the links
        #[arg(required = true, value_name = "ID", value_parser = given())]
        ids: Vec<String>,
    },
}

/// As the API names them.
const RIGHTS: [&str; 5] = ["upload", "list", "remove", "open-ticket", "escalate"];

/// `wb link create`
#[derive(Debug, Args)]
pub(crate) struct LinkCreate {
    /// The partner to create the link for
    #[arg(long, value_name = "P", value_parser = given())]
    pub(crate) partner: String,
    /// Bind the link to this ticket
    #[arg(long, value_name = "T", value_parser = given())]
    pub(crate) ticket: Option<String>,
    /// What the link allows; always includes `upload`
    #[arg(long, value_parser = RIGHTS, value_delimiter = ',', default_value = "upload")]
    pub(crate) rights: Vec<String>,
    /// Lifetime of the link, such as `48h` or `7d`; the default is the gateway's
    #[arg(long, value_name = "AGE", value_parser = age_s)]
    pub(crate) expires: Option<u64>,
    /// Largest file, in bytes or as `20GB`, `512MiB`
    #[arg(long, value_name = "N", value_parser = bytes)]
    pub(crate) max_bytes: Option<u64>,
    /// Limit for open uploads
    #[arg(long, value_name = "N")]
    pub(crate) max_open: Option<u64>,
    /// Limit for the total size of incomplete uploads, in bytes or as `2TB`
    #[arg(long, value_name = "N", value_parser = bytes)]
    pub(crate) max_unfinished_bytes: Option<u64>,
    /// Limit for requests per minute
    #[arg(long, value_name = "N")]
    pub(crate) max_requests_per_minute: Option<u64>,
}

/// `wb partner`
#[derive(Debug, Args)]
pub(crate) struct Partner {
    /// Show this partner instead of the list
    #[arg(value_parser = given())]
    pub(crate) id: Option<String>,
    /// List all objects in the partner's bucket
    #[arg(long, requires = "id")]
    pub(crate) objects: bool,
}

/// `wb rm`
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// IDs of the uploads
    #[arg(required = true, value_name = "ID", value_parser = given())]
    pub(crate) ids: Vec<String>,
    /// Do not ask for confirmation
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// `wb verify`
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Local files, or IDs of uploads, which are downloaded and verified but not kept. With --object, keys. With --s3, stored
    /// files by ID, ticket or key, and local files only with --id or --receipt
    #[arg(required = true, value_name = "FILE|ID|KEY", value_parser = given())]
    pub(crate) what: Vec<String>,
    /// Compare the file with this upload. By default, its receipt is searched by digest, then by name
    #[arg(long, value_name = "ID", value_parser = given())]
    pub(crate) id: Option<String>,
    /// Compare the file with a saved receipt, as JSON or as the text from `curl -o receipt.txt`; needs no gateway
    #[arg(long, value_name = "FILE", conflicts_with = "id")]
    pub(crate) receipt: Option<PathBuf>,
    /// Search receipts of this ticket only
    #[arg(long, value_name = "T", value_parser = given())]
    pub(crate) ticket: Option<String>,
    /// Search receipts of this partner only
    #[arg(long, value_name = "P", value_parser = given())]
    pub(crate) partner: Option<String>,
    /// Let the gateway read objects that the partner put into its own bucket with its own tools, and print their SHA-256
    #[arg(long, requires = "partner", conflicts_with_all = ["id", "receipt", "ticket"])]
    pub(crate) object: bool,
    #[command(flatten)]
    pub(crate) transfer: Transfer,
}

/// As the API names them.
const ESCALATION_STATES: [&str; 4] = ["submitted", "acknowledged", "resolved", "declined"];
/// As the API names them.
const URGENCIES: [&str; 3] = ["2h", "1h", "30m"];

/// `wb escalations`
#[derive(Debug, Args)]
pub(crate) struct Escalations {
    /// Show this escalation with the files of its ticket: an ID, or a reference such as `E-7K3M9QXA`
    #[arg(value_name = "ID", value_parser = given(), conflicts_with_all = ["ticket", "partner", "state"])]
    pub(crate) id: Option<String>,
    /// Only this ticket
    #[arg(long, value_name = "T", value_parser = given())]
    pub(crate) ticket: Option<String>,
    /// Only this partner
    #[arg(long, value_name = "P", value_parser = given())]
    pub(crate) partner: Option<String>,
    /// Only this state
    #[arg(long, value_parser = ESCALATION_STATES)]
    pub(crate) state: Option<String>,
    /// Tell the sender that somebody works on it
    #[arg(long, group = "change", requires = "id")]
    pub(crate) acknowledge: bool,
    /// Tell the sender that it is done
    #[arg(long, group = "change", requires = "id")]
    pub(crate) resolve: bool,
    /// Decline it for this reason, one line that the sender reads
    #[arg(long, value_name = "REASON", value_parser = given(), group = "change", requires = "id")]
    pub(crate) decline: Option<String>,
}

impl Escalations {
    /// The new state and why, if one is asked for.
    pub(crate) fn change(&self) -> Option<(&'static str, Option<&str>)> {
        match &self.decline {
            Some(reason) => Some(("declined", Some(reason))),
            None if self.resolve => Some(("resolved", None)),
            None if self.acknowledge => Some(("acknowledged", None)),
            None => None,
        }
    }
}

/// `wb escalate`
#[derive(Debug, Args)]
pub(crate) struct Escalate {
    /// The ticket's number, or the partner's case number
    #[arg(value_name = "TICKET_OR_CASE", value_parser = given())]
    pub(crate) request: String,
    /// The partner that the ticket belongs to
    #[arg(long, value_name = "P", value_parser = given())]
    pub(crate) partner: String,
    /// Why the ticket needs attention now
    #[arg(long, value_name = "TEXT", value_parser = given())]
    pub(crate) reason: String,
    /// What must happen
    #[arg(long, value_name = "TEXT", value_parser = given())]
    pub(crate) actions: String,
    /// How soon somebody must look at it
    #[arg(long, value_parser = URGENCIES, default_value = "2h")]
    pub(crate) urgency: String,
    /// Mark it as an emergency
    #[arg(long)]
    pub(crate) emergency: bool,
}

/// `wb contact`
#[derive(Debug, Subcommand)]
pub(crate) enum Contact {
    /// List the contacts of a partner
    List {
        /// The partner
        #[arg(long, value_name = "P", value_parser = given())]
        partner: String,
    },
    /// Add a contact, or change the one with this address
    Add(ContactAdd),
    /// Let contacts open no more tickets
    Disable {
        /// The partner
        #[arg(long, value_name = "P", value_parser = given())]
        partner: String,
        /// IDs of the contacts
        #[arg(required = true, value_name = "ID", value_parser = given())]
        ids: Vec<String>,
    },
}

/// `wb contact add`
#[derive(Debug, Args)]
pub(crate) struct ContactAdd {
    /// The partner
    #[arg(long, value_name = "P", value_parser = given())]
    pub(crate) partner: String,
    /// The person's name
    #[arg(long, value_parser = given())]
    pub(crate) name: String,
    /// The person's e-mail address
    #[arg(long, value_parser = given())]
    pub(crate) email: String,
    /// The person's ID in Slack, such as `U0123456789`
    #[arg(long, value_name = "ID", value_parser = given())]
    pub(crate) slack_user_id: Option<String>,
}

/// `wb ask`
#[derive(Debug, Args)]
pub(crate) struct Ask {
    /// The ticket
    #[arg(value_name = "TICKET", value_parser = given())]
    pub(crate) ticket: String,
    /// What to send, such as `"database logs"`: a public comment says so. Without it, list what the ticket waits for
    #[arg(value_name = "WANTED", value_parser = given())]
    pub(crate) wanted: Vec<String>,
    /// No longer ask for this
    #[arg(long, value_name = "ID", value_parser = given(), conflicts_with = "wanted")]
    pub(crate) withdraw: Vec<String>,
}

/// `wb hold`
#[derive(Debug, Subcommand)]
pub(crate) enum Hold {
    /// Keep the files of a ticket, or change the reason
    Add {
        /// The ticket
        #[arg(value_name = "TICKET", value_parser = given())]
        ticket: String,
        /// Why, in one line
        #[arg(long, value_name = "TEXT", value_parser = given())]
        reason: String,
    },
    /// Show the hold on a ticket
    Show {
        /// The ticket
        #[arg(value_name = "TICKET", value_parser = given())]
        ticket: String,
    },
    /// Lift the hold on a ticket
    Lift {
        /// The ticket
        #[arg(value_name = "TICKET", value_parser = given())]
        ticket: String,
    },
}

/// `wb audit`
#[derive(Debug, Args)]
pub(crate) struct Audit {
    /// Only about this ticket
    #[arg(long, value_name = "T", value_parser = given())]
    pub(crate) ticket: Option<String>,
    /// Only about this partner, its links and its uploads
    #[arg(long, value_name = "P", value_parser = given())]
    pub(crate) partner: Option<String>,
    /// Not before: `2026-11-22`, `2026-11-22T10:00:00Z`, or an age such as `48h` or `7d`
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub(crate) since: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn clap_accepts_the_command_line() {
        Cli::command().debug_assert();
    }
}
