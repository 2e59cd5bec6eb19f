use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::Arc;

use super::identity::Identity;
use crate::config::{Live, Watch};
use crate::error::Error;
use crate::follower::with_causes;

type Files = Vec<(&'static str, PathBuf)>;

/// Takes up what replaces `files`, for connections that begin then. Never ends.
pub(crate) async fn follow(identity: &Live<Option<Identity>>, files: Files) {
    let files: Arc<Files> = Arc::new(files);
    let mut watch = None;
    let mut told = None;
    loop {
        let looked = tokio::task::spawn_blocking({
            let files = Arc::clone(&files);
            move || look(&files, watch)
        });
        // All that asks a disk, which may take its time.
        let looked = looked.await;
        let (current, found) = looked.unwrap_or_else(|error| resume_unwind(error.into_panic()));
        take(identity, found, &mut told);
        current.changed().await;
        watch = Some(current);
    }
}

/// Reads the files; answers what tells when to read them again, too.
fn look(files: &Files, watch: Option<Watch>) -> (Watch, Result<Option<Identity>, Error>) {
    let paths: Vec<_> = files.iter().map(|(_, path)| path).collect();
    // Before they are read: what changes meanwhile is told.
    let watch = watch.filter(|watch| watch.is_current(&paths));
    let watch = watch.unwrap_or_else(|| Watch::start(&paths));
    (watch, Identity::open(files))
}

/// `told` is what was last said to be wrong, so that it is said once.
fn take(
    identity: &Live<Option<Identity>>,
    found: Result<Option<Identity>, Error>,
    told: &mut Option<String>,
) {
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            let text = with_causes(&error);
            if told.as_ref() != Some(&text) {
                tracing::error!("{text}");
                tracing::error!("TLS stays as it is");
                *told = Some(text);
            }
            return;
        }
    };
    *told = None;
    let print = |identity: &Option<Identity>| identity.as_ref().map(|identity| identity.print);
    if print(&found) == print(&identity.now()) {
        return;
    }
    for doubt in found.iter().flat_map(Identity::doubts) {
        tracing::warn!("{doubt}");
    }
    identity.replace(Arc::new(found));
    tracing::info!("the files of TLS were replaced: new connections go by them");
}
