use std::sync::Arc;

use super::Input;
use crate::upload::{
    Algorithm, Answer, Declaration, Digest, Durability, Entry, Failure, FileName, Header, Limits,
    Owner, Timestamp,
};

/// Any entry that a log can hold.
pub(crate) fn entry(input: &mut Input<'_>) -> Entry {
    let at = |input: &mut Input<'_>| Timestamp(input.number());
    match input.byte() % 12 {
        0 => Entry::Created(Arc::new(header(input))),
        1 => Entry::ChunkSize {
            bytes: input.number(),
        },
        // Received pieces are what a log is full of.
        2 | 3 => Entry::Received {
            start: input.number(),
            len: input.number(),
            crc: input.number() as u32,
            at: at(input),
        },
        4 => Entry::Withdrawn {
            start: input.number(),
            len: input.number(),
            at: at(input),
        },
        5 => Entry::Synced,
        6 => Entry::Sealed { at: at(input) },
        7 => Entry::DigestMismatch { at: at(input) },
        8 => Entry::HandoffBegun { at: at(input) },
        9 => Entry::HandoffFailed {
            failure: failure(input),
            at: at(input),
        },
        10 => Entry::HandoffEnded {
            answer: input.maybe(answer),
            name: input.maybe(name),
            sha256: input.maybe(Input::text),
            at: at(input),
        },
        _ => Entry::Cancelled { at: at(input) },
    }
}

fn header(input: &mut Input<'_>) -> Header {
    Header {
        created: Timestamp(input.number()),
        owner: Owner(input.text()),
        signer: input.maybe(Input::text),
        declaration: declaration(input),
        limits: Limits {
            chunk_size: input.number(),
            chunk_size_min: input.number(),
            chunk_size_max: input.number(),
        },
        durability: match input.byte() % 2 {
            0 => Durability::Power,
            _ => Durability::Process,
        },
    }
}

fn declaration(input: &mut Input<'_>) -> Declaration {
    Declaration {
        name: name(input),
        total: input.number(),
        chunk_size: input.maybe(Input::number),
        content_type: input.maybe(Input::text),
        digests: input.some(digest),
        host: input.maybe(Input::text),
        headers: headers(input),
    }
}

fn name(input: &mut Input<'_>) -> FileName {
    let name = FileName::parse(input.text());
    name.unwrap_or_else(|_| FileName::parse("data.bin").unwrap())
}

fn digest(input: &mut Input<'_>) -> Digest {
    let (algorithm, len) = match input.byte() % 2 {
        0 => (Algorithm::Sha256, 32),
        _ => (Algorithm::Sha512, 64),
    };
    Digest::new(algorithm, vec![input.byte(); len]).unwrap()
}

fn headers(input: &mut Input<'_>) -> Vec<(String, String)> {
    input.some(|input| (input.text(), input.text()))
}

fn answer(input: &mut Input<'_>) -> Answer {
    Answer {
        status: input.number() as u16,
        headers: headers(input),
        body: input.bytes().to_vec(),
        truncated: input.byte() % 2 == 1,
    }
}

fn failure(input: &mut Input<'_>) -> Failure {
    match input.byte() % 7 {
        0 => Failure::Answered(answer(input)),
        1 => Failure::TimedOut,
        2 => Failure::Panicked,
        3 => Failure::Broken,
        4 => Failure::Interrupted,
        5 => Failure::NotStored,
        _ => Failure::Unreadable,
    }
}
