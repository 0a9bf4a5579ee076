//! Escalations: requests of partners that support look at a ticket now.
//! Invariant: a partner's ticket has at most one open escalation, by the uniqueness of `open_key`.

use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};

use crate::names::names;
use crate::sql::{sql, sql_as, sql_scalar};
use crate::timeout::Connection;
use crate::{Error, JobKind, Ledger, Result, audit, jobs, new_id, now_ms};

names! {
    EscalationState {
        Submitted = "submitted",
        Acknowledged = "acknowledged",
        Resolved = "resolved",
        Declined = "declined",
    }
}

names! {
    /// How soon an answer is needed.
    Urgency {
        TwoHours = "2h",
        OneHour = "1h",
        HalfAnHour = "30m",
    }
}

impl EscalationState {
    /// Whether another escalation of the same ticket joins this one.
    pub fn is_open(self) -> bool {
        match self {
            Self::Submitted | Self::Acknowledged => true,
            Self::Resolved | Self::Declined => false,
        }
    }
}

#[derive(Debug, Clone)]
pub struct Escalation {
    pub id: String,
    /// What people call it: short, to be read aloud.
    pub reference: String,
    pub partner_id: String,
    pub ticket: String,
    /// As in the audit.
    pub actor: String,
    pub reason: String,
    pub actions: String,
    pub urgency: Urgency,
    pub emergency: bool,
    /// What may delay an answer, a sentence each.
    pub hints: Vec<String>,
    pub state: EscalationState,
    /// Why it was declined.
    pub state_reason: Option<String>,
    pub created_at: i64,
    pub updated_at: i64,
    /// How often the same ticket was escalated again.
    pub joined: i64,
    /// How often that made it more urgent, or an emergency.
    pub raised: i64,
}

/// The name of a step that is repeated each time an escalation is raised.
pub fn step_when_raised(step: &str, raised: i64) -> String {
    if raised == 0 { step.to_owned() } else { format!("{step}-{raised}") }
}

/// The fields of a new [`Escalation`].
#[derive(Debug, Clone)]
pub struct NewEscalation<'a> {
    pub partner_id: &'a str,
    pub ticket: &'a str,
    pub actor: &'a str,
    /// A repetition finds its escalation.
    pub origin: Option<Origin<'a>>,
    pub reason: &'a str,
    pub actions: &'a str,
    pub urgency: Urgency,
    pub emergency: bool,
    pub hints: &'a [String],
}

/// The name of a request or a delivery.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    pub name: &'a str,
    /// A hash of what it asks for: the same name for something else is a conflict.
    pub fields_hash: &'a str,
}

/// Which escalations to list.
#[derive(Debug, Clone, Default)]
pub struct EscalationFilter<'a> {
    pub partner_id: Option<&'a str>,
    pub ticket: Option<&'a str>,
    pub state: Option<EscalationState>,
}

/// Most escalations of one list.
const LIST_MAX: i64 = 500;

/// A repetition is recognised for this time, ms.
const ORIGIN_MS: i64 = 24 * 60 * 60 * 1000;
/// Longest texts of all that joined, characters.
const TEXT_CHARS_MAX: usize = 60_000;

impl Ledger {
    /// What an earlier request or delivery with this name did: the escalation, and whether it joined.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it asked for something else.
    pub async fn escalated_before(&self, origin: &Origin<'_>) -> Result<Option<(Escalation, bool)>> {
        let mut tx = self.begin().await?;
        let before = repeated(&mut tx, Some(origin)).await;
        tx.rollback().await?;
        before
    }

    /// Records an escalation and queues its jobs, or joins the partner's open one of the same ticket. Returns it, and whether it
    /// joined; none if it would be new and the partner has `open_max` open ones.
    ///
    /// # Errors
    /// [`Error::Conflict`] if its origin asked for something else.
    pub async fn escalate(
        &self,
        new: &NewEscalation<'_>,
        open_max: i64,
    ) -> Result<Option<(Escalation, bool)>> {
        let key = open_key(new.partner_id, new.ticket);
        let mut tx = self.begin_in_turn(&key).await?;
        if let Some(repeated) = repeated(&mut tx, new.origin.as_ref()).await? {
            tx.rollback().await?;
            return Ok(Some(repeated));
        }
        let open: Option<Escalation> =
            sql_as!("SELECT * FROM escalations WHERE open_key = $1", [&key]).fetch_optional(&mut *tx).await?;
        let joined = open.is_some();
        let escalation = match open {
            Some(open) => join(&mut tx, &open, new).await?,
            None if count_open(&mut tx, new.partner_id).await? >= open_max => {
                tx.rollback().await?;
                return Ok(None);
            }
            None => insert(&mut tx, &key, new).await?,
        };
        if let Some(origin) = new.origin {
            sql!(
                "INSERT INTO escalation_origins (origin, fields_hash, escalation_id, joined, created_at) \
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT (origin) DO UPDATE SET fields_hash = excluded.fields_hash, \
                 escalation_id = excluded.escalation_id, joined = excluded.joined, created_at = excluded.created_at",
                [origin.name, origin.fields_hash, &escalation.id, i64::from(joined), now_ms()]
            )
            .execute(&mut *tx)
            .await?;
        }
        queue_jobs(&mut tx, &escalation).await?;
        tx.commit().await?;
        Ok(Some((escalation, joined)))
    }

    pub async fn escalation(&self, id: &str) -> Result<Escalation> {
        Ok(sql_as!("SELECT * FROM escalations WHERE id = $1", [id]).fetch_one(&self.read).await?)
    }

    /// The newest first, at most 500.
    pub async fn escalations(&self, filter: &EscalationFilter<'_>) -> Result<Vec<Escalation>> {
        Ok(sql_as!(
            "SELECT * FROM escalations WHERE (CAST($1 AS TEXT) IS NULL OR partner_id = $1) \
             AND (CAST($2 AS TEXT) IS NULL OR ticket = $2) AND (CAST($3 AS TEXT) IS NULL OR state = $3) ORDER BY id DESC LIMIT $4",
            [filter.partner_id, filter.ticket, filter.state.map(EscalationState::name), LIST_MAX]
        )
        .fetch_all(&self.read)
        .await?)
    }

    /// Changes the state, and queues the jobs that follow.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] if it has ended already.
    pub async fn set_escalation_state(
        &self,
        id: &str,
        state: EscalationState,
        reason: Option<&str>,
        actor: &str,
    ) -> Result<Escalation> {
        let known = self.escalation(id).await?;
        // In turn with whoever joins it.
        let key = open_key(&known.partner_id, &known.ticket);
        let mut tx = self.begin_in_turn(&key).await?;
        let known: Escalation =
            sql_as!("SELECT * FROM escalations WHERE id = $1", [id]).fetch_one(&mut *tx).await?;
        if known.state == state && known.state_reason.as_deref() == reason {
            tx.rollback().await?;
            return Ok(known);
        }
        if !known.state.is_open() {
            return Err(Error::Conflict(format!("it is {} already", known.state.name())));
        }
        let key = state.is_open().then_some(key);
        let changed: Escalation = sql_as!(
            "UPDATE escalations SET state = $2, state_reason = $3, open_key = $4, updated_at = $5 WHERE id = $1 RETURNING *",
            [id, state.name(), reason, key, now_ms()]
        )
        .fetch_one(&mut *tx)
        .await?;
        audit::write(&mut *tx, actor, "escalation.state", id, state.name()).await?;
        queue_jobs(&mut tx, &changed).await?;
        tx.commit().await?;
        Ok(changed)
    }
}

fn open_key(partner_id: &str, ticket: &str) -> String {
    format!("{partner_id} {ticket}")
}

async fn count_open(tx: &mut Connection, partner_id: &str) -> Result<i64> {
    Ok(sql_scalar!(
        "SELECT COUNT(*) FROM escalations WHERE partner_id = $1 AND open_key IS NOT NULL",
        [partner_id]
    )
    .fetch_one(&mut *tx)
    .await?)
}

async fn queue_jobs(tx: &mut Connection, escalation: &Escalation) -> Result<()> {
    jobs::queue_about(tx, JobKind::TellSlack, &escalation.id, None, "").await?;
    jobs::queue_about(tx, JobKind::Escalate, &escalation.id, Some(&escalation.ticket), "").await
}

async fn repeated(tx: &mut Connection, origin: Option<&Origin<'_>>) -> Result<Option<(Escalation, bool)>> {
    let Some(origin) = origin else { return Ok(None) };
    let found = sql!(
        "SELECT fields_hash, escalation_id, joined FROM escalation_origins WHERE origin = $1 AND created_at >= $2",
        [origin.name, now_ms() - ORIGIN_MS]
    );
    let Some(row) = found.fetch_optional(&mut *tx).await? else { return Ok(None) };
    if row.try_get::<String, _>("fields_hash")? != origin.fields_hash {
        return Err(Error::Conflict("this key was used for another escalation".into()));
    }
    let id: String = row.try_get("escalation_id")?;
    let escalation = sql_as!("SELECT * FROM escalations WHERE id = $1", [id]).fetch_one(&mut *tx).await?;
    Ok(Some((escalation, row.try_get::<i64, _>("joined")? != 0)))
}

async fn insert(tx: &mut Connection, key: &str, new: &NewEscalation<'_>) -> Result<Escalation> {
    let (id, now) = (new_id(), now_ms());
    // The last of the random bits.
    let reference = format!("E-{}", id.get(id.len().saturating_sub(8)..).unwrap_or(&id));
    let escalation: Escalation = sql_as!(
        "INSERT INTO escalations (id, reference, partner_id, ticket, open_key, actor, reason, actions, urgency, emergency, \
         hints, state, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13) RETURNING *",
        [
            &id,
            reference,
            new.partner_id,
            new.ticket,
            key,
            new.actor,
            new.reason,
            new.actions,
            new.urgency.name(),
            i64::from(new.emergency),
            new.hints.join("\n"),
            EscalationState::Submitted.name(),
            now
        ]
    )
    .fetch_one(&mut *tx)
    .await?;
    audit::write(tx, new.actor, "escalation.create", &id, new.ticket).await?;
    Ok(escalation)
}

/// Adds what the request says that was not said before. The higher urgency counts, and raises the escalation.
async fn join(tx: &mut Connection, open: &Escalation, new: &NewEscalation<'_>) -> Result<Escalation> {
    let rank = |urgency: Urgency| Urgency::ALL.iter().position(|one| *one == urgency);
    let is_more_urgent = rank(new.urgency) > rank(open.urgency);
    let urgency = if is_more_urgent { new.urgency } else { open.urgency };
    let is_raised = is_more_urgent || (new.emergency && !open.emergency);
    let joined: Escalation = sql_as!(
        "UPDATE escalations SET joined = joined + 1, raised = raised + $2, urgency = $3, emergency = $4, reason = $5, actions = $6, \
         hints = $7, updated_at = $8 WHERE id = $1 RETURNING *",
        [
            &open.id,
            i64::from(is_raised),
            urgency.name(),
            i64::from(open.emergency || new.emergency),
            added(&open.reason, new.reason),
            added(&open.actions, new.actions),
            new.hints.join("\n"),
            now_ms()
        ]
    )
    .fetch_one(&mut *tx)
    .await?;
    audit::write(tx, new.actor, "escalation.join", &open.id, new.ticket).await?;
    Ok(joined)
}

/// The text with another one below it, unless it has that already.
fn added(text: &str, other: &str) -> String {
    if text.contains(other.trim()) {
        return text.to_owned();
    }
    format!("{text}\n\n{other}").chars().take(TEXT_CHARS_MAX).collect()
}

impl FromRow<'_, AnyRow> for Escalation {
    fn from_row(row: &AnyRow) -> sqlx::Result<Self> {
        let text = |name: &str| row.try_get::<String, _>(name);
        let unknown = |name: String| sqlx::Error::Decode(format!("{name} is not known").into());
        let (state, urgency) = (text("state")?, text("urgency")?);
        Ok(Self {
            id: text("id")?,
            reference: text("reference")?,
            partner_id: text("partner_id")?,
            ticket: text("ticket")?,
            actor: text("actor")?,
            reason: text("reason")?,
            actions: text("actions")?,
            urgency: Urgency::parse(&urgency).ok_or_else(|| unknown(urgency))?,
            emergency: row.try_get::<i64, _>("emergency")? != 0,
            hints: text("hints")?.lines().map(str::to_owned).collect(),
            state: EscalationState::parse(&state).ok_or_else(|| unknown(state))?,
            state_reason: row.try_get("state_reason")?,
            created_at: row.try_get("created_at")?,
            updated_at: row.try_get("updated_at")?,
            joined: row.try_get("joined")?,
            raised: row.try_get("raised")?,
        })
    }
}
