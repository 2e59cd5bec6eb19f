//! Values that tests of several modules need.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

pub(crate) use crate::upload::sample::{answer, declaration, header, id, key};
use crate::upload::{
    Algorithm, Answer, Declaration, Digest, Durability, Entry, Failure, FileName, Header, Limits,
    Owner, Timestamp,
};

/// Any entry that a log can hold.
pub(crate) fn any_entry() -> impl Strategy<Value = Entry> {
    let at = || any::<u64>().prop_map(Timestamp);
    prop_oneof![
        any_header().prop_map(|header| Entry::Created(Arc::new(header))),
        any::<u64>().prop_map(|bytes| Entry::ChunkSize { bytes }),
        Just(Entry::Synced),
        (any::<u64>(), any::<u64>(), any::<u32>(), at()).prop_map(|(start, len, crc, at)| {
            Entry::Received {
                start,
                len,
                crc,
                at,
            }
        }),
        (any::<u64>(), any::<u64>(), at()).prop_map(|(start, len, at)| Entry::Withdrawn {
            start,
            len,
            at
        }),
        at().prop_map(|at| Entry::Sealed { at }),
        at().prop_map(|at| Entry::DigestMismatch { at }),
        at().prop_map(|at| Entry::HandoffBegun { at }),
        (any_failure(), at()).prop_map(|(failure, at)| Entry::HandoffFailed { failure, at }),
        (
            option::of(any_answer()),
            option::of(any_name()),
            option::of("[0-9a-f]{64}"),
            at()
        )
            .prop_map(|(answer, name, sha256, at)| Entry::HandoffEnded {
                answer,
                name,
                sha256,
                at
            }),
        at().prop_map(|at| Entry::Cancelled { at }),
    ]
}

/// Any answer.
pub(crate) fn any_answer() -> impl Strategy<Value = Answer> {
    (
        any::<u16>(),
        any_headers(),
        vec(any::<u8>(), 0..200),
        any::<bool>(),
    )
        .prop_map(|(status, headers, body, truncated)| Answer {
            status,
            headers,
            body,
            truncated,
        })
}

fn any_failure() -> impl Strategy<Value = Failure> {
    prop_oneof![
        any_answer().prop_map(Failure::Answered),
        Just(Failure::TimedOut),
        Just(Failure::Panicked),
        Just(Failure::Broken),
        Just(Failure::Interrupted),
        Just(Failure::Unreadable),
    ]
}

fn any_header() -> impl Strategy<Value = Header> {
    let limits = (any::<u64>(), any::<u64>(), any::<u64>());
    let limits = limits.prop_map(|(chunk_size, chunk_size_min, chunk_size_max)| Limits {
        chunk_size,
        chunk_size_min,
        chunk_size_max,
    });
    let owner = (any::<String>(), option::of(any::<String>()));
    (any::<u64>(), owner, any_declaration(), limits).prop_map(
        |(created, (owner, signer), declaration, limits)| Header {
            created: Timestamp(created),
            owner: Owner(owner),
            signer,
            declaration,
            limits,
            durability: Durability::Power,
        },
    )
}

fn any_declaration() -> impl Strategy<Value = Declaration> {
    (
        any_name(),
        any::<u64>(),
        option::of(any::<u64>()),
        option::of("[a-z]{1,8}/[a-z]{1,8}"),
        vec(any_digest(), 0..3),
        option::of("[a-z.]{1,20}"),
        any_headers(),
    )
        .prop_map(
            |(name, total, chunk_size, content_type, digests, host, headers)| Declaration {
                name,
                total,
                chunk_size,
                content_type,
                digests,
                host,
                headers,
            },
        )
}

fn any_name() -> impl Strategy<Value = FileName> {
    "\\PC{1,40}".prop_filter_map("a file name", |name| FileName::parse(name).ok())
}

/// Values as they are kept: every byte one character.
fn any_headers() -> impl Strategy<Value = Vec<(String, String)>> {
    vec(("[a-z-]{1,12}", "[\u{0}-\u{ff}]{0,20}"), 0..4)
}

fn any_digest() -> impl Strategy<Value = Digest> {
    prop_oneof![
        vec(any::<u8>(), 32).prop_map(|value| Digest::new(Algorithm::Sha256, value).unwrap()),
        vec(any::<u8>(), 64).prop_map(|value| Digest::new(Algorithm::Sha512, value).unwrap()),
    ]
}
