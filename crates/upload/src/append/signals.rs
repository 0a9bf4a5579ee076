//! What ends an append before its body does, or makes it stop retrying.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::append::running::RunningAppend;

/// Bytes of a connection that was cut may still be unread. One that has been quiet for this long has no more.
const QUIET: Duration = Duration::from_millis(100);
/// A connection that is never quiet is ended after this time.
const READ_ON_MAX: Duration = Duration::from_secs(2);

/// The signals of one append; clones share them.
#[derive(Clone)]
pub(crate) struct Signals {
    /// A newer append takes over.
    pub(crate) superseded: CancellationToken,
    halted: CancellationToken,
    /// The gateway stops, and the upload can be resumed.
    pub(crate) stopping: CancellationToken,
    /// The append ends: it stores what it can without retries.
    pub(crate) ending: CancellationToken,
}

impl Signals {
    pub(crate) fn new(append: &RunningAppend, stopping: CancellationToken) -> Self {
        let (superseded, halted) = (append.superseded.clone(), append.halted.clone());
        Self { superseded, halted, stopping, ending: CancellationToken::new() }
    }

    /// Returns the reason when the append must end: a newer one took over, or the gateway stops.
    pub(crate) async fn interrupted(&self) -> Error {
        tokio::select! {
            biased;
            () = self.superseded.cancelled() => Error::Superseded,
            () = self.stopping.cancelled() => Error::Draining,
        }
    }

    /// Returns when the append must not retry a request any more.
    pub(crate) async fn retries_over(&self) {
        tokio::select! {
            () = self.superseded.cancelled() => {}
            () = self.stopping.cancelled() => {}
            () = self.ending.cancelled() => {}
        }
    }

    pub(crate) fn halt(&self) -> Halt {
        Halt { asked: self.halted.clone(), since: None }
    }
}

/// A request to halt the append ([`crate::Uploads::halt`]), and how long it has been pending.
pub(crate) struct Halt {
    asked: CancellationToken,
    since: Option<Instant>,
}

impl Halt {
    /// Returns when the append must end: nothing arrived since this was called, or the time to read on is over.
    pub(crate) async fn due(&mut self) {
        self.asked.cancelled().await;
        let since = *self.since.get_or_insert_with(Instant::now);
        tokio::time::sleep(QUIET.min(READ_ON_MAX.saturating_sub(since.elapsed()))).await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::append::part_lease::PartLease;
    use crate::append::running::RunningAppends;

    fn is_ready<T>(future: impl Future<Output = T>) -> bool {
        matches!(pin!(future).poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(_))
    }

    #[tokio::test]
    async fn each_signal_ends_what_it_should() {
        let running = RunningAppends::default();
        for (which, interrupts) in [(None, false), (Some(0), true), (Some(1), true), (Some(2), false)] {
            let guard = running.take_over("id", PartLease::new(false)).await;
            let stopping = CancellationToken::new();
            let signals = Signals::new(guard.append(), stopping.clone());
            match which {
                Some(0) => guard.append().superseded.cancel(),
                Some(1) => stopping.cancel(),
                Some(_) => signals.ending.cancel(),
                None => {}
            }
            assert_eq!(is_ready(signals.interrupted()), interrupts, "{which:?}");
            assert_eq!(is_ready(signals.retries_over()), which.is_some(), "{which:?}");
        }
    }
}
