//! A proxy between a gateway and its store. It recognises each S3 request, records it, and lets the test decide what happens
//! before it is forwarded and after it was performed. Bytes pass unchanged.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use crate::quirky_s3::operation;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The head of the request has arrived; nothing was forwarded.
    Arrived,
    /// The store has answered; its answer was not forwarded.
    Performed,
}

/// What happens to a request or its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Forward it.
    Pass,
    /// Answer this status with an S3 error of this code instead.
    Refuse(u16, &'static str),
    /// Close the connection without an answer.
    Drop,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// S3's name of the operation.
    pub operation: &'static str,
    /// Path with query.
    pub target: String,
}

impl Call {
    /// The number of the part being sent; 0 for other calls.
    pub fn part(&self) -> u32 {
        let number = self.target.split(['?', '&']).find_map(|pair| pair.strip_prefix("partNumber="));
        number.and_then(|number| number.parse().ok()).unwrap_or(0)
    }
}

type Decide = dyn Fn(&Call, Moment) -> Fate + Send + Sync;

/// Dropping it stops it.
pub struct S3Proxy {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    shared: Arc<Shared>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct Shared {
    target: String,
    state: Mutex<State>,
}

struct State {
    decide: Arc<Decide>,
    calls: Vec<(Call, Moment)>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records it and asks the test what happens to it.
    fn decide(&self, call: &Call, moment: Moment) -> Fate {
        let decide = {
            let mut state = self.state();
            state.calls.push((call.clone(), moment));
            state.decide.clone()
        };
        decide(call, moment)
    }
}

impl S3Proxy {
    /// Starts one in front of this URL that forwards everything.
    pub fn to(url: &str) -> Self {
        let target = url.split_once("://").map_or(url, |(_, rest)| rest).trim_end_matches('/').to_owned();
        let decide: Arc<Decide> = Arc::new(|_, _| Fate::Pass);
        let shared = Arc::new(Shared { target, state: Mutex::new(State { decide, calls: Vec::new() }) });
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let served = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
                tell.send(listener.local_addr().unwrap().port()).unwrap();
                tokio::select! {
                    _ = stopped => {}
                    () = accept(listener, served) => {}
                }
            });
        });
        let url = format!("http://127.0.0.1:{}", told.recv().unwrap());
        Self { url, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// Lets this decide from now on.
    pub fn decide(&self, decide: impl Fn(&Call, Moment) -> Fate + Send + Sync + 'static) {
        self.shared.state().decide = Arc::new(decide);
    }

    /// Forwards everything from now on.
    pub fn pass_all(&self) {
        self.decide(|_, _| Fate::Pass);
    }

    /// All calls that came this far, in order.
    pub fn calls(&self, moment: Moment) -> Vec<Call> {
        let state = self.shared.state();
        state.calls.iter().filter(|(_, at)| *at == moment).map(|(call, _)| call.clone()).collect()
    }

    /// Clears the record.
    pub fn forget(&self) {
        self.shared.state().calls.clear();
    }
}

impl Drop for S3Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            let answered = service_fn(move |request| answer(Arc::clone(&shared), request));
            // Clients may disconnect.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answered).await;
        });
    }
}

#[derive(Debug)]
struct Dropped;

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is dropped on purpose")
    }
}

impl Error for Dropped {}

type Answer = Response<Either<Incoming, Full<Bytes>>>;

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Answer, Dropped> {
    let target = request.uri().path_and_query().map_or("", |target| target.as_str()).to_owned();
    let call = Call { operation: operation(request.method(), &target), target };
    match shared.decide(&call, Moment::Arrived) {
        Fate::Pass => {}
        Fate::Drop => return Err(Dropped),
        Fate::Refuse(status, code) => {
            // Read to the end, so that the sender sees the answer rather than a broken pipe.
            let mut unread = request.into_body();
            while let Some(Ok(_)) = unread.frame().await {}
            return Ok(refusal(status, code));
        }
    }
    let performed = perform(&shared.target, request).await.map_err(|_| Dropped)?;
    match shared.decide(&call, Moment::Performed) {
        Fate::Pass => Ok(performed.map(Either::Left)),
        Fate::Drop => Err(Dropped),
        Fate::Refuse(status, code) => Ok(refusal(status, code)),
    }
}

async fn perform(target: &str, request: Request<Incoming>) -> Result<Response<Incoming>, Box<dyn Error>> {
    let stream = TcpStream::connect(target).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?)
}

fn refusal(status: u16, code: &str) -> Answer {
    let body = format!("<Error><Code>{code}</Code><Message>as the test wants</Message></Error>");
    let mut response = Response::new(Either::Right(Full::new(Bytes::from(body))));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}
