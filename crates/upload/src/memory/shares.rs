//! Who holds how much of the memory, who waits for it, and who is asked to release some. Only counts: no lock, no clock.
//! Invariants: held and free buffers add up to all of them. A partner holds at most [`SHARE_MAX`] times what is free then, so
//! whoever holds nothing finds room. Waiters are served in the order of what their partner, their link and they hold.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::memory::part_plan::PART_BYTES_MIN;

/// Memory is charged in steps of this size.
pub(crate) const BUFFER_BYTES: usize = 64 * 1024;
/// What an append costs beside its buffers: its tasks, a frame being copied, its share of the connections to its bucket.
pub(crate) const BUFFERS_BESIDE: u64 = 1;
/// A partner may hold this many times what is free: one alone four fifths, two of them four ninths each, and so on. The rest
/// stays free for whoever comes next.
const SHARE_MAX: u64 = 4;
/// If less than one buffer in this many is free, slow senders are asked to store what they have gathered before anybody has to
/// wait. A fast sender needs memory for several parts at once.
const RESERVE_SHARE: u64 = 3;
/// If others wait, a sender that has not filled a part in this time is asked to store what it has gathered.
const PART_TIME: Duration = Duration::from_secs(2);
/// The same for a sender that was too slow before.
const PART_TIME_SLOW: Duration = Duration::from_millis(250);
/// Memory that was asked for or is in flight, and is not released in this time, is not counted on: others are asked.
const ANSWER_TIME: Duration = Duration::from_secs(1);
/// Buffers of the smallest part, which can be stored without being read back.
const PART_BUFFERS_MIN: u64 = PART_BYTES_MIN.div_ceil(BUFFER_BYTES as u64);

/// Names a holder.
pub(super) type Id = u64;

/// An append, or all connections together.
struct Holder {
    partner: Arc<str>,
    link: Arc<str>,
    held: u64,
    /// Buffers that storing what was gathered would release.
    gathered: u64,
    since: Instant,
    /// Whether it has not filled its last part in time.
    is_slow: bool,
    asked_at: Option<Instant>,
    /// When its last part was sent.
    sent_at: Option<Instant>,
    ask: Arc<Notify>,
    is_closed: bool,
}

/// Somebody who waits for buffers.
struct Waiter {
    turn: u64,
    holder: Id,
    buffers: u64,
    served: oneshot::Sender<()>,
}

pub(super) struct Shares {
    buffers: u64,
    free: u64,
    partners: HashMap<Arc<str>, u64>,
    links: HashMap<Arc<str>, u64>,
    holders: HashMap<Id, Holder>,
    /// In the order of their arrival.
    waiters: Vec<Waiter>,
    next: u64,
}

impl Shares {
    pub(super) fn new(buffers: u64) -> Self {
        Self {
            buffers,
            free: buffers,
            partners: HashMap::new(),
            links: HashMap::new(),
            holders: HashMap::new(),
            waiters: Vec::new(),
            next: 0,
        }
    }

    /// Buffers that nobody holds.
    pub(super) fn free(&self) -> u64 {
        self.free
    }

    /// Whether so little is free that slow senders are asked.
    pub(super) fn is_short(&self) -> bool {
        self.reserve() > self.free
    }

    fn reserve(&self) -> u64 {
        self.buffers / RESERVE_SHARE
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiters.len()
    }

    /// A new holder, and what notifies it that it is asked.
    pub(super) fn open(&mut self, partner: &str, link: &str) -> (Id, Arc<Notify>) {
        let (id, ask) = (self.number(), Arc::new(Notify::new()));
        let holder = Holder {
            partner: partner.into(),
            link: link.into(),
            held: 0,
            gathered: 0,
            since: Instant::now(),
            is_slow: false,
            asked_at: None,
            sent_at: None,
            ask: Arc::clone(&ask),
            is_closed: false,
        };
        self.holders.insert(id, holder);
        (id, ask)
    }

    /// The holder takes no more. It is forgotten with its last buffer.
    pub(super) fn close(&mut self, id: Id) {
        if let Some(holder) = self.holders.get_mut(&id) {
            holder.is_closed = true;
            holder.gathered = 0;
            if holder.held == 0 {
                self.holders.remove(&id);
            }
        }
    }

    /// Charges buffers now, unless a waiter comes first. Returns whether it did.
    pub(super) fn take(&mut self, id: Id, buffers: u64) -> bool {
        let is_first = || {
            let rank = self.rank(id);
            self.waiters.iter().all(|waiter| self.rank(waiter.holder) > rank)
        };
        let may = self.fits(id, buffers) && (self.waiters.is_empty() || is_first());
        if may {
            self.charge(id, buffers);
        }
        may
    }

    /// Releases buffers.
    pub(super) fn give(&mut self, id: Id, buffers: u64) {
        let Some(holder) = self.holders.get_mut(&id) else { return };
        holder.held -= buffers;
        self.free += buffers;
        for (counts, key) in [(&mut self.partners, &holder.partner), (&mut self.links, &holder.link)] {
            if let Some(count) = counts.get_mut(key) {
                *count -= buffers;
                if *count == 0 {
                    counts.remove(key);
                }
            }
        }
        if holder.is_closed && holder.held == 0 {
            self.holders.remove(&id);
        }
    }

    /// Joins the queue. Returns the turn, for leaving it again.
    pub(super) fn wait(&mut self, id: Id, buffers: u64, served: oneshot::Sender<()>) -> u64 {
        let turn = self.number();
        self.waiters.push(Waiter { turn, holder: id, buffers, served });
        turn
    }

    /// Leaves the queue. Returns false if the waiter was served before, and so charged.
    pub(super) fn leave(&mut self, turn: u64) -> bool {
        let before = self.waiters.len();
        self.waiters.retain(|waiter| waiter.turn != turn);
        self.waiters.len() < before
    }

    /// Charges and notifies those whose turn it is. Returns the holders.
    pub(super) fn serve(&mut self) -> Vec<Id> {
        let mut served = Vec::new();
        while let Some(first) = (0..self.waiters.len()).min_by_key(|at| self.rank(self.waiters[*at].holder)) {
            let Waiter { holder, buffers, .. } = self.waiters[first];
            // Nobody overtakes the first, even if it does not fit yet.
            if !self.fits(holder, buffers) {
                break;
            }
            self.charge(holder, buffers);
            served.push(holder);
            // A waiter that has just gone leaves the queue, and releases this.
            let _ = self.waiters.remove(first).served.send(());
        }
        served
    }

    /// The holder gathers bytes in this many more buffers.
    pub(super) fn gathered(&mut self, id: Id, buffers: u64, now: Instant) {
        if let Some(holder) = self.holders.get_mut(&id) {
            if holder.gathered == 0 {
                holder.since = now;
            }
            holder.gathered += buffers;
        }
    }

    /// What the holder had gathered is in flight as a part, or stored in a tail.
    pub(super) fn stored(&mut self, id: Id, is_part: bool, now: Instant) {
        if let Some(holder) = self.holders.get_mut(&id) {
            holder.is_slow = !is_part || now.saturating_duration_since(holder.since) >= PART_TIME;
            holder.gathered = 0;
            holder.asked_at = None;
            holder.sent_at = is_part.then_some(now);
        }
    }

    /// Whether the holder is asked to store what it has gathered.
    pub(super) fn is_asked(&self, id: Id) -> bool {
        self.holders.get(&id).is_some_and(|holder| holder.asked_at.is_some())
    }

    /// Asks holders to store what they have gathered: as many as it takes to serve the waiters, and as many slow ones as it takes
    /// to fill the reserve. Whole parts come first: storing them costs nothing. Then whatever has taken most memory for the
    /// longest time, of the partner that holds most.
    pub(super) fn ask(&mut self, now: Instant) {
        let wanted: u64 = self.waiters.iter().map(|waiter| waiter.buffers).sum();
        let is_recent =
            |at: Option<Instant>| at.is_some_and(|at| now.saturating_duration_since(at) < ANSWER_TIME);
        let asked = |holder: &Holder| if is_recent(holder.asked_at) { holder.gathered } else { 0 };
        let in_flight = |holder: &Holder| {
            let buffers = holder.held.saturating_sub(holder.gathered + BUFFERS_BESIDE);
            if is_recent(holder.sent_at) { buffers } else { 0 }
        };
        let asked: u64 = self.holders.values().map(asked).sum();
        let in_flight: u64 = self.holders.values().map(in_flight).sum();
        // Parts in flight do not fill the reserve: their sender needs the memory for its next part.
        let reserve = self.reserve().saturating_sub(self.free + asked);
        let waiting = wanted.saturating_sub(asked + in_flight);
        let missing = waiting.max(reserve);
        if missing == 0 {
            return;
        }
        let mut able: Vec<_> = self
            .holders
            .iter()
            .filter(|(_, holder)| holder.gathered > 0 && holder.asked_at.is_none())
            .filter_map(|(id, holder)| {
                let age = now.saturating_duration_since(holder.since);
                // Each piece of a tail costs several requests: the reserve alone is no reason to ask so often.
                let time = if holder.is_slow && waiting > 0 { PART_TIME_SLOW } else { PART_TIME };
                let of_partner = self.partners.get(&holder.partner).copied().unwrap_or_default();
                let weight = u128::from(holder.gathered) * (age.as_millis() + 1) * u128::from(of_partner);
                let is_part = holder.gathered >= PART_BUFFERS_MIN;
                (if is_part { waiting > 0 } else { age >= time }).then_some((Reverse((is_part, weight)), *id))
            })
            .collect();
        able.sort_unstable();
        let mut released = 0;
        for (Reverse((is_part, _)), id) in able {
            if released >= missing {
                return;
            }
            // Parts are cut early for those who wait, never for the reserve.
            if is_part && released >= waiting {
                continue;
            }
            if let Some(holder) = self.holders.get_mut(&id) {
                released += holder.gathered;
                holder.asked_at = Some(now);
                holder.ask.notify_one();
            }
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// What the holder's partner, its link and the holder itself hold. The least comes first.
    fn rank(&self, id: Id) -> (u64, u64, u64) {
        self.holders.get(&id).map_or((0, 0, 0), |holder| {
            let count = |counts: &HashMap<Arc<str>, u64>, key| counts.get(key).copied().unwrap_or_default();
            (count(&self.partners, &holder.partner), count(&self.links, &holder.link), holder.held)
        })
    }

    fn fits(&self, id: Id, buffers: u64) -> bool {
        let partner = self.holders.get(&id).and_then(|holder| self.partners.get(&holder.partner));
        let of_partner = partner.copied().unwrap_or_default();
        self.free.checked_sub(buffers).is_some_and(|left| of_partner + buffers <= SHARE_MAX * left)
    }

    fn charge(&mut self, id: Id, buffers: u64) {
        let Some(holder) = self.holders.get_mut(&id) else { return };
        holder.held += buffers;
        self.free -= buffers;
        *self.partners.entry(Arc::clone(&holder.partner)).or_default() += buffers;
        *self.links.entry(Arc::clone(&holder.link)).or_default() += buffers;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes as much as possible, one buffer at a time.
    fn take_all(shares: &mut Shares, id: Id) -> u64 {
        std::iter::from_fn(|| shares.take(id, 1).then_some(())).count() as u64
    }

    /// Waits without a receiver.
    fn wait(shares: &mut Shares, id: Id, buffers: u64) -> u64 {
        shares.wait(id, buffers, oneshot::channel().0)
    }

    #[test]
    fn greedy_partners_leave_room_for_newcomers() {
        for (partners, each) in [(1, 800), (2, 444), (3, 307), (9, 108)] {
            let mut shares = Shares::new(1000);
            let ids: Vec<_> =
                (0..partners).map(|n| shares.open(&format!("p{n}"), &format!("l{n}")).0).collect();
            // Side by side, a buffer at a time.
            while ids.iter().filter(|id| shares.take(**id, 1)).count() > 0 {}
            for id in &ids {
                let held = shares.rank(*id).0;
                assert!(held.abs_diff(each) <= 4, "{partners} partners: one holds {held} of 1000");
            }
            let (stranger, _) = shares.open("stranger", "link");
            assert!(shares.take(stranger, 5), "{partners} partners left {}", shares.free());
        }
    }

    #[test]
    fn links_and_uploads_do_not_multiply_a_partner_s_share() {
        let mut shares = Shares::new(1000);
        let many: Vec<_> = (0..50).map(|n| shares.open("many", &format!("link {n}")).0).collect();
        let held: u64 = many.iter().map(|id| take_all(&mut shares, *id)).sum();
        assert_eq!(held, 800);
    }

    #[test]
    fn smallest_holder_is_served_first_and_equals_in_order() {
        let mut shares = Shares::new(100);
        let (big, _) = shares.open("big", "big");
        let (small, _) = shares.open("small", "one");
        let (first, _) = shares.open("small", "two");
        let (second, _) = shares.open("small", "two");
        assert!(shares.take(small, 5));
        assert_eq!(take_all(&mut shares, big), 76);
        for id in [big, small, first, second] {
            wait(&mut shares, id, 19);
        }
        assert!(shares.serve().is_empty(), "nothing is free for the first");
        let (stranger, _) = shares.open("stranger", "link");
        assert!(shares.take(stranger, 1), "a holder of nothing comes before all");
        shares.give(big, 76);
        assert_eq!(shares.serve(), [big, first, small, second], "the link `two` holds more by then");
    }

    #[test]
    fn nobody_overtakes_a_large_waiter() {
        let mut shares = Shares::new(100);
        let (holding, _) = shares.open("a", "1");
        let (waiting, _) = shares.open("a", "2");
        let (later, _) = shares.open("a", "2");
        assert_eq!(take_all(&mut shares, holding), 80);
        let turn = wait(&mut shares, waiting, 40);
        shares.give(holding, 20);
        assert!(shares.serve().is_empty(), "40 do not fit yet");
        assert!(!shares.take(later, 1), "it comes after the waiter");
        shares.leave(turn);
        assert!(shares.take(later, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn largest_and_oldest_are_asked_and_no_more_than_needed() {
        let mut shares = Shares::new(1000);
        let begun = Instant::now();
        let open = |shares: &mut Shares, buffers, at: u64| {
            let (id, ask) = shares.open("a", "1");
            assert!(shares.take(id, buffers));
            shares.gathered(id, buffers, begun + Duration::from_millis(at));
            (id, ask)
        };
        let (old, _) = open(&mut shares, 10, 0);
        let (large, _) = open(&mut shares, 50, 1_000);
        let (fresh, _) = open(&mut shares, 70, 9_900);
        let (part, _) = open(&mut shares, PART_BUFFERS_MIN, 11_000);
        let (waiting, _) = shares.open("b", "2");
        let asked = |shares: &Shares| [old, large, fresh, part].map(|id| shares.is_asked(id));
        let at = |ms| begun + Duration::from_millis(ms);
        shares.stored(part, false, begun);
        shares.ask(at(10_000));
        assert_eq!(asked(&shares), [false; 4], "nobody waits");
        wait(&mut shares, waiting, 40);
        shares.ask(at(10_000));
        assert_eq!(asked(&shares), [false, true, false, false], "50 for 9 s weigh most");
        shares.ask(at(10_500));
        assert_eq!(asked(&shares), [false, true, false, false], "that is enough");
        // It does not answer: perhaps its bucket is away.
        shares.gathered(part, PART_BUFFERS_MIN, at(11_000));
        shares.ask(at(11_100));
        assert_eq!(asked(&shares), [false, true, false, true], "storing a whole part costs nothing");
        shares.stored(part, true, at(11_150));
        shares.give(part, PART_BUFFERS_MIN);
        shares.stored(large, false, at(11_150));
        shares.gathered(large, 45, at(11_200));
        shares.ask(at(11_300));
        assert_eq!(asked(&shares), [true, false, false, false], "the others have just started");
        shares.ask(at(11_350));
        assert_eq!(asked(&shares), [true, false, false, false]);
        shares.stored(old, false, at(11_400));
        shares.ask(at(11_460));
        assert_eq!(
            asked(&shares),
            [false, true, false, false],
            "a holder that was slow before has less time"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn slow_senders_are_asked_before_memory_runs_out() {
        let mut shares = Shares::new(1000);
        let begun = Instant::now();
        let later = begun + Duration::from_secs(10);
        let open = |shares: &mut Shares, buffers, since| {
            let (id, _) = shares.open("a", "1");
            assert!(shares.take(id, buffers));
            shares.gathered(id, buffers, since);
            id
        };
        let slow: Vec<_> = (0..9).map(|_| open(&mut shares, 60, begun)).collect();
        let fast = [open(&mut shares, 70, later), open(&mut shares, PART_BUFFERS_MIN, later)];
        let asked = |shares: &Shares| slow.iter().filter(|id| shares.is_asked(**id)).count();
        assert_eq!((shares.free(), shares.is_short()), (310, true));
        shares.ask(later);
        assert_eq!(asked(&shares), 1, "23 buffers are missing, and one sender releases 60");
        shares.ask(later);
        assert_eq!(asked(&shares), 1, "that is enough");
        assert!(!fast.iter().any(|id| shares.is_asked(*id)), "nobody waits for it");
        // Parts in flight cover what one sender waits for, so the other's part is not cut early.
        shares.stored(fast[0], true, later);
        wait(&mut shares, slow[8], 60);
        shares.ask(later);
        assert!(!fast.iter().any(|id| shares.is_asked(*id)), "70 buffers are in flight");
        assert_eq!(asked(&shares), 1, "and the reserve was asked for");
        shares.give(slow[0], 60);
        assert!(!shares.is_short());
    }

    #[test]
    fn closed_holder_is_forgotten_with_its_last_buffer() {
        let mut shares = Shares::new(10);
        let (id, _) = shares.open("a", "1");
        assert!(shares.take(id, 2));
        shares.close(id);
        shares.give(id, 1);
        assert_eq!((shares.holders.len(), shares.partners.len()), (1, 1));
        shares.give(id, 1);
        assert_eq!(
            (shares.holders.len(), shares.partners.len(), shares.links.len(), shares.free()),
            (0, 0, 0, 10)
        );
    }
}
