//! A state directory with many unfinished uploads in it.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::client;
use crate::process::Server;
use crate::server::CONFIG;

const CHUNK: usize = 64 << 10;
const CHUNKS: usize = 16;

pub(crate) struct State {
    /// The directory of the server.
    pub(crate) dir: PathBuf,
    /// The session ids of the uploads.
    pub(crate) ids: Vec<String>,
    /// Length of each log.
    pub(crate) log_bytes: usize,
}

impl State {
    /// Lets a server begin one upload below `dir`, and copies it.
    pub(crate) fn make(dir: &Path, sessions: usize) -> io::Result<Self> {
        fs::write(dir.join(CONFIG), config(dir, sessions))?;
        let server = Server::start(dir)?;
        begin(&server)?;
        drop(server);
        let state = dir.join("state");
        let (log_name, log) = take(&state, "log")?;
        take(&state, "data")?;
        let ids: Vec<_> = (0..sessions).map(id).collect();
        for id in &ids {
            let key = URL_SAFE_NO_PAD.encode(&Sha256::digest(id.as_bytes())[..16]);
            let name = format!("{key}.log");
            fs::write(state.join(&name), renamed(&log, &log_name, &name))?;
            fs::write(state.join(format!("{key}.data")), "")?;
        }
        Ok(Self {
            dir: dir.to_owned(),
            ids,
            log_bytes: log.len(),
        })
    }
}

fn config(dir: &Path, sessions: usize) -> String {
    let state = dir.join("state");
    format!(
        "[uploads]\n\
         state_dir = {state:?}\n\
         durability = \"process\"\n\
         max_sessions = {sessions}\n\
         min_free_space = \"1MB\"\n\
         [security]\n\
         enabled = false\n"
    )
}

/// Sends three quarters of a file.
fn begin(server: &Server) -> io::Result<()> {
    let total = CHUNKS * CHUNK;
    let headers =
        format!("X-Filename: begun.bin\r\nX-Total-Size: {total}\r\nX-Chunk-Size: {CHUNK}\r\n");
    let created = client::ask(server.address, "POST /upload/chunked", &headers, &[])?;
    let id = created.member("session_id")?;
    for number in 0..CHUNKS * 3 / 4 {
        let headers = format!("X-Upload-Session-ID: {id}\r\nX-Chunk-Number: {number}\r\n");
        let line = "PUT /upload/chunked";
        let sent = client::ask(server.address, line, &headers, &[7; CHUNK])?;
        if sent.status != 200 {
            return Err(io::Error::other(sent.text));
        }
    }
    Ok(())
}

/// The bytes of a log as a file of another name has them: the name is part of the salt, which
/// stands behind the first eight bytes.
fn renamed(log: &[u8], from: &str, to: &str) -> Vec<u8> {
    let mut log = log.to_vec();
    for name in [from, to] {
        for (at, byte) in name.bytes().enumerate() {
            log[8 + at % 16] ^= byte;
        }
    }
    log
}

/// Takes the only file of its kind out of a directory: its name and its bytes.
fn take(dir: &Path, extension: &str) -> io::Result<(String, Vec<u8>)> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new(extension)) {
            let bytes = fs::read(&path)?;
            fs::remove_file(&path)?;
            let name = path.file_name().unwrap_or_default();
            return Ok((name.to_string_lossy().into_owned(), bytes));
        }
    }
    Err(io::Error::other("the server kept nothing"))
}

/// The session id of an upload: as long as any, and as random as it needs to be.
fn id(number: usize) -> String {
    let bytes: [u8; 32] = Sha256::digest(number.to_le_bytes()).into();
    URL_SAFE_NO_PAD.encode(bytes)
}
