//! Raises the limit of file descriptors to what `max_connections` needs.

/// A connection may be an upload, which has a connection to its bucket.
const PER_CONNECTION: u64 = 2;
/// The ledger, logs, buckets, the desk, standard streams.
const OTHERS: u64 = 256;

/// Raises it as far as possible, and warns if that is not enough.
#[cfg(target_os = "linux")]
pub(crate) fn raise_limit(connections_max: usize) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let needed = (connections_max as u64).saturating_mul(PER_CONNECTION).saturating_add(OTHERS);
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return;
    }
    limit.current = Some(limit.maximum.map_or(needed, |maximum| maximum.min(needed)));
    let current = match setrlimit(Resource::Nofile, limit) {
        Ok(()) => limit.current,
        Err(_) => getrlimit(Resource::Nofile).current,
    };
    if let Some(current) = current.filter(|current| *current < needed) {
        tracing::warn!(
            "too few file descriptors for max_connections: {current} of {needed}; \
             set `LimitNOFILE={needed}` (or `ulimit -n {needed}`), or lower max_connections"
        );
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn raise_limit(_: usize) {}
