//! The queue as requests and workers use it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::admission::{Limits, Queue};

const SECOND: Duration = Duration::from_secs(1);

/// A line of `size` for one worker, or two.
pub(super) fn limits(size: usize) -> Limits {
    Limits {
        queue: size,
        base: 1,
        max: 2,
        add_at: 3,
        remove_at: 1,
    }
}

fn queue(size: usize) -> (Arc<Queue>, Arc<Mutex<Vec<usize>>>) {
    let employed = Arc::<Mutex<Vec<usize>>>::default();
    let told = Arc::clone(&employed);
    let queue = Queue::new(limits(size), move |workers| {
        told.lock().unwrap().push(workers);
    });
    (Arc::new(queue), employed)
}

#[tokio::test(start_paused = true)]
async fn room_is_waited_for_and_no_longer_than_two_seconds() {
    let (queue, _) = queue(1);
    queue.room().await.unwrap();
    let place = queue.enter();
    let begun = Instant::now();
    queue.room().await.unwrap_err();
    assert_eq!(begun.elapsed(), 2 * SECOND);
    let rooms = (0..3).map(|_| {
        let queue = Arc::clone(&queue);
        tokio::spawn(async move { queue.room().await })
    });
    let rooms: Vec<_> = rooms.collect();
    sleep(SECOND).await;
    assert_eq!(queue.figures().asking, 3);
    drop(place);
    // They have seen it open.
    let _taken = queue.enter();
    for room in rooms {
        room.await.unwrap().unwrap();
    }
    assert_eq!(begun.elapsed(), 3 * SECOND);
    let figures = queue.figures();
    assert_eq!((figures.asking, figures.waits, figures.refused), (0, 4, 1));
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_while_waiting_is_forgotten_at_once() {
    let (queue, _) = queue(1);
    let _place = queue.enter();
    let asking = Arc::clone(&queue);
    let room = tokio::spawn(async move { asking.room().await });
    sleep(SECOND).await;
    assert_eq!(queue.figures().asking, 1);
    room.abort();
    room.await.unwrap_err();
    assert_eq!(queue.figures().asking, 0);
    assert_eq!(queue.figures().refused, 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_employs_the_workers_hears_of_every_change() {
    let (queue, employed) = queue(9);
    let mut places: Vec<_> = (0..4).map(|_| queue.enter()).collect();
    assert_eq!(*employed.lock().unwrap(), [1, 2]);
    assert_eq!((queue.figures().workers, queue.figures().queue), (2, 4));
    places.clear();
    sleep(9 * SECOND).await;
    queue.adjust();
    assert_eq!(queue.figures().workers, 2);
    sleep(SECOND).await;
    queue.adjust();
    assert_eq!(*employed.lock().unwrap(), [1, 2, 1]);
}

#[tokio::test(start_paused = true)]
async fn other_limits_hold_at_once() {
    let (queue, employed) = queue(1);
    let _place = queue.enter();
    let room = queue.room();
    let widen = async {
        sleep(SECOND).await;
        queue.limit(Limits {
            base: 4,
            max: 8,
            ..limits(2)
        });
    };
    let begun = Instant::now();
    let (room, ()) = tokio::join!(room, widen);
    room.unwrap();
    assert_eq!(begun.elapsed(), SECOND);
    assert_eq!(queue.figures().workers, 4);
    queue.limit(limits(1));
    assert!(queue.is_full());
    assert_eq!(*employed.lock().unwrap(), [1, 4, 2]);
}
