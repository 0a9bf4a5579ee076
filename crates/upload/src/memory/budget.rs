//! One byte budget for the process, charged in buffers of 64 KiB as bytes arrive.
//! Invariants: buffers in use never exceed the budget. An append holds what it has gathered, its parts in flight, and one buffer
//! for its other costs. When asked, it can store what it has gathered without more memory, and memory for reading tails back
//! is set aside, so nobody waits forever for what another holds. `memory/shares.rs` decides who gets how much.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

use crate::memory::part_plan::PART_BYTES_MIN;
use crate::memory::shares::{BUFFER_BYTES, BUFFERS_BESIDE, Id, Shares};

/// Buffers of the smallest part, and one to read on with.
const BUFFERS_PART: u64 = PART_BYTES_MIN / BUFFER_BYTES as u64 + 1;
/// This fraction of the budget is for reading tails back, but at least as much as the smallest part.
const TAILS_SHARE: u64 = 8;
/// This fraction of the budget may be taken by connections. The rest is for uploads.
const CONNECTIONS_SHARE: usize = 4;

/// Long enough for a few parts in flight to be stored and for slow appends to release memory, short enough to tell a sender to
/// come back.
const ADMISSION_WAIT_MAX: Duration = Duration::from_secs(4);
/// For a connection: many may come at a time, and are answered one after the other.
const CONNECTION_WAIT_MAX: Duration = Duration::from_secs(1);
/// How often a waiter checks who could release memory, which depends on the time, too.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// The budget; clones share it.
#[derive(Clone)]
pub struct MemoryBudget(Arc<Shared>);

struct Shared {
    buffers: u64,
    shares: Mutex<Shares>,
    /// When holders were last asked to release what they have gathered.
    asked_at: Mutex<Option<Instant>>,
    /// The holder of all connections together.
    connections: Id,
    /// Buffers that connections may still take.
    for_connections: Arc<Semaphore>,
    /// Buffers for reading tails back.
    for_tails: Arc<Semaphore>,
    tails_buffers: u64,
    /// Used buffers for reuse: growing and shrinking the heap costs more than a copy.
    pool: Mutex<Vec<Box<[u8]>>>,
}

/// Memory charged for a connection while this lives.
pub struct ConnectionCredit {
    _permit: OwnedSemaphorePermit,
    _charge: Charge,
}

/// Buffers charged to a holder while this lives.
pub(crate) struct Charge {
    shared: Arc<Shared>,
    holder: Id,
    buffers: u64,
}

/// The right to fill buffers. What is left of it is released when this is dropped.
pub(crate) enum Permit {
    /// From the shared memory.
    Shared(Charge),
    /// From the memory set aside for tails.
    Tails(OwnedSemaphorePermit),
}

impl std::fmt::Debug for MemoryBudget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryBudget")
            .field("used", &self.used_bytes())
            .field("total", &self.total_bytes())
            .finish()
    }
}

impl MemoryBudget {
    /// At least enough for two appends and a tail.
    pub fn new(bytes: u64) -> Self {
        let buffers = (bytes / BUFFER_BYTES as u64).clamp(3 * BUFFERS_PART, 1 << 24);
        let tails_buffers = (buffers / TAILS_SHARE).max(BUFFERS_PART);
        let permits = |buffers| usize::try_from(buffers).unwrap_or(Semaphore::MAX_PERMITS);
        let mut shares = Shares::new(buffers - tails_buffers);
        let (connections, _) = shares.open("", "");
        Self(Arc::new(Shared {
            buffers,
            shares: Mutex::new(shares),
            asked_at: Mutex::default(),
            connections,
            for_connections: Arc::new(Semaphore::new(permits(buffers) / CONNECTIONS_SHARE)),
            for_tails: Arc::new(Semaphore::new(permits(tails_buffers))),
            tails_buffers,
            pool: Mutex::default(),
        }))
    }

    /// Charges what a connection may make us hold before anyone reads it. None if the connections' share is used up.
    pub fn try_connection_credit(&self, bytes: usize) -> Option<ConnectionCredit> {
        let buffers = buffers_of(bytes as u64);
        let permits = u32::try_from(buffers).ok()?;
        let permit = Arc::clone(&self.0.for_connections).try_acquire_many_owned(permits).ok()?;
        let charge = self.0.try_charge(self.0.connections, buffers)?;
        Some(ConnectionCredit { _permit: permit, _charge: charge })
    }

    /// As [`Self::try_connection_credit`], for a client that cannot be told to ask in another way: waits a moment for memory.
    pub async fn connection_credit(&self, bytes: usize) -> Option<ConnectionCredit> {
        let buffers = buffers_of(bytes as u64);
        let permits = u32::try_from(buffers).ok()?;
        let wait = async {
            let permit = Arc::clone(&self.0.for_connections).acquire_many_owned(permits).await.ok()?;
            let charge = self.0.charge(self.0.connections, buffers).await;
            Some(ConnectionCredit { _permit: permit, _charge: charge })
        };
        tokio::time::timeout(CONNECTION_WAIT_MAX, wait).await.ok()?
    }

    /// Admits an append with its first buffer. None if no memory becomes free soon.
    pub(crate) async fn admit(&self, partner: &str, link: &str) -> Option<AppendMemory> {
        let (id, asked) = self.0.shares().open(partner, link);
        let mut memory =
            AppendMemory { shared: Arc::clone(&self.0), id, asked, beside: None, reserved: None };
        let first = self.0.charge(id, BUFFERS_BESIDE + 1);
        let mut first = tokio::time::timeout(ADMISSION_WAIT_MAX, first).await.ok()?;
        memory.beside = first.split(BUFFERS_BESIDE);
        memory.reserved = Some(first);
        self.0.shares().gathered(id, 1, Instant::now());
        Some(memory)
    }

    /// The largest tail that is guaranteed to fit in the memory set aside.
    pub(crate) fn tail_bytes_max(&self) -> u64 {
        self.0.tails_buffers * BUFFER_BYTES as u64
    }

    /// Bytes in use, including reservations.
    pub fn used_bytes(&self) -> u64 {
        let free = self.0.shares().free() + self.0.for_tails.available_permits() as u64;
        (self.0.buffers - free) * BUFFER_BYTES as u64
    }

    /// How many wait for memory.
    pub fn waiting(&self) -> u64 {
        self.0.shares().waiting() as u64
    }

    pub fn total_bytes(&self) -> u64 {
        self.0.buffers * BUFFER_BYTES as u64
    }
}

fn buffers_of(bytes: u64) -> u64 {
    bytes.div_ceil(BUFFER_BYTES as u64).max(1)
}

impl Shared {
    fn shares(&self) -> MutexGuard<'_, Shares> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_charge(self: &Arc<Self>, holder: Id, buffers: u64) -> Option<Charge> {
        let (is_taken, is_short) = {
            let mut shares = self.shares();
            (shares.take(holder, buffers), shares.is_short())
        };
        if is_short {
            self.ask();
        }
        is_taken.then(|| Charge { shared: Arc::clone(self), holder, buffers })
    }

    /// Charges the buffers as soon as it is this holder's turn.
    async fn charge(self: &Arc<Self>, holder: Id, buffers: u64) -> Charge {
        if let Some(charge) = self.try_charge(holder, buffers) {
            return charge;
        }
        let (served, mut is_served) = oneshot::channel();
        let mut waiting = {
            let mut shares = self.shares();
            let turn = shares.wait(holder, buffers, served);
            shares.serve();
            Waiting { shared: self, turn, holder, buffers, is_over: false }
        };
        loop {
            self.ask();
            if tokio::time::timeout(ASK_EVERY, &mut is_served).await.is_ok() {
                waiting.is_over = true;
                return Charge { shared: Arc::clone(self), holder, buffers };
            }
        }
    }

    /// Asks for gathered memory; a few times in [`ASK_EVERY`], however many wait.
    fn ask(&self) {
        let now = Instant::now();
        let mut asked_at = self.asked_at.lock().unwrap_or_else(PoisonError::into_inner);
        if asked_at.is_none_or(|at| now.saturating_duration_since(at) >= ASK_EVERY / 8) {
            *asked_at = Some(now);
            self.shares().ask(now);
        }
    }
}

/// A place in the queue for memory.
struct Waiting<'a> {
    shared: &'a Shared,
    turn: u64,
    holder: Id,
    buffers: u64,
    is_over: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut shares = self.shared.shares();
        if !shares.leave(self.turn) {
            // It was served in this moment.
            shares.give(self.holder, self.buffers);
        }
        // The next in the queue may fit.
        shares.serve();
    }
}

impl Charge {
    /// Splits buffers off this charge, if it has as many.
    fn split(&mut self, buffers: u64) -> Option<Self> {
        self.buffers = self.buffers.checked_sub(buffers)?;
        Some(Self { shared: Arc::clone(&self.shared), holder: self.holder, buffers })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.buffers > 0 {
            let mut shares = self.shared.shares();
            shares.give(self.holder, self.buffers);
            shares.serve();
        }
    }
}

impl Permit {
    fn split(&mut self) -> Option<Self> {
        match self {
            Self::Shared(charge) => charge.split(1).map(Self::Shared),
            Self::Tails(permit) => permit.split(1).map(Self::Tails),
        }
    }
}

/// The memory of one append.
pub(crate) struct AppendMemory {
    shared: Arc<Shared>,
    id: Id,
    asked: Arc<Notify>,
    beside: Option<Charge>,
    /// Reserved for what a part is still missing.
    reserved: Option<Charge>,
}

impl AppendMemory {
    /// A buffer, if one is free now.
    pub(crate) fn try_buffer(&mut self) -> Option<Buffer> {
        if let Some(charge) = self.reserved.as_mut().and_then(|reserved| reserved.split(1)) {
            return Some(self.buffer(Permit::Shared(charge)));
        }
        let charge = self.shared.try_charge(self.id, 1)?;
        self.shared.shares().gathered(self.id, 1, Instant::now());
        Some(self.buffer(Permit::Shared(charge)))
    }

    /// Waits until memory for this many bytes, at least a buffer, is reserved at once.
    pub(crate) async fn reserve(&mut self, bytes: u64) {
        let buffers = buffers_of(bytes);
        self.reserved = Some(self.shared.charge(self.id, buffers).await);
        self.shared.shares().gathered(self.id, buffers, Instant::now());
    }

    /// What was gathered is on its way to the bucket as a part, or stored in the tail.
    pub(crate) fn stored(&mut self, is_part: bool) {
        self.reserved = None;
        self.shared.shares().stored(self.id, is_part, Instant::now());
    }

    /// Notified when others wait for what was gathered.
    pub(crate) fn asked(&self) -> Arc<Notify> {
        Arc::clone(&self.asked)
    }

    /// Whether others wait for what was gathered.
    pub(crate) fn is_asked(&self) -> bool {
        self.shared.shares().is_asked(self.id)
    }

    /// Waits for memory for a tail of this many bytes.
    pub(crate) async fn for_tail(&self, bytes: u64) -> Permit {
        let buffers = buffers_of(bytes);
        if let Some(charge) = self.shared.try_charge(self.id, buffers) {
            return Permit::Shared(charge);
        }
        if buffers > self.shared.tails_buffers {
            return Permit::Shared(self.shared.charge(self.id, buffers).await);
        }
        let permits = u32::try_from(buffers).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.shared.for_tails).acquire_many_owned(permits).await;
        #[expect(clippy::expect_used, reason = "the semaphore is never closed")]
        Permit::Tails(permit.expect("never closed"))
    }

    /// The next buffer of a permit, if one is left.
    pub(crate) fn buffer_of(&self, permit: &mut Permit) -> Option<Buffer> {
        permit.split().map(|permit| self.buffer(permit))
    }

    fn buffer(&self, permit: Permit) -> Buffer {
        let bytes = self.shared.pool.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Buffer {
            bytes: bytes.unwrap_or_else(|| vec![0; BUFFER_BYTES].into_boxed_slice()),
            filled: 0,
            shared: Arc::clone(&self.shared),
            _permit: permit,
        }
    }
}

impl Drop for AppendMemory {
    fn drop(&mut self) {
        self.shared.shares().close(self.id);
    }
}

/// [`BUFFER_BYTES`] of memory, charged to the budget while this lives.
pub(crate) struct Buffer {
    bytes: Box<[u8]>,
    filled: usize,
    shared: Arc<Shared>,
    _permit: Permit,
}

impl Buffer {
    /// Bytes that still fit.
    pub(crate) fn room(&self) -> usize {
        BUFFER_BYTES - self.filled
    }

    /// The next bytes to be filled, at most [`Self::room`].
    pub(crate) fn next(&mut self, bytes: usize) -> &mut [u8] {
        let begin = self.filled;
        self.filled += bytes;
        &mut self.bytes[begin..self.filled]
    }

    /// The bytes, without a copy.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.shared.pool.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn memory_served_to_a_waiter_that_left_is_released() {
        let budget = MemoryBudget::new(0);
        let mut first = budget.admit("a", "1").await.unwrap();
        let mut second = budget.admit("b", "2").await.unwrap();
        let held: Vec<_> = std::iter::from_fn(|| first.try_buffer()).collect();
        let mut waiting = Box::pin(second.reserve(40 * BUFFER_BYTES as u64));
        assert!(poll!(&mut waiting).is_pending());
        assert_eq!(budget.waiting(), 1);
        drop(held);
        assert_eq!(budget.waiting(), 0, "it is served, and does not know yet");
        drop(waiting);
        assert_eq!(budget.used_bytes(), 3 * BUFFER_BYTES as u64, "the admissions");
        drop((first, second));
        assert_eq!(budget.used_bytes(), 0);
    }
}
