//! A small S3 server in memory. It knows less than AWS does, where a test wants that, and records every request. On the same
//! port it plays STS, the credentials of instances and containers, and SSO. For benchmarks it throws large bodies away.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

mod credentials;
mod operations;

pub(crate) use operations::operation;

/// The path where a store that discards reports how many bytes of objects were read.
pub const READ_BYTES: &str = "/read-bytes";
/// A store that discards keeps bodies up to this size: receipts and probes, never content that is measured.
const KEPT_BYTES_MAX: usize = 64 << 10;
const TAIL_BYTES_MAX: usize = 64 << 20;

/// Which checksums a store checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checking {
    /// CRC-64/NVME of parts and of the whole, as AWS.
    Whole,
    /// CRC-64/NVME of parts. Ignores the claims of a completion, and keeps none.
    Parts,
    /// `Content-MD5`. Refuses any `x-amz-checksum-…`.
    Md5,
    Nothing,
}

/// How a store differs from AWS.
#[derive(Debug, Clone)]
pub struct Quirks {
    pub checking: Checking,
    /// Whether `If-None-Match: *` works.
    pub conditional: bool,
    /// The lifecycle configuration as XML; none: 404.
    pub lifecycle: Option<String>,
    /// Whether versions are kept.
    pub versioned: bool,
    /// The bucket's region, if it is another than the one asked.
    pub elsewhere: Option<&'static str>,
    /// Operations that are answered 403.
    pub denied: &'static [&'static str],
    /// The lifetimes of the credentials that STS gives, in turn; the last one repeats.
    pub sessions: Vec<Duration>,
    /// STS wants this external id.
    pub external_id: Option<&'static str>,
    /// Drops large bodies as they arrive, believes their checksums and records no request: it costs as little as it can.
    pub discards: bool,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            checking: Checking::Whole,
            conditional: true,
            lifecycle: Some(abort_after(7)),
            versioned: false,
            elsewhere: None,
            denied: &[],
            sessions: vec![Duration::from_secs(3600)],
            external_id: None,
            discards: false,
        }
    }
}

/// A lifecycle configuration that aborts incomplete multipart uploads.
pub fn abort_after(days: u32) -> String {
    format!(
        "<LifecycleConfiguration><Rule><ID>a</ID><Status>Enabled</Status><Filter><Prefix></Prefix></Filter>\
         <AbortIncompleteMultipartUpload><DaysAfterInitiation>{days}</DaysAfterInitiation>\
         </AbortIncompleteMultipartUpload></Rule></LifecycleConfiguration>"
    )
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct RecordedRequest {
    /// The operation, by S3's or STS's name.
    pub operation: String,
    /// Path with query.
    pub target: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Bytes,
    /// Bytes of the body, including dropped ones.
    size: u64,
}

impl RecordedRequest {
    /// Empty if it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The access key ID in the signature.
    pub fn key_id(&self) -> &str {
        let signed = self.header("authorization");
        signed.split_once("Credential=").and_then(|(_, rest)| rest.split('/').next()).unwrap_or_default()
    }

    /// The fields of a form, or of the query.
    pub fn fields(&self) -> BTreeMap<String, String> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        let body = String::from_utf8_lossy(&self.body);
        let text = if self.body.is_empty() { query } else { &body };
        let url = reqwest::Url::parse(&format!("http://fields/?{text}")).unwrap();
        url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
    }
}

/// A running store; dropping it stops it.
pub struct QuirkyS3 {
    /// `http://127.0.0.1:PORT`, or https.
    pub url: String,
    shared: Arc<Shared>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Shared {
    quirks: Quirks,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    asked: Vec<RecordedRequest>,
    objects: BTreeMap<String, Kept>,
    uploads: BTreeMap<String, Unfinished>,
    /// By ID: the path, and whether it is a version or a delete marker.
    versions: BTreeMap<String, (String, &'static str)>,
    counter: u64,
    sessions: usize,
    /// Bytes of objects that were read.
    read_bytes: u64,
}

/// An object or a part.
#[derive(Clone)]
struct Kept {
    /// Empty where they were dropped.
    bytes: Bytes,
    size: u64,
    etag: String,
    crc64: Option<String>,
    metadata: Vec<(String, String)>,
}

struct Unfinished {
    path: String,
    parts: BTreeMap<u32, Kept>,
    metadata: Vec<(String, String)>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QuirkyS3 {
    /// Starts one with plain HTTP.
    pub fn start(quirks: Quirks) -> Self {
        Self::start_with(quirks, None)
    }

    /// Starts one with TLS for `localhost`; also returns the PEM certificate of its authority.
    pub fn start_tls(quirks: Quirks) -> (Self, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        (Self::start_with(quirks, Some(Arc::new(config).into())), made.cert.pem())
    }

    fn start_with(quirks: Quirks, tls: Option<TlsAcceptor>) -> Self {
        let shared = Arc::new(Shared { quirks, state: Mutex::default() });
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let served = Arc::clone(&shared);
        let is_tls = tls.is_some();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
                tell.send(listener.local_addr().unwrap().port()).unwrap();
                tokio::select! {
                    _ = stopped => {}
                    () = accept(listener, served, tls) => {}
                }
            });
        });
        let port = told.recv().unwrap();
        let url =
            if is_tls { format!("https://localhost:{port}") } else { format!("http://127.0.0.1:{port}") };
        Self { url, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.shared.state().asked.clone()
    }

    /// All requests for this operation so far.
    pub fn requests_for(&self, operation: &str) -> Vec<RecordedRequest> {
        self.requests().into_iter().filter(|asked| asked.operation == operation).collect()
    }

    /// The paths of objects and unfinished uploads: `/BUCKET/KEY`, `unfinished /BUCKET/KEY`.
    pub fn left(&self) -> Vec<String> {
        let state = self.shared.state();
        let unfinished = state.uploads.values().map(|upload| format!("unfinished {}", upload.path));
        state.objects.keys().cloned().chain(unfinished).collect()
    }

    /// The IDs of the versions and delete markers whose path contains this.
    pub fn versions(&self, part: &str) -> Vec<String> {
        let state = self.shared.state();
        state.versions.iter().filter(|(_, (path, _))| path.contains(part)).map(|(id, _)| id.clone()).collect()
    }

    /// The bytes of the object at `/BUCKET/KEY`.
    pub fn object(&self, path: &str) -> Option<Bytes> {
        self.shared.state().objects.get(path).map(|kept| kept.bytes.clone())
    }
}

/// Serves a store that discards until the task ends.
pub async fn serve_discarding(listener: TcpListener) {
    let quirks = Quirks { lifecycle: None, discards: true, ..Quirks::default() };
    accept(listener, Arc::new(Shared { quirks, state: Mutex::default() }), None).await;
}

impl Drop for QuirkyS3 {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, tls: Option<TlsAcceptor>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (shared, tls) = (Arc::clone(&shared), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => serve(stream, shared).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, shared).await;
                    }
                }
            }
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, shared: Arc<Shared>) {
    let answered = service_fn(move |request: http::Request<Incoming>| {
        let shared = Arc::clone(&shared);
        async move {
            let (head, body) = request.into_parts();
            let Ok((body, size)) = receive(&shared.quirks, &head, body).await else {
                return Ok(plain(400, ""));
            };
            Ok::<_, Infallible>(answer(&shared, &head, body, size))
        }
    });
    // Clients may disconnect.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answered).await;
}

/// The body and its size. Where the store discards, only a small body is kept.
async fn receive(quirks: &Quirks, head: &Parts, mut body: Incoming) -> Result<(Bytes, u64), hyper::Error> {
    if !quirks.discards || head.method == Method::POST {
        let bytes = body.collect().await?.to_bytes();
        let size = bytes.len() as u64;
        return Ok((bytes, size));
    }
    // Pieces of tails are read back.
    let is_tail = head.uri.path().contains("/.weighbridge/");
    let kept_bytes_max = if is_tail { TAIL_BYTES_MAX } else { KEPT_BYTES_MAX };
    let (mut kept, mut size) = (Some(Vec::new()), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        size += data.len() as u64;
        kept = kept.filter(|kept| kept.len() + data.len() <= kept_bytes_max).map(|mut kept: Vec<u8>| {
            kept.extend_from_slice(&data);
            kept
        });
    }
    // An aws-chunked body carries signatures between its bytes, so its length differs, and it cannot be kept as it is.
    let decoded = head.headers.get("x-amz-decoded-content-length");
    match decoded.and_then(|length| length.to_str().ok()?.parse().ok()) {
        Some(decoded) => Ok((Bytes::new(), decoded)),
        None => Ok((kept.unwrap_or_default().into(), size)),
    }
}

fn answer(shared: &Shared, head: &Parts, body: Bytes, size: u64) -> Response<Full<Bytes>> {
    let target = head.uri.path_and_query().map_or("", |target| target.as_str()).to_owned();
    let headers: BTreeMap<_, _> = head
        .headers
        .iter()
        .map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    let mut asked = RecordedRequest { operation: String::new(), target, headers, body, size };
    let convention = credentials::operation(&head.method, &asked);
    asked.operation = match &convention {
        Some(name) => name.clone(),
        None => operation(&head.method, &asked.target).to_owned(),
    };
    let mut state = shared.state();
    if shared.quirks.discards && asked.target == READ_BYTES {
        return plain(200, &state.read_bytes.to_string());
    }
    if !shared.quirks.discards {
        state.asked.push(asked.clone());
    }
    match convention {
        Some(_) => credentials::answer(&shared.quirks, &mut state, &asked),
        None => operations::answer(&shared.quirks, &mut state, &asked),
    }
}

fn plain(status: u16, body: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(body.as_bytes())));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// The time from now in AWS's format.
fn after(time: Duration) -> String {
    let at = SystemTime::now() + time;
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    ledger::rfc3339(i64::try_from(seconds).unwrap() * 1000)
}
