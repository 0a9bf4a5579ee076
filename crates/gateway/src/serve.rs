//! Puts the gateway together, accepts connections, and stops in order: first not ready, then no new connections, then
//! wait for what is under way.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use bucket::{Bucket, Buckets};
use delivery::Delivery;
use desk::Desk;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use ledger::Ledger;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::{App, IDLE_UPLOAD, Parts};
use crate::config::Config;
use crate::ops;

/// Largest request head, bytes; a larger one is answered 431. Also what a connection may buffer outside of the budget:
/// as fast as larger ones, and `max_connections` of them stay small.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// How often leftovers are cleared and abandoned uploads ended.
const SWEEP_EVERY: Duration = Duration::from_secs(5 * 60);
/// How long a start waits for uploads that were being published.
const RECOVER_AT_START: Duration = Duration::from_secs(10);
const RECOVER_EVERY: Duration = Duration::from_secs(15);
/// After an error of `accept` (no descriptors left, say), wait before the next: the error comes at once again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A gateway that is accepting requests.
pub(crate) struct Running {
    pub(crate) app: App,
    stop: CancellationToken,
    tasks: TaskTracker,
    _hold: ledger::Hold,
}

/// Opens the ledger and brings it up to date with the configuration's partners.
pub(crate) async fn open_ledger(config: &Config) -> anyhow::Result<Ledger> {
    let ledger = Ledger::open(&config.ledger_url)
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
    };
    upload::Uploads::new(ledger.clone(), buckets.clone(), limits, completed)
}

/// Starts everything; returns when requests are accepted on `listener`.
pub(crate) async fn start(
    config: &Config,
    listener: TcpListener,
    public_url: String,
) -> anyhow::Result<Running> {
    let metrics = ops::install_metrics()?;
    let hold =
        Ledger::hold(&config.ledger_url).with_context(|| format!("hold ledger {}", config.ledger_url))?;
    let ledger = open_ledger(config).await?;
    let buckets = open_buckets(config).await;
    let desk = Desk::new(config.desk.clone()).context("prepare desk")?;
    let completed = Arc::new(Notify::new());
    let uploads = engine(config, &ledger, &buckets, Arc::clone(&completed));
    // Nothing runs yet: whatever is unfinished belongs to a process that is gone. A bucket that hangs does not hold the
    // start up: housekeeping goes on with what is left.
    if let Ok(recovered) = tokio::time::timeout(RECOVER_AT_START, uploads.recover(Duration::ZERO)).await {
        recovered.context("recover uploads")?;
    }
    ledger.release_claims().await.context("release claims")?;
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
        public_url,
        draining: false.into(),
    });
    let running =
        Running { app: app.clone(), stop: CancellationToken::new(), tasks: TaskTracker::new(), _hold: hold };
    let stop = &running.stop;
    running.tasks.spawn({
        let stop = stop.clone();
        async move { delivery.run(completed, stop).await }
    });
    running.tasks.spawn(housekeeping(app.clone(), stop.clone()));
    if let Some(address) = config.server.metrics_listen {
        let metrics_listener =
            TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
        running.tasks.spawn(accept(
            metrics_listener,
            metrics_router(app.clone(), metrics),
            app.clone(),
            64,
            stop.clone(),
        ));
    }
    running.tasks.spawn(accept(listener, app.router(), app, config.server.max_connections, stop.clone()));
    Ok(running)
}

impl Running {
    /// Stops in order, within the drain time. Says whether everything ended in time.
    pub(crate) async fn stop(self) -> bool {
        self.app.draining.store(true, Ordering::Relaxed);
        self.stop.cancel();
        self.tasks.close();
        let wait = async {
            self.tasks.wait().await;
            self.app.uploads.drain().await;
        };
        let in_time = tokio::time::timeout(self.app.limits.drain_time, wait).await.is_ok();
        self.app.ledger.close().await;
        in_time
    }
}

fn metrics_router(app: App, handle: PrometheusHandle) -> Router {
    Router::new().route("/metrics", axum::routing::get(ops::metrics)).with_state((app, handle))
}

/// Serves connections until `stop`, then lets those under way end.
async fn accept(
    listener: TcpListener,
    router: Router,
    app: App,
    connections_max: usize,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS)));
    let graceful = GracefulShutdown::new();
    let header_timeout = app.limits.header_timeout;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept_one(&listener, &places) => accepted,
        };
        let Some((stream, place)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(header_timeout)
            // A client that has sent everything and shut its side down still gets its answer.
            .half_close(true)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %error, "connection ended");
            }
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

async fn accept_one(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(error) => {
            tracing::warn!(error = %error, "accept connection");
            None
        }
    }
}

/// Ends what nobody works on and clears what is left of it, again and again.
async fn housekeeping(app: App, stop: CancellationToken) {
    let (mut recover, mut sweep) = (tokio::time::interval(RECOVER_EVERY), tokio::time::interval(SWEEP_EVERY));
    loop {
        let done: Result<(), upload::Error> = tokio::select! {
            () = stop.cancelled() => return,
            _ = recover.tick() => app.uploads.recover(IDLE_UPLOAD).await,
            _ = sweep.tick() => app.uploads.sweep(false).await.map(|swept| {
                metrics::gauge!("weighbridge_foreign_multipart_uploads").set(u32::try_from(swept.foreign).unwrap_or(u32::MAX));
            }),
        };
        if let Err(error) = done {
            tracing::warn!(error = %error, "keep house");
        }
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
