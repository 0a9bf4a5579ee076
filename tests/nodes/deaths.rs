//! Which call to the store, or which statement to the ledger, a gateway does not survive.

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tests::{Fate, Moment, PostgresProxy, S3Proxy, eventually};

/// A step at which the gateway that takes it dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    /// A call to the store.
    Call(&'static str, Moment),
    /// A statement that begins like this.
    Statement(&'static str, Moment),
    /// The commit of what a statement that begins like this wrote.
    Commit(&'static str, Moment),
}

const MOMENTS: [Moment; 2] = [Moment::Arrived, Moment::Performed];

/// Every step of an upload, each before it is performed and after.
pub(crate) fn deaths() -> Vec<Death> {
    let calls = [
        "CreateMultipartUpload",
        "UploadPart",
        "PutObject",
        "GetObject",
        "DeleteObject",
        "CompleteMultipartUpload",
    ];
    let statements = [
        "INSERT INTO uploads",
        "UPDATE uploads SET epoch = epoch + 1",
        "UPDATE uploads SET tails_written",
        "UPDATE uploads SET multipart_id",
        "UPDATE uploads SET state = 'completing'",
    ];
    let commits = ["INSERT INTO parts", "DELETE FROM tails", "INSERT INTO tails", "INSERT INTO jobs"];
    let calls = calls.into_iter().flat_map(|call| MOMENTS.map(|moment| Death::Call(call, moment)));
    let statements = statements.into_iter().flat_map(|text| MOMENTS.map(|at| Death::Statement(text, at)));
    let commits = commits.into_iter().flat_map(|text| MOMENTS.map(|at| Death::Commit(text, at)));
    calls.chain(statements).chain(commits).collect()
}

/// Where gateways die; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Fatal(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    armed: Option<Death>,
    dead: Option<usize>,
}

/// The state of one gateway.
#[derive(Clone, Default)]
pub(crate) struct Life {
    pub(crate) pid: Arc<AtomicU32>,
    pub(crate) is_down: Arc<AtomicBool>,
}

impl Fatal {
    /// The next gateway to reach this step dies there; returns which one.
    pub(crate) fn next(&self, death: Death) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).armed = Some(death);
        eventually(&format!("a gateway dies at {death:?}"), || {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).dead.take()
        })
    }

    /// Dies if it is armed for this step. A dead gateway gets no more answers.
    fn strike(&self, node: usize, life: &Life, is_it: impl Fn(Death) -> bool) -> Fate {
        if life.is_down.load(Ordering::SeqCst) {
            return Fate::Drop;
        }
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.armed.is_some_and(is_it) {
            return Fate::Pass;
        }
        state.armed = None;
        life.is_down.store(true, Ordering::SeqCst);
        let killed = Command::new("kill").args(["-9", &life.pid.load(Ordering::SeqCst).to_string()]).status();
        assert!(killed.unwrap().success());
        state.dead = Some(node);
        Fate::Drop
    }

    /// Watches what this gateway says to the store and to the ledger.
    pub(crate) fn watch(
        &self,
        node: usize,
        life: &Life,
        store_proxy: &S3Proxy,
        ledger_proxy: &PostgresProxy,
    ) {
        let (fatal, its) = (self.clone(), life.clone());
        store_proxy.decide(move |call, moment| {
            fatal.strike(node, &its, |death| death == Death::Call(call.operation, moment))
        });
        let (fatal, its) = (self.clone(), life.clone());
        ledger_proxy.decide(move |statement, moment| {
            fatal.strike(node, &its, |death| match death {
                Death::Call(..) => false,
                Death::Statement(text, at) => {
                    at == moment && !statement.commits && statement.text.starts_with(text)
                }
                Death::Commit(text, at) => {
                    at == moment && statement.commits && statement.text.starts_with(text)
                }
            })
        });
    }
}
