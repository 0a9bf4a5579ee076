//! Reads the configuration and checks it as a whole. Reports the line, the key and the fix for every mistake.

mod buckets;
mod desk_section;
mod file;
mod ledger_url;
mod limits;
mod log;
mod people;
mod reader;
mod retention;
mod secret;
mod server;
mod slack_section;
#[cfg(test)]
mod tests;
mod units;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use bucket::SUPPORT_UPLOADER;
use buckets::{bucket_config, check_apart};
pub(crate) use ledger_url::LedgerUrl;
pub(crate) use limits::Limits;
use reader::{File, Mistake, Section};
use retention::RetentionSection;
pub(crate) use secret::Hidden;
pub(crate) use server::Server;
pub(crate) use units::{parse_duration, parse_size};

#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) server: Server,
    pub(crate) log: crate::telemetry::log::Settings,
    pub(crate) ledger_url: LedgerUrl,
    pub(crate) limits: Limits,
    pub(crate) desk: desk::Config,
    pub(crate) attachments_public: bool,
    pub(crate) support_uploader: bucket::Config,
    pub(crate) partners: BTreeMap<String, Partner>,
    pub(crate) support: tickets::Support,
    pub(crate) retention: RetentionSection,
    pub(crate) slack: Option<desk::slack::Config>,
    /// Signs the desk's webhooks.
    pub(crate) webhook_secret: Option<Hidden>,
    /// How often the desk is asked which tickets have changed.
    pub(crate) poll_every: std::time::Duration,
    /// What works but is not safe, a line of text each.
    pub(crate) warnings: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Partner {
    pub(crate) name: String,
    pub(crate) organization_id: Option<i64>,
    pub(crate) bucket: Option<bucket::Config>,
    pub(crate) policy: tickets::PartnerPolicy,
    /// Lets the partner's workflow escalate.
    pub(crate) workflow_secret: Option<Hidden>,
}

impl Config {
    /// What the operator has decided about partners and support.
    pub(crate) fn policy(&self) -> tickets::Policy {
        let partners = self.partners.iter().map(|(id, partner)| (id.clone(), partner.policy.clone()));
        tickets::Policy {
            partners: partners.collect(),
            support: self.support.clone(),
            retention: self.retention.retention,
            warn_before: self.retention.warn_before,
        }
    }
}

/// Reads and checks the file. Every mistake is one line of text.
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

/// The line where a bucket's section starts, by the bucket's name; 1 if that is unknown.
pub(crate) fn bucket_line(path: &Path, bucket: &str) -> usize {
    let Ok(text) = secret::read(path, secret::CONFIGURATION_BYTES_MAX) else { return 1 };
    let Ok(table) = toml::de::DeTable::parse(&text) else { return 1 };
    let file = File { text: &text, is_open_to_all: false, mistakes: RefCell::default() };
    let mut root = Section::root(&file, &table);
    if bucket == SUPPORT_UPLOADER {
        return root.section("support_uploader").line();
    }
    let partners = root.sections("partners");
    let own = partners.into_iter().find(|(id, _)| id == bucket);
    own.map_or(1, |(_, mut partner)| partner.section("bucket").line())
}

/// Checks a configuration that is not in a file.
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
            fix: "correct the syntax".into(),
            is_warning: false,
        }]
    })?;
    let file = File { text, is_open_to_all, mistakes: RefCell::default() };
    let mut root = Section::root(&file, &table);
    let server = server::read(root.section("server"));
    let log = log::read(root.section("log"));
    let mut ledger = root.section("ledger");
    let ledger_url = ledger_url::read(&mut ledger);
    ledger.finish();
    let limits = limits::read(root.section("limits"));
    let desk = desk_section::read(root.section("desk"));
    let support = people::support(root.section("support"), desk.ticket_form_id);
    let retention = retention::read(root.section("retention"));
    let slack = slack_section::read(root.section("slack"));
    let uploader = root.section("support_uploader");
    if !uploader.is_there() {
        uploader.wrong("bucket", "is missing", "add a section `[support_uploader]` with `bucket = \"NAME\"`");
    }
    let uploader_line = uploader.line();
    let support_uploader = bucket_config(SUPPORT_UPLOADER, uploader);
    let partners: Vec<_> =
        root.sections("partners").into_iter().map(|(id, section)| partner(id, section)).collect();
    root.finish();
    let mut buckets = vec![(uploader_line, "support_uploader".to_owned(), &support_uploader)];
    buckets.extend(partners.iter().filter_map(|(id, line, partner)| {
        Some((*line, format!("partners.{id}.bucket"), partner.bucket.as_ref()?))
    }));
    check_apart(&buckets, &file);
    let channels = partners.iter().map(|(id, line, partner)| (id.as_str(), *line, &partner.policy));
    people::check_channels(channels, &support, &file);
    let own = partners.iter().map(|(id, line, partner)| (id.as_str(), *line, partner.policy.retention));
    retention::check_partners(own, retention.retention, &file);
    if let Err(text) = bucket::ca_bundle() {
        let (what, fix) = text.split_once("; ").unwrap_or((&text, ""));
        file.wrong(1, "environment", what, fix);
    }
    let mut mistakes = file.mistakes.into_inner();
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
        desk: desk.config,
        attachments_public: desk.attachments_public,
        support_uploader,
        partners,
        support,
        retention,
        slack,
        webhook_secret: desk.webhook_secret.map(Hidden),
        poll_every: desk.poll_every,
        warnings,
    })
}

/// A partner, and the line where its bucket's section starts.
fn partner(id: String, mut section: Section<'_>) -> (String, usize, Partner) {
    if !access::is_partner_id(&id) || id == SUPPORT_UPLOADER {
        let fix = "use 1 to 63 lower-case letters, digits and `-`, and not `support-uploader`";
        section.wrong_name(&format!("`{id}` is not a partner's short name"), fix);
    }
    let name = section.string("name").unwrap_or_else(|| id.clone());
    if name.trim().is_empty() {
        section.wrong("name", "is empty", "write the partner's name for people, or remove it");
    }
    let organization_id =
        section.number("organization_id", "360001172559").and_then(|number| i64::try_from(number).ok());
    let own = section.section("bucket");
    let line = own.line();
    let bucket = if own.is_there() { Some(bucket_config(&id, own)) } else { None };
    let (policy, workflow_secret) = people::partner(&mut section);
    let workflow_secret = workflow_secret.map(Hidden);
    section.finish();
    (id, line, Partner { name, organization_id, bucket, policy, workflow_secret })
}
