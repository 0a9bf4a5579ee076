//! `[limits]`: everything that bounds something.

use std::time::Duration;

use super::reader::Section;

/// The documentation asks proxies to wait for 15 minutes.
const STORAGE_WAIT_MAX: Duration = Duration::from_secs(10 * 60);

#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) memory_bytes: u64,
    pub(crate) max_upload_bytes: u64,
    pub(crate) ticket_attachment_bytes: u64,
    pub(crate) link_expiry: Duration,
    /// How long an interrupted upload can be resumed. No bucket may delete its parts before.
    pub(crate) resume_window: Duration,
    /// How long a request waits for a bucket that does not respond.
    pub(crate) storage_wait: Duration,
    /// Bytes per second. A body that is slower over a window is refused with 408.
    pub(crate) min_rate: u64,
    pub(crate) min_rate_window: Duration,
    pub(crate) link_open_uploads: u32,
    /// Total of a link's unfinished uploads.
    pub(crate) link_unfinished_bytes: u64,
    pub(crate) link_requests_per_minute: u32,
    /// Ticket numbers that an unbound link may have checked per minute.
    pub(crate) link_ticket_lookups_per_minute: u32,
    /// How often each gateway looks into the buckets of partners for objects that they put there with their own tools.
    pub(crate) watch_buckets_every: Duration,
    /// How much of a refused body is read, so that its sender sees the refusal.
    pub(crate) discard_bytes: u64,
    pub(crate) discard_time: Duration,
    pub(crate) header_timeout: Duration,
    pub(crate) form_files: usize,
    /// How long a stopping gateway reports not ready before it closes its listener.
    pub(crate) drain_notice: Duration,
    /// How long it then waits for running requests.
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
            // An outage of a minute, and the time to notice its end.
            storage_wait: Duration::from_secs(90),
            min_rate: 1_000,
            min_rate_window: Duration::from_secs(30),
            // A script that sends 32 files in parallel is not an attack.
            link_open_uploads: 32,
            link_unfinished_bytes: 2 * 500_000_000_000,
            // 100 per second for a minute: more than bulk senders of small files reach, since they wait for the disk.
            link_requests_per_minute: 6_000,
            // Those 32 in parallel may each be the first to name the ticket.
            link_ticket_lookups_per_minute: 60,
            watch_buckets_every: Duration::from_secs(5 * 60),
            discard_bytes: 64 << 20,
            discard_time: Duration::from_secs(30),
            header_timeout: Duration::from_secs(30),
            form_files: 1_000,
            drain_notice: Duration::from_secs(1),
            drain_time: Duration::from_secs(30),
        }
    }
}

/// The smallest budget: four times what one append needs, so that a part is at most a quarter of it.
const MEMORY_BYTES_MIN: u64 = 32 << 20;

/// More memory than any machine has.
const MEMORY_BYTES_MAX: u64 = 1 << 40;

pub(super) fn read(mut section: Section<'_>) -> Limits {
    let default = Limits::default();
    let max_upload_bytes = section.size("max_upload_bytes", default.max_upload_bytes);
    let limits = Limits {
        memory_bytes: section.size("memory_bytes", default.memory_bytes),
        max_upload_bytes,
        ticket_attachment_bytes: section.size("ticket_attachment_bytes", default.ticket_attachment_bytes),
        link_expiry: section.duration("link_expiry", "48h", default.link_expiry),
        resume_window: section.duration("resume_window", "48h", default.resume_window),
        storage_wait: section.duration("storage_wait", "90s", default.storage_wait),
        min_rate: section.size("min_rate", default.min_rate),
        min_rate_window: section.duration("min_rate_window", "30s", default.min_rate_window),
        link_open_uploads: count(&mut section, "link_open_uploads", default.link_open_uploads),
        link_unfinished_bytes: section.size("link_unfinished_bytes", max_upload_bytes.saturating_mul(2)),
        link_requests_per_minute: count(
            &mut section,
            "link_requests_per_minute",
            default.link_requests_per_minute,
        ),
        link_ticket_lookups_per_minute: count(
            &mut section,
            "link_ticket_lookups_per_minute",
            default.link_ticket_lookups_per_minute,
        ),
        watch_buckets_every: section.duration("watch_buckets_every", "5m", default.watch_buckets_every),
        discard_bytes: section.size("discard_bytes", default.discard_bytes),
        discard_time: section.duration("discard_time", "30s", default.discard_time),
        header_timeout: section.duration("header_timeout", "30s", default.header_timeout),
        form_files: usize::try_from(count(&mut section, "form_files", 1_000)).unwrap_or(usize::MAX),
        drain_notice: section.duration("drain_notice", "1s", default.drain_notice),
        drain_time: section.duration("drain_time", "30s", default.drain_time),
    };
    check_limits(&section, &limits);
    section.finish();
    limits
}

fn count(section: &mut Section<'_>, key: &'static str, default: u32) -> u32 {
    let Some(number) = section.number(key, &default.to_string()) else { return default };
    u32::try_from(number).unwrap_or_else(|_| {
        section.wrong(key, "is too large", &format!("write at most {}", u32::MAX));
        default
    })
}

/// Finds limits that contradict each other or cannot be kept.
fn check_limits(section: &Section<'_>, limits: &Limits) {
    if limits.memory_bytes < MEMORY_BYTES_MIN {
        section.wrong("memory_bytes", "is too small", &format!("write at least {MEMORY_BYTES_MIN}"));
    }
    if limits.memory_bytes > MEMORY_BYTES_MAX {
        section.wrong("memory_bytes", "is too large", &format!("write at most {MEMORY_BYTES_MAX}"));
    }
    if limits.ticket_attachment_bytes > desk::ATTACHMENT_BYTES_MAX {
        let what = "is more than the desk accepts in one attachment";
        let fix = format!("write at most {}", desk::ATTACHMENT_BYTES_MAX);
        section.wrong("ticket_attachment_bytes", what, &fix);
    }
    if limits.min_rate == 0 {
        let what = "is 0: a sender that stalls is never ended";
        section.warn("min_rate", what, "write for example `1000`");
    }
    let fits = upload::PartPlan::new(limits.memory_bytes).upload_bytes_max();
    if limits.max_upload_bytes > fits {
        let what = format!("does not fit in {} parts of a quarter of memory_bytes", upload::PARTS_MAX);
        section.wrong("max_upload_bytes", &what, &format!("write at most {fits}, or raise memory_bytes"));
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
        ("watch_buckets_every", limits.watch_buckets_every < Duration::from_secs(1)),
        ("form_files", limits.form_files == 0),
    ] {
        if zero {
            section.wrong(key, "is 0", "write more than 0");
        }
    }
    if limits.storage_wait > STORAGE_WAIT_MAX {
        let fix = format!("write at most {}m", STORAGE_WAIT_MAX.as_secs() / 60);
        section.wrong("storage_wait", "is longer than senders and proxies wait", &fix);
    }
    if limits.link_unfinished_bytes < limits.max_upload_bytes {
        let fix = format!("write at least max_upload_bytes ({}), or lower that", limits.max_upload_bytes);
        section.wrong("link_unfinished_bytes", "is less than one upload may have", &fix);
    }
}
