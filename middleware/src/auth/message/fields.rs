use http::HeaderMap;
use sfv::{BareItem, Dictionary, InnerList, ListEntry, Parser};

use super::{ALGORITHM, INPUT, SIGNATURE};
use crate::auth::Denied;

/// More signatures of one request than this are not looked at.
const SIGNATURES_MAX: usize = 8;

/// A signature of a request, which nobody has checked.
#[derive(Debug)]
pub(super) struct Candidate {
    /// The components that it covers, with its parameters.
    pub(super) covered: InnerList,
    pub(super) code: Vec<u8>,
}

/// The parameters of a signature that count here (RFC 9421 section 2.3).
#[derive(Debug, Default)]
pub(super) struct Parameters<'a> {
    /// When it was made, in seconds since 1970.
    pub(super) created: Option<i64>,
    /// When it ends.
    pub(super) expires: Option<i64>,
    pub(super) key_id: Option<&'a str>,
    pub(super) nonce: Option<&'a str>,
}

/// The signatures of a request; none where it has none.
///
/// # Errors
/// [`Denied::Malformed`].
pub(super) fn candidates(headers: &HeaderMap) -> Result<Vec<Candidate>, Denied> {
    let (inputs, codes) = (dictionary(headers, INPUT)?, dictionary(headers, SIGNATURE)?);
    if inputs.len() > SIGNATURES_MAX {
        return Err(Denied::Malformed("there are more than 8 signatures"));
    }
    let candidate = |(label, input)| {
        let ListEntry::InnerList(covered) = input else {
            return Err(Denied::Malformed("Signature-Input must hold inner lists"));
        };
        let code = match codes.get(&label) {
            Some(ListEntry::Item(item)) => item.bare_item.as_byte_sequence(),
            _ => None,
        };
        let code = code.ok_or(Denied::Malformed(
            "each member of Signature-Input needs one of that name in Signature, a byte sequence",
        ))?;
        let code = code.to_vec();
        Ok(Candidate { covered, code })
    };
    inputs.into_iter().map(candidate).collect()
}

/// A header that is a dictionary (RFC 9651 section 3.2), on as many lines as it likes.
fn dictionary(headers: &HeaderMap, name: &'static str) -> Result<Dictionary, Denied> {
    let lines: Vec<_> = headers
        .get_all(name)
        .iter()
        .map(|line| line.as_bytes())
        .collect();
    let malformed = match name {
        INPUT => Denied::Malformed("Signature-Input is no dictionary"),
        _ => Denied::Malformed("Signature is no dictionary"),
    };
    Parser::new(&lines.join(&b", "[..]))
        .parse()
        .map_err(|_| malformed)
}

impl Candidate {
    /// Its parameters. Those that nobody here knows are signed like all others, and that is all.
    ///
    /// # Errors
    /// [`Denied::Malformed`] where one has another type than it is to have, or `alg` is not ours.
    pub(super) fn parameters(&self) -> Result<Parameters<'_>, Denied> {
        let mut found = Parameters::default();
        for (name, value) in &self.covered.params {
            match name.as_str() {
                "created" => found.created = Some(time(value)?),
                "expires" => found.expires = Some(time(value)?),
                "keyid" => found.key_id = Some(text(value)?),
                "nonce" => found.nonce = Some(text(value)?),
                "alg" if text(value)? != ALGORITHM => {
                    return Err(Denied::Malformed("alg is not \"hmac-sha256\""));
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

fn time(value: &BareItem) -> Result<i64, Denied> {
    let time = value.as_integer().map(i64::from).filter(|time| *time >= 0);
    time.ok_or(Denied::Malformed(
        "created and expires are whole seconds since 1970",
    ))
}

fn text(value: &BareItem) -> Result<&str, Denied> {
    let text = value.as_string().map(|text| text.as_str());
    text.ok_or(Denied::Malformed("keyid, nonce and alg are strings"))
}
