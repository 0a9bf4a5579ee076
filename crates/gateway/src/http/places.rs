//! Places for connections, and which connection is displaced when there are not enough. Invariant: a connection that waits for
//! an answer after naming a valid link or staff token keeps its place. Otherwise an idle connection is displaced first, from
//! the address that has the most, so no stranger can keep others out.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ipnet::IpNet;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The part of an IPv6 address that identifies a customer. Machines change the rest as they like (RFC 4941).
const CUSTOMER_MASK: u128 = !0 << 64;

/// Connections with a place, of every listening address.
const CONNECTIONS: &str = "weighbridge_connections";

#[derive(Debug)]
pub(super) struct Places {
    max: usize,
    per_address: usize,
    exempt: Vec<IpNet>,
    taken: Mutex<Taken>,
    began: Instant,
    /// Notified when a place is free or a connection is idle.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    all: HashMap<u64, Arc<Guest>>,
    of_address: HashMap<IpAddr, usize>,
}

/// A connection with a place.
#[derive(Debug)]
pub(super) struct Guest {
    /// None for a proxy, which stands for many clients.
    address: Option<IpAddr>,
    /// Requests.
    under_way: AtomicUsize,
    /// Those with a valid token.
    known: AtomicUsize,
    /// Milliseconds since `Places` began.
    idle_since: AtomicU64,
    /// Whether a window is charged to the budget for it.
    pub(super) holds_window: AtomicBool,
    /// Notified when a request names a valid token.
    pub(super) met: Notify,
    displaced: CancellationToken,
}

/// A place, until this is dropped or another connection displaces it.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    id: u64,
    pub(super) guest: Arc<Guest>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// Its address has as many as allowed, all busy.
    OfAddress,
    /// All are busy.
    AtAll,
}

impl Places {
    /// `max` places, at most `per_address` for one address, except for `exempt` ones.
    pub(super) fn new(max: usize, per_address: usize, exempt: Vec<IpNet>) -> Arc<Self> {
        let (taken, changed) = (Mutex::default(), Notify::new());
        Arc::new(Self { max, per_address, exempt, taken, began: Instant::now(), changed })
    }

    /// A place for a connection from this address, taken from an idle one if necessary.
    pub(super) fn take(self: &Arc<Self>, peer: IpAddr) -> Result<Place, NoPlace> {
        let address = self.address(peer);
        let mut taken = self.taken();
        let held = address.map_or(0, |address| taken.of_address.get(&address).copied().unwrap_or(0));
        if held >= self.per_address && !taken.displace(|guest| guest.address == address) {
            return Err(NoPlace::OfAddress);
        }
        if taken.all.len() >= self.max && !taken.displace(|_| true) {
            return Err(NoPlace::AtAll);
        }
        let guest = Arc::new(Guest {
            address,
            under_way: AtomicUsize::new(0),
            known: AtomicUsize::new(0),
            idle_since: AtomicU64::new(self.now()),
            holds_window: AtomicBool::new(false),
            met: Notify::new(),
            displaced: CancellationToken::new(),
        });
        let id = taken.next;
        taken.next += 1;
        taken.all.insert(id, Arc::clone(&guest));
        if let Some(address) = address {
            *taken.of_address.entry(address).or_default() += 1;
        }
        metrics::gauge!(CONNECTIONS).increment(1);
        Ok(Place { places: Arc::clone(self), id, guest })
    }

    /// Resolves when it is worth asking again.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Displaces an idle connection with a charged window.
    fn displace_window(&self) {
        self.taken().displace(|guest| guest.holds_window.load(Relaxed) && guest.under_way.load(Relaxed) == 0);
    }

    /// Displaces an idle connection, when the system is out of descriptors.
    pub(super) fn shed(&self) {
        self.taken().displace(|guest| guest.under_way.load(Relaxed) == 0);
    }

    /// What counts as one address: an IPv4 address, an IPv6 network of 64 bits; none for exempt ones.
    fn address(&self, peer: IpAddr) -> Option<IpAddr> {
        let peer = peer.to_canonical();
        if self.exempt.iter().any(|net| net.contains(&peer)) {
            return None;
        }
        Some(match peer {
            IpAddr::V4(_) => peer,
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & CUSTOMER_MASK).into(),
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Taken {
    /// Displaces one of these, if any has no request with a valid token. Returns whether there was one.
    fn displace(&mut self, among: impl Fn(&Guest) -> bool) -> bool {
        let places_of = |guest: &Guest| match guest.address {
            Some(address) => self.of_address.get(&address).copied().unwrap_or(0),
            None => 1,
        };
        let weaker = self.all.iter().filter(|(_, guest)| !guest.has_known_request() && among(guest));
        let first = weaker.min_by_key(|(id, guest)| {
            let asks = guest.under_way.load(Relaxed) > 0;
            (asks, std::cmp::Reverse(places_of(guest)), guest.idle_since.load(Relaxed), **id)
        });
        let Some(id) = first.map(|(id, _)| *id) else { return false };
        if let Some(guest) = self.remove(id) {
            metrics::counter!("weighbridge_connections_displaced_total").increment(1);
            guest.displaced.cancel();
        }
        true
    }

    fn remove(&mut self, id: u64) -> Option<Arc<Guest>> {
        let guest = self.all.remove(&id)?;
        metrics::gauge!(CONNECTIONS).decrement(1);
        if let Some(address) = guest.address
            && let Some(held) = self.of_address.get_mut(&address)
        {
            *held -= 1;
            if *held == 0 {
                self.of_address.remove(&address);
            }
        }
        Some(guest)
    }
}

impl Place {
    /// Starts a request on this connection.
    pub(super) fn begin(&self) -> UnderWay {
        self.guest.under_way.fetch_add(1, Relaxed);
        let request = Request {
            places: Arc::clone(&self.places),
            guest: Arc::clone(&self.guest),
            known: AtomicBool::new(false),
        };
        UnderWay(Arc::new(request))
    }

    /// Resolves when another connection took this place.
    pub(super) async fn displaced(&self) {
        self.guest.displaced.cancelled().await;
    }

    /// Frees a window of an idle connection, if there is one.
    pub(super) fn displace_window(&self) {
        self.places.displace_window();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken().remove(self.id);
        self.places.changed.notify_one();
    }
}

impl Guest {
    /// Whether a request with a valid token is under way.
    pub(super) fn has_known_request(&self) -> bool {
        self.known.load(Relaxed) > 0
    }
}

/// A request, from its head to the end of its answer: until every clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct UnderWay(Arc<Request>);

#[derive(Debug)]
struct Request {
    places: Arc<Places>,
    guest: Arc<Guest>,
    known: AtomicBool,
}

impl UnderWay {
    /// The request names a valid link or staff token.
    fn authenticated(&self) {
        if !self.0.known.swap(true, Relaxed) {
            self.0.guest.known.fetch_add(1, Relaxed);
            self.0.guest.met.notify_one();
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if self.known.load(Relaxed) {
            self.guest.known.fetch_sub(1, Relaxed);
        }
        self.guest.idle_since.store(self.places.now(), Relaxed);
        self.guest.under_way.fetch_sub(1, Relaxed);
        self.places.changed.notify_one();
    }
}

/// The request with these extensions names a valid link or staff token, so its connection is displaced last.
pub(crate) fn authenticated(extensions: &axum::http::Extensions) {
    if let Some(under_way) = extensions.get::<UnderWay>() {
        under_way.authenticated();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(places: &Arc<Places>, from: &str) -> Place {
        places.take(from.parse().unwrap()).unwrap_or_else(|no| panic!("{from}: {no:?}"))
    }

    fn is_displaced(place: &Place) -> bool {
        place.guest.displaced.is_cancelled()
    }

    fn displaced(all: &[&Place]) -> Vec<usize> {
        (0..all.len()).filter(|at| is_displaced(all[*at])).collect()
    }

    #[test]
    fn longest_idle_connection_of_the_busiest_address_is_displaced() {
        let places = Places::new(4, 4, vec![]);
        let all = ["10.0.0.1", "10.0.0.2", "10.0.0.2", "10.0.0.3"].map(|from| taken(&places, from));
        let all: Vec<_> = all.iter().collect();
        let next = taken(&places, "10.0.0.4");
        assert_eq!(displaced(&all), [1], "the older one of two");
        let _again = taken(&places, "10.0.0.4");
        assert_eq!(displaced(&all), [0, 1], "now each has one: the oldest");
        let _third = taken(&places, "10.0.0.5");
        assert!(is_displaced(&next), "now that address has two");
    }

    #[test]
    fn who_is_known_and_at_work_stays_and_who_asks_goes_last() {
        let places = Places::new(3, 3, vec![]);
        let (known, asks, idle) =
            (taken(&places, "10.0.0.1"), taken(&places, "10.0.0.1"), taken(&places, "10.0.0.2"));
        let (upload, question) = (known.begin(), asks.begin());
        upload.authenticated();
        upload.authenticated();
        let fourth = taken(&places, "10.0.0.3");
        assert_eq!(displaced(&[&known, &asks, &idle]), [2]);
        fourth.begin().authenticated();
        assert_eq!(fourth.guest.known.load(Relaxed), 0, "its request has ended");
        let work = fourth.begin();
        work.authenticated();
        let fifth = taken(&places, "10.0.0.3");
        assert_eq!(displaced(&[&known, &asks, &fourth]), [1], "nobody is idle");
        let more = fifth.begin();
        more.authenticated();
        assert_eq!(places.take("10.0.0.4".parse().unwrap()).unwrap_err(), NoPlace::AtAll);
        drop((upload, question));
        let _sixth = taken(&places, "10.0.0.4");
        assert!(is_displaced(&known), "kept alive after its answer");
    }

    #[test]
    fn an_address_has_its_bound_and_a_place_comes_back() {
        let proxy: IpNet = "192.0.2.0/24".parse().unwrap();
        let places = Places::new(9, 2, vec![proxy]);
        for (from, neighbour) in
            [("10.0.0.1", "::ffff:10.0.0.1"), ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9")]
        {
            let (first, second) = (taken(&places, from), taken(&places, neighbour));
            let (at_work, too) = (first.begin(), second.begin());
            at_work.authenticated();
            too.authenticated();
            assert_eq!(places.take(from.parse().unwrap()).unwrap_err(), NoPlace::OfAddress);
            drop(too);
            let third = taken(&places, from);
            assert_eq!(displaced(&[&first, &second]), [1]);
            drop((first, second, third));
        }
        let _others = taken(&places, "2001:db8:1:3::1");
        let through: Vec<_> = (0..8).map(|_| taken(&places, "192.0.2.7")).collect();
        assert_eq!(through.iter().filter(|place| is_displaced(place)).count(), 0, "no bound for a proxy");
        drop(through);
        assert_eq!(places.taken().all.len(), 1);
        assert_eq!(places.taken().of_address.len(), 1);
    }

    #[test]
    fn a_window_comes_back_from_who_does_nothing() {
        let places = Places::new(9, 9, vec![]);
        let (idle, busy) = (taken(&places, "10.0.0.1"), taken(&places, "10.0.0.1"));
        let _asking = busy.begin();
        for place in [&idle, &busy] {
            place.guest.holds_window.store(true, Relaxed);
        }
        idle.displace_window();
        assert!(is_displaced(&idle));
        idle.displace_window();
        assert!(!is_displaced(&busy));
    }
}
