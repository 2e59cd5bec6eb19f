//! What the uploads of one owner may take is bound on all servers together.

use super::super::{Bound, Share};
use super::news::{Answers, with_news};
use super::patient::Patient;
use crate::upload::Owner;

const BOUND: Option<Bound> = Some(Bound {
    sessions: 3,
    bytes: 100,
});

/// The bare words: sessions, bytes, version.
fn share(sessions: u64, bytes: u64, version: u64) -> Share {
    Share {
        sessions,
        bytes,
        version,
    }
}

pub(super) async fn all_servers_together_are_bound(one: Patient<'_>, other: Patient<'_>) {
    let answers = Answers::default();
    let alice = Owner("alice".to_owned());
    let check = async {
        assert!(one.share(&alice, share(1, 40, 1), BOUND).await);
        assert!(other.share(&alice, share(2, 60, 1), BOUND).await, "as many");
        assert!(
            !other.share(&alice, share(3, 60, 2), BOUND).await,
            "one more"
        );
        assert!(!one.share(&alice, share(1, 41, 2), BOUND).await, "a byte");
        // What was refused was not stated.
        assert!(one.share(&alice, share(1, 39, 3), BOUND).await);
        assert!(other.share(&alice, share(2, 61, 3), BOUND).await);
        // What is so is stated, whatever the bound.
        assert!(one.share(&alice, share(5, 500, 4), None).await);
        assert!(!other.share(&alice, share(1, 1, 4), BOUND).await);
        assert!(one.share(&alice, share(0, 0, 5), None).await);
        assert!(other.share(&alice, share(3, 100, 5), BOUND).await);
    };
    with_news(one.0, &answers, with_news(other.0, &answers, check)).await;
}

pub(super) async fn what_was_stated_later_counts(one: Patient<'_>, other: Patient<'_>) {
    let answers = Answers::default();
    let alice = Owner("alice".to_owned());
    let check = async {
        for _ in 0..3 {
            assert!(one.share(&alice, share(2, 50, 7), BOUND).await, "the same");
        }
        assert!(other.share(&alice, share(1, 50, 1), BOUND).await);
        for _ in 0..3 {
            assert!(one.share(&alice, share(2, 50, 7), BOUND).await, "repeated");
            assert!(
                other.share(&alice, share(1, 50, 1), BOUND).await,
                "repeated"
            );
        }
        assert!(one.share(&alice, share(0, 0, 8), None).await);
        // These come late.
        one.share(&alice, share(2, 50, 7), None).await;
        one.share(&alice, share(3, 100, 6), None).await;
        assert!(other.share(&alice, share(3, 100, 2), BOUND).await);
        other.share(&alice, share(1, 50, 1), None).await;
        assert!(!one.share(&alice, share(1, 0, 9), BOUND).await);
    };
    with_news(one.0, &answers, with_news(other.0, &answers, check)).await;
}

pub(super) async fn owners_are_bound_apart_and_zero_is_no_bound(
    one: Patient<'_>,
    other: Patient<'_>,
) {
    let answers = Answers::default();
    // Nobody, and names that would not be keys or patterns of anything.
    let owners = ["", "alice", "alice:2", "*", "a b\r\nc{d}\u{0}ü"];
    let owners = owners.map(|owner| Owner(owner.to_owned()));
    let free = |sessions, bytes| Some(Bound { sessions, bytes });
    let many = 1 << 52;
    let check = async {
        for owner in &owners {
            assert!(one.share(owner, share(3, 100, 1), BOUND).await);
            assert!(!other.share(owner, share(1, 0, 1), BOUND).await);
        }
        for owner in &owners {
            assert!(one.share(owner, share(3, many, 2), free(3, 0)).await);
            assert!(!other.share(owner, share(1, many, 2), free(3, 0)).await);
            assert!(one.share(owner, share(many, 100, 3), free(0, 100)).await);
            assert!(!other.share(owner, share(many, 1, 3), free(0, 100)).await);
            assert!(other.share(owner, share(many, many, 4), free(0, 0)).await);
        }
    };
    with_news(one.0, &answers, with_news(other.0, &answers, check)).await;
}
