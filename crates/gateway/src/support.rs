//! `/support`: pages for support in a browser. They show what `wb` shows, and change what it changes.
//! Invariants: each page needs a session, which needs a staff token; each change also needs the session's own token in its form.

pub(crate) mod escalations;
pub(crate) mod files;
pub(crate) mod links;
pub(crate) mod session;
