//! Heads of HTTP/2 as their reader finds them (RFC 7541) who was asked for no table.

use std::collections::HashMap;
use std::sync::LazyLock;

/// Bits of each byte in the code of appendix B, which is canonical: codes of one length follow each
/// other as their bytes do.
#[rustfmt::skip]
const BITS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

/// Each byte by its code, of which the number of bits is a part.
static CODES: LazyLock<HashMap<(u8, u32), u8>> = LazyLock::new(|| {
    let mut bytes: Vec<u8> = (0..=u8::MAX).collect();
    bytes.sort_by_key(|byte| BITS[usize::from(*byte)]);
    let (mut code, mut length) = (0, 0);
    let coded = bytes.into_iter().map(|byte| {
        let bits = BITS[usize::from(byte)];
        code <<= bits - length;
        length = bits;
        code += 1;
        ((bits, code - 1), byte)
    });
    coded.collect()
});

/// `:status` in the static table (appendix A), from index 8 on.
const STATUSES: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];

/// Name and value of a line.
pub type Field = (String, Vec<u8>);

/// The lines of a head. A name that stands in the static table is its number there, but for
/// `:status`.
///
/// # Errors
/// A head that breaks off.
pub fn fields(block: &[u8]) -> Result<Vec<Field>, String> {
    let mut rest = block;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let field = field(&mut rest).ok_or_else(|| format!("an unreadable head: {block:x?}"))?;
        found.extend(field);
    }
    Ok(found)
}

/// The next line, if it is one; nothing where the head breaks off.
fn field(rest: &mut &[u8]) -> Option<Option<Field>> {
    match *rest.first()? {
        0x80.. => {
            let index = number(rest, 7)?;
            let status = index.checked_sub(8).and_then(|at| STATUSES.get(at));
            let value = status.map(u16::to_string).unwrap_or_default();
            Some(Some((name(index), value.into_bytes())))
        }
        // The size of the table.
        0x20..0x40 => number(rest, 5).map(|_| None),
        first => {
            let prefix = if first & 0x40 == 0 { 4 } else { 6 };
            let name = match number(rest, prefix)? {
                0 => String::from_utf8_lossy(&string(rest)?).into_owned(),
                index => name(index),
            };
            Some(Some((name, string(rest)?)))
        }
    }
}

fn name(index: usize) -> String {
    match index {
        8..15 => ":status".to_owned(),
        _ => index.to_string(),
    }
}

/// Section 5.1.
fn number(rest: &mut &[u8], prefix: u32) -> Option<usize> {
    let mask = (1 << prefix) - 1;
    let mut number = usize::from(next(rest)?) & mask;
    let mut shift = 0;
    while number >= mask {
        let byte = usize::from(next(rest)?);
        number = number.checked_add((byte & 0x7f).checked_shl(shift)?)?;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some(number)
}

fn next(rest: &mut &[u8]) -> Option<u8> {
    let (first, others) = rest.split_first()?;
    *rest = others;
    Some(*first)
}

/// Section 5.2.
fn string(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let is_packed = rest.first()? & 0x80 != 0;
    let length = number(rest, 7)?;
    let (text, others) = rest.split_at_checked(length)?;
    *rest = others;
    Some(if is_packed {
        unpacked(text)
    } else {
        text.to_vec()
    })
}

/// What is left at the end is padding.
fn unpacked(text: &[u8]) -> Vec<u8> {
    let (mut bits, mut code) = (0, 0);
    let mut out = Vec::new();
    for at in 0..8 * text.len() {
        bits += 1;
        code = code << 1 | u32::from(text[at / 8] >> (7 - at % 8) & 1);
        if let Some(byte) = CODES.get(&(bits, code)) {
            out.push(*byte);
            (bits, code) = (0, 0);
        }
        if bits == 30 {
            break;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7541, appendix C.6.1, and the cookie of C.6.3.
    #[test]
    fn the_examples_of_the_rfc() {
        let first = "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff\
                     6e919d29ad171863c78f0b97c8e9ae82ae43d3";
        let cookie = "77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587\
                      316065c003ed4ee5b1063d5007";
        let found = fields(&hex::decode([first, cookie].concat()).unwrap()).unwrap();
        let text = |(name, value): Field| format!("{name}: {}", String::from_utf8_lossy(&value));
        let found: Vec<_> = found.into_iter().map(text).collect();
        let date = "33: Mon, 21 Oct 2013 20:13:21 GMT";
        let place = "46: https://www.example.com";
        let cookie = "55: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
        assert_eq!(found, [":status: 302", "24: private", date, place, cookie]);
    }

    #[test]
    fn what_stands_for_itself_and_what_breaks_off() {
        let found = fields(b"\x3f\xe1\x1f\x8d\x00\x01a\x02bc\x1f\x10\x01x").unwrap();
        let lines = [(":status", "404"), ("a", "bc"), ("31", "x")];
        let lines = lines.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        assert_eq!(found, lines);
        for cut in [
            &b"\x00\x02a"[..],
            b"\x48",
            b"\x7f\xff",
            b"\x00\x01a\x83\x01",
        ] {
            assert!(fields(cut).is_err(), "{cut:x?}");
        }
    }
}
