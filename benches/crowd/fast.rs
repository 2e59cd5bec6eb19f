//! One upload, as fast as it goes.

use std::io;
use std::time::Instant;

use steadfast_tests::data;
use steadfast_tests::http::{Connection, Request};
use steadfast_tests::upload::{CHUNKED, Client};

const CHUNK: usize = 5 << 20;
const CHUNKS: usize = 100;

/// Sends all chunks but the last over one connection, and gives the upload up. Answers MiB/s.
pub(crate) fn upload(client: Client) -> io::Result<f64> {
    let bytes = data::random(7, CHUNK);
    let session = client.create("fast.bin", CHUNK * CHUNKS);
    let mut connection = Connection::try_open(client.addr())?;
    let length = CHUNK.to_string();
    let begun = Instant::now();
    for chunk in 0..CHUNKS - 1 {
        let head = client.chunk_head(&session, chunk);
        connection.write(&head.header("Content-Length", &length).head())?;
        connection.write(&bytes)?;
        let _ = connection.response("PUT")?.status_is(200);
    }
    let took = begun.elapsed();
    let cancel = Request::new("DELETE", CHUNKED).header("X-Upload-Session-ID", &session.id);
    let _ = connection.exchange(&cancel)?.status_is(204);
    let mib = (CHUNK * (CHUNKS - 1)) as f64 / f64::from(1 << 20);
    Ok(mib / took.as_secs_f64())
}
