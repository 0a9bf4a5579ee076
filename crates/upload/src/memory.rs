//! How an append takes memory, waits for it, and gives it back while others wait.
//! Invariant: an append that may store less than a part holds more memory than it is sure of for a short time at most while
//! somebody waits; so slow senders do not starve fast ones.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::budget::{Budget, Piece};
use crate::plan::PART_BYTES_MIN;
use crate::receiving::Receiving;
use crate::{Error, Result};

/// When memory is short, a part that could not be filled in this time gives way: what there is of it goes as a tail.
pub(crate) const PART_TIME: Duration = Duration::from_secs(2);
/// The same for what comes after such a tail: memory is short.
pub(crate) const PART_TIME_SHORT: Duration = Duration::from_millis(250);

impl Receiving<'_> {
    /// Takes another piece of the budget. When it runs short, what was gathered goes as a short part, if it may.
    pub(crate) async fn make_room(&mut self) -> Result<()> {
        loop {
            if let Some(piece) = self.try_piece() {
                self.part.add_piece(piece);
                return Ok(());
            }
            if self.gathered() >= PART_BYTES_MIN {
                self.cut().await?;
            } else {
                self.wait_for_room().await?;
            }
        }
    }

    fn try_piece(&mut self) -> Option<Piece> {
        let granted = self.granted.as_mut().and_then(|granted| self.allowance.piece_of(granted));
        granted.or_else(|| self.allowance.try_piece())
    }

    /// Waits for memory: for as long as it takes, or, of an append that may store less than a part, until its time for a part
    /// is over. Whoever is slow does not ask for more.
    async fn wait_for_room(&mut self) -> Result<()> {
        let missing = PART_BYTES_MIN.saturating_sub(self.gathered());
        tokio::select! {
            biased;
            () = self.evicted.cancelled() => Err(self.give_way().await),
            () = self.stopping.cancelled() => Err(Error::Draining),
            granted = self.allowance.room(missing) => {
                self.granted = Some(granted);
                Ok(())
            }
            () = sleep_until(self.part_until), if self.spools => self.spool().await,
        }
    }

    /// Until when it may hold more memory than it is sure of; none where it holds no more, or must keep it.
    pub(crate) fn holds_until(&self) -> Option<Instant> {
        let holds = self.granted.is_some() || self.part.len() > Budget::LEAST_BYTES;
        (self.spools && holds).then_some(self.part_until)
    }

    /// Stores what was gathered, and gives its memory back.
    pub(crate) async fn give_back(&mut self) -> Result<()> {
        self.granted = None;
        if self.part.len() <= Budget::LEAST_BYTES {
            Ok(())
        } else if self.gathered() >= PART_BYTES_MIN {
            self.cut().await
        } else {
            self.spool().await
        }
    }
}

/// Resolves when memory that may be held until then is waited for after that.
pub(crate) async fn needed_by_others(budget: &Budget, until: Option<Instant>) {
    match until {
        Some(until) => {
            sleep_until(until).await;
            budget.others_wait().await;
        }
        None => std::future::pending().await,
    }
}
