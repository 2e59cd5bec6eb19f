//! Accepting, whatever happens.

use std::io;
use std::time::Duration;

use tokio::time::sleep;

const BACKOFF_MIN: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// The next connection of `next`. A connection that broke before it was accepted is skipped; any
/// other error (no file descriptor left, no memory) is waited out and logged once.
pub(super) async fn accept<T, F>(mut next: impl FnMut() -> F) -> T
where
    F: Future<Output = io::Result<T>>,
{
    let mut backoff = BACKOFF_MIN;
    loop {
        match next().await {
            Ok(connection) => return connection,
            Err(error) if is_about_one(&error) => {}
            Err(error) => {
                if backoff == BACKOFF_MIN {
                    tracing::warn!(%error, "cannot accept connections, trying again");
                }
                sleep(backoff).await;
                backoff = (backoff * 2).min(BACKOFF_MAX);
            }
        }
    }
}

fn is_about_one(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
