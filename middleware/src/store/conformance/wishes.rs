//! What servers ask of one another.

use tokio::sync::Semaphore;

use super::super::Cancel;
use super::news::{Answers, with_news};
use super::patient::Patient;
use super::telling::{Teller, assert_found};
use crate::upload::sample::{header, key};

pub(super) async fn a_repeated_create_has_one_maker(one: Patient<'_>, other: Patient<'_>) {
    let answers = Answers::default();
    let check = async {
        for _ in 0..2 {
            assert_eq!(one.maker(key(1), None).await, None, "it makes it");
        }
        assert_eq!(other.maker(key(2), None).await, None, "another request");
        let first = other.maker(key(1), None).await.expect("the maker");
        let second = one.maker(key(2), None).await.expect("the maker");
        assert_ne!(first, second, "servers have names of their own");
        assert_eq!(
            one.maker(key(1), None).await,
            None,
            "asking changes nothing"
        );
        for _ in 0..2 {
            let maker = other.maker(key(1), Some(&first)).await;
            assert_eq!(maker, None, "it makes it from now on");
            // Whose upload is gone was told by somebody who did not know of that.
            let maker = one.maker(key(1), Some(&first)).await;
            assert_eq!(maker.as_ref(), Some(&second));
        }
        // It is the name by which uploads are found.
        one.create(key(3), header(20)).await.unwrap();
        let upload = Teller::open(one, key(3)).await;
        assert_found(one, other, key(3), &upload.record).await;
        assert_eq!(other.find(key(3)).await.unwrap().peer.name, first);
    };
    with_news(one.0, &answers, with_news(other.0, &answers, check)).await;
}

pub(super) async fn whoever_keeps_an_upload_is_asked_to_give_it_up(
    one: Patient<'_>,
    other: Patient<'_>,
) {
    let all = [
        Cancel::Done,
        Cancel::Finishing,
        Cancel::Completed,
        Cancel::Unknown,
        Cancel::Failed,
    ];
    let given: Vec<_> = (1..).map(key).zip(all).collect();
    let answers = Answers {
        given: given.clone(),
        ..Answers::default()
    };
    let nothing = Answers::default();
    let check = async {
        for &(key, answer) in &given {
            one.create(key, header(20)).await.unwrap();
            Teller::open(one, key).await;
            for _ in 0..2 {
                assert_eq!(other.has_cancelled(key).await, answer);
            }
        }
        // Several at the same time.
        let [done, completed, failed] = [0, 2, 4].map(|index| given[index]);
        let answers = tokio::join!(
            other.has_cancelled(done.0),
            other.has_cancelled(completed.0),
            other.has_cancelled(failed.0),
        );
        assert_eq!(answers, (done.1, completed.1, failed.1));
    };
    with_news(one.0, &answers, with_news(other.0, &nothing, check)).await;
}

pub(super) async fn an_answer_that_comes_late_is_had_by_asking_again(
    one: Patient<'_>,
    other: Patient<'_>,
) {
    let answers = Answers {
        given: vec![(key(1), Cancel::Done)],
        gate: Semaphore::new(0),
    };
    let nothing = Answers::default();
    let check = async {
        one.create(key(1), header(20)).await.unwrap();
        let upload = Teller::open(one, key(1)).await;
        assert_eq!(other.ask_to_cancel(key(1)).await, None);
        answers.gate.add_permits(1);
        assert_eq!(other.has_cancelled(key(1)).await, Cancel::Done);
        // It is for its server to tell what became of it.
        assert_found(one, other, key(1), &upload.record).await;
    };
    with_news(one.0, &answers, with_news(other.0, &nothing, check)).await;
}
