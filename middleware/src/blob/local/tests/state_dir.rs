use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use crate::blob::StateDir;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn it_belongs_to_its_owner_alone_even_where_it_did_not() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a/b");
    let dir = StateDir::open(&path, Duration::ZERO).await.unwrap();
    assert_eq!(dir.path(), path);
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join("lock")), 0o600);
    drop(dir);
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    let _dir = StateDir::open(&path, Duration::ZERO).await.unwrap();
    assert_eq!(mode(&path), 0o700);
}

#[tokio::test(start_paused = true)]
async fn a_second_process_waits_as_long_as_it_may_and_gives_up() {
    let root = tempfile::tempdir().unwrap();
    let _first = StateDir::open(root.path(), Duration::ZERO).await.unwrap();
    for wait in [0, 5] {
        let wait = Duration::from_secs(wait);
        let begun = Instant::now();
        let error = StateDir::open(root.path(), wait).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        let waited = begun.elapsed();
        assert!(
            (wait..wait + Duration::from_secs(1)).contains(&waited),
            "{waited:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_process_goes_on_when_the_first_has_ended() {
    let root = tempfile::tempdir().unwrap();
    let first = StateDir::open(root.path(), Duration::ZERO).await.unwrap();
    let begun = Instant::now();
    let end = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        drop(first);
    };
    let (second, ()) = tokio::join!(StateDir::open(root.path(), Duration::from_secs(60)), end);
    second.unwrap();
    assert!(
        (3..5).contains(&begun.elapsed().as_secs()),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn a_file_in_its_place_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("file");
    fs::write(&path, "").unwrap();
    assert!(StateDir::open(&path, Duration::ZERO).await.is_err());
}
