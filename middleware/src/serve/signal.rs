/// Resolves when the process is asked to end: on `SIGTERM` or `SIGINT`, elsewhere than on Unix on
/// Ctrl-C.
///
/// From the first poll on these signals no longer end the process by themselves. Await it again to
/// act on a second one.
#[cfg(unix)]
pub async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};

    let (mut terminate, mut interrupt) = match (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(error), _) | (_, Err(error)) => return unavailable(&error).await,
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Resolves when the process is asked to end with Ctrl-C.
#[cfg(not(unix))]
pub async fn stop_signal() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        unavailable(&error).await;
    }
}

/// A server that cannot hear signals still serves.
async fn unavailable(error: &std::io::Error) {
    tracing::warn!(%error, "cannot listen for signals: the server will not end gracefully");
    std::future::pending::<()>().await;
}
