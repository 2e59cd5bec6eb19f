use std::time::Duration;

use hmac::Mac as _;
use sha2::{Digest as _, Sha256};

use super::Message;
use super::base::{base, code, component};
use super::fields::{Candidate, Parameters, candidates};
use crate::auth::{Denied, KeyRing};
use crate::upload::Timestamp;

/// What is computed with where there is no such key, so that it takes as long.
const NO_SECRET: &[u8] = &[0; 32];

const TWICE: &str = "two signatures are made by keys of this server";

/// Longest nonce, in bytes.
const NONCE_MAX: usize = 256;

/// When a signature has to have been made.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// The time here.
    pub now: Timestamp,
    /// How far from it.
    pub max_skew: Duration,
}

/// What makes a signature one that can be used once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce {
    /// What it is remembered by: of the key's id and the nonce.
    pub print: [u8; 16],
    /// When the signature was made, in seconds since 1970.
    pub created: u64,
}

/// A request that is signed by a key of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified<'r> {
    /// The id of the key.
    pub key_id: &'r str,
    /// What must not have been used before. That is for the caller to find out.
    pub nonce: Nonce,
}

/// Checks the signatures of a request: one of them must be made by a key of `ring`, in the time that
/// `window` says, and cover all of `required`. The time it takes does not depend on where a wrong
/// signature differs.
///
/// # Errors
/// [`Denied`]. Where several signatures fail, what is said is of the one by a key of `ring`, or else of the
/// last one that is not just wrong. Two by keys of `ring` are refused: either could be used again alone.
pub fn verify<'r>(
    ring: &'r KeyRing,
    message: &Message<'_>,
    required: &[&'static str],
    window: Window,
) -> Result<Verified<'r>, Denied> {
    let (mut ours, mut denied) = (None, Denied::Missing);
    for candidate in candidates(message.headers)? {
        match check(ring, message, required, window, &candidate) {
            // One that is early passes later.
            Ok(_) | Err(Denied::Stale { .. }) if ours.is_some() => {
                return Err(Denied::Malformed(TWICE));
            }
            checked @ (Ok(_) | Err(Denied::Stale { .. })) => ours = Some(checked),
            // Somebody else's signature says nothing about ours.
            Err(Denied::Invalid) if denied != Denied::Missing => {}
            Err(why) => denied = why,
        }
    }
    ours.unwrap_or(Err(denied))
}

fn check<'r>(
    ring: &'r KeyRing,
    message: &Message<'_>,
    required: &[&'static str],
    window: Window,
    candidate: &Candidate,
) -> Result<Verified<'r>, Denied> {
    let parameters = candidate.parameters()?;
    let (key_id, nonce, created) = complete(candidate, &parameters, required)?;
    // Before it is looked for the key: what is wrong with the request tells nobody whether there is one.
    let mut signed = vec![base(message, &candidate.covered, "")?];
    if !message.public_base.is_empty() {
        signed.push(base(message, &candidate.covered, message.public_base)?);
    }
    let key = ring.find(key_id, window.now);
    let secret = key.map_or(NO_SECRET, |key| key.secret.expose());
    let is_right = |signed: &Vec<u8>| code(secret, signed).verify_slice(&candidate.code).is_ok();
    let is_signed = signed.iter().filter(|signed| is_right(signed)).count() > 0;
    let key = key.filter(|_| is_signed).ok_or(Denied::Invalid)?;
    if !window.holds(created, parameters.expires) {
        return Err(Denied::Stale { now: window.now });
    }
    Ok(Verified {
        key_id: &key.id,
        nonce: Nonce {
            print: print(key_id, nonce),
            created: created.unsigned_abs(),
        },
    })
}

/// What must be there: the id of the key, the nonce, and when it was made.
fn complete<'c>(
    candidate: &'c Candidate,
    parameters: &Parameters<'c>,
    required: &[&'static str],
) -> Result<(&'c str, &'c str, i64), Denied> {
    let covered = candidate.covered.items.iter().map(component);
    let covered = covered.collect::<Result<Vec<_>, _>>()?;
    let of_request = required
        .iter()
        .copied()
        .filter(|name| !covered.contains(name));
    let mut missing: Vec<_> = of_request.collect();
    let (key_id, nonce, created) = (parameters.key_id, parameters.nonce, parameters.created);
    if let (Some(key_id), Some(nonce), Some(created), true) =
        (key_id, nonce, created, missing.is_empty())
    {
        return match (1..=NONCE_MAX).contains(&nonce.len()) {
            true => Ok((key_id, nonce, created)),
            false => Err(Denied::Malformed("nonce has 1 to 256 characters")),
        };
    }
    let is_there = [
        ("created", created.is_some()),
        ("keyid", key_id.is_some()),
        ("nonce", nonce.is_some()),
    ];
    missing.extend(is_there.iter().filter(|(_, is)| !is).map(|(name, _)| *name));
    Err(Denied::Incomplete(missing))
}

impl Window {
    fn holds(self, created: i64, expires: Option<i64>) -> bool {
        let now = self.seconds();
        created.abs_diff(now) <= self.max_skew.as_secs() && expires.is_none_or(|end| now < end)
    }

    fn seconds(self) -> i64 {
        i64::try_from(self.now.0 / 1_000).unwrap_or(i64::MAX)
    }
}

fn print(key_id: &str, nonce: &str) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update((key_id.len() as u64).to_le_bytes());
    hash.update(key_id.as_bytes());
    hash.update(nonce.as_bytes());
    let mut print = [0; 16];
    print.copy_from_slice(&hash.finalize()[..16]);
    print
}

/// Refuses what was signed before `since`, in seconds since 1970, when nobody took note.
///
/// # Errors
/// [`Denied::Early`].
pub fn not_before(nonce: Nonce, since: u64, window: Window) -> Result<(), Denied> {
    match since.checked_sub(nonce.created) {
        None | Some(0) => Ok(()),
        Some(seconds) => Err(Denied::Early {
            now: window.now,
            seconds,
        }),
    }
}
