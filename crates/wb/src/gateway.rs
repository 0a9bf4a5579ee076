//! The gateway's staff API.

pub(crate) mod asks;
pub(crate) mod audit;
pub(crate) mod client;
pub(crate) mod content;
pub(crate) mod escalations;
pub(crate) mod holds;
