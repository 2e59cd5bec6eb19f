//! Numbers for monitoring.

use std::collections::HashSet;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, OnceLock};

use steadfast::Metrics;
use steadfast_tests::app::App;
use steadfast_tests::config::{CHUNK, Config};
use steadfast_tests::data;
use steadfast_tests::http::{Connection, Events, Request};
use steadfast_tests::prometheus::{self, Samples};
use steadfast_tests::script::{Answer, Script};
use steadfast_tests::server::{Server, free_address};
use steadfast_tests::wait::{self, SOON};

fn observed(extra: &str) -> (Server, SocketAddr) {
    let address = free_address();
    let config = Config::with(extra).set("metrics", "listen", &address.to_string());
    (Server::with(&config), address)
}

fn scrape(address: SocketAddr) -> Samples {
    let answer = Request::new("GET", "/metrics").send(address).status_is(200);
    let kind = answer.text("content-type").unwrap();
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    prometheus::parse(&String::from_utf8(answer.body).unwrap())
}

/// Those samples that are not zero and no times, without `steadfast_`.
fn counted(samples: &Samples) -> Vec<String> {
    let is_time = |name: &str| name.contains("_seconds_bucket") || name.contains("_seconds_sum");
    let told = samples
        .iter()
        .filter(|(name, value)| **value > 0.0 && !is_time(name));
    told.map(|(name, value)| format!("{} {value}", name.strip_prefix("steadfast_").unwrap()))
        .collect()
}

#[test]
fn what_happens_is_counted_exactly() {
    let (server, address) = observed("[uploads]\ndurability = \"process\"");
    assert_eq!(counted(&scrape(address)), ["workers 4"]);
    let client = server.client();
    let file = data::random(1, 2 * CHUNK + CHUNK / 2);
    let (_, last) = client.upload("done.bin", &file);
    let _ = last.status_is(200);
    let begun = client.create("begun.bin", 2 * CHUNK);
    let stream = Events::open(server.addr(), &begun.id);
    let _ = client.put_chunk(&begun, &file, 0).status_is(200);
    let twice = client.put_chunk(&begun, &file, 0).status_is(200);
    assert_eq!(twice.json()["duplicate"], true);
    client.put(&begun, 7, b"x").refused(400, "chunk_range");
    client.ask(&"x".repeat(43)).refused(404, "no_session");
    client.ask("y").refused(404, "no_session");
    let mut half = Connection::open(server.addr());
    let request = client.chunk_head(&begun, 1);
    half.start(&request.header("Content-Length", CHUNK.to_string()));
    half.write(&file[..CHUNK / 2]).unwrap();
    wait::until("it has begun", SOON, || {
        scrape(address)["steadfast_sessions_receiving"] > 0.0
    });
    let given_up = client.create("given-up.bin", CHUNK);
    let _ = client.cancel(&given_up).status_is(204);
    let expected = [
        "acknowledged_bytes_total 229376",
        "acknowledged_chunks_total 4",
        "duplicate_chunks_total 1",
        "event_streams 1",
        "handoff_seconds_count 1",
        "handoffs_total{outcome=\"completed\"} 1",
        "received_bytes_total 294912",
        "refusals_total{code=\"chunk_range\"} 1",
        "refusals_total{code=\"no_session\"} 2",
        "sessions_receiving 1",
        "sessions{state=\"cancelled\"} 1",
        "sessions{state=\"completed\"} 1",
        "sessions{state=\"receiving\"} 1",
        "upload_events_total{event=\"cancelled\"} 1",
        "upload_events_total{event=\"completed\"} 1",
        "upload_events_total{event=\"created\"} 3",
        "upload_events_total{event=\"finishing\"} 1",
        "workers 4",
    ];
    assert_eq!(counted(&scrape(address)), expected);
    // A newer request takes the chunk over; it is the last one.
    drop(stream);
    let _ = client.put_chunk(&begun, &file, 1).status_is(200);
    wait::until("all are gone", SOON, || {
        let now = scrape(address);
        now["steadfast_event_streams"] == 0.0 && now["steadfast_sessions_receiving"] == 0.0
    });
    let now = scrape(address);
    assert_eq!(now["steadfast_superseded_chunks_total"], 1.0);
    assert_eq!(now["steadfast_sessions{state=\"completed\"}"], 2.0);
    assert_eq!(now["steadfast_sessions{state=\"receiving\"}"], 0.0);
    assert_eq!(now["steadfast_refusals_total{code=\"superseded\"}"], 1.0);
}

#[test]
fn flushes_and_refused_hand_offs_are_counted() {
    let slot = Arc::<OnceLock<Metrics>>::default();
    let taken = Arc::clone(&slot);
    let script = Script::new(|call| match call.index {
        0 => Answer::text(422, "no").into(),
        1 => Answer::text(503, "later").into(),
        _ => Answer::text(200, "yes").into(),
    });
    let app = App::hooked(Config::with(""), script, move |layer| {
        let _ = taken.set(layer.metrics());
        layer
    });
    let (_, last) = app.client().upload("a.bin", &[1; CHUNK]);
    let _ = last.status_is(422);
    let (session, _) = app.client().upload("b.bin", &[1; CHUNK]);
    let _ = app.client().until_state(&session, "completed");
    let now = prometheus::parse(&slot.get().unwrap().render());
    for (outcome, count) in [("rejected", 1.0), ("undelivered", 1.0), ("completed", 1.0)] {
        let name = format!("steadfast_handoffs_total{{outcome=\"{outcome}\"}}");
        assert_eq!(now[&name], count, "{outcome}");
    }
    assert_eq!(now["steadfast_handoff_seconds_count"], 3.0);
    // Each chunk; and each attempt, when it begins and when it has ended.
    assert_eq!(now["steadfast_flush_seconds_count"], 2.0 + 3.0 * 2.0);
    assert!(now["steadfast_flush_seconds_sum"] > 0.0);
    assert_eq!(now["steadfast_sessions{state=\"rejected\"}"], 1.0);
}

#[test]
fn layers_in_one_process_count_apart() {
    let start = || {
        let slot = Arc::<OnceLock<Metrics>>::default();
        let taken = Arc::clone(&slot);
        let app = App::hooked(Config::with(""), Script::storing(), move |layer| {
            let _ = taken.set(layer.metrics());
            layer
        });
        (app, slot.get().expect("a layer").clone())
    };
    let ((one, ones), (other, others)) = (start(), start());
    let _ = one.client().upload("a.bin", &[1; CHUNK]);
    let _ = other.client().create("b.bin", CHUNK);
    let _ = other.client().create("c.bin", CHUNK);
    let created = |metrics: &Metrics| {
        let now = prometheus::parse(&metrics.render());
        let chunks = now["steadfast_acknowledged_chunks_total"];
        (
            now["steadfast_upload_events_total{event=\"created\"}"],
            chunks,
        )
    };
    assert_eq!((created(&ones), created(&others)), ((1.0, 1.0), (2.0, 0.0)));
}

#[test]
fn only_metrics_are_answered_there() {
    let (server, address) = observed("");
    let ask = |method: &str, path: &str| Request::new(method, path).send(address);
    let head = ask("HEAD", "/metrics").status_is(200);
    assert!(head.body.is_empty());
    assert_eq!(
        ask("POST", "/metrics")
            .status_is(405)
            .text("allow")
            .unwrap(),
        "GET, HEAD"
    );
    for path in ["/", "/upload/status", "/metrics/x", "/health"] {
        let _ = ask("GET", path).status_is(404);
    }
    let elsewhere = Request::new("GET", "/metrics").send(server.addr());
    let _ = elsewhere.status_is(404);
    assert!(server.logs().contains(&format!("http://{address}/metrics")));
}

#[test]
fn an_address_in_use_is_an_error_that_names_the_key() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let config = Config::with("").set("metrics", "listen", &address);
    let (_, logs) = Server::refused(&config);
    let expected = format!("metrics.listen = \"{address}\" cannot be used: ");
    assert!(logs.contains(&expected), "{logs}");
}

/// The sockets on which a process takes connections.
fn listening(server: &Server) -> usize {
    let pid = server.pid();
    let of_process: HashSet<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|target| {
            let target = target.to_string_lossy().into_owned();
            Some(
                target
                    .strip_prefix("socket:[")?
                    .strip_suffix(']')?
                    .to_owned(),
            )
        })
        .collect();
    let tables = ["tcp", "tcp6"].map(|table| format!("/proc/{pid}/net/{table}"));
    let lines = tables.map(|table| std::fs::read_to_string(table).unwrap_or_default());
    let fields = |line: &str| {
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let all = lines
        .iter()
        .flat_map(|text| text.lines().skip(1))
        .map(fields);
    // 0A is the state of a listening socket; see proc(5).
    all.filter(|fields| fields[3] == "0A" && of_process.contains(&fields[9]))
        .count()
}

#[test]
fn no_port_is_opened_unasked() {
    let plain = Server::start("");
    assert_eq!(listening(&plain), 1);
    let (observed, _) = observed("");
    assert_eq!(listening(&observed), 2);
}
