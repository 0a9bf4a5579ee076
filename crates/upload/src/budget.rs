//! One byte budget for the process, charged in pieces of 64 KiB as bytes arrive.
//! Invariants: pieces in use never exceed the budget. An append holds what it has gathered and not stored, what is on its way
//! to the bucket, and one piece for what it costs besides; whatever it has gathered it stores when it is asked to, for which it
//! needs no more memory. To read a tail back there is memory that nothing else takes. So nobody waits for ever for what
//! another holds. Who gets how much is decided in `budget/shares.rs`.

mod shares;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use shares::{Id, Served, Shares};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

use crate::plan::PART_BYTES_MIN;

/// Bytes are charged and buffered in steps of this size.
pub const PIECE_BYTES: usize = 64 * 1024;
/// What an append costs beside its pieces: its tasks, a frame that is being copied, its share of the connections to its bucket.
const PIECES_BESIDE: u64 = 1;
/// Pieces of the smallest part, and one to read on with.
const PIECES_PART: u64 = PART_BYTES_MIN / PIECE_BYTES as u64 + 1;
/// One part in so many of the budget is for reading tails back, at least as much as the smallest part.
const TAILS_SHARE: u64 = 8;
/// One part in so many of the budget may be taken by connections; the rest stays for uploads.
const WINDOWS_SHARE: usize = 4;

/// Long enough for a few parts under way to be stored and for slow appends to give their memory back, short enough for a
/// sender to be told to come back.
const ADMISSION_WAIT_MAX: Duration = Duration::from_secs(4);
/// For a connection's window: many may come at a time, and be told one after the other.
const WINDOW_WAIT_MAX: Duration = Duration::from_secs(1);
/// How often one who waits looks who could give memory back: that depends on the time, too.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// The budget; clones share it.
#[derive(Clone)]
pub struct Budget(Arc<Shared>);

struct Shared {
    pieces: u64,
    shares: Mutex<Shares>,
    /// When holders were last asked for what they have gathered.
    asked_at: Mutex<Option<Instant>>,
    /// The holder of all connections together.
    connections: Id,
    /// Pieces that connections may still take.
    windows: Arc<Semaphore>,
    /// Pieces for reading tails back.
    tails: Arc<Semaphore>,
    tails_pieces: u64,
    /// Buffers that were used and can be used again: growing and shrinking the heap costs more than a copy.
    pool: Mutex<Vec<Box<[u8]>>>,
}

/// Memory charged for a connection, for as long as this lives.
pub struct Window {
    _permit: OwnedSemaphorePermit,
    _charge: Charge,
}

/// Pieces that are charged to a holder, for as long as this lives.
pub(crate) struct Charge {
    shared: Arc<Shared>,
    holder: Id,
    pieces: u64,
}

/// Pieces that are set aside to be filled; what is left goes back when this is dropped.
pub(crate) enum Grant {
    /// Of what all share.
    Shared(Charge),
    /// Of what is for tails.
    Tails(OwnedSemaphorePermit),
}

impl std::fmt::Debug for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Budget")
            .field("used", &self.used_bytes())
            .field("total", &self.total_bytes())
            .finish()
    }
}

impl Budget {
    /// A budget of so many bytes, at least enough for two appends and a tail.
    pub fn new(bytes: u64) -> Self {
        let pieces = (bytes / PIECE_BYTES as u64).clamp(3 * PIECES_PART, 1 << 24);
        let tails_pieces = (pieces / TAILS_SHARE).max(PIECES_PART);
        let permits = |pieces| usize::try_from(pieces).unwrap_or(Semaphore::MAX_PERMITS);
        let mut shares = Shares::new(pieces - tails_pieces);
        let (connections, _) = shares.open("", "");
        Self(Arc::new(Shared {
            pieces,
            shares: Mutex::new(shares),
            asked_at: Mutex::default(),
            connections,
            windows: Arc::new(Semaphore::new(permits(pieces) / WINDOWS_SHARE)),
            tails: Arc::new(Semaphore::new(permits(tails_pieces))),
            tails_pieces,
            pool: Mutex::default(),
        }))
    }

    /// Charges what a connection may make us hold before anyone reads it, if the share for that is not spent.
    pub fn window(&self, bytes: usize) -> Option<Window> {
        let pieces = pieces_of(bytes as u64);
        let permit = Arc::clone(&self.0.windows).try_acquire_many_owned(u32::try_from(pieces).ok()?).ok()?;
        let charge = self.0.try_charge(self.0.connections, pieces)?;
        Some(Window { _permit: permit, _charge: charge })
    }

    /// The same for a client that cannot be told to ask in another way: waits a moment for the room that others give back.
    pub async fn window_soon(&self, bytes: usize) -> Option<Window> {
        let pieces = pieces_of(bytes as u64);
        let permits = u32::try_from(pieces).ok()?;
        let wait = async {
            let permit = Arc::clone(&self.0.windows).acquire_many_owned(permits).await.ok()?;
            let charge = self.0.charge(self.0.connections, pieces).await;
            Some(Window { _permit: permit, _charge: charge })
        };
        tokio::time::timeout(WINDOW_WAIT_MAX, wait).await.ok()?
    }

    /// Admits an append with its first piece, or says soon that there is no room.
    pub(crate) async fn admit(&self, partner: &str, link: &str) -> Option<Account> {
        let (id, asked) = self.0.shares().open(partner, link);
        let mut account = Account { shared: Arc::clone(&self.0), id, asked, beside: None, granted: None };
        let first = self.0.charge(id, PIECES_BESIDE + 1);
        let mut first = tokio::time::timeout(ADMISSION_WAIT_MAX, first).await.ok()?;
        account.beside = first.split(PIECES_BESIDE);
        account.granted = Some(first);
        self.0.shares().gathered(id, 1, Instant::now());
        Some(account)
    }

    /// The largest tail for which there is always memory sometime.
    pub(crate) fn tail_bytes_max(&self) -> u64 {
        self.0.tails_pieces * PIECE_BYTES as u64
    }

    /// Bytes of the budget that are taken, admissions included.
    pub fn used_bytes(&self) -> u64 {
        let free = self.0.shares().free() + self.0.tails.available_permits() as u64;
        (self.0.pieces - free) * PIECE_BYTES as u64
    }

    /// How many wait for memory just now.
    pub fn waiting(&self) -> u64 {
        self.0.shares().waiting() as u64
    }

    /// Bytes of the budget.
    pub fn total_bytes(&self) -> u64 {
        self.0.pieces * PIECE_BYTES as u64
    }
}

fn pieces_of(bytes: u64) -> u64 {
    bytes.div_ceil(PIECE_BYTES as u64).max(1)
}

impl Shared {
    fn shares(&self) -> MutexGuard<'_, Shares> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_charge(self: &Arc<Self>, holder: Id, pieces: u64) -> Option<Charge> {
        let (is_taken, is_short) = {
            let mut shares = self.shares();
            (shares.take(holder, pieces), shares.is_short())
        };
        if is_short {
            self.ask();
        }
        is_taken.then(|| Charge { shared: Arc::clone(self), holder, pieces })
    }

    /// The pieces, as soon as it is this holder's turn.
    async fn charge(self: &Arc<Self>, holder: Id, pieces: u64) -> Charge {
        if let Some(charge) = self.try_charge(holder, pieces) {
            return charge;
        }
        let (granted, mut turn) = oneshot::channel();
        let _line = Line { shared: self, turn: self.shares().wait(holder, pieces, granted) };
        self.serve();
        loop {
            self.ask();
            #[expect(clippy::expect_used, reason = "nobody else takes us out of the line")]
            if let Ok(charge) = tokio::time::timeout(ASK_EVERY, &mut turn).await {
                return charge.expect("who waits is served");
            }
        }
    }

    /// Hands out what is free to those who wait.
    fn serve(self: &Arc<Self>) {
        loop {
            let served = self.shares().serve();
            let Some(Served { holder, pieces, granted }) = served else { return };
            // One that has left in this moment gives it back.
            drop(granted.send(Charge { shared: Arc::clone(self), holder, pieces }));
        }
    }

    /// Asks for memory that is gathered; however many wait, a few times in [`ASK_EVERY`].
    fn ask(&self) {
        let now = Instant::now();
        let mut asked_at = self.asked_at.lock().unwrap_or_else(PoisonError::into_inner);
        if asked_at.is_none_or(|at| now.saturating_duration_since(at) >= ASK_EVERY / 8) {
            *asked_at = Some(now);
            self.shares().ask(now);
        }
    }
}

/// A place in the line of those who wait.
struct Line<'a> {
    shared: &'a Arc<Shared>,
    turn: u64,
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.shared.shares().leave(self.turn);
        // Whoever was behind it may fit.
        self.shared.serve();
    }
}

impl Charge {
    /// Takes pieces off this charge, if it has as many.
    fn split(&mut self, pieces: u64) -> Option<Self> {
        self.pieces = self.pieces.checked_sub(pieces)?;
        Some(Self { shared: Arc::clone(&self.shared), holder: self.holder, pieces })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.pieces > 0 {
            self.shared.shares().give(self.holder, self.pieces);
            self.shared.serve();
        }
    }
}

impl Grant {
    fn split(&mut self) -> Option<Self> {
        match self {
            Self::Shared(charge) => charge.split(1).map(Self::Shared),
            Self::Tails(permit) => permit.split(1).map(Self::Tails),
        }
    }
}

/// What one append holds.
pub(crate) struct Account {
    shared: Arc<Shared>,
    id: Id,
    asked: Arc<Notify>,
    beside: Option<Charge>,
    /// Set aside for what is still missing of a part.
    granted: Option<Charge>,
}

impl Account {
    /// A piece at once, if there is one.
    pub(crate) fn try_piece(&mut self) -> Option<Piece> {
        if let Some(charge) = self.granted.as_mut().and_then(|granted| granted.split(1)) {
            return Some(self.piece(Grant::Shared(charge)));
        }
        let charge = self.shared.try_charge(self.id, 1)?;
        self.shared.shares().gathered(self.id, 1, Instant::now());
        Some(self.piece(Grant::Shared(charge)))
    }

    /// Waits for memory for so many bytes, at least a piece: all of it at once.
    pub(crate) async fn room(&mut self, bytes: u64) {
        let pieces = pieces_of(bytes);
        self.granted = Some(self.shared.charge(self.id, pieces).await);
        self.shared.shares().gathered(self.id, pieces, Instant::now());
    }

    /// What was gathered is on its way to the bucket as a part, or stored as less than one.
    pub(crate) fn stored(&mut self, is_part: bool) {
        self.granted = None;
        self.shared.shares().stored(self.id, is_part, Instant::now());
    }

    /// Tells that others may wait for what was gathered.
    pub(crate) fn asked(&self) -> Arc<Notify> {
        Arc::clone(&self.asked)
    }

    /// Whether others wait for what was gathered.
    pub(crate) fn is_asked(&self) -> bool {
        self.shared.shares().is_asked(self.id)
    }

    /// Memory for a tail of so many bytes, as soon as there is some.
    pub(crate) async fn for_tail(&self, bytes: u64) -> Grant {
        let pieces = pieces_of(bytes);
        if let Some(charge) = self.shared.try_charge(self.id, pieces) {
            return Grant::Shared(charge);
        }
        if pieces > self.shared.tails_pieces {
            return Grant::Shared(self.shared.charge(self.id, pieces).await);
        }
        let permits = u32::try_from(pieces).unwrap_or(u32::MAX);
        #[expect(clippy::expect_used, reason = "the semaphore is never closed")]
        Grant::Tails(Arc::clone(&self.shared.tails).acquire_many_owned(permits).await.expect("never closed"))
    }

    /// The next piece of a grant, if one is left.
    pub(crate) fn piece_of(&self, grant: &mut Grant) -> Option<Piece> {
        grant.split().map(|charge| self.piece(charge))
    }

    fn piece(&self, charge: Grant) -> Piece {
        let buffer = self.shared.pool.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Piece {
            buffer: buffer.unwrap_or_else(|| vec![0; PIECE_BYTES].into_boxed_slice()),
            filled: 0,
            shared: Arc::clone(&self.shared),
            _charge: charge,
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.shared.shares().close(self.id);
    }
}

/// A buffer of [`PIECE_BYTES`], charged to the budget for as long as it lives.
pub(crate) struct Piece {
    buffer: Box<[u8]>,
    filled: usize,
    shared: Arc<Shared>,
    _charge: Grant,
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
        self.shared.pool.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}
