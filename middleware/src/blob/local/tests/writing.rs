use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{local, put};
use crate::blob::{Blobs as _, Hold};
use crate::upload::tests::sample::key;

/// Tells when the last holder lets go.
struct Tell(Option<oneshot::Sender<()>>);

impl Drop for Tell {
    fn drop(&mut self) {
        let _ = self.0.take().unwrap().send(());
    }
}

#[tokio::test]
async fn bytes_written_in_any_order_are_read_back_in_theirs() {
    let (_dir, local) = local(1);
    let blob = local.open(key(1)).await.unwrap();
    let last = Bytes::from_static(b"789");
    blob.write(6, last, Arc::new(())).await.unwrap();
    put(blob.as_ref(), 0, "123").await;
    blob.write(3, Bytes::from_static(b"456"), Arc::new(()))
        .await
        .unwrap();
    assert_eq!(blob.read(0, 9).await.unwrap(), "123456789");
    assert_eq!(blob.read(4, 3).await.unwrap(), "567");
    assert_eq!(blob.read(9, 0).await.unwrap(), "");
    // Another opening sees the same bytes, and opening loses none.
    let again = local.open(key(1)).await.unwrap();
    assert_eq!(again.read(0, 9).await.unwrap(), "123456789");
    let other = local.open(key(2)).await.unwrap();
    assert_eq!(
        other.read(0, 1).await.unwrap_err().kind(),
        ErrorKind::UnexpectedEof
    );
}

#[tokio::test]
async fn more_than_there_is_cannot_be_read() {
    let (_dir, local) = local(1);
    let blob = local.open(key(1)).await.unwrap();
    blob.write_now(0, b"123").unwrap().unwrap();
    for (offset, len) in [(0, 4), (3, 1), (100, 1)] {
        let error = blob.read(offset, len).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{offset} {len}");
    }
}

#[tokio::test]
async fn nothing_is_preallocated_and_holes_are_zeros() {
    let (dir, local) = local(1);
    let blob = local.open(key(1)).await.unwrap();
    let far = 1 << 40;
    blob.write_now(far, b"x").unwrap().unwrap();
    let path = dir.path().join(format!("{}.data", key(1)));
    let metadata = fs::metadata(path).unwrap();
    assert_eq!(metadata.len(), far + 1);
    assert!(
        metadata.blocks() * 512 < 1 << 20,
        "{} blocks",
        metadata.blocks()
    );
    assert_eq!(blob.read(far - 3, 4).await.unwrap(), "\0\0\0x");
}

#[tokio::test]
async fn where_nothing_may_run_inline_write_now_writes_nothing() {
    let (_dir, local) = local(0);
    let blob = local.open(key(1)).await.unwrap();
    assert!(blob.write_now(0, b"123").is_none());
    assert!(blob.read(0, 1).await.is_err());
    blob.write(0, Bytes::from_static(b"123"), Arc::new(()))
        .await
        .unwrap();
    assert_eq!(blob.read(0, 3).await.unwrap(), "123");
}

/// Whoever asked may be gone: only when the hold is let go may others write there.
#[tokio::test]
async fn a_write_keeps_its_hold_until_it_has_stopped() {
    let (_dir, local) = local(1);
    let blob = local.open(key(1)).await.unwrap();
    let (tell, told) = oneshot::channel();
    let hold: Hold = Arc::new(Tell(Some(tell)));
    // Long enough that it would not be over if the hold were let go at its beginning.
    let (piece, count) = (Bytes::from(vec![7; 1 << 20]), 32);
    let mut write = blob.write(0, Bytes::from(piece.repeat(count)), hold);
    std::future::poll_fn(|cx| {
        let _ = write.as_mut().poll(cx);
        Poll::Ready(())
    })
    .await;
    drop(write);
    told.await.unwrap();
    assert_eq!(
        blob.read((count as u64 - 1) << 20, piece.len())
            .await
            .unwrap(),
        piece
    );
}

#[tokio::test]
async fn removing_is_idempotent_and_takes_only_its_own() {
    let (dir, local) = local(1);
    for number in [1, 2] {
        let blob = local.open(key(number)).await.unwrap();
        put(blob.as_ref(), 0, "123").await;
    }
    for _ in 0..2 {
        local.remove(key(1)).await.unwrap();
    }
    local.remove(key(3)).await.unwrap();
    let names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names, [format!("{}.data", key(2)).as_str()]);
    assert!(local.open(key(1)).await.unwrap().read(0, 1).await.is_err());
}

#[tokio::test]
async fn every_upload_that_has_bytes_is_listed() {
    let (dir, local) = local(1);
    assert!(local.list().await.unwrap().is_empty());
    let mut keys = [key(1), key(2)];
    for key in keys {
        local.open(key).await.unwrap();
    }
    for name in ["lock", "x.data", ".data", &format!("{}.log", key(3))] {
        fs::write(dir.path().join(name), "").unwrap();
    }
    let mut listed = local.list().await.unwrap();
    keys.sort();
    listed.sort();
    assert_eq!(listed, keys);
}

#[tokio::test]
async fn bytes_belong_to_their_owner_alone() {
    let (dir, local) = local(1);
    local.open(key(1)).await.unwrap();
    let path = dir.path().join(format!("{}.data", key(1)));
    assert_eq!(
        fs::metadata(path).unwrap().permissions().mode() & 0o7777,
        0o600
    );
}

#[tokio::test]
async fn a_link_in_the_place_of_bytes_is_not_followed() {
    let (dir, local) = local(1);
    let elsewhere = dir.path().join("elsewhere");
    fs::write(&elsewhere, "older").unwrap();
    symlink(&elsewhere, dir.path().join(format!("{}.data", key(1)))).unwrap();
    assert!(local.open(key(1)).await.is_err());
    assert_eq!(fs::read_to_string(elsewhere).unwrap(), "older");
}

#[tokio::test]
async fn free_space_is_known() {
    let (_dir, local) = local(1);
    assert!(
        local
            .free_space()
            .await
            .unwrap()
            .is_some_and(|bytes| bytes > 0)
    );
}
