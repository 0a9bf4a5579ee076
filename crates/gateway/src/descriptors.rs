//! File descriptors: as many as `max_connections` needs, or a word about it at the start.

/// A connection may be an upload, which speaks to its bucket at the same time.
const OF_CONNECTION: u64 = 2;
/// The ledger, logs, buckets, the desk, standard streams.
const BESIDE: u64 = 256;

/// Raises the limit of this process as far as it may; warns once if that is too little.
#[cfg(target_os = "linux")]
pub(crate) fn provide(connections_max: usize) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let needed = (connections_max as u64).saturating_mul(OF_CONNECTION).saturating_add(BESIDE);
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
pub(crate) fn provide(_: usize) {}
