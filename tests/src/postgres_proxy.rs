//! A proxy between a gateway and Postgres. It recognises each statement and lets the test decide what happens before it is
//! forwarded, and to its answer. Everything else passes unchanged.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::{Fate, Moment};

/// A statement, or the `COMMIT` of the last write before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub text: String,
    /// Whether this is the commit of the write in `text`.
    pub commits: bool,
}

type Decide = dyn Fn(&Statement, Moment) -> Fate + Send + Sync;

/// Dropping it stops it.
pub struct PostgresProxy {
    /// `127.0.0.1:PORT`.
    pub address: String,
    decide: Arc<Mutex<Arc<Decide>>>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Requests for TLS and for GSSAPI encryption; both are declined here.
const WANTS_ENCRYPTION: [u32; 2] = [80_877_103, 80_877_104];

impl PostgresProxy {
    /// Starts one in front of the server at this address that forwards everything.
    pub fn to(target: &str) -> Self {
        let (target, pass): (_, Arc<Decide>) = (target.to_owned(), Arc::new(|_, _| Fate::Pass));
        let decide = Arc::new(Mutex::new(pass));
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let shared = decide.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
                tell.send(listener.local_addr().unwrap().to_string()).unwrap();
                let accepting = async {
                    while let Ok((client, _)) = listener.accept().await {
                        tokio::spawn(connection(client, target.clone(), shared.clone()));
                    }
                };
                tokio::select! {
                    _ = stopped => {}
                    () = accepting => {}
                }
            });
        });
        Self { address: told.recv().unwrap(), decide, stop: Some(stop), thread: Some(thread) }
    }

    /// Lets this decide from now on. A refusal closes the connection.
    pub fn decide(&self, decide: impl Fn(&Statement, Moment) -> Fate + Send + Sync + 'static) {
        *self.decide.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(decide);
    }
}

impl Drop for PostgresProxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Forwarded statements of one connection that have no answer yet.
type Asked = Arc<Mutex<VecDeque<Statement>>>;
type Shared = Arc<Mutex<Arc<Decide>>>;

fn passes(decide: &Shared, statement: &Statement, moment: Moment) -> bool {
    let decide = decide.lock().unwrap_or_else(PoisonError::into_inner).clone();
    decide(statement, moment) == Fate::Pass
}

async fn connection(client: TcpStream, target: String, decide: Shared) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut from_client, mut to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    if begin(&mut from_client, &mut to_client, &mut to_server).await.is_err() {
        return;
    }
    let asked = Asked::default();
    // Whichever ends first closes the connection.
    tokio::select! {
        _ = requests(from_client, to_server, decide.clone(), asked.clone()) => {}
        _ = answers(from_server, to_client, decide, asked) => {}
    }
}

/// The messages before a session have no type.
async fn begin(
    client: &mut OwnedReadHalf,
    answer: &mut OwnedWriteHalf,
    server: &mut OwnedWriteHalf,
) -> io::Result<()> {
    loop {
        let length = client.read_u32().await?;
        let mut body = vec![0; length as usize - 4];
        client.read_exact(&mut body).await?;
        if length == 8 && WANTS_ENCRYPTION.contains(&u32::from_be_bytes([body[0], body[1], body[2], body[3]]))
        {
            answer.write_all(b"N").await?;
            continue;
        }
        server.write_u32(length).await?;
        return server.write_all(&body).await;
    }
}

/// The next message: its type and its body.
async fn message(from: &mut OwnedReadHalf) -> io::Result<(u8, Vec<u8>)> {
    let kind = from.read_u8().await?;
    let mut body = vec![0; from.read_u32().await? as usize - 4];
    from.read_exact(&mut body).await?;
    Ok((kind, body))
}

async fn pass(to: &mut OwnedWriteHalf, kind: u8, body: &[u8]) -> io::Result<()> {
    let mut whole = vec![kind];
    whole.extend(u32::try_from(body.len() + 4).map_err(io::Error::other)?.to_be_bytes());
    whole.extend(body);
    to.write_all(&whole).await
}

async fn requests(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    decide: Shared,
    asked: Asked,
) -> io::Result<()> {
    let (mut prepared, mut bound, mut written) = (HashMap::new(), HashMap::new(), String::new());
    loop {
        let (kind, body) = message(&mut client).await?;
        let mut texts = body.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned());
        let mut text = || texts.next().unwrap_or_default();
        let executed = match kind {
            b'P' => {
                prepared.insert(text(), text());
                None
            }
            b'B' => {
                bound.insert(text(), text());
                None
            }
            b'E' => bound.get(&text()).and_then(|name| prepared.get(name)).cloned(),
            b'Q' => Some(text()),
            _ => None,
        };
        if let Some(sql) = executed {
            let commits = sql == "COMMIT";
            if sql.starts_with("INSERT") || sql.starts_with("UPDATE") || sql.starts_with("DELETE") {
                written.clone_from(&sql);
            }
            let statement = Statement { text: if commits { written.clone() } else { sql }, commits };
            if !passes(&decide, &statement, Moment::Arrived) {
                return Ok(());
            }
            asked.lock().unwrap_or_else(PoisonError::into_inner).push_back(statement);
        }
        pass(&mut server, kind, &body).await?;
    }
}

async fn answers(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    decide: Shared,
    asked: Asked,
) -> io::Result<()> {
    loop {
        let (kind, body) = message(&mut server).await?;
        let done = {
            let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
            // A command is complete, its portal is suspended, or it failed.
            if matches!(kind, b'C' | b's' | b'E' | b'I') { asked.pop_front() } else { None }
        };
        if let Some(statement) = done.filter(|_| kind == b'C')
            && !passes(&decide, &statement, Moment::Performed)
        {
            return Ok(());
        }
        pass(&mut client, kind, &body).await?;
    }
}
