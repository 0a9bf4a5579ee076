//! The audit in the staff API.

use anyhow::Context;
use api::AuditPage;

use super::client::{Gateway, set_query};

/// Which entries to list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) ticket: Option<String>,
    pub(crate) partner: Option<String>,
    /// RFC 3339.
    pub(crate) since: Option<String>,
}

impl Gateway {
    /// One page, the oldest first.
    pub(crate) async fn audit(&self, filter: &Filter, cursor: Option<&str>) -> anyhow::Result<AuditPage> {
        let mut url = self.url(&["audit"]);
        let parameters = [
            ("ticket", filter.ticket.as_deref()),
            ("partner", filter.partner.as_deref()),
            ("since", filter.since.as_deref()),
            ("cursor", cursor),
        ];
        set_query(&mut url, &parameters);
        let unknown = filter.partner.as_deref().map(super::client::no_partner);
        self.get(url, unknown).await.context("cannot list the audit")
    }
}
