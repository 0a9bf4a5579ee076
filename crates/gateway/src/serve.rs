//! Runs the gateway: starts its parts, and stops them in order. First it reports not ready, then it accepts no more
//! connections, then it waits for running requests.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use access::RateLimiter;
use anyhow::Context as _;
use delivery::Delivery;
use desk::Desk;
use ledger::{ClockWatch, InstanceLock, Ledger};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::config::{Config, Server};
use crate::http::listener::{self, Listener};
use crate::http::tls::Tls;
use crate::state::{AppState, Shared};
use crate::telemetry::{health, metrics};
use crate::{bucket_checks, file_descriptors, router, startup};

/// An upload that nobody has worked on for this long is cancelled or completed.
const IDLE_UPLOAD: Duration = Duration::from_secs(60);
/// How often ended uploads are cleared.
const SWEEP_EVERY: Duration = Duration::from_secs(5 * 60);
/// How often the buckets are searched for objects that are not in the ledger. Listing costs money per page of 1,000 keys, and
/// finds nothing that would not be there hours later.
const LOOK_EVERY: Duration = Duration::from_secs(6 * 60 * 60);
/// How long a start waits for the recovery of uploads.
const RECOVER_AT_START: Duration = Duration::from_secs(10);
const METRICS_CONNECTIONS_MAX: usize = 64;
/// How soon running uploads end when another process revokes their link. Their bytes are refused at once.
const STOP_EVERY: Duration = Duration::from_secs(2);
/// How often this gateway marks its uploads as alive in the ledger: many times within [`IDLE_UPLOAD`].
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(2);
/// How often abandoned uploads are recovered.
const RECOVER_EVERY: Duration = Duration::from_secs(15);

/// The part of the drain time that is for storing received bytes of uploads that do not end by themselves.
const KEEP_TIME_MAX: Duration = Duration::from_secs(10);

pub(crate) struct Running {
    pub(crate) state: AppState,
    stop: CancellationToken,
    tasks: TaskTracker,
    _hold: InstanceLock,
    _alive: AbortOnDropHandle<()>,
}

/// Starts everything. Returns when requests are accepted on `listener`.
pub(crate) async fn start(
    config: &Config,
    listener: TcpListener,
    public_url: String,
) -> anyhow::Result<Running> {
    let handle = metrics::install()?;
    file_descriptors::raise_limit(config.server.max_connections);
    let tls = config.server.tls.as_ref().map(|(chain, key)| Tls::open(chain, key)).transpose()?;
    let hold = InstanceLock::acquire(config.ledger_url.reveal())
        .await
        .with_context(|| format!("hold ledger {}", config.ledger_url))?;
    let ledger = startup::open_ledger(config).await?;
    let buckets = startup::open_buckets(config).await;
    let desk = Desk::new(config.desk.clone()).context("prepare desk")?;
    let completed = Arc::new(Notify::new());
    let uploads = startup::engine(config, &ledger, &buckets, Arc::clone(&completed));
    let hold = recover(&ledger, &uploads, hold).await?;
    let resume_window = config.limits.resume_window;
    let unexamined = bucket_checks::examine_all(&buckets, resume_window).await;
    let tickets = startup::tickets(config, &ledger, &desk);
    let hooks = startup::hooks(config)?;
    let jobs = delivery::Config {
        attachments_public: config.attachments_public,
        link_life: config.limits.link_expiry,
        ..delivery::Config::new(public_url.clone())
    };
    let slack = hooks.slack.clone();
    let delivery = Delivery::new(ledger.clone(), buckets.clone(), desk.clone(), tickets.clone(), slack, jobs);
    let state = AppState::new(Shared {
        tickets,
        hooks,
        wake: Arc::clone(&completed),
        ledger,
        buckets,
        desk,
        uploads,
        limits: config.limits.clone(),
        requests: RateLimiter::default(),
        public_url,
        trusted_proxies: config.server.trusted_proxies.clone(),
        draining: false.into(),
        ledger_refuses: false.into(),
        ledger_file: ledger::file(config.ledger_url.reveal()).map(ToOwned::to_owned),
    });
    let running = Running {
        state: state.clone(),
        stop: CancellationToken::new(),
        tasks: TaskTracker::new(),
        _hold: hold,
        _alive: keep_alive(state.uploads.clone()),
    };
    let stop = &running.stop;
    running.tasks.spawn({
        let stop = stop.clone();
        async move { delivery.run(completed, stop).await }
    });
    running.start_background_tasks();
    running.follow_tickets(config);
    running.tasks.spawn(bucket_checks::retry(unexamined, resume_window, stop.clone()));
    if let Some(address) = config.server.metrics_listen {
        let metrics_listener = listener::bind(address).with_context(|| format!("listen on {address}"))?;
        running.tasks.spawn(operators_listener(&state, handle, stop).run(metrics_listener));
    }
    if let Some(tls) = &tls {
        running.tasks.spawn(tls.clone().keep_fresh(stop.clone()));
    }
    running.tasks.spawn(public_listener(&state, &config.server, tls, stop).run(listener));
    Ok(running)
}

impl Running {
    /// Asks the desk which tickets have changed, and looks for files whose time is over and for objects that partners put into
    /// their own buckets.
    fn follow_tickets(&self, config: &Config) {
        let (ledger, desk, stop) = (&self.state.ledger, &self.state.desk, &self.stop);
        self.tasks.spawn(delivery::poll(ledger.clone(), desk.clone(), config.poll_every, stop.clone()));
        let (tickets, every) = (self.state.tickets.clone(), config.retention.check_every);
        self.tasks.spawn(delivery::retention(ledger.clone(), tickets, every, stop.clone()));
        let (buckets, every) = (self.state.buckets.clone(), config.limits.watch_buckets_every);
        self.tasks.spawn(delivery::watch_buckets(ledger.clone(), buckets, desk.clone(), every, stop.clone()));
    }

    fn start_background_tasks(&self) {
        let (state, stop) = (&self.state, &self.stop);
        self.tasks.spawn(housekeeping(state.clone(), stop.clone()));
        self.tasks.spawn(health::try_ledger(state.clone(), stop.clone()));
        self.tasks.spawn(look(state.clone(), stop.clone()));
    }

    /// Load balancers learn of the stop first, then running requests have the drain time. Returns whether everything ended in
    /// time.
    pub(crate) async fn stop(self) -> bool {
        self.state.draining.store(true, Ordering::Relaxed);
        tokio::time::sleep(self.state.limits.drain_notice).await;
        self.stop.cancel();
        self.tasks.close();
        let mut wait = std::pin::pin!(async {
            self.tasks.wait().await;
            self.state.uploads.drain().await;
        });
        let drain_time = self.state.limits.drain_time;
        let keep_time = KEEP_TIME_MAX.min(drain_time / 2);
        let mut in_time = tokio::time::timeout(drain_time - keep_time, &mut wait).await.is_ok();
        if !in_time {
            // Received bytes are stored, and senders are told where to resume.
            self.state.uploads.stop();
            in_time = tokio::time::timeout(keep_time, &mut wait).await.is_ok();
        }
        self.state.ledger.close().await;
        in_time
    }
}

/// Recovers unfinished uploads. If this gateway is alone on the ledger, all of them belong to one that is gone. Otherwise they
/// may be another's, and housekeeping recovers those that stand still.
async fn recover(
    ledger: &Ledger,
    uploads: &upload::Uploads,
    hold: InstanceLock,
) -> anyhow::Result<InstanceLock> {
    ledger.correct_future_times().await.context("cannot correct the times that a wrong clock wrote")?;
    if hold.is_alone() {
        ledger.release_claims().await.context("release claims")?;
        // A bucket that hangs does not delay the start: housekeeping recovers the rest.
        if let Ok(recovered) = tokio::time::timeout(RECOVER_AT_START, uploads.recover(Duration::ZERO)).await {
            recovered.context("recover uploads")?;
        }
    }
    hold.share().await.context("share ledger")
}

/// Marks running uploads as alive until this is dropped, even while draining.
fn keep_alive(uploads: upload::Uploads) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut beat = tokio::time::interval(KEEP_ALIVE_EVERY);
        loop {
            beat.tick().await;
            if let Err(error) = uploads.keep_alive().await {
                tracing::warn!(error = %error, "marking uploads as alive failed");
            }
        }
    }))
}

fn public_listener(
    state: &AppState,
    server: &Server,
    tls: Option<Tls>,
    stop: &CancellationToken,
) -> Listener {
    Listener {
        router: router::public(state),
        tls,
        connections_max: server.max_connections,
        connections_per_address: server.connections_per_address,
        proxies: server.trusted_proxies.clone(),
        budget: Some(state.uploads.budget().clone()),
        limits: state.limits.clone(),
        stop: stop.clone(),
    }
}

/// Plain HTTP, on an address of its own.
fn operators_listener(state: &AppState, handle: PrometheusHandle, stop: &CancellationToken) -> Listener {
    Listener {
        router: router::operators(state, handle),
        tls: None,
        connections_max: METRICS_CONNECTIONS_MAX,
        connections_per_address: METRICS_CONNECTIONS_MAX,
        proxies: Vec::new(),
        budget: None,
        limits: state.limits.clone(),
        stop: stop.clone(),
    }
}

/// Recovers abandoned uploads and clears ended ones, again and again.
async fn housekeeping(state: AppState, stop: CancellationToken) {
    let (mut recover, mut sweep) = (tokio::time::interval(RECOVER_EVERY), tokio::time::interval(SWEEP_EVERY));
    let mut withdrawn = tokio::time::interval(STOP_EVERY);
    let (mut clock, mut set_back) = (ClockWatch::begin(), false);
    loop {
        set_back |= clock.was_set_back();
        if set_back {
            match state.ledger.correct_future_times().await {
                Ok(times) => {
                    set_back = false;
                    tracing::warn!(times, "the clock was set back; jobs that it had postponed are due");
                }
                Err(error) => {
                    tracing::warn!(error = %error, "cannot correct the times that a wrong clock wrote")
                }
            }
        }
        let done: Result<(), upload::Error> = tokio::select! {
            () = stop.cancelled() => return,
            _ = withdrawn.tick() => state.uploads.cancel_revoked().await,
            _ = recover.tick() => state.uploads.recover(IDLE_UPLOAD).await,
            _ = sweep.tick() => match state.ledger.forget_repetitions().await {
                Ok(()) => state.uploads.sweep_ended(false).await.map(drop),
                Err(error) => Err(error.into()),
            },
        };
        if let Err(error) = done {
            tracing::warn!(error = %error, "housekeeping failed");
        }
    }
}

/// Searches the buckets at the start and every few hours. Listing may take long.
async fn look(state: AppState, stop: CancellationToken) {
    let mut every = tokio::time::interval(LOOK_EVERY);
    let look = async {
        loop {
            every.tick().await;
            match state.uploads.find_leaks().await {
                Ok(swept) => metrics::report_leaks(&swept.leaks),
                Err(error) => tracing::warn!(error = %error, "searching the buckets failed"),
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = Box::pin(look) => {}
    }
}

/// Resolves at SIGTERM or Ctrl-C.
pub(crate) fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
