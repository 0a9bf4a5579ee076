//! A TCP proxy between a client and a gateway that cuts a connection, or goes silent on it, each time a planned number of bytes
//! has passed. When the plan is used up, everything passes.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// How a connection breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// Both ends see the connection closed.
    Cut,
    /// Nothing arrives any more, and the sender does not notice.
    Silence,
}

/// Runs until the process ends.
pub struct FlakyProxy {
    pub address: String,
    plan: Arc<Mutex<Plan>>,
}

struct Plan {
    how: Break,
    /// Bytes, of all connections in both directions, before each break.
    after: VecDeque<usize>,
    broken: usize,
}

impl Plan {
    /// How many of these bytes pass; fewer than all if the connection breaks here.
    fn spend(&mut self, count: usize) -> usize {
        let Some(left) = self.after.front_mut() else { return count };
        if count <= *left {
            *left -= count;
            return count;
        }
        self.broken += 1;
        self.after.pop_front().unwrap()
    }
}

impl FlakyProxy {
    /// Starts one in front of this address that breaks after each of these numbers of bytes.
    pub fn to(target: &str, how: Break, after: Vec<usize>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let plan = Arc::new(Mutex::new(Plan { how, after: after.into(), broken: 0 }));
        let (target, shared) = (target.to_owned(), plan.clone());
        thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(&target)) else { continue };
                let silent = Arc::new(AtomicBool::new(false));
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let (plan, silent) = (shared.clone(), silent.clone());
                    thread::spawn(move || pump(from, to, &plan, &silent));
                }
            }
        });
        Self { address, plan }
    }

    /// Connections broken so far.
    pub fn broken(&self) -> usize {
        self.plan.lock().unwrap().broken
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, plan: &Mutex<Plan>, silent: &AtomicBool) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if silent.load(Ordering::SeqCst) {
            continue;
        }
        let (passes, how) = {
            let mut plan = plan.lock().unwrap();
            (plan.spend(count), plan.how)
        };
        if to.write_all(&buffer[..passes]).is_err() || (passes < count && how == Break::Cut) {
            break;
        }
        if passes < count {
            silent.store(true, Ordering::SeqCst);
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
