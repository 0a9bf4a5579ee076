//! Resuming an interrupted upload with plain curl, tus and the IETF draft.

mod across_protocols;
mod bad_requests;
mod curl;
mod ietf_draft;
mod tus;
