//! The handle by which the app looks at uploads and manages them.

use std::sync::{Arc, OnceLock};

use steadfast::upload::{SessionId, State, UploadKey};
use steadfast::{Event, UploadError, Uploads, What};
use steadfast_tests::app::App;
use steadfast_tests::config::{CHUNK, Config};
use steadfast_tests::data;
use steadfast_tests::script::{Answer, Script};
use steadfast_tests::upload::Session;
use steadfast_tests::wait::{self, SOON};
use tokio::runtime::Runtime;

struct Managed {
    app: App,
    uploads: Uploads,
    runtime: Runtime,
}

impl Managed {
    fn start(extra: &str, script: Script) -> Self {
        let slot = Arc::<OnceLock<Uploads>>::default();
        let taken = Arc::clone(&slot);
        let app = App::hooked(Config::with(extra), script, move |layer| {
            let _ = taken.set(layer.uploads());
            layer
        });
        let uploads = slot.get().expect("the layer was made").clone();
        let runtime = Runtime::new().expect("a runtime");
        Self {
            app,
            uploads,
            runtime,
        }
    }

    fn state(&self, session: &Session) -> State {
        let status = self.runtime.block_on(self.uploads.status(key(session)));
        status.unwrap().state
    }
}

fn key(session: &Session) -> UploadKey {
    SessionId::parse(&session.id).unwrap().key()
}

#[test]
fn uploads_are_listed_found_and_given_up() {
    let managed = Managed::start("", Script::storing());
    let Managed {
        app,
        uploads,
        runtime,
    } = &managed;
    let sessions: Vec<_> = (0..5)
        .map(|nth| app.client().create(&format!("{nth}.bin"), CHUNK))
        .collect();
    let mut names = Vec::new();
    let mut from = None;
    loop {
        let page = runtime.block_on(uploads.list(from, 2));
        let listed = page.uploads.iter();
        names.extend(listed.map(|view| view.header.declaration.name.to_string()));
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    names.sort();
    assert_eq!(names, ["0.bin", "1.bin", "2.bin", "3.bin", "4.bin"]);
    let id = SessionId::parse(&sessions[0].id).unwrap();
    let by_id = runtime.block_on(uploads.status_by_id(&id)).unwrap();
    assert_eq!((by_id.key, by_id.uploaded), (key(&sessions[0]), 0));
    runtime.block_on(uploads.cancel(id.key())).unwrap();
    assert_eq!(app.client().state(&sessions[0]), "cancelled");
    let unknown = SessionId::new([7; 32], None).key();
    let status = runtime.block_on(uploads.status(unknown));
    assert_eq!(status.unwrap_err(), UploadError::Unknown);
}

#[test]
fn a_refused_upload_is_handed_over_again_when_the_app_says_so() {
    let script = Script::new(|call| match call.index {
        0 => Answer::text(422, "not today").into(),
        _ => Answer::text(200, "welcome").into(),
    });
    let managed = Managed::start("", script);
    let file = data::random(1, 3 * CHUNK / 2);
    let (session, last) = managed.app.client().upload("refused.bin", &file);
    let _ = last.status_is(422);
    let again = managed.uploads.redeliver(key(&session));
    managed.runtime.block_on(again).unwrap();
    wait::until("it is delivered", SOON, || {
        managed.state(&session) == State::Completed
    });
    let status = managed.app.client().status(&session);
    assert_eq!(status["handler"]["body"], "welcome");
    assert_eq!(managed.app.script().count(), 2);
    let again = managed.uploads.redeliver(key(&session));
    assert_eq!(managed.runtime.block_on(again), Err(UploadError::Unfit));
}

#[test]
fn an_app_hears_of_uploads_by_their_keys() {
    let managed = Managed::start("", Script::storing());
    let mut events = managed.uploads.subscribe();
    let (session, last) = managed.app.client().upload("heard.bin", &[1; CHUNK]);
    let _ = last.status_is(200);
    let mut heard = Vec::new();
    while heard.last() != Some(&What::Completed) {
        let Some(Ok(Event::Upload(change))) = managed.runtime.block_on(events.next()) else {
            panic!("an event of an upload");
        };
        assert_eq!(change.key, key(&session));
        heard.push(change.what);
    }
    let expected = [
        What::Created,
        What::Progress,
        What::Finishing,
        What::Completed,
    ];
    assert_eq!(heard, expected);
}

#[test]
fn uploads_that_an_operator_pauses_are_refused_until_they_go_on() {
    let settle = "[network]\nsettle = \"100ms\"\npoll_interval = \"1s\"";
    let managed = Managed::start(settle, Script::storing());
    let session = managed.app.client().create("paused.bin", CHUNK);
    managed.uploads.pause();
    assert!(managed.uploads.is_paused());
    let refused = managed.app.client().put(&session, 0, &[1; CHUNK]);
    assert!(refused.refused(503, "paused").text("retry-after").is_some());
    managed.uploads.resume();
    let taken = managed.app.client().put(&session, 0, &[1; CHUNK]);
    assert_eq!(taken.status_is(200).json()["completed"], true);
}
