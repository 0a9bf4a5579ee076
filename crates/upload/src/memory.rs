//! How an append takes memory, waits for it, and gives it back when it is asked to.
//! Invariant: whoever waits for memory answers when it is itself asked for what it has gathered.

use crate::plan::PART_BYTES_MIN;
use crate::receiving::Receiving;
use crate::{Error, Result};

impl Receiving<'_> {
    /// Takes another piece of the budget. When it runs short, what was gathered goes as a short part, if it is enough for one.
    pub(crate) async fn make_room(&mut self) -> Result<()> {
        loop {
            if let Some(piece) = self.account.try_piece() {
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

    /// Waits for as much memory again as it has, or what is missing of the smallest part: who is nearly done is done soon.
    /// Were pieces handed out one by one, many would fill up side by side and none could send a part.
    async fn wait_for_room(&mut self) -> Result<()> {
        let missing = self.length.map_or(u64::MAX, |length| length.saturating_sub(self.offset));
        let missing = missing.min(PART_BYTES_MIN.saturating_sub(self.gathered()));
        let wanted = missing.min(self.part.len());
        let asked = self.account.asked();
        tokio::select! {
            biased;
            () = self.evicted.cancelled() => Err(self.give_way().await),
            () = self.stopping.cancelled() => Err(Error::Draining),
            () = self.account.room(wanted) => Ok(()),
            () = asked.notified() => self.give_back().await,
        }
    }

    /// Stores what was gathered, and gives its memory back, if others still wait for it.
    pub(crate) async fn give_back(&mut self) -> Result<()> {
        if !self.account.is_asked() {
            Ok(())
        } else if self.gathered() >= PART_BYTES_MIN {
            self.cut().await
        } else {
            self.spool().await
        }
    }
}
