//! One byte budget for the process, handed out in pieces of 256 KiB as bytes arrive.
//! Invariant: pieces in use never exceed the budget. An admitted append has enough pieces of its own to move on: to fill the
//! smallest part, or, where it may store less than a part as a tail, a few; what is beyond that is shared. To read a tail
//! back there is memory that nothing else takes. So nothing waits for ever for what another holds.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::plan::PART_BYTES_MIN;

/// Bytes are charged and buffered in steps of this size.
pub const PIECE_BYTES: usize = 256 * 1024;
/// Pieces an append of unknown or large size is sure of: the smallest part, and one to read on with.
const PIECES_SURE: u64 = PART_BYTES_MIN / PIECE_BYTES as u64 + 1;

/// Pieces that one is sure of which may store less than a part: enough that a tail is worth its request.
const PIECES_LEAST: u64 = 2;
/// What an append costs beside its pieces: a read buffer, its tasks, a connection to its bucket, and what the allocator
/// leaves between them. Measured with 256 at a time: 0.3 MiB each.
const PIECES_BESIDE: u64 = 1;
/// One part in so many of the budget is for reading tails back, at least as much as the smallest part.
const TAILS_SHARE: u64 = 8;

/// One part in so many of the budget may be taken by the windows of connections; the rest stays for uploads.
const WINDOWS_SHARE: usize = 4;

/// Long enough for a few parts under way to be stored and for slow appends to give their memory back, short enough for a
/// sender to be told to come back.
const ADMISSION_WAIT_MAX: Duration = Duration::from_secs(4);

/// For a connection's window: many may come at a time, and be told one after the other.
const WINDOW_WAIT_MAX: Duration = Duration::from_secs(1);

/// The budget; clones share it.
#[derive(Debug, Clone)]
pub struct Budget {
    shared: Arc<Semaphore>,
    /// Pieces for reading tails back.
    tails: Arc<Semaphore>,
    tails_pieces: u64,
    /// Pieces of `shared` that connections may still take.
    windows: Arc<Semaphore>,
    pool: Arc<Pool>,
    pieces: u64,
    waiting: Arc<AtomicU64>,
    /// Told when somebody begins to wait.
    short: Arc<Notify>,
}

/// Somebody who waits for memory, for as long as it lives.
struct Waiting<'a>(&'a AtomicU64);

impl<'a> Waiting<'a> {
    fn on(budget: &'a Budget) -> Self {
        budget.waiting.fetch_add(1, Relaxed);
        budget.short.notify_waiters();
        Self(&budget.waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Memory charged for a connection, for as long as this lives.
#[derive(Debug)]
pub struct Window {
    _charged: [OwnedSemaphorePermit; 2],
}

/// Buffers that were used and can be used again: growing and shrinking the heap costs more than a copy.
#[derive(Debug, Default)]
struct Pool(Mutex<Vec<Box<[u8]>>>);

impl Budget {
    /// What an append that may store less than a part is sure of, bytes.
    pub(crate) const LEAST_BYTES: u64 = PIECES_LEAST * PIECE_BYTES as u64;

    /// A budget of so many bytes, at least one append's worth and a tail's.
    pub fn new(bytes: u64) -> Self {
        let least = 2 * PIECES_SURE + PIECES_BESIDE;
        let pieces = (bytes / PIECE_BYTES as u64).clamp(least, 1 << 24);
        let tails_pieces = (pieces / TAILS_SHARE).max(PIECES_SURE);
        let permits = |pieces| usize::try_from(pieces).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            shared: Arc::new(Semaphore::new(permits(pieces - tails_pieces))),
            tails: Arc::new(Semaphore::new(permits(tails_pieces))),
            tails_pieces,
            windows: Arc::new(Semaphore::new(permits(pieces) / WINDOWS_SHARE)),
            pool: Arc::default(),
            pieces,
            waiting: Arc::default(),
            short: Arc::default(),
        }
    }

    /// Charges what a connection may make us hold before anyone reads it, if the share for that is not spent.
    pub fn window(&self, bytes: usize) -> Option<Window> {
        let pieces = u32::try_from(bytes.div_ceil(PIECE_BYTES)).ok()?;
        let of_windows = Arc::clone(&self.windows).try_acquire_many_owned(pieces).ok()?;
        let of_shared = Arc::clone(&self.shared).try_acquire_many_owned(pieces).ok()?;
        Some(Window { _charged: [of_windows, of_shared] })
    }

    /// The same for a client that cannot be told to ask in another way: waits a moment for the room that others give back.
    pub async fn window_soon(&self, bytes: usize) -> Option<Window> {
        let pieces = u32::try_from(bytes.div_ceil(PIECE_BYTES)).ok()?;
        let wait = async {
            let of_windows = Arc::clone(&self.windows).acquire_many_owned(pieces).await.ok()?;
            let of_shared = Arc::clone(&self.shared).acquire_many_owned(pieces).await.ok()?;
            Some(Window { _charged: [of_windows, of_shared] })
        };
        tokio::time::timeout(WINDOW_WAIT_MAX, wait).await.ok()?
    }

    /// Admits an append that will bring `bytes` (if known), or says soon that there is no room. What others hold beyond
    /// their own pieces comes back in the meantime, and nobody else gets it. One that `spools` may store less than a part.
    pub(crate) async fn admit(&self, bytes: Option<u64>, spools: bool) -> Option<Allowance> {
        let sure = if spools { PIECES_LEAST } else { PIECES_SURE };
        let wanted = bytes.map_or(sure, |bytes| bytes.div_ceil(PIECE_BYTES as u64).clamp(1, sure));
        let _waiting = Waiting::on(self);
        let charged = u32::try_from(wanted + PIECES_BESIDE).ok()?;
        let permit = Arc::clone(&self.shared).acquire_many_owned(charged);
        let permit = tokio::time::timeout(ADMISSION_WAIT_MAX, permit).await.ok()?.ok()?;
        let own = Arc::new(Semaphore::new(usize::try_from(wanted).ok()?));
        Some(Allowance { budget: self.clone(), own, reserved: Arc::new(permit) })
    }

    /// The largest tail for which there is always memory sometime.
    pub(crate) fn tail_bytes_max(&self) -> u64 {
        self.tails_pieces * PIECE_BYTES as u64
    }

    /// Memory for a tail of so many bytes, as soon as there is some.
    pub(crate) async fn for_tail(&self, bytes: u64) -> Grant {
        let pieces = bytes.div_ceil(PIECE_BYTES as u64).max(1);
        let permits = u32::try_from(pieces).unwrap_or(u32::MAX);
        if let Ok(permit) = Arc::clone(&self.shared).try_acquire_many_owned(permits) {
            return Grant(permit);
        }
        let _waiting = Waiting::on(self);
        let from = if pieces <= self.tails_pieces { &self.tails } else { &self.shared };
        #[expect(clippy::expect_used, reason = "neither semaphore is ever closed")]
        Grant(Arc::clone(from).acquire_many_owned(permits).await.expect("the budget is never closed"))
    }

    /// Bytes of the budget that are taken, admissions included.
    pub fn used_bytes(&self) -> u64 {
        let free = self.shared.available_permits() + self.tails.available_permits();
        (self.pieces - free as u64) * PIECE_BYTES as u64
    }

    /// How many appends wait for memory just now.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Relaxed)
    }

    /// Resolves when somebody waits for memory.
    pub(crate) async fn others_wait(&self) {
        loop {
            let mut begins = std::pin::pin!(self.short.notified());
            begins.as_mut().enable();
            if self.waiting() > 0 {
                return;
            }
            begins.await;
        }
    }

    /// Bytes of the budget.
    pub fn total_bytes(&self) -> u64 {
        self.pieces * PIECE_BYTES as u64
    }
}

/// What one append may hold. Its own pieces go back to the budget when it and all of them are dropped.
pub(crate) struct Allowance {
    budget: Budget,
    own: Arc<Semaphore>,
    reserved: Arc<OwnedSemaphorePermit>,
}

/// Pieces that are held to be filled soon; what is left goes back when this is dropped.
pub(crate) struct Grant(OwnedSemaphorePermit);

impl Allowance {
    /// The next piece of a grant, if one is left.
    pub(crate) fn piece_of(&self, grant: &mut Grant) -> Option<Piece> {
        grant.0.split(1).map(|permit| self.piece_for(permit))
    }

    /// Enough shared pieces for so many bytes, or one of its own, whichever comes first. Whoever asks first gets all it
    /// asked for: were pieces handed out one by one, many would fill up side by side and none could send a part.
    pub(crate) async fn room(&self, bytes: u64) -> Grant {
        let _waiting = Waiting::on(&self.budget);
        let pieces = u32::try_from(bytes.div_ceil(PIECE_BYTES as u64).max(1)).unwrap_or(u32::MAX);
        let (own, shared) = (Arc::clone(&self.own), Arc::clone(&self.budget.shared));
        let permit = tokio::select! {
            biased;
            permit = own.acquire_owned() => permit,
            permit = shared.acquire_many_owned(pieces) => permit,
        };
        #[expect(clippy::expect_used, reason = "neither semaphore is ever closed")]
        Grant(permit.expect("the budget is never closed"))
    }

    /// A piece at once, if there is one.
    pub(crate) fn try_piece(&self) -> Option<Piece> {
        let own = Arc::clone(&self.own).try_acquire_owned();
        let permit = own.or_else(|_| Arc::clone(&self.budget.shared).try_acquire_owned()).ok()?;
        Some(self.piece_for(permit))
    }

    fn piece_for(&self, permit: OwnedSemaphorePermit) -> Piece {
        let buffer = self.budget.pool.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Piece {
            buffer: buffer.unwrap_or_else(|| vec![0; PIECE_BYTES].into_boxed_slice()),
            filled: 0,
            pool: Arc::clone(&self.budget.pool),
            _permit: permit,
            _reserved: Arc::clone(&self.reserved),
        }
    }
}

/// A buffer of [`PIECE_BYTES`], charged to the budget for as long as it lives.
pub(crate) struct Piece {
    buffer: Box<[u8]>,
    filled: usize,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
    _reserved: Arc<OwnedSemaphorePermit>,
}

impl Piece {
    /// Bytes that still fit.
    pub(crate) fn room(&self) -> usize {
        PIECE_BYTES - self.filled
    }

    /// Adds bytes, which must fit.
    pub(crate) fn fill(&mut self, bytes: &[u8]) {
        self.buffer[self.filled..self.filled + bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
    }

    /// The bytes, without a copy.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        self.pool.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A budget with so many pieces beside those for tails.
    fn sharing(pieces: u64) -> Budget {
        Budget::new((pieces + PIECES_SURE) * PIECE_BYTES as u64)
    }

    /// What an append that needs a whole part takes of it.
    const WHOLE: u64 = PIECES_SURE + PIECES_BESIDE;

    #[tokio::test(start_paused = true)]
    async fn admission_is_refused_when_the_budget_is_promised() {
        let budget = sharing(2 * WHOLE);
        let first = budget.admit(None, false).await.unwrap();
        let second = budget.admit(Some(u64::MAX), false).await.unwrap();
        assert!(budget.admit(Some(1), false).await.is_none());
        drop(first);
        let mut small = Vec::new();
        for _ in 0..WHOLE / 2 {
            small.push(budget.admit(Some(1), false).await.unwrap());
        }
        assert!(budget.admit(Some(0), false).await.is_none());
        drop((second, small));
        assert_eq!(budget.used_bytes(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_shared_comes_back_to_who_waits_for_admission() {
        let budget = sharing(2 * WHOLE);
        let first = budget.admit(None, false).await.unwrap();
        let mut pieces: Vec<_> = std::iter::from_fn(|| first.try_piece()).collect();
        assert_eq!(pieces.len() as u64, WHOLE + PIECES_SURE);
        let waiting = budget.clone();
        let second = tokio::spawn(async move { waiting.admit(None, false).await });
        tokio::task::yield_now().await;
        while pieces.len() as u64 > PIECES_SURE {
            pieces.pop();
            assert!(first.try_piece().is_none(), "it belongs to the one that waits");
        }
        assert!(second.await.unwrap().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_piece_outlives_its_allowance_and_stays_charged() {
        let budget = sharing(WHOLE);
        let allowance = budget.admit(None, false).await.unwrap();
        let bytes = allowance.try_piece().unwrap().freeze();
        drop(allowance);
        assert!(budget.admit(Some(1), false).await.is_none(), "the piece still holds what was reserved");
        drop(bytes);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn connections_take_a_share_and_no_more() {
        let budget = Budget::new(32 << 20);
        let windows: Vec<_> = std::iter::from_fn(|| budget.window(4 << 20)).collect();
        assert_eq!((windows.len(), budget.used_bytes()), (2, 8 << 20));
        drop(windows);
        assert_eq!(budget.used_bytes(), 0);
        assert!(budget.window(4 << 20).is_some());
    }

    #[tokio::test]
    async fn what_is_not_promised_is_shared() {
        let budget = sharing(WHOLE + 3);
        let allowance = budget.admit(None, false).await.unwrap();
        let pieces: Vec<_> = std::iter::from_fn(|| allowance.try_piece()).collect();
        assert_eq!(pieces.len() as u64, PIECES_SURE + 3);
        drop(pieces);
        assert!(allowance.try_piece().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn many_that_may_store_less_than_a_part_are_admitted() {
        let many = 2 * PIECES_SURE;
        let budget = sharing(many * (PIECES_LEAST + PIECES_BESIDE));
        let mut all = Vec::new();
        for _ in 0..many {
            all.push(budget.admit(None, true).await.unwrap());
        }
        assert!(budget.admit(None, true).await.is_none());
        let pieces: Vec<_> = std::iter::from_fn(|| all[0].try_piece()).collect();
        assert_eq!(pieces.len() as u64, PIECES_LEAST, "the rest is the others'");
        // A tail is read back all the same.
        let mut grant = budget.for_tail(PART_BYTES_MIN).await;
        let tail: Vec<_> = std::iter::from_fn(|| all[0].piece_of(&mut grant)).collect();
        assert_eq!(tail.len() as u64 * PIECE_BYTES as u64, PART_BYTES_MIN);
        drop((tail, pieces, grant, all));
        assert_eq!(budget.used_bytes(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_first_gets_all_it_asked_for() {
        let budget = sharing(3 * (PIECES_LEAST + PIECES_BESIDE) + 15);
        let hog = budget.admit(None, true).await.unwrap();
        let (first, second) =
            (budget.admit(None, true).await.unwrap(), budget.admit(None, true).await.unwrap());
        let mut held: Vec<_> = std::iter::from_fn(|| hog.try_piece()).collect();
        let own: Vec<_> =
            [&first, &second].iter().flat_map(|each| [each.try_piece(), each.try_piece()]).collect();
        assert!(own.iter().all(Option::is_some));
        let wanted = 6 * PIECE_BYTES as u64;
        let (mut asks_first, mut asks_second) = (Box::pin(first.room(wanted)), Box::pin(second.room(wanted)));
        for ask in [&mut asks_first, &mut asks_second] {
            assert!(futures_util::poll!(ask).is_pending());
        }
        tokio::time::timeout(Duration::from_secs(1), budget.others_wait()).await.unwrap();
        // One of its own stays behind in what is given back: six shared ones come free.
        held.truncate(2);
        let mut granted = asks_first.await;
        assert_eq!(std::iter::from_fn(|| first.piece_of(&mut granted)).count(), 6);
        drop(granted);
        let mut granted = asks_second.await;
        assert_eq!(std::iter::from_fn(|| second.piece_of(&mut granted)).count(), 6);
    }
}
