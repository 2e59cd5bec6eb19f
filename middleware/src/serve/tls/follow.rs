use std::path::PathBuf;
use std::sync::Arc;

use super::identity::Identity;
use crate::config::Live;
use crate::follower::{Trouble, follow_files};

/// Takes up what replaces `files`, for connections that begin then. Never ends.
pub(crate) async fn follow(identity: &Live<Option<Identity>>, files: Vec<(&'static str, PathBuf)>) {
    let paths = files.iter().map(|(_, path)| path.clone()).collect();
    let mut trouble = Trouble::default();
    let take = |found| {
        if let Some(found) = trouble.check("TLS", found) {
            replace(identity, found);
        }
    };
    follow_files(paths, move || Identity::open(&files), take).await;
}

fn replace(identity: &Live<Option<Identity>>, found: Option<Identity>) {
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
