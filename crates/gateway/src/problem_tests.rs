//! Names in problems, logs and metrics are the same.

use upload::Algorithm;

use super::*;

#[test]
fn what_logs_and_metrics_call_it_is_what_the_sender_sees() {
    use upload::Error as E;
    for error in [
        E::Gone,
        E::OffsetMismatch { expected: 1 },
        E::TooLarge { max: 1 },
        E::LengthMismatch { declared: 1, actual: 2 },
        E::DigestMismatch {
            algorithm: Algorithm::Sha256,
            announced: String::new(),
            actual: String::new(),
            side_file: None,
        },
        E::Interrupted { received: 1 },
        E::TooSlow { received: 1 },
        E::Malformed(String::new()),
        E::Superseded,
        E::Revoked,
        E::TooManyOpen,
        E::TooMuchUnfinished { max: 1 },
        E::Unavailable(String::new()),
        E::Refused(String::new()),
        E::Internal(String::new()),
    ] {
        let reason = error.reason();
        let kind = Problem::from(error).kind;
        assert!(kind.rsplit(['/', '#']).next() == Some(reason), "{kind} is called {reason}");
    }
}
