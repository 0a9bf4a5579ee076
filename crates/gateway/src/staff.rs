//! Support's side: a JSON interface behind staff tokens. What it reads, makes, revokes or
//! removes is recorded in the audit.

pub(crate) mod asks;
pub(crate) mod audit;
pub(crate) mod contacts;
pub(crate) mod content;
mod download;
pub(crate) mod escalations;
pub(crate) mod extract;
pub(crate) mod holds;
pub(crate) mod links;
pub(crate) mod objects;
pub(crate) mod partners;
pub(crate) mod uploads;
