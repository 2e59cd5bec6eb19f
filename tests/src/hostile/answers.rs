//! What the bytes of a connection say about the fate of its requests.

use std::io::Cursor;

use super::h2;
use crate::http::{Connection, Response};

/// What was seen of one connection.
#[derive(Debug, Default)]
pub struct Seen {
    /// The answers, the judged one last; none is interim.
    pub answers: Vec<Response>,
    /// True when the server has ended the connection, or the stream in question.
    pub ended: bool,
    /// True when the last request, or what was sent last, was answered.
    pub answered: bool,
    /// True when nothing more can come of it.
    pub settled: bool,
    /// True when an answer breaks off.
    pub cut: bool,
}

/// Reads answers of HTTP/1.1; those behind the first `before` bytes came after the last step.
#[must_use]
pub fn http1(bytes: &[u8], to_head: bool, before: usize, ended: bool) -> Seen {
    let method = if to_head { "HEAD" } else { "GET" };
    let mut connection = Connection::reading(Cursor::new(bytes));
    let mut answers = Vec::new();
    let mut cut = false;
    while let Ok((status, headers)) = connection.head() {
        if (100..200).contains(&status) {
            continue;
        }
        let is_stream = headers
            .iter()
            .any(|(name, value)| name == "content-type" && value == b"text/event-stream");
        if is_stream {
            answers.push(Response {
                headers,
                ..Response::bare(status)
            });
            break;
        }
        match connection.answer(method, status, headers, Vec::new()) {
            Ok(answer) => answers.push(answer),
            Err(_) => {
                cut = true;
                break;
            }
        }
    }
    Seen {
        answered: !answers.is_empty() && !cut && bytes.len() > before,
        answers,
        ended,
        settled: ended,
        cut,
    }
}

/// Reads answers of HTTP/2 to the streams `opened`.
///
/// # Errors
/// An answer without a status that could be read.
pub fn http2(bytes: &[u8], opened: &[u32], ended: bool) -> Result<Seen, String> {
    let h2::Talk {
        mut answers,
        whole,
        reset,
        gone,
    } = h2::talk(bytes)?;
    let last = opened.last();
    let is_last = |stream: &u32| Some(stream) == last;
    let answered = answers.iter().any(|(stream, _)| is_last(stream));
    let ended = ended || gone || reset.iter().any(is_last);
    answers.sort_by_key(|(stream, _)| opened.iter().position(|known| known == stream));
    Ok(Seen {
        answers: answers.into_iter().map(|(_, answer)| answer).collect(),
        ended,
        answered,
        settled: ended || whole.iter().any(is_last),
        cut: false,
    })
}
