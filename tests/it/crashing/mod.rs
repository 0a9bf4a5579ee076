//! Killed gateways, and stores and ledgers that fail: nothing acknowledged is lost.

mod kill;
mod kill_while_resuming;
mod ledger_faults;
mod store_faults;
