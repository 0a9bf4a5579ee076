//! One accept loop for every service of the sandbox, with the faults between the wire and the service.
//! Invariant: a call that a fault keeps from being performed never reaches the service, and one that loses its answer does so
//! only after it was performed in full.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use s3s::service::S3Service;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt as _;

use crate::faults::{self, Due, Faults, Harm, When};
use crate::{corrupt, desk, s3, slack, unread};

/// How long requests in flight may run after a stop.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// Longer than any client keeps an idle connection, so that we never close one just as a request arrives.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(180);

/// Large enough to pass a chunk of an answer on whole; measured 10 % faster downloads than the default.
const BUFFER_MAX_BYTES: usize = 2 << 20;

/// The services of the sandbox.
#[derive(Clone)]
pub(crate) enum Service {
    S3(S3Service),
    Desk(axum::Router),
    Slack(axum::Router),
    /// The faults' own control, which has none.
    Control(axum::Router),
}

/// A running listener. Dropping it stops it too, without waiting.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: DropGuard,
    loops: JoinHandle<()>,
}

impl Server {
    /// Listens and serves until stopped.
    pub(crate) async fn start(address: SocketAddr, service: Service, faults: Faults) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let loops = tokio::spawn(accept(listener, service, faults, stop.clone()));
        Ok(Self { address, stop: stop.drop_guard(), loops })
    }

    /// Closes the listener, lets requests in flight finish within a grace period, then drops the rest.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        if let Err(error) = self.loops.await {
            tracing::error!(%error, "a listener of the sandbox failed");
        }
    }
}

async fn accept(listener: TcpListener, service: Service, faults: Faults, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, service.clone(), faults.clone(), stop.clone()));
                }
                Err(error) => {
                    // Out of file descriptors, most likely: give the connections that end a moment.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            },
        }
    }
    drop(listener);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_GRACE, all_ended).await.is_err() {
        connections.shutdown().await;
    }
}

async fn connection(stream: TcpStream, service: Service, faults: Faults, stop: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection went before it began");
        return;
    }
    let answered = service_fn(move |request| answer(service.clone(), faults.clone(), request));
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .max_buf_size(BUFFER_MAX_BYTES)
        .serve_connection(TokioIo::new(stream), answered);
    let ended = tokio::select! {
        ended = &mut connection => Some(ended),
        () = stop.cancelled() => None,
    };
    let outcome = match ended {
        Some(outcome) => outcome,
        None => {
            Pin::new(&mut connection).graceful_shutdown();
            (&mut connection).await
        }
    };
    let Err(error) = outcome else { return };
    tracing::debug!(%error, "a connection of the sandbox ended early");
    if error.is_user()
        && let Err(error) = connection.into_parts().io.into_inner().set_zero_linger()
    {
        tracing::debug!(%error, "a connection is closed instead of reset");
    }
}

/// An error that resets the connection without an answer.
type Dropped = &'static str;

const DROPPED: Dropped = "the answer is dropped on purpose";

async fn answer(
    service: Service,
    faults: Faults,
    request: Request<Incoming>,
) -> Result<Response<Body>, Dropped> {
    let Some((kind, operation)) = service.call(&request) else { return service.perform(request).await };
    let mut response = match faults.call(kind, operation) {
        None => service.perform(request).await,
        Some(due) => harmed(service, kind, &due, request).await,
    }?;
    response.headers_mut().insert(header::DATE, date());
    Ok(response)
}

/// The time of this answer (RFC 9110 section 5.6.7). The HTTP library's own stands still for as long as a clock was set back,
/// and clients of S3 sign with the time that they are told.
fn date() -> http::HeaderValue {
    let text = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    http::HeaderValue::from_str(&text).unwrap_or_else(|_| http::HeaderValue::from_static(""))
}

async fn harmed(
    service: Service,
    kind: faults::Service,
    due: &Due,
    request: Request<Incoming>,
) -> Result<Response<Body>, Dropped> {
    match due.harm() {
        Harm::Reset => {
            due.begins();
            Err(DROPPED)
        }
        Harm::Status { status, retry_after, body } => {
            due.begins();
            // Read to the end, so that the sender sees the answer rather than a broken pipe.
            let mut unread = request.into_body();
            while let Some(Ok(_)) = unread.frame().await {}
            Ok(status_answer(kind, *status, *retry_after, body.clone()))
        }
        Harm::Delay { by, when: When::Before } => {
            due.begins();
            due.wait(*by).await;
            service.perform(request).await
        }
        Harm::Delay { by, when: When::After } => {
            let response = service.perform(request).await;
            due.begins();
            due.wait(*by).await;
            response
        }
        Harm::LostAnswer => {
            let response = service.perform(request).await;
            due.begins();
            drop(response);
            Err(DROPPED)
        }
        Harm::Corrupt => {
            due.begins();
            service.perform_corrupted(request).await
        }
    }
}

fn status_answer(
    kind: faults::Service,
    status: StatusCode,
    retry_after: Option<u64>,
    body: Option<String>,
) -> Response<Body> {
    let reason = status.canonical_reason().unwrap_or("injected fault");
    let (content_type, usual) = match kind {
        faults::Service::S3 => {
            let code = match status.as_u16() {
                403 => "AccessDenied",
                404 => "NoSuchKey",
                409 => "ConditionalRequestConflict",
                412 => "PreconditionFailed",
                503 => "SlowDown",
                500.. => "InternalError",
                _ => "InvalidRequest",
            };
            ("application/xml", format!("<Error><Code>{code}</Code><Message>{reason}</Message></Error>"))
        }
        faults::Service::Desk | faults::Service::Slack => {
            ("application/json", serde_json::json!({"error": reason}).to_string())
        }
    };
    let mut response = Response::new(Body::from(body.unwrap_or(usual)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

impl Service {
    /// The service and operation of a request, as faults name them.
    fn call(&self, request: &Request<Incoming>) -> Option<(faults::Service, &'static str)> {
        let path = request.uri().path();
        match self {
            Self::S3(_) => {
                Some((faults::Service::S3, s3::operation(request.method(), request.uri(), request.headers())))
            }
            Self::Desk(_) => Some((faults::Service::Desk, desk::operation(request.method(), path))),
            Self::Slack(_) => Some((faults::Service::Slack, slack::operation(request.method(), path))),
            Self::Control(_) => None,
        }
    }

    async fn perform(self, request: Request<Incoming>) -> Result<Response<Body>, Dropped> {
        match self {
            Self::S3(service) => s3_answer(service, request.map(Body::new)).await,
            Self::Desk(router) | Self::Slack(router) | Self::Control(router) => {
                Ok(routed(router, request.map(Body::new)).await)
            }
        }
    }

    async fn perform_corrupted(self, request: Request<Incoming>) -> Result<Response<Body>, Dropped> {
        match self {
            Self::S3(service) if request.method() == http::Method::GET => {
                let response = s3_answer(service, request.map(Body::new)).await?;
                Ok(response.map(|body| Body::new(corrupt::OneByte::new(body))))
            }
            Self::S3(service) => {
                let damaged = |body| Body::new(corrupt::OneByte::new(Body::new(body)));
                s3_answer(service, request.map(damaged)).await
            }
            other => {
                drop(other.perform(request).await?);
                Ok(Response::new(Body::from("\u{fffd}{\"garbage\":")))
            }
        }
    }
}

async fn s3_answer(service: S3Service, request: Request<Body>) -> Result<Response<Body>, Dropped> {
    let (head, body) = request.into_parts();
    let (body, unread) = unread::lend(body);
    match service.call(Request::from_parts(head, s3s::Body::http_body_unsync(body))).await {
        Ok(response) => {
            if response.status().is_client_error() || response.status().is_server_error() {
                unread.read().await;
            }
            Ok(response.map(Body::new))
        }
        Err(error) => {
            tracing::error!(?error, "the S3 server could not answer");
            Err(DROPPED)
        }
    }
}

async fn routed(router: axum::Router, request: Request<Body>) -> Response<Body> {
    let Ok(response) = router.oneshot(request).await.map_err(|never: Infallible| match never {});
    response
}
