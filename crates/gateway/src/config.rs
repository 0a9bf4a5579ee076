//! The configuration of `serve`: read, checked as a whole, every mistake named with line, key and mend.

mod buckets;
mod file;
mod log;
mod reader;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bucket::SUPPORT_UPLOADER;
use buckets::bucket_config;
use ipnet::IpNet;
pub(crate) use reader::parse_duration;
use reader::{Mistake, Section};

use crate::tls::{self, Unusable};

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
}

/// Where the ledger is. It may hold a password: what is shown of it does not.
pub(crate) struct LedgerUrl(String);

impl LedgerUrl {
    /// As it is opened.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for LedgerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&ledger::shown(&self.0))
    }
}

impl std::fmt::Debug for LedgerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) listen: SocketAddr,
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// Without a slash at its end; none: as the address listened on.
    pub(crate) public_url: Option<String>,
    pub(crate) max_connections: usize,
    /// Certificate chain and private key, PEM files.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    /// Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub(crate) trusted_proxies: Vec<IpNet>,
}

/// Everything that bounds something, in one place.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) memory_bytes: u64,
    pub(crate) max_upload_bytes: u64,
    pub(crate) ticket_attachment_bytes: u64,
    pub(crate) link_expiry: Duration,
    /// How long an interrupted upload may be resumed. No bucket may drop its parts before.
    pub(crate) resume_window: Duration,
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

/// Reads and checks the file. Every mistake comes as one line of text.
pub(crate) fn load(path: &Path) -> Result<Config, Vec<String>> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        vec![format!("{shown}: cannot be read ({error}); name another with --config FILE")]
    })?;
    parse(&text).map_err(|mistakes| mistakes.iter().map(|mistake| format!("{shown}: {mistake}")).collect())
}

/// The line where a bucket's section begins, by the bucket's name; 1 when it cannot be told.
pub(crate) fn bucket_line(path: &Path, bucket: &str) -> usize {
    let Ok(text) = std::fs::read_to_string(path) else { return 1 };
    let Ok(table) = toml::de::DeTable::parse(&text) else { return 1 };
    let mut root = Section::root(&text, &table);
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
    parse(text).map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
}

fn parse(text: &str) -> Result<Config, Vec<Mistake>> {
    let table = toml::de::DeTable::parse(text).map_err(|error| {
        vec![Mistake {
            line: reader::line(text, error.span().map_or(0, |span| span.start)),
            key: "TOML".into(),
            what: error.message().to_owned(),
            mend: "mend the syntax".into(),
        }]
    })?;
    let mut mistakes = Vec::new();
    let found = &mut mistakes;
    let mut root = Section::root(text, &table);
    let server = server(root.section("server", found), found);
    let log = log::read(root.section("log", found), found);
    let mut ledger = root.section("ledger", found);
    let ledger_url = ledger_url(&mut ledger, found);
    ledger.finish(found);
    let limits = limits(root.section("limits", found), found);
    let (desk, attachments_public) = desk_config(root.section("desk", found), found);
    let uploader = root.section("support_uploader", found);
    if !uploader.is_there() {
        uploader.wrong(
            "bucket",
            "is missing",
            "add a section `[support_uploader]` with `bucket = \"NAME\"`",
            found,
        );
    }
    let support_uploader = bucket_config(SUPPORT_UPLOADER, uploader, found);
    let partners = root
        .sections("partners", found)
        .into_iter()
        .map(|(id, section)| partner(id, section, found))
        .collect();
    root.finish(found);
    if let Err(text) = bucket::ca_bundle() {
        let (what, mend) = text.split_once("; ").unwrap_or((&text, ""));
        found.push(Mistake { line: 1, key: "environment".into(), what: what.into(), mend: mend.into() });
    }
    if mistakes.is_empty() {
        Ok(Config { server, log, ledger_url, limits, desk, attachments_public, support_uploader, partners })
    } else {
        mistakes.sort_by_key(|mistake| mistake.line);
        Err(mistakes)
    }
}

fn server(mut section: Section<'_>, found: &mut Vec<Mistake>) -> Server {
    let address = "write an address and a port, for example `\"127.0.0.1:8080\"`";
    let listen =
        section.parsed("listen", address, found).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080)));
    let metrics_listen = section.parsed("metrics_listen", address, found);
    let public_url = url(&mut section, "public_url", found);
    if !section.has("public_url") && listen.ip().to_canonical().is_unspecified() {
        let what = format!("is missing, and nobody can reach {listen}, which links would name instead");
        let mend =
            "add the address that partners use, for example `public_url = \"https://files.example.com\"`";
        section.wrong("public_url", &what, mend, found);
    }
    let max_connections = section.number("max_connections", found).unwrap_or(2_000);
    if max_connections == 0 {
        section.wrong("max_connections", "is 0", "write at least 1", found);
    }
    let tls = match (section.string("tls_cert", found), section.string("tls_key", found)) {
        (Some(chain), Some(key)) => {
            let pair = (PathBuf::from(chain), PathBuf::from(key));
            let mistake = match tls::check(&pair.0, &pair.1) {
                Ok(()) => None,
                Err(Unusable::Chain(what)) => {
                    let mend = "name a PEM file that this process can read, the server's certificate first";
                    Some(("tls_cert", what, mend))
                }
                Err(Unusable::Key(what)) => {
                    let mend = "name the PEM file of tls_cert's private key, readable for this process";
                    Some(("tls_key", what, mend))
                }
            };
            if let Some((key, what, mend)) = mistake {
                section.wrong(key, &format!("cannot be used ({what})"), mend, found);
            }
            Some(pair)
        }
        (None, None) => None,
        (Some(_), None) => {
            section.wrong("tls_key", "is missing", "add the private key of tls_cert", found);
            None
        }
        (None, Some(_)) => {
            section.wrong("tls_cert", "is missing", "add the certificate chain of tls_key", found);
            None
        }
    };
    let trusted_proxies = trusted_proxies(&mut section, found);
    section.finish(found);
    let max_connections = usize::try_from(max_connections).unwrap_or(usize::MAX);
    Server { listen, metrics_listen, public_url, max_connections, tls, trusted_proxies }
}

/// It may hold a password, which no mistake repeats.
fn ledger_url(section: &mut Section<'_>, found: &mut Vec<Mistake>) -> LedgerUrl {
    if !section.has("url") {
        section.wrong("url", "is missing", "add `url = \"sqlite:/var/lib/weighbridge/ledger.db\"`", found);
    }
    let Some(url) = section.secret("url", found) else { return LedgerUrl(String::new()) };
    if let Err(text) = ledger::check_url(&url) {
        let (what, mend) = text.split_once("; ").unwrap_or((&text, ""));
        section.wrong("url", what, mend, found);
    }
    if let Some((what, mend)) = ledger::file(&url).and_then(file::mistake) {
        section.wrong("url", &what, mend, found);
    }
    LedgerUrl(url)
}

fn trusted_proxies(section: &mut Section<'_>, found: &mut Vec<Mistake>) -> Vec<IpNet> {
    let mut proxies = Vec::new();
    for text in section.strings("trusted_proxies", found) {
        match text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)) {
            Ok(net) => proxies.push(net),
            Err(_) => {
                let mend = "write addresses or networks, for example `[\"10.0.0.0/8\", \"::1\"]`";
                section.wrong("trusted_proxies", &format!("`{text}` is not understood"), mend, found);
            }
        }
    }
    proxies
}

fn limits(mut section: Section<'_>, found: &mut Vec<Mistake>) -> Limits {
    let default = Limits::default();
    let max_upload_bytes = section.number("max_upload_bytes", found).unwrap_or(default.max_upload_bytes);
    let limits = Limits {
        memory_bytes: section.number("memory_bytes", found).unwrap_or(default.memory_bytes),
        max_upload_bytes,
        ticket_attachment_bytes: section
            .number("ticket_attachment_bytes", found)
            .unwrap_or(default.ticket_attachment_bytes),
        link_expiry: section.duration("link_expiry", found).unwrap_or(default.link_expiry),
        resume_window: section.duration("resume_window", found).unwrap_or(default.resume_window),
        min_rate: section.number("min_rate", found).unwrap_or(default.min_rate),
        min_rate_window: section.duration("min_rate_window", found).unwrap_or(default.min_rate_window),
        link_open_uploads: count(&mut section, "link_open_uploads", found)
            .unwrap_or(default.link_open_uploads),
        link_unfinished_bytes: section
            .number("link_unfinished_bytes", found)
            .unwrap_or_else(|| max_upload_bytes.saturating_mul(2)),
        link_requests_per_minute: count(&mut section, "link_requests_per_minute", found)
            .unwrap_or(default.link_requests_per_minute),
        link_ticket_lookups_per_minute: count(&mut section, "link_ticket_lookups_per_minute", found)
            .unwrap_or(default.link_ticket_lookups_per_minute),
        discard_bytes: section.number("discard_bytes", found).unwrap_or(default.discard_bytes),
        discard_time: section.duration("discard_time", found).unwrap_or(default.discard_time),
        header_timeout: section.duration("header_timeout", found).unwrap_or(default.header_timeout),
        form_files: section
            .number("form_files", found)
            .map_or(default.form_files, |n| usize::try_from(n).unwrap_or(usize::MAX)),
        drain_notice: section.duration("drain_notice", found).unwrap_or(default.drain_notice),
        drain_time: section.duration("drain_time", found).unwrap_or(default.drain_time),
    };
    check_limits(&section, &limits, found);
    section.finish(found);
    limits
}

/// A whole number of things; more than there can be counts as no limit.
fn count(section: &mut Section<'_>, key: &'static str, found: &mut Vec<Mistake>) -> Option<u32> {
    section.number(key, found).map(|number| u32::try_from(number).unwrap_or(u32::MAX))
}

/// Limits that contradict each other, or that nothing could keep.
fn check_limits(section: &Section<'_>, limits: &Limits, found: &mut Vec<Mistake>) {
    if limits.memory_bytes < MEMORY_BYTES_MIN {
        section.wrong("memory_bytes", "is too small", &format!("write at least {MEMORY_BYTES_MIN}"), found);
    }
    let fits = upload::Plan::new(limits.memory_bytes).upload_bytes_max();
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
    if limits.link_unfinished_bytes < limits.max_upload_bytes {
        let mend = format!("write at least max_upload_bytes ({}), or lower that", limits.max_upload_bytes);
        section.wrong("link_unfinished_bytes", "is less than one upload may have", &mend, found);
    }
}

fn desk_config(mut section: Section<'_>, found: &mut Vec<Mistake>) -> (desk::Config, bool) {
    let kind = section.string("kind", found).unwrap_or_else(|| "zendesk".into());
    if kind != "zendesk" {
        section.wrong("kind", &format!("`{kind}` is not a known desk"), "write `\"zendesk\"`", found);
    }
    if !section.has("url") {
        section.wrong("url", "is missing", "add `url = \"https://YOURS.zendesk.com\"`", found);
    }
    let url = url(&mut section, "url", found).unwrap_or_default();
    // What is given counts: a secret that cannot be read is a mistake of its own.
    let given = ["client_id", "client_secret", "email", "api_token"].map(|key| section.has(key));
    let mut secret = |key| section.secret(key, found).unwrap_or_default();
    let oauth = (secret("client_id"), secret("client_secret"));
    let token = (secret("email"), secret("api_token"));
    let credentials = match given {
        [true, true, false, false] => desk::Credentials::Oauth { client_id: oauth.0, client_secret: oauth.1 },
        [false, false, true, true] => desk::Credentials::ApiToken { email: token.0, api_token: token.1 },
        _ => {
            let mend = "give client_id and client_secret, or else email and api_token";
            section.wrong(
                "client_id",
                "the desk's credentials are not complete, or given twice",
                mend,
                found,
            );
            desk::Credentials::ApiToken { email: String::new(), api_token: String::new() }
        }
    };
    // Tickets are opened with this form by a later version; the key is accepted so that one file serves both.
    section.number("ticket_form_id", found);
    let public = match section.string("attachment_visibility", found).as_deref() {
        None | Some("private") => false,
        Some("public") => true,
        Some(_) => {
            section.wrong(
                "attachment_visibility",
                "is unknown",
                "write `\"private\"` or `\"public\"`",
                found,
            );
            false
        }
    };
    section.finish(found);
    (desk::Config::new(url, credentials), public)
}

fn partner(id: String, mut section: Section<'_>, found: &mut Vec<Mistake>) -> (String, Partner) {
    if !crate::partners::is_partner_id(&id) || id == SUPPORT_UPLOADER {
        let mend = "use 1 to 63 lower-case letters, digits and `-`, and not `support-uploader`";
        section.wrong_name(&format!("`{id}` is not a partner's short name"), mend, found);
    }
    let name = section.string("name", found).unwrap_or_else(|| id.clone());
    let organization_id =
        section.number("organization_id", found).and_then(|number| i64::try_from(number).ok());
    let own = section.section("bucket", found);
    let bucket = if own.is_there() { Some(bucket_config(&id, own, found)) } else { None };
    section.finish(found);
    (id, Partner { name, organization_id, bucket })
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
