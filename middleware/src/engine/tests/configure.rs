//! A configuration that is replaced while uploads are under way.

use std::sync::Arc;
use std::time::Duration;

use super::handler::Step;
use super::rig::{CHUNK, KINDS, Kind, Rig, content};
use crate::config::{OnUnknown, UploadConfig};
use crate::upload::State;

const HOUR: Duration = Duration::from_secs(3_600);

impl Rig {
    fn configure(&self, change: impl FnOnce(&mut UploadConfig)) {
        let mut config = UploadConfig::clone(&self.engine.config().now());
        change(&mut config);
        self.engine.configure(Arc::new(config));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_for_less_time_goes_with_the_next_sweep() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let finished = rig.upload(CHUNK).await;
        rig.send_only(&finished).await.unwrap();
        rig.nearly(2 * CHUNK).await;
        rig.pass(3 * HOUR);
        rig.engine.sweep().await;
        assert_eq!(
            rig.engine.states().map(|(_, count)| count).sum::<usize>(),
            2
        );
        rig.configure(|config| {
            config.uploads.max_resumable_age = 2 * HOUR;
            config.uploads.result_retention = 2 * HOUR;
        });
        rig.engine.sweep().await;
        assert_eq!(rig.engine.sessions(), 0, "{kind:?}");
        assert_eq!(
            rig.engine.states().map(|(_, count)| count).sum::<usize>(),
            0
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_held_is_handed_over_when_nothing_is_held_any_more() {
    for kind in KINDS {
        for is_open in [true, false] {
            let rig = Rig::with(kind, |config| config.delivery.on_unknown = OnUnknown::Hold);
            let deliver = rig.deliver();
            rig.engine.recover(Some(&deliver)).await;
            rig.handler.will(Step::Panic);
            let id = rig.upload(CHUNK).await;
            assert_eq!(rig.send_only(&id).await.unwrap().view.state, State::Unknown);
            if !is_open {
                rig.close_all();
            }
            rig.configure(|config| config.delivery.on_unknown = OnUnknown::Retry);
            rig.engine.sweep().await;
            let called = tokio::time::timeout(HOUR, rig.handler.called(2)).await;
            assert!(called.is_ok(), "{kind:?} {is_open}");
            tokio::time::sleep(HOUR).await;
            assert_eq!(rig.state(&id).await, State::Completed, "{kind:?} {is_open}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn as_many_are_handed_over_at_once_as_may_be_now() {
    let rig = Rig::with(Kind::Memory, |config| config.delivery.max_concurrent = 1);
    let answers: Vec<_> = (0..6).map(|_| rig.handler.will_wait()).collect();
    let mut requests = Vec::new();
    for _ in 0..6 {
        let id = rig.upload(CHUNK).await;
        requests.push(rig.whole_request(&id, 0, &content(CHUNK)));
    }
    let mut answers = answers.into_iter();
    let mut answer = |count| {
        for answer in answers.by_ref().take(count) {
            answer.send(200).unwrap();
        }
    };
    rig.handler.called(1).await;
    rig.configure(|config| config.delivery.max_concurrent = 3);
    rig.handler.called(3).await;
    // Those that run may end; then one at a time is left.
    rig.configure(|config| config.delivery.max_concurrent = 1);
    answer(3);
    rig.handler.called(4).await;
    tokio::time::sleep(HOUR / 60).await;
    assert_eq!(rig.handler.calls().len(), 4);
    answer(1);
    rig.handler.called(5).await;
    tokio::time::sleep(HOUR / 60).await;
    assert_eq!(rig.handler.calls().len(), 5);
    answer(2);
    rig.handler.called(6).await;
}
