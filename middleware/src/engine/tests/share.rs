//! What an engine makes of what other servers say.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use super::handler::Handler;
use super::others::{Heard, Others};
use super::source;
use crate::admission::Origin;
use crate::engine::{Append, Refusal};
use crate::store::{Cancel, News, Peer, Seen, Told};
use crate::upload::tests::sample::{header, id, key};
use crate::upload::{Record, Target, Timestamp};

#[tokio::test]
async fn news_is_waited_for_while_all_is_told() {
    let (dir, others) = (tempfile::tempdir().unwrap(), Others::new());
    let engine = others.engine(dir.path(), Some((key(1), header(20)))).await;
    others.deaf.store(true, Ordering::Relaxed);
    others.news.send(News::Forgotten).unwrap();
    others.news.send(News::Cancel(key(9))).unwrap();
    Others::attended(&engine, async {
        assert_eq!(others.told().await, Heard::Answer(key(9), Cancel::Unknown));
    })
    .await;
}

#[tokio::test]
async fn a_wish_that_comes_again_is_heeded_once_at_a_time() {
    let (dir, others) = (tempfile::tempdir().unwrap(), Others::new());
    let engine = others.engine(dir.path(), None).await;
    others.deaf.store(true, Ordering::Relaxed);
    for key in [key(1), key(1), key(1), key(2)] {
        others.news.send(News::Cancel(key)).unwrap();
    }
    Others::attended(&engine, async {
        let mut told = [others.told().await, others.told().await];
        told.sort_by_key(|told| *told != Heard::Answer(key(1), Cancel::Unknown));
        let [first, second] = [1, 2].map(|n| Heard::Answer(key(n), Cancel::Unknown));
        assert_eq!(told, [first, second]);
        assert!(others.answers.lock().await.try_recv().is_err(), "once");
    })
    .await;
}

#[tokio::test]
async fn what_is_not_here_is_untold() {
    let (dir, others) = (tempfile::tempdir().unwrap(), Others::new());
    let engine = others.engine(dir.path(), None).await;
    others.news.send(News::Behind(vec![key(1)])).unwrap();
    others.news.send(News::Forgotten).unwrap();
    Others::attended(&engine, async {
        let told = [others.told().await, others.told().await];
        assert!(told.contains(&Heard::Untold(key(1))), "{told:?}");
        assert!(told.contains(&Heard::All), "{told:?}");
    })
    .await;
}

#[tokio::test]
async fn nothing_expires_while_its_server_is_away() {
    let (dir, others) = (tempfile::tempdir().unwrap(), Others::new());
    let engine = others.engine(dir.path(), None).await;
    let peer = Peer {
        name: "other".to_owned(),
        url: None,
    };
    let told = Told {
        record: Record::new(header(20)),
        peer: peer.clone(),
        since: Timestamp(1),
    };
    *others.kept.lock().unwrap() = Some((id(1).key(), told));
    let seen = |at, since| {
        Some(Seen {
            at: Timestamp(at),
            since: Timestamp(since),
        })
    };
    let now = Timestamp::from(SystemTime::now()).0;
    for (seen, has_expired) in [
        (None, false),
        (seen(1_000, 1), false),
        (seen(1_001, 1), true),
        (seen(now, 1), true),
        // It is back, and counts from there.
        (seen(now, now + 60_000), false),
    ] {
        *others.seen.lock().unwrap() = seen;
        let status = engine.status(&id(1)).await;
        assert_eq!(status.is_err(), has_expired, "{seen:?}: {status:?}");
    }
    let append = Append {
        id: id(1),
        target: Target::Chunk {
            number: 0,
            length: None,
        },
        digests: Vec::new(),
        origin: Origin::default(),
    };
    let mut feed = source::whole(&[0; 10]);
    let refused = engine
        .append(&append, &mut feed, Arc::new(Handler::default()))
        .await;
    assert_eq!(refused.unwrap_err(), Refusal::Elsewhere(peer));
}
