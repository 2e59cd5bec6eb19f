//! Cases as they stand in a file: see `tests/hostile/README.md`.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;

use super::h2::Frame;
use super::text::Text;

/// One case.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Its name: words with hyphens, once in the pack.
    pub name: String,
    /// What it is about, in a sentence.
    pub why: String,
    /// The vulnerability it replays.
    pub cve: Option<String>,
    /// Configuration laid over the pack's own; with `config_only` the whole file.
    #[serde(default)]
    pub config: String,
    /// True: the configuration itself is what must be refused.
    #[serde(default)]
    pub config_only: bool,
    /// What the refusal of a configuration must say.
    pub message: Option<String>,
    /// What the steps speak.
    #[serde(default)]
    pub transport: Transport,
    /// Uploads that are there before the first step.
    #[serde(default)]
    pub setup: Vec<Setup>,
    /// What the client does.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// What may come of it.
    #[serde(default)]
    pub expect: Vec<Outcome>,
    /// The `code` of the last answer, where that is a refusal.
    pub code: Option<String>,
    /// What the `detail` of the last answer says, among other things, where that is a refusal.
    pub detail: Option<String>,
    /// What must be neither in an answer nor in the log.
    #[serde(default)]
    pub absent: Vec<String>,
    /// Bytes that the upload of the set-up holds afterwards.
    pub uploaded: Option<u64>,
    /// How often the handler is called after the set-up.
    pub handler_calls: Option<u64>,
    /// Why this case fails today.
    pub known: Option<String>,
}

/// What the bytes of the steps are carried by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// TCP and nothing else.
    #[default]
    Plain,
    /// TLS over TCP; the server gets a certificate.
    Tls,
    /// TCP; the runner speaks the beginning of HTTP/2.
    H2,
}

/// What is there before the first step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Setup {
    /// An upload of three chunks, none of them sent.
    Session,
    /// A chunk of it.
    Chunk(usize),
    /// All chunks of an upload.
    Completed,
    /// Another upload.
    Foreign,
}

/// What may come of the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a status, or \"closed\"")]
pub enum Outcome {
    /// The last answer has this status.
    Status(u16),
    /// The connection ends without an answer to the last request.
    Closed(Closed),
}

/// The word for [`Outcome::Closed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Closed {
    /// `"closed"`.
    Closed,
}

/// One step of the client.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Written")]
pub enum Step {
    /// Sends this so many times, without a pause.
    Send(Text, usize),
    /// Opens so many connections, sends this on each, and leaves them open.
    Crowd(usize, Text),
    /// Frames of HTTP/2, so many times.
    Frames(Vec<Frame>, u32),
    /// Sends this so many times, each after a pause.
    Slow(Text, Duration, usize),
    /// Does nothing for a while.
    Wait(Duration),
    /// Waits for the answer to what was sent.
    Answered,
    /// Closes all connections.
    Close,
    /// Ends its half of the main connection.
    HalfClose,
}

/// A step as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    send: Option<Text>,
    send_hex: Option<String>,
    repeat: Option<usize>,
    connections: Option<usize>,
    h2_frame: Option<Frame>,
    h2_frames: Option<Vec<Frame>>,
    slow: Option<Slow>,
    wait_ms: Option<u64>,
    #[serde(default)]
    answered: bool,
    #[serde(default)]
    close: bool,
    #[serde(default)]
    half_close: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Slow {
    byte: Text,
    every_ms: u64,
    times: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    case: Vec<Case>,
}

impl TryFrom<Written> for Step {
    type Error = String;

    fn try_from(step: Written) -> Result<Self, String> {
        let repeat = step.repeat.unwrap_or(1);
        let hex = step.send_hex.map(|hex| hex::decode(hex).map(Text::bytes));
        let hex = hex.transpose().map_err(|error| error.to_string())?;
        let mut known = Vec::new();
        known.extend(match step.connections {
            Some(count) => step.send.map(|text| Self::Crowd(count, text)),
            None => step.send.map(|text| Self::Send(text, repeat)),
        });
        known.extend(hex.map(|text| Self::Send(text, repeat)));
        known.extend(step.h2_frame.map(|frame| Self::Frames(vec![frame], 1)));
        let rounds = u32::try_from(repeat).map_err(|error| error.to_string())?;
        known.extend(step.h2_frames.map(|frames| Self::Frames(frames, rounds)));
        let slow = |slow: Slow| {
            let pause = Duration::from_millis(slow.every_ms);
            Self::Slow(slow.byte, pause, slow.times)
        };
        known.extend(step.slow.map(slow));
        let wait = step.wait_ms.map(Duration::from_millis);
        known.extend(wait.map(Self::Wait));
        known.extend(step.answered.then_some(Self::Answered));
        known.extend(step.close.then_some(Self::Close));
        known.extend(step.half_close.then_some(Self::HalfClose));
        match known.len() {
            1 => known.pop().ok_or_else(String::new),
            _ => Err("a step does one thing: send, send_hex, h2_frame, h2_frames, slow, wait_ms, answered, close or half_close".into()),
        }
    }
}

impl TryFrom<String> for Setup {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let chunk = |text: &str| text.strip_prefix("chunk ")?.parse().ok().map(Self::Chunk);
        match text.as_str() {
            "session" => Ok(Self::Session),
            "completed" => Ok(Self::Completed),
            "foreign-session" => Ok(Self::Foreign),
            other => chunk(other).ok_or_else(|| {
                format!("{other:?} is none of session, chunk N, completed, foreign-session")
            }),
        }
    }
}

impl Case {
    fn check(&self) -> Result<(), String> {
        let is_word = |word: &str| {
            let mut bytes = word.bytes();
            !word.is_empty() && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        if !self.name.split('-').all(is_word) {
            return Err("a name is words with hyphens between them".into());
        }
        if self.why.is_empty() {
            return Err("why is missing".into());
        }
        let is_crowd = |step: &Step| matches!(step, Step::Crowd(..));
        if self.transport != Transport::Plain && self.steps.iter().any(is_crowd) {
            return Err("connections is for transport plain".into());
        }
        match (self.config_only, &self.message, self.steps.is_empty()) {
            (true, Some(_), true) if self.expect.is_empty() => Ok(()),
            (true, ..) => Err("a configuration has a message, and neither steps nor expect".into()),
            (false, None, false) if !self.expect.is_empty() => Ok(()),
            (false, ..) => Err("a case has steps and expect, and no message".into()),
        }
    }
}

/// Reads a file of cases.
///
/// # Errors
/// What is wrong with it: line and column, or the name of the case.
pub fn parse(text: &str) -> Result<Vec<Case>, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    let mut names = BTreeSet::new();
    for case in &file.case {
        case.check()
            .map_err(|error| format!("{}: {error}", case.name))?;
        if !names.insert(&case.name) {
            return Err(format!("{} is there twice", case.name));
        }
    }
    Ok(file.case)
}
