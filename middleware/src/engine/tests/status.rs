use super::rig::{CHUNK, KINDS, Kind, Rig, chunk, content};
use crate::upload::{Crc32c, State};

#[tokio::test]
async fn what_is_missing_is_listed() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let total = 9 * CHUNK + 1;
        let id = rig.upload(total).await;
        for number in [0, 1, 4, 9] {
            rig.send(&id, number, &chunk(total, number)).await.unwrap();
        }
        // The same from memory and from the log.
        for rig in [&rig, &rig.again(|_| {})] {
            let (view, gaps) = rig.engine.status(&id).await.unwrap();
            assert_eq!(
                (view.state, view.uploaded),
                (State::Receiving, 3 * CHUNK + 1)
            );
            assert!(view.crc32c.is_none() && !view.finishing);
            assert_eq!(gaps.ranges, [(2, 3), (5, 8)], "{kind:?}");
            assert_eq!((gaps.chunks_held, gaps.truncated), (4, false));
        }
    }
}

#[tokio::test]
async fn a_list_of_gaps_has_a_bound() {
    let rig = Rig::new(Kind::Memory);
    for (gaps, truncated) in [(1_000, false), (1_001, true)] {
        // Every other chunk of a file that ends with a gap.
        let id = rig.upload(2 * gaps * CHUNK).await;
        for number in (0..2 * gaps).step_by(2) {
            rig.send(&id, number, &[1; 10]).await.unwrap();
        }
        let listed = rig.gaps(&id).await;
        assert_eq!((listed.ranges.len(), listed.truncated), (1_000, truncated));
        assert_eq!(listed.ranges[999], (1_999, 1_999));
    }
}

#[tokio::test]
async fn a_status_makes_no_file() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(CHUNK).await;
        rig.view(&id).await.unwrap();
        assert!(!rig.data_file(&id).exists());
    }
}

#[tokio::test]
async fn a_finished_upload_tells_its_checksum_and_duration() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let id = rig.upload(CHUNK).await;
        rig.pass(std::time::Duration::from_secs(12));
        rig.send_only(&id).await.unwrap();
        rig.pass(std::time::Duration::from_secs(99));
        let view = rig.view(&id).await.unwrap();
        assert_eq!(view.duration.as_secs(), 12, "{kind:?}");
        assert_eq!(view.crc32c, Some(Crc32c::of(&content(CHUNK))));
    }
}
