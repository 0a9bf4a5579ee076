//! The configuration of `serve`: read, checked as a whole, every mistake named with line, key and mend.

mod buckets;
mod desk_section;
mod file;
mod ledger_url;
mod log;
mod reader;
mod secret;
mod server;
#[cfg(test)]
mod tests;
mod units;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bucket::SUPPORT_UPLOADER;
use buckets::{bucket_config, check_apart};
use ipnet::IpNet;
pub(crate) use ledger_url::LedgerUrl;
use reader::{Mistake, Section};
pub(crate) use units::{DURATION_MAX, parse_duration, parse_size};

/// What `serve` needs to know.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) server: Server,
    pub(crate) log: crate::observe::log::Settings,
    pub(crate) ledger_url: LedgerUrl,
    pub(crate) limits: Limits,
    pub(crate) desk: desk::Config,
    pub(crate) attachments_public: bool,
    pub(crate) support_uploader: bucket::Config,
    pub(crate) partners: BTreeMap<String, Partner>,
    /// What works, but is not safe: a line of text each.
    pub(crate) warnings: Vec<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) listen: SocketAddr,
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// Without a slash at its end; none: as the address listened on.
    pub(crate) public_url: Option<String>,
    pub(crate) max_connections: usize,
    /// Of one client address (of IPv6: network of 64 bits); trusted proxies have all.
    pub(crate) connections_per_address: usize,
    /// Certificate chain and private key, PEM files.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    /// Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub(crate) trusted_proxies: Vec<IpNet>,
}

/// Proxies are asked to be patient for 15 minutes.
const STORAGE_WAIT_MAX: Duration = Duration::from_secs(10 * 60);

/// Everything that bounds something, in one place.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) memory_bytes: u64,
    pub(crate) max_upload_bytes: u64,
    pub(crate) ticket_attachment_bytes: u64,
    pub(crate) link_expiry: Duration,
    /// How long an interrupted upload may be resumed. No bucket may drop its parts before.
    pub(crate) resume_window: Duration,
    /// How long a request waits for a bucket that does not answer.
    pub(crate) storage_wait: Duration,
    /// A body slower than this over a window is ended with 408. Bytes per second.
    pub(crate) min_rate: u64,
    pub(crate) min_rate_window: Duration,
    pub(crate) link_open_uploads: u32,
    /// Of a link's uploads that are not complete, together.
    pub(crate) link_unfinished_bytes: u64,
    pub(crate) link_requests_per_minute: u32,
    /// Ticket numbers that an unbound link may name in a minute before the desk is asked no more.
    pub(crate) link_ticket_lookups_per_minute: u32,
    /// A refused body is read on for so long, that its sender may see the refusal.
    pub(crate) discard_bytes: u64,
    pub(crate) discard_time: Duration,
    pub(crate) header_timeout: Duration,
    pub(crate) form_files: usize,
    /// How long a stop says that it is not ready before it takes no more connections.
    pub(crate) drain_notice: Duration,
    /// How long it waits for what is under way after that.
    pub(crate) drain_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 256 << 20,
            max_upload_bytes: 500_000_000_000,
            ticket_attachment_bytes: 20_000_000,
            link_expiry: Duration::from_secs(48 * 60 * 60),
            resume_window: Duration::from_secs(48 * 60 * 60),
            // An outage of a minute, and the time it takes to notice its end.
            storage_wait: Duration::from_secs(90),
            min_rate: 1_000,
            min_rate_window: Duration::from_secs(30),
            // A script that sends 32 files side by side is not an attack.
            link_open_uploads: 32,
            link_unfinished_bytes: 2 * 500_000_000_000,
            // 100 a second for a minute: more than bulk senders of small files reach, which wait for the disk.
            link_requests_per_minute: 6_000,
            // Those 32 side by side may each be the first to name the ticket.
            link_ticket_lookups_per_minute: 60,
            discard_bytes: 64 << 20,
            discard_time: Duration::from_secs(30),
            header_timeout: Duration::from_secs(30),
            form_files: 1_000,
            drain_notice: Duration::from_secs(1),
            drain_time: Duration::from_secs(30),
        }
    }
}

impl Server {
    /// The address that links and notes name: the public one, or else the one listened on.
    pub(crate) fn base_url(&self, listening: SocketAddr) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        self.public_url.clone().unwrap_or_else(|| format!("{scheme}://{listening}"))
    }
}

#[derive(Debug)]
pub(crate) struct Partner {
    pub(crate) name: String,
    pub(crate) organization_id: Option<i64>,
    pub(crate) bucket: Option<bucket::Config>,
}

/// The smallest budget: one append's worth four times, so that a part is at most a quarter of it.
const MEMORY_BYTES_MIN: u64 = 32 << 20;

/// More memory than machines have.
const MEMORY_BYTES_MAX: u64 = 1 << 40;

/// Reads and checks the file. Every mistake comes as one line of text.
pub(crate) fn load(path: &Path) -> Result<Config, Vec<String>> {
    let shown = path.display();
    let text = secret::read(path, secret::CONFIGURATION_BYTES_MAX)
        .map_err(|wrong| vec![format!("{shown}: {wrong}; name another with --config FILE")])?;
    let placed = |text: String| format!("{shown}: {text}");
    match parse(&text, secret::is_open_to_all(path)) {
        Ok(config) => {
            let warnings = config.warnings.into_iter().map(placed).collect();
            Ok(Config { warnings, ..config })
        }
        Err(mistakes) => Err(mistakes.iter().map(|mistake| placed(mistake.to_string())).collect()),
    }
}

/// The line where a bucket's section begins, by the bucket's name; 1 when it cannot be told.
pub(crate) fn bucket_line(path: &Path, bucket: &str) -> usize {
    let Ok(text) = secret::read(path, secret::CONFIGURATION_BYTES_MAX) else { return 1 };
    let Ok(table) = toml::de::DeTable::parse(&text) else { return 1 };
    let mut root = Section::root(&text, &table, false);
    let mistakes = &mut Vec::new();
    if bucket == SUPPORT_UPLOADER {
        return root.section("support_uploader", mistakes).line();
    }
    let partners = root.sections("partners", mistakes);
    let own = partners.into_iter().find(|(id, _)| id == bucket);
    own.map_or(1, |(_, mut partner)| partner.section("bucket", mistakes).line())
}

/// Checks the text of a configuration that is in no file.
#[cfg(feature = "sandbox")]
pub(crate) fn parse_text(text: &str) -> Result<Config, Vec<String>> {
    parse(text, false).map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
}

fn parse(text: &str, is_open_to_all: bool) -> Result<Config, Vec<Mistake>> {
    let table = toml::de::DeTable::parse(text).map_err(|error| {
        vec![Mistake {
            line: reader::line(text, error.span().map_or(0, |span| span.start)),
            key: "TOML".into(),
            what: error.message().to_owned(),
            mend: "correct the syntax".into(),
            is_warning: false,
        }]
    })?;
    let mut mistakes = Vec::new();
    let found = &mut mistakes;
    let mut root = Section::root(text, &table, is_open_to_all);
    let server = server::read(root.section("server", found), found);
    let log = log::read(root.section("log", found), found);
    let mut ledger = root.section("ledger", found);
    let ledger_url = ledger_url::read(&mut ledger, found);
    ledger.finish(found);
    let limits = limits(root.section("limits", found), found);
    let (desk, attachments_public) = desk_section::desk_config(root.section("desk", found), found);
    let uploader = root.section("support_uploader", found);
    if !uploader.is_there() {
        uploader.wrong(
            "bucket",
            "is missing",
            "add a section `[support_uploader]` with `bucket = \"NAME\"`",
            found,
        );
    }
    let uploader_line = uploader.line();
    let support_uploader = bucket_config(SUPPORT_UPLOADER, uploader, found);
    let partners: Vec<_> = root
        .sections("partners", found)
        .into_iter()
        .map(|(id, section)| partner(id, section, found))
        .collect();
    root.finish(found);
    let mut buckets = vec![(uploader_line, "support_uploader".to_owned(), &support_uploader)];
    buckets.extend(partners.iter().filter_map(|(id, line, partner)| {
        Some((*line, format!("partners.{id}.bucket"), partner.bucket.as_ref()?))
    }));
    check_apart(&buckets, found);
    if let Err(text) = bucket::ca_bundle() {
        let (what, mend) = text.split_once("; ").unwrap_or((&text, ""));
        let (what, mend) = (what.into(), mend.into());
        found.push(Mistake { line: 1, key: "environment".into(), what, mend, is_warning: false });
    }
    mistakes.sort_by_key(|mistake| mistake.line);
    let (warnings, mistakes): (Vec<_>, Vec<_>) = mistakes.into_iter().partition(|found| found.is_warning);
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let warnings = warnings.iter().map(ToString::to_string).collect();
    let partners = partners.into_iter().map(|(id, _, partner)| (id, partner)).collect();
    Ok(Config {
        server,
        log,
        ledger_url,
        limits,
        desk,
        attachments_public,
        support_uploader,
        partners,
        warnings,
    })
}

fn limits(mut section: Section<'_>, found: &mut Vec<Mistake>) -> Limits {
    let default = Limits::default();
    let max_upload_bytes =
        section.size("max_upload_bytes", default.max_upload_bytes, found).unwrap_or(default.max_upload_bytes);
    let limits = Limits {
        memory_bytes: section
            .size("memory_bytes", default.memory_bytes, found)
            .unwrap_or(default.memory_bytes),
        max_upload_bytes,
        ticket_attachment_bytes: section
            .size("ticket_attachment_bytes", default.ticket_attachment_bytes, found)
            .unwrap_or(default.ticket_attachment_bytes),
        link_expiry: section.duration("link_expiry", "48h", found).unwrap_or(default.link_expiry),
        resume_window: section.duration("resume_window", "48h", found).unwrap_or(default.resume_window),
        storage_wait: section.duration("storage_wait", "90s", found).unwrap_or(default.storage_wait),
        min_rate: section.size("min_rate", default.min_rate, found).unwrap_or(default.min_rate),
        min_rate_window: section.duration("min_rate_window", "30s", found).unwrap_or(default.min_rate_window),
        link_open_uploads: count(&mut section, "link_open_uploads", default.link_open_uploads, found)
            .unwrap_or(default.link_open_uploads),
        link_unfinished_bytes: section
            .size("link_unfinished_bytes", default.link_unfinished_bytes, found)
            .unwrap_or_else(|| max_upload_bytes.saturating_mul(2)),
        link_requests_per_minute: count(
            &mut section,
            "link_requests_per_minute",
            default.link_requests_per_minute,
            found,
        )
        .unwrap_or(default.link_requests_per_minute),
        link_ticket_lookups_per_minute: count(
            &mut section,
            "link_ticket_lookups_per_minute",
            default.link_ticket_lookups_per_minute,
            found,
        )
        .unwrap_or(default.link_ticket_lookups_per_minute),
        discard_bytes: section
            .size("discard_bytes", default.discard_bytes, found)
            .unwrap_or(default.discard_bytes),
        discard_time: section.duration("discard_time", "30s", found).unwrap_or(default.discard_time),
        header_timeout: section.duration("header_timeout", "30s", found).unwrap_or(default.header_timeout),
        form_files: count(&mut section, "form_files", 1_000, found)
            .map_or(default.form_files, |number| usize::try_from(number).unwrap_or(usize::MAX)),
        drain_notice: section.duration("drain_notice", "1s", found).unwrap_or(default.drain_notice),
        drain_time: section.duration("drain_time", "30s", found).unwrap_or(default.drain_time),
    };
    check_limits(&section, &limits, found);
    section.finish(found);
    limits
}

/// A whole number of things.
fn count(
    section: &mut Section<'_>,
    key: &'static str,
    example: u32,
    found: &mut Vec<Mistake>,
) -> Option<u32> {
    let number = section.number(key, &example.to_string(), found)?;
    let count = u32::try_from(number).ok();
    if count.is_none() {
        section.wrong(key, "is too large", &format!("write at most {}", u32::MAX), found);
    }
    count
}

/// Limits that contradict each other, or that nothing could keep.
fn check_limits(section: &Section<'_>, limits: &Limits, found: &mut Vec<Mistake>) {
    if limits.memory_bytes < MEMORY_BYTES_MIN {
        section.wrong("memory_bytes", "is too small", &format!("write at least {MEMORY_BYTES_MIN}"), found);
    }
    if limits.memory_bytes > MEMORY_BYTES_MAX {
        section.wrong("memory_bytes", "is too large", &format!("write at most {MEMORY_BYTES_MAX}"), found);
    }
    if limits.ticket_attachment_bytes > desk::ATTACHMENT_BYTES_MAX {
        let what = "is more than the desk takes in one attachment";
        let mend = format!("write at most {}", desk::ATTACHMENT_BYTES_MAX);
        section.wrong("ticket_attachment_bytes", what, &mend, found);
    }
    if limits.min_rate == 0 {
        let what = "is 0: a sender that stands still is never ended";
        section.warn("min_rate", what, "write for example `1000`", found);
    }
    let fits = upload::PartPlan::new(limits.memory_bytes).upload_bytes_max();
    if limits.max_upload_bytes > fits {
        let what = format!("does not fit in {} parts of a quarter of memory_bytes", upload::PARTS_MAX);
        section.wrong(
            "max_upload_bytes",
            &what,
            &format!("write at most {fits}, or raise memory_bytes"),
            found,
        );
    }
    for (key, zero) in [
        ("max_upload_bytes", limits.max_upload_bytes == 0),
        ("link_expiry", limits.link_expiry.is_zero()),
        ("resume_window", limits.resume_window.is_zero()),
        ("min_rate_window", limits.min_rate_window.is_zero()),
        ("header_timeout", limits.header_timeout.is_zero()),
        ("link_open_uploads", limits.link_open_uploads == 0),
        ("link_requests_per_minute", limits.link_requests_per_minute == 0),
        ("link_ticket_lookups_per_minute", limits.link_ticket_lookups_per_minute == 0),
        ("form_files", limits.form_files == 0),
    ] {
        if zero {
            section.wrong(key, "is 0", "write more than 0", found);
        }
    }
    if limits.storage_wait > STORAGE_WAIT_MAX {
        let mend = format!("write at most {}m", STORAGE_WAIT_MAX.as_secs() / 60);
        section.wrong("storage_wait", "is longer than senders and proxies wait", &mend, found);
    }
    if limits.link_unfinished_bytes < limits.max_upload_bytes {
        let mend = format!("write at least max_upload_bytes ({}), or lower that", limits.max_upload_bytes);
        section.wrong("link_unfinished_bytes", "is less than one upload may have", &mend, found);
    }
}

/// A partner, and the line where its bucket's section begins.
fn partner(id: String, mut section: Section<'_>, found: &mut Vec<Mistake>) -> (String, usize, Partner) {
    if !crate::partners::is_partner_id(&id) || id == SUPPORT_UPLOADER {
        let mend = "use 1 to 63 lower-case letters, digits and `-`, and not `support-uploader`";
        section.wrong_name(&format!("`{id}` is not a partner's short name"), mend, found);
    }
    let name = section.string("name", found).unwrap_or_else(|| id.clone());
    if name.trim().is_empty() {
        section.wrong("name", "is empty", "write the partner's name for people, or remove it", found);
    }
    let organization_id = section
        .number("organization_id", "360001172559", found)
        .and_then(|number| i64::try_from(number).ok());
    let own = section.section("bucket", found);
    let line = own.line();
    let bucket = if own.is_there() { Some(bucket_config(&id, own, found)) } else { None };
    section.finish(found);
    (id, line, Partner { name, organization_id, bucket })
}

fn url(section: &mut Section<'_>, key: &'static str, found: &mut Vec<Mistake>) -> Option<String> {
    let text = section.string(key, found)?;
    match url::Url::parse(&text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => {
            Some(text.trim_end_matches('/').to_owned())
        }
        _ => {
            let mend = "write for example `\"https://files.example.com\"`";
            section.wrong(key, &format!("`{text}` is not an http or https URL"), mend, found);
            None
        }
    }
}
