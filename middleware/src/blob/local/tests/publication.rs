use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::Arc;

use super::{NO_LINKS, Place, files};
use crate::blob::OnConflict::{Overwrite, Reject, Rename};
use crate::blob::local::publish::publish_on;
use crate::blob::{Blobs as _, Publish};
use crate::upload::tests::sample::key;
use crate::upload::{Crc32c, FileName};

#[tokio::test]
async fn a_file_gets_its_name_whole_and_ours_goes() {
    for on_conflict in [Rename, Reject, Overwrite] {
        for place in Place::all() {
            let key = place.receive(1, "content").await;
            let name = place.publish(key, "a.txt", on_conflict).await;
            assert_eq!(name.as_deref(), Some("a.txt"), "{}", place.what);
            assert_eq!(
                place.files(),
                files(&[("a.txt", "content")]),
                "{}",
                place.what
            );
            place.settle(key).await;
            assert_eq!(
                place.everything(),
                files(&[("a.txt", "content")]),
                "{}",
                place.what
            );
            assert_eq!(place.data_files(), 0, "{}", place.what);
        }
    }
}

#[tokio::test]
async fn a_published_file_is_as_readable_as_any_new_one() {
    for on_conflict in [Rename, Reject, Overwrite] {
        for place in Place::all() {
            let mode = |name: &str| {
                fs::metadata(place.dir().join(name))
                    .unwrap()
                    .permissions()
                    .mode()
                    & 0o7777
            };
            let key = place.receive(1, "content").await;
            place.publish(key, "a.txt", on_conflict).await;
            // What the mask leaves of 0666.
            place.put("ordinary", "");
            assert_eq!(mode("a.txt"), mode("ordinary") & 0o644, "{}", place.what);
        }
    }
}

#[tokio::test]
async fn a_taken_name_is_refused_under_reject() {
    for place in Place::all() {
        place.put("a.txt", "older");
        let key = place.receive(1, "newer").await;
        assert_eq!(
            place.publish(key, "a.txt", Reject).await,
            None,
            "{}",
            place.what
        );
        assert_eq!(
            place.files(),
            files(&[("a.txt", "older")]),
            "{}",
            place.what
        );
        // The bytes are kept, and another name would do.
        let name = place.publish(key, "b.txt", Reject).await;
        assert_eq!(name.as_deref(), Some("b.txt"), "{}", place.what);
    }
}

#[tokio::test]
async fn taken_names_are_numbered_under_rename() {
    let cases = [
        ("a.tar.gz", ["a.tar (1).gz", "a.tar (2).gz"]),
        ("noext", ["noext (1)", "noext (2)"]),
        (".hidden", [".hidden (1)", ".hidden (2)"]),
        ("a (1).txt", ["a (1) (1).txt", "a (1) (2).txt"]),
        ("dot.", ["dot (1).", "dot (2)."]),
    ];
    for place in Place::all() {
        for (name, numbered) in cases {
            place.put(name, "older");
            for (number, numbered) in (1..).zip(numbered) {
                let key = place.receive(number, numbered).await;
                let given = place.publish(key, name, Rename).await;
                assert_eq!(given.as_deref(), Some(numbered), "{}", place.what);
                let content = |name| fs::read_to_string(place.dir().join(name)).unwrap();
                assert_eq!(content(name), "older");
                assert_eq!(content(numbered), numbered);
                place.settle(key).await;
            }
        }
    }
}

#[tokio::test]
async fn a_numbered_name_is_no_longer_than_a_name_may_be() {
    let ascii = format!("{}.txt", "a".repeat(251));
    let wide = format!("{}.txt", "é".repeat(125));
    let no_extension = "中".repeat(85);
    for place in Place::all() {
        for (name, ending) in [
            (&ascii, " (1).txt"),
            (&wide, " (1).txt"),
            (&no_extension, " (1)"),
        ] {
            place.put(name, "older");
            let key = place.receive(1, "newer").await;
            let given = place.publish(key, name, Rename).await.unwrap();
            assert!((250..=255).contains(&given.len()), "{given}");
            assert!(given.ends_with(ending), "{given}");
            let stem = given.strip_suffix(ending).unwrap();
            assert!(name.starts_with(stem), "{given}");
            place.settle(key).await;
        }
    }
}

#[tokio::test]
async fn a_name_that_is_nearly_all_extension_is_numbered_too() {
    let place = Place::all().remove(0);
    let name = format!("a.{}", "x".repeat(253));
    place.put(&name, "older");
    let key = place.receive(1, "newer").await;
    assert!(place.publish(key, &name, Rename).await.is_some());
}

#[tokio::test]
async fn overwriting_replaces_the_name_and_never_the_bytes_of_the_older_file() {
    for place in Place::all() {
        place.put("a.txt", "older");
        let mut older = File::open(place.dir().join("a.txt")).unwrap();
        let key = place.receive(1, "newer").await;
        assert_eq!(
            place.publish(key, "a.txt", Overwrite).await.as_deref(),
            Some("a.txt")
        );
        assert_eq!(
            place.files(),
            files(&[("a.txt", "newer")]),
            "{}",
            place.what
        );
        let mut content = String::new();
        older.read_to_string(&mut content).unwrap();
        assert_eq!(
            content, "older",
            "a reader of the older file is not disturbed"
        );
        place.settle(key).await;
        assert_eq!(
            place.everything(),
            files(&[("a.txt", "newer")]),
            "{}",
            place.what
        );
    }
}

/// What a client's name leads to is neither followed nor replaced.
#[tokio::test]
async fn links_and_directories_of_the_name_count_as_taken() {
    for place in Place::all() {
        let nowhere = place.data.path().join("nowhere");
        symlink(&nowhere, place.dir().join("link")).unwrap();
        fs::create_dir(place.dir().join("dir")).unwrap();
        for (number, name) in [(1, "link"), (2, "dir")] {
            let key = place.receive(number, "content").await;
            assert_eq!(
                place.publish(key, name, Reject).await,
                None,
                "{}",
                place.what
            );
            let given = place.publish(key, name, Rename).await;
            assert_eq!(given, Some(format!("{name} (1)")), "{}", place.what);
            place.settle(key).await;
        }
        // A file takes the place of a link, and never that of a directory.
        let key = place.receive(3, "content").await;
        assert_eq!(place.publish(key, "dir", Overwrite).await, None);
        assert!(!nowhere.exists());
        assert!(
            fs::symlink_metadata(place.dir().join("link"))
                .unwrap()
                .is_symlink()
        );
        assert!(place.dir().join("dir").is_dir());
    }
}

#[tokio::test]
async fn overwriting_a_link_does_not_write_where_it_leads() {
    for place in Place::all() {
        let elsewhere = place.data.path().join("elsewhere");
        fs::write(&elsewhere, "elsewhere").unwrap();
        symlink(&elsewhere, place.dir().join("link")).unwrap();
        let key = place.receive(1, "content").await;
        place.publish(key, "link", Overwrite).await.unwrap();
        assert_eq!(
            fs::read_to_string(elsewhere).unwrap(),
            "elsewhere",
            "{}",
            place.what
        );
        assert_eq!(
            place.files(),
            files(&[("link", "content")]),
            "{}",
            place.what
        );
    }
}

#[tokio::test]
async fn a_directory_that_is_missing_is_made() {
    for place in Place::all() {
        let key = place.receive(1, "content").await;
        let dir = place.dir().join("new/deep");
        let name = FileName::parse("a.txt").unwrap();
        let publish = Publish {
            dir: dir.clone(),
            name,
            on_conflict: Reject,
            crc: Some(Crc32c::of(b"content")),
            durable: true,
        };
        assert!(
            place.local.publish(key, publish).await.unwrap().is_some(),
            "{}",
            place.what
        );
        assert_eq!(fs::read_to_string(dir.join("a.txt")).unwrap(), "content");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_uploads_of_one_name_all_stay() {
    for place in Place::all() {
        let place = Arc::new(place);
        let mut publications = tokio::task::JoinSet::new();
        for number in 0..16 {
            let place = Arc::clone(&place);
            publications.spawn(async move {
                let content = format!("content {number}");
                let key = place.receive(number, &content).await;
                let name = place.publish(key, "a.txt", Rename).await.unwrap();
                place.settle(key).await;
                (name, content)
            });
        }
        let mut expected = publications.join_all().await;
        expected.sort();
        assert_eq!(place.everything(), expected, "{}", place.what);
    }
}

/// Of many that may not share the name, one has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_uploads_wins_a_name_under_reject() {
    for place in Place::all() {
        let place = Arc::new(place);
        let mut publications = tokio::task::JoinSet::new();
        for number in 0..16 {
            let place = Arc::clone(&place);
            publications.spawn(async move {
                place.receive(number, &format!("content {number}")).await;
                place
                    .publish(key(number), "a.txt", Reject)
                    .await
                    .map(|_| number)
            });
        }
        let winners: Vec<_> = publications
            .join_all()
            .await
            .into_iter()
            .flatten()
            .collect();
        let [winner] = winners[..] else {
            panic!("{}: {winners:?}", place.what)
        };
        assert_eq!(
            place.files(),
            files(&[("a.txt", &format!("content {winner}"))])
        );
    }
}

/// The name of our own directory is nobody's, whether it is there or not.
#[tokio::test]
async fn a_client_cannot_have_the_name_of_our_directory() {
    for place in Place::all() {
        for name in [".steadfast", ".Steadfast"] {
            let key = place.receive(1, "content").await;
            for on_conflict in [Reject, Overwrite] {
                let given = place.publish(key, name, on_conflict).await;
                assert_eq!(given, None, "{}", place.what);
            }
            assert!(place.everything().is_empty(), "{}", place.what);
            let given = place.publish(key, name, Rename).await;
            assert_eq!(given, Some(format!("{name} (1)")), "{}", place.what);
            place.settle(key).await;
            fs::remove_file(place.dir().join(format!("{name} (1)"))).unwrap();
        }
    }
}

#[tokio::test]
async fn our_directory_belongs_to_its_owner_alone() {
    for place in Place::all() {
        let key = place.receive(1, "content").await;
        place.publish(key, "a.txt", Rename).await.unwrap();
        let ours = place.dir().join(".steadfast");
        if let Ok(metadata) = fs::metadata(ours) {
            assert_eq!(metadata.permissions().mode() & 0o7777, 0o700);
        }
    }
}

/// A copy is a second chance to see that bytes have changed.
#[tokio::test]
async fn a_copy_that_is_not_what_was_received_gets_no_name() {
    for on_conflict in [Rename, Reject, Overwrite] {
        let place = Place::new("no links", tempfile::tempdir().unwrap());
        place.put("b.txt", "older");
        let key = place.receive(1, "content").await;
        let publish = Publish {
            dir: place.dir(),
            name: FileName::parse("a.txt").unwrap(),
            on_conflict,
            crc: Some(Crc32c::of(b"contenu")),
            durable: true,
        };
        let data = place.data.path().join(format!("{key}.data"));
        let error = publish_on(NO_LINKS, &data, key, &publish).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
        assert_eq!(place.everything(), files(&[("b.txt", "older")]));
    }
}
