//! Bytes that change after they were acknowledged, in the process that received them: design
//! section 3, rule 2, and section 4.

use std::os::unix::fs::FileExt as _;

use serde_json::json;
use steadfast_tests::app::App;
use steadfast_tests::config::CHUNK;
use steadfast_tests::data;
use steadfast_tests::script::{Answer, Reply, Script};
use steadfast_tests::tree;
use steadfast_tests::upload::Session;
use steadfast_tests::wait::{self, SOON};

/// Flips a bit of the file that holds the bytes, at each of these offsets.
fn rot(app: &App, offsets: &[usize]) {
    let path = tree::largest(&app.state_dir(), ".data").expect("the bytes");
    let mut options = std::fs::OpenOptions::new();
    let held = options.read(true).write(true).open(path).unwrap();
    for &offset in offsets {
        let mut byte = [0];
        held.read_exact_at(&mut byte, offset as u64).unwrap();
        held.write_all_at(&[byte[0] ^ 4], offset as u64).unwrap();
    }
}

/// Waits until these chunks are missing, sends them again, and looks at what the handler got.
fn mend(app: &App, session: &Session, file: &[u8], missing: &[usize]) {
    let client = app.client();
    let ranges: Vec<_> = missing.iter().map(|&index| json!([index, index])).collect();
    let status = wait::eventually("those chunks and no others are missing", SOON, || {
        let status = client.status(session);
        (status["missing"] == json!(ranges)).then_some(status)
    });
    assert_eq!(status["state"], "receiving");
    let before = app.script().calls();
    assert!(before.last().is_some_and(|call| call.broken));
    let mut last = json!({});
    for &index in missing {
        assert_eq!(app.script().count(), before.len(), "nothing is whole yet");
        last = client.put_chunk(session, file, index).status_is(200).json();
    }
    assert_eq!(last["completed"], true, "{last}");
    let calls = app.script().calls();
    assert_eq!(calls.len(), before.len() + 1);
    let whole = &calls[before.len()];
    assert!(whole.body == file && !whole.broken);
}

fn raw(extra: &str) -> String {
    format!("[delivery]\nform = \"raw\"\n{extra}")
}

#[test]
fn a_chunk_that_rots_before_the_hand_off_is_asked_for_again() {
    let replies: [Reply; 4] = [
        Answer::text(201, "taken").into(),
        Answer::text(422, "half a file").into(),
        Reply::Panic,
        Reply::Fail,
    ];
    for reply in replies {
        let script = Script::new(move |call| match call.broken {
            true => reply.clone(),
            false => Answer::text(201, "stored").into(),
        });
        // Nobody can say that what a handler did of half a file is unknown.
        let app = App::start(&raw("on_unknown = \"hold\""), script);
        let file = data::random(1, 3 * CHUNK);
        let session = app.client().create("rot.bin", file.len());
        for index in 0..2 {
            let _ = app.client().put_chunk(&session, &file, index);
        }
        // The last byte of a chunk: what comes before it has been given away by then.
        rot(&app, &[CHUNK - 1]);
        let last = app.client().put_chunk(&session, &file, 2).status_is(200);
        assert_eq!(last.json()["completed"], false);
        assert!(app.script().calls()[0].body.len() < CHUNK);
        mend(&app, &session, &file, &[0]);
    }
}

#[test]
fn what_rots_between_two_attempts_is_found_whole() {
    for broken in [Answer::text(201, "taken").into(), Reply::Hang] {
        let script = Script::new(move |call| match call.index {
            0 => Answer::text(503, "not now").into(),
            _ if call.broken => broken.clone(),
            _ => Answer::text(201, "stored").into(),
        });
        let app = App::start(&raw("timeout = \"1s\"\nmax_concurrent = 1"), script);
        let file = data::random(2, 5 * CHUNK);
        let (session, last) = app.client().upload("rot.bin", &file);
        assert_eq!(last.status, 503);
        rot(&app, &[0, 2 * CHUNK + 7, 5 * CHUNK - 1]);
        mend(&app, &session, &file, &[0, 2, 4]);
        assert_eq!(app.script().count(), 3, "one attempt finds them all");
    }
}
