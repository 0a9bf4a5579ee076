//! Puts the gateway together, accepts connections, and stops in order: first not ready, then no new connections, then
//! wait for what is under way.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::routing::get;
use bucket::{Bucket, Buckets};
use delivery::Delivery;
use desk::Desk;
use ledger::{ClockWatch, InstanceLock, Ledger};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::app::{App, IDLE_UPLOAD, Parts};
use crate::config::{Config, Server};
use crate::listen::{self, Listen};
use crate::rate::{Absent, Rates};
use crate::tls::Tls;
use crate::{descriptors, examine, observe, ops};

/// How often leftovers are cleared and abandoned uploads ended.
const SWEEP_EVERY: Duration = Duration::from_secs(5 * 60);
/// How often the buckets are looked through for what the ledger does not know. A listing is paid for by the page of 1,000
/// keys, and shows nothing that would not be there hours later.
const LOOK_EVERY: Duration = Duration::from_secs(6 * 60 * 60);
/// How long a start waits for uploads that were being published.
const RECOVER_AT_START: Duration = Duration::from_secs(10);
/// Whoever collects metrics and asks for health needs a few.
const METRICS_CONNECTIONS_MAX: usize = 64;
/// How soon what is under way ends when another process revokes its link. The bytes of it are refused at once.
const STOP_EVERY: Duration = Duration::from_secs(2);
/// How often other gateways on the ledger are told what is worked on here: often within [`IDLE_UPLOAD`].
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(2);
/// How often uploads that nobody works on are looked for.
const RECOVER_EVERY: Duration = Duration::from_secs(15);

/// Of the time that a stop may take, so much is for storing what came of uploads that do not end by themselves.
const KEEP_TIME_MAX: Duration = Duration::from_secs(10);

/// A gateway that is accepting requests.
pub(crate) struct Running {
    pub(crate) app: App,
    stop: CancellationToken,
    tasks: TaskTracker,
    _hold: InstanceLock,
    _alive: AbortOnDropHandle<()>,
}

/// Opens the ledger and brings it up to date with the configuration's partners.
pub(crate) async fn open_ledger(config: &Config) -> anyhow::Result<Ledger> {
    let ledger = Ledger::open(config.ledger_url.reveal())
        .await
        .with_context(|| format!("open ledger {}", config.ledger_url))?;
    ledger.migrate().await.context("bring ledger up to date")?;
    for (id, partner) in &config.partners {
        ledger.put_partner(id, &partner.name, partner.organization_id).await.context("record partner")?;
    }
    Ok(ledger)
}

/// Prepares a client for each bucket.
pub(crate) async fn open_buckets(config: &Config) -> Buckets {
    let shared = Bucket::new(config.support_uploader.clone()).await;
    let mut partners = std::collections::BTreeMap::new();
    for (id, partner) in &config.partners {
        if let Some(own) = &partner.bucket {
            partners.insert(id.clone(), Bucket::new(own.clone()).await);
        }
    }
    Buckets::new(shared, partners)
}

/// The engine over this ledger and these buckets.
pub(crate) fn engine(
    config: &Config,
    ledger: &Ledger,
    buckets: &Buckets,
    completed: Arc<Notify>,
) -> upload::Uploads {
    let limits = upload::Limits {
        memory_bytes: config.limits.memory_bytes,
        max_upload_bytes: config.limits.max_upload_bytes,
        ticket_attachment_bytes: config.limits.ticket_attachment_bytes,
        link_open_uploads_max: config.limits.link_open_uploads,
        link_unfinished_bytes_max: config.limits.link_unfinished_bytes,
        resume_window: config.limits.resume_window,
        storage_wait: config.limits.storage_wait,
    };
    upload::Uploads::new(ledger.clone(), buckets.clone(), limits, completed)
}

/// Starts everything; returns when requests are accepted on `listener`.
pub(crate) async fn start(
    config: &Config,
    listener: TcpListener,
    public_url: String,
) -> anyhow::Result<Running> {
    let metrics = observe::metrics::install()?;
    descriptors::provide(config.server.max_connections);
    let tls = config.server.tls.as_ref().map(|(chain, key)| Tls::open(chain, key)).transpose()?;
    let hold = InstanceLock::acquire(config.ledger_url.reveal())
        .await
        .with_context(|| format!("hold ledger {}", config.ledger_url))?;
    let ledger = open_ledger(config).await?;
    let buckets = open_buckets(config).await;
    let desk = Desk::new(config.desk.clone()).context("prepare desk")?;
    let completed = Arc::new(Notify::new());
    let uploads = engine(config, &ledger, &buckets, Arc::clone(&completed));
    let hold = take_up(&ledger, &uploads, hold).await?;
    let resume_window = config.limits.resume_window;
    let unexamined = examine::all(&buckets, resume_window).await;
    let delivery = Delivery::new(
        ledger.clone(),
        buckets.clone(),
        desk.clone(),
        delivery::Config {
            attachments_public: config.attachments_public,
            ..delivery::Config::new(public_url.clone())
        },
    );
    let app = App::new(Parts {
        ledger,
        buckets,
        desk,
        uploads,
        limits: config.limits.clone(),
        requests: Rates::default(),
        lookups: Rates::default(),
        absent: Absent::default(),
        public_url,
        trusted_proxies: config.server.trusted_proxies.clone(),
        draining: false.into(),
        ledger_refuses: false.into(),
        ledger_file: ledger::file(config.ledger_url.reveal()).map(ToOwned::to_owned),
    });
    let running = Running {
        app: app.clone(),
        stop: CancellationToken::new(),
        tasks: TaskTracker::new(),
        _hold: hold,
        _alive: keep_alive(app.uploads.clone()),
    };
    let stop = &running.stop;
    running.tasks.spawn({
        let stop = stop.clone();
        async move { delivery.run(completed, stop).await }
    });
    running.tend();
    running.tasks.spawn(examine::again(unexamined, resume_window, stop.clone()));
    if let Some(address) = config.server.metrics_listen {
        let metrics_listener = listen::bind(address).with_context(|| format!("listen on {address}"))?;
        running.tasks.spawn(serve_metrics(&app, metrics, stop).run(metrics_listener));
    }
    if let Some(tls) = &tls {
        running.tasks.spawn(tls.clone().keep_fresh(stop.clone()));
    }
    running.tasks.spawn(serve_everybody(&app, &config.server, tls, stop).run(listener));
    Ok(running)
}

impl Running {
    /// Begins what goes on beside the requests.
    fn tend(&self) {
        let (app, stop) = (&self.app, &self.stop);
        self.tasks.spawn(housekeeping(app.clone(), stop.clone()));
        self.tasks.spawn(ops::try_ledger(app.clone(), stop.clone()));
        self.tasks.spawn(look(app.clone(), stop.clone()));
    }

    /// Stops in order: whoever sends requests here hears of it first, then what is under way has the drain time. Says
    /// whether everything ended in time.
    pub(crate) async fn stop(self) -> bool {
        self.app.draining.store(true, Ordering::Relaxed);
        tokio::time::sleep(self.app.limits.drain_notice).await;
        self.stop.cancel();
        self.tasks.close();
        let mut wait = std::pin::pin!(async {
            self.tasks.wait().await;
            self.app.uploads.drain().await;
        });
        let drain_time = self.app.limits.drain_time;
        let keep_time = KEEP_TIME_MAX.min(drain_time / 2);
        let mut in_time = tokio::time::timeout(drain_time - keep_time, &mut wait).await.is_ok();
        if !in_time {
            // What came is stored, and its senders are told where to go on.
            self.app.uploads.stop();
            in_time = tokio::time::timeout(keep_time, &mut wait).await.is_ok();
        }
        self.app.ledger.close().await;
        in_time
    }
}

/// Takes up what was left unfinished. Of a gateway that is alone nothing runs yet: all of it belongs to one that is gone.
/// Where others run, it may be theirs, and housekeeping takes what stands still.
async fn take_up(
    ledger: &Ledger,
    uploads: &upload::Uploads,
    hold: InstanceLock,
) -> anyhow::Result<InstanceLock> {
    ledger.correct_future_times().await.context("bring back what a wrong clock put off")?;
    if hold.is_alone() {
        ledger.release_claims().await.context("release claims")?;
        // A bucket that hangs does not hold the start up: housekeeping goes on with what is left.
        if let Ok(recovered) = tokio::time::timeout(RECOVER_AT_START, uploads.recover(Duration::ZERO)).await {
            recovered.context("recover uploads")?;
        }
    }
    hold.share().await.context("share ledger")
}

/// Tells other gateways what is under way here, until it is dropped: also while this one drains.
fn keep_alive(uploads: upload::Uploads) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut beat = tokio::time::interval(KEEP_ALIVE_EVERY);
        loop {
            beat.tick().await;
            if let Err(error) = uploads.keep_alive().await {
                tracing::warn!(error = %error, "keep uploads alive");
            }
        }
    }))
}

/// How the public address is served.
fn serve_everybody(app: &App, server: &Server, tls: Option<Tls>, stop: &CancellationToken) -> Listen {
    Listen {
        router: app.router(),
        tls,
        connections_max: server.max_connections,
        connections_per_address: server.connections_per_address,
        proxies: server.trusted_proxies.clone(),
        budget: Some(app.uploads.budget().clone()),
        limits: app.limits.clone(),
        stop: stop.clone(),
    }
}

/// How operators are served: plain, on an address of their own.
fn serve_metrics(app: &App, handle: PrometheusHandle, stop: &CancellationToken) -> Listen {
    let metrics = get(ops::metrics).with_state((app.clone(), handle));
    // Also here, where no stranger can be in the way.
    let health = Router::new().route("/healthz", get(ops::healthz)).route("/readyz", get(ops::readyz));
    Listen {
        router: Router::new().route("/metrics", metrics).merge(health.with_state(app.clone())),
        tls: None,
        connections_max: METRICS_CONNECTIONS_MAX,
        connections_per_address: METRICS_CONNECTIONS_MAX,
        proxies: Vec::new(),
        budget: None,
        limits: app.limits.clone(),
        stop: stop.clone(),
    }
}

/// Ends what nobody works on and clears what is left of it, again and again.
async fn housekeeping(app: App, stop: CancellationToken) {
    let (mut recover, mut sweep) = (tokio::time::interval(RECOVER_EVERY), tokio::time::interval(SWEEP_EVERY));
    let mut withdrawn = tokio::time::interval(STOP_EVERY);
    let (mut clock, mut set_back) = (ClockWatch::begin(), false);
    loop {
        set_back |= clock.was_set_back();
        if set_back {
            match app.ledger.correct_future_times().await {
                Ok(times) => {
                    set_back = false;
                    tracing::warn!(times, "the clock was set back; what it had put off too far is due");
                }
                Err(error) => tracing::warn!(error = %error, "bring back what a wrong clock put off"),
            }
        }
        let done: Result<(), upload::Error> = tokio::select! {
            () = stop.cancelled() => return,
            _ = withdrawn.tick() => app.uploads.cancel_revoked().await,
            _ = recover.tick() => app.uploads.recover(IDLE_UPLOAD).await,
            _ = sweep.tick() => app.uploads.sweep_ended(false).await.map(drop),
        };
        if let Err(error) = done {
            tracing::warn!(error = %error, "keep house");
        }
    }
}

/// Looks through the buckets at the start and then now and again, beside everything else: a listing may take long.
async fn look(app: App, stop: CancellationToken) {
    let mut every = tokio::time::interval(LOOK_EVERY);
    let look = async {
        loop {
            every.tick().await;
            match app.uploads.find_leaks().await {
                Ok(swept) => observe::metrics::tell_leaks(&swept.leaks),
                Err(error) => tracing::warn!(error = %error, "look through the buckets"),
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
