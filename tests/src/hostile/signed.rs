//! Signatures of messages (RFC 9421) as a case has them made: of the head that is written in front of
//! them, and of what else the case says.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::http::Request;
use crate::message::{self, Signing, now};

/// What is signed, in words.
#[derive(Debug, Clone)]
pub struct Signed {
    /// Components that are covered, with their parameters.
    covered: Vec<String>,
    /// What is signed in the place of what the head says.
    instead: Vec<(String, String)>,
    /// What becomes of the parameters, in this order.
    changes: Vec<Change>,
    secret: Option<String>,
}

#[derive(Debug, Clone)]
enum Change {
    /// `;name=value`: in the place of one that is there, or behind the others.
    Set(String, String),
    /// `;+name=value`: behind the others, whether it is there or not.
    Add(String, String),
    /// `;-name`.
    Drop(String),
}

impl FromStr for Signed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split(' ');
        let kind = words.next().unwrap_or_default();
        let covered = match kind {
            "create" => message::CREATE,
            "chunk" => message::CHUNK,
            "status" => message::STATUS,
            "upload" => message::UPLOAD,
            "nothing" => &[],
            _ => {
                return Err(format!(
                    "{kind:?} is no create, chunk, status, upload, nothing"
                ));
            }
        };
        let mut signed = Self {
            covered: covered.iter().map(|name| (*name).to_owned()).collect(),
            instead: Vec::new(),
            changes: Vec::new(),
            secret: None,
        };
        for word in words {
            signed.change(word)?;
        }
        Ok(signed)
    }
}

impl Signed {
    fn change(&mut self, word: &str) -> Result<(), String> {
        let wrong =
            || format!("{word:?} is no +component, -component, component:value, ;parameter or by=");
        let pair = |text: &str, between: char| {
            let (name, value) = text.split_once(between)?;
            (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
        };
        if let Some(name) = word.strip_prefix('+') {
            self.covered.push(name.to_owned());
        } else if let Some(name) = word.strip_prefix('-') {
            let before = self.covered.len();
            self.covered.retain(|known| known != name);
            return (self.covered.len() < before)
                .then_some(())
                .ok_or_else(wrong);
        } else if let Some(name) = word.strip_prefix(";-") {
            self.changes.push(Change::Drop(name.to_owned()));
        } else if let Some(added) = word.strip_prefix(";+") {
            let (name, value) = pair(added, '=').ok_or_else(wrong)?;
            self.changes.push(Change::Add(name, value));
        } else if let Some(set) = word.strip_prefix(';') {
            let (name, value) = pair(set, '=').ok_or_else(wrong)?;
            self.changes.push(Change::Set(name, value));
        } else if let Some(secret) = word.strip_prefix("by=") {
            self.secret = Some(secret.to_owned());
        } else {
            self.instead.push(pair(word, ':').ok_or_else(wrong)?);
        }
        Ok(())
    }

    /// What `Signature-Input` says of a signature of this head, and the code.
    ///
    /// # Panics
    /// When the head has not what is covered.
    #[must_use]
    pub fn render(&self, head: &[u8]) -> (String, String) {
        let request = request(head);
        let line = |component: &String| {
            let (name, parameters) = component.split_once(';').unwrap_or((component, ""));
            let instead = self.instead.iter().find(|(known, _)| known == name);
            let value = instead.map(|(_, value)| value.clone());
            let value = value.unwrap_or_else(|| message::value(&request, name));
            let semicolon = if parameters.is_empty() { "" } else { ";" };
            (format!("\"{name}\"{semicolon}{parameters}"), value)
        };
        let lines: Vec<_> = self.covered.iter().map(line).collect();
        let mut signing = Signing::default();
        if let Some(secret) = &self.secret {
            signing.secret.clone_from(secret);
        }
        let parameters = self.parameters(&signing);
        signing.sign_lines(&lines, &parameters)
    }

    fn parameters(&self, signing: &Signing) -> String {
        let pair = |name: &str, value: String| (name.to_owned(), value);
        let mut all = vec![
            pair("created", signing.created.to_string()),
            pair("keyid", format!("\"{}\"", signing.key_id)),
            pair("nonce", format!("\"{}\"", signing.nonce)),
        ];
        for change in &self.changes {
            match change {
                Change::Drop(name) => all.retain(|(known, _)| known != name),
                Change::Add(name, value) => all.push(pair(name, resolved(value))),
                Change::Set(name, value) => match all.iter_mut().find(|(known, _)| known == name) {
                    Some((_, known)) => *known = resolved(value),
                    None => all.push(pair(name, resolved(value))),
                },
            }
        }
        let all = all
            .into_iter()
            .map(|(name, value)| format!(";{name}={value}"));
        all.collect()
    }
}

/// `now`, `now+9` and `now-9` are times; `"x*9"` is a string of nine.
fn resolved(value: &str) -> String {
    if let Some(seconds) = value.strip_prefix("now") {
        let offset: i64 = match seconds {
            "" => 0,
            _ => seconds.parse().expect("now, and so many seconds"),
        };
        return now().saturating_add_signed(offset).to_string();
    }
    let times = value.trim_matches('"').split_once('*');
    let times = times.and_then(|(text, times)| Some(text.repeat(times.parse().ok()?)));
    times.map_or_else(|| value.to_owned(), |text| format!("\"{text}\""))
}

/// The last request whose head begins in these bytes.
fn request(bytes: &[u8]) -> Request {
    let text = String::from_utf8_lossy(bytes);
    let head = text.rsplit("\r\n\r\n").next().unwrap_or_default();
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (words.next(), words.next());
    let request = Request::new(method.unwrap_or_default(), target.unwrap_or_default());
    let pairs = lines.filter_map(|line| line.split_once(':'));
    pairs.fold(request, |request, (name, value)| {
        request.header(name, value.trim())
    })
}

/// How a code is written.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// As it is.
    Whole,
    /// Half of it.
    Half,
    /// All but its last 3 bytes.
    Shorter,
    /// With 3 bytes more.
    Longer,
    /// Upper case for lower case, and the other way.
    Swapped,
    /// In hex.
    Hex,
    /// With one bit that is another.
    Flipped,
    /// Without padding.
    Bare,
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" => Ok(Self::Whole),
            "half" => Ok(Self::Half),
            "shorter" => Ok(Self::Shorter),
            "longer" => Ok(Self::Longer),
            "swapped" => Ok(Self::Swapped),
            "hex" => Ok(Self::Hex),
            "flipped" => Ok(Self::Flipped),
            "bare" => Ok(Self::Bare),
            _ => Err(format!("{text:?} is no shape of a code")),
        }
    }
}

impl Shape {
    /// A code in base64, so written.
    #[must_use]
    pub fn of(self, code: &str) -> String {
        let mut bytes = STANDARD.decode(code).unwrap_or_default();
        match self {
            Self::Whole => code.to_owned(),
            Self::Half => code[..code.len() / 2].to_owned(),
            Self::Shorter => STANDARD.encode(&bytes[..bytes.len().saturating_sub(3)]),
            Self::Longer => STANDARD.encode([&bytes[..], &[0; 3]].concat()),
            Self::Swapped => {
                let swap = |c: char| match c.is_ascii_lowercase() {
                    true => c.to_ascii_uppercase(),
                    false => c.to_ascii_lowercase(),
                };
                code.chars().map(swap).collect()
            }
            Self::Hex => hex::encode(bytes),
            Self::Flipped => {
                bytes[0] ^= 1;
                STANDARD.encode(bytes)
            }
            Self::Bare => code.trim_end_matches('=').to_owned(),
        }
    }
}
