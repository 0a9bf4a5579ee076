//! Listings of uploads for people and metrics.

use crate::sql::sql_as;
use crate::{Delivery, Ledger, Result, State, Upload};

/// Which uploads to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub link_id: Option<String>,
    pub ticket: Option<String>,
    pub partner_id: Option<String>,
    pub name: Option<String>,
    /// A part of the name, in any case.
    pub name_part: Option<String>,
    pub state: Option<State>,
    pub delivery: Option<Delivery>,
    /// Begun at or after, ms.
    pub since: Option<i64>,
    /// Begun before, ms.
    pub until: Option<i64>,
    /// The last ID of the page before.
    pub before: Option<String>,
    pub limit: i64,
}

impl Ledger {
    /// Uploads that match the filter, newest first.
    pub async fn uploads(&self, filter: &Filter) -> Result<Vec<Upload>> {
        Ok(sql_as!(
            "SELECT * FROM uploads WHERE (CAST($1 AS TEXT) IS NULL OR ticket = $1) \
             AND (CAST($2 AS TEXT) IS NULL OR partner_id = $2) AND (CAST($3 AS TEXT) IS NULL OR state = $3) \
             AND (CAST($4 AS BIGINT) IS NULL OR created_at >= $4) AND (CAST($5 AS BIGINT) IS NULL OR created_at < $5) \
             AND (CAST($6 AS TEXT) IS NULL OR id < $6) AND (CAST($7 AS TEXT) IS NULL OR link_id = $7) \
             AND (CAST($8 AS TEXT) IS NULL OR delivery = $8) \
             AND (CAST($10 AS TEXT) IS NULL OR name = $10) \
             AND (CAST($11 AS TEXT) IS NULL OR LOWER(name) LIKE $11 ESCAPE '!') ORDER BY id DESC LIMIT $9",
            [
                &filter.ticket, &filter.partner_id, filter.state.map(State::name), filter.since, filter.until,
                &filter.before, &filter.link_id, filter.delivery.map(Delivery::name), filter.limit,
                &filter.name, filter.name_part.as_deref().map(containing),
            ]
        )
        .fetch_all(&self.read)
        .await?)
    }

    /// How many uploads are in each state and delivery, for metrics.
    pub async fn upload_counts(&self) -> Result<Vec<(String, String, i64)>> {
        Ok(sqlx::query_as(
            "SELECT state, COALESCE(delivery, '') AS delivery, COUNT(*) AS uploads FROM uploads \
             WHERE state <> 'cancelled' AND state <> 'removed' GROUP BY state, delivery",
        )
        .fetch_all(&self.read)
        .await?)
    }
}

/// A pattern for texts that contain this one.
fn containing(part: &str) -> String {
    let mut pattern = String::from("%");
    for c in part.to_lowercase().chars() {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}
