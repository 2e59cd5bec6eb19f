use proptest::collection::vec;
use proptest::prelude::*;

use crate::upload::{Algorithm, Crc32c, Digest, DigestError, Hasher};

fn digest_of(algorithm: Algorithm, pieces: &[&[u8]]) -> Digest {
    let mut hasher = Hasher::new(algorithm);
    pieces.iter().for_each(|piece| hasher.update(piece));
    hasher.finish()
}

/// FIPS 180-4 examples.
#[test]
fn digests_are_those_of_the_standard() {
    let cases: [(Algorithm, &[u8], &str); 4] = [
        (
            Algorithm::Sha256,
            b"abc",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            Algorithm::Sha256,
            b"",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        (
            Algorithm::Sha512,
            b"abc",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
        (
            Algorithm::Sha512,
            b"",
            "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
             47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
        ),
    ];
    for (algorithm, bytes, hex) in cases {
        let digest = digest_of(algorithm, &[bytes]);
        assert_eq!(digest.to_hex(), hex);
        assert_eq!(
            digest,
            Digest::new(algorithm, hex::decode(hex).unwrap()).unwrap()
        );
    }
}

#[test]
fn a_digest_in_pieces_is_the_digest_of_the_whole() {
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let whole = digest_of(algorithm, &[b"one two three"]);
        assert_eq!(digest_of(algorithm, &[b"one ", b"", b"two three"]), whole);
        assert_ne!(digest_of(algorithm, &[b"two three", b"one "]), whole);
    }
}

#[test]
fn a_digest_has_the_length_of_its_algorithm() {
    for (algorithm, len) in [(Algorithm::Sha256, 32), (Algorithm::Sha512, 64)] {
        for wrong in [0, len - 1, len + 1, 96 - len] {
            let error = Digest::new(algorithm, vec![0; wrong]).unwrap_err();
            assert_eq!(error, DigestError::Length { algorithm }, "{wrong}");
        }
        assert_eq!(
            Digest::new(algorithm, vec![0; len]).unwrap().algorithm(),
            algorithm
        );
    }
}

#[test]
fn algorithms_have_the_names_of_rfc_9530() {
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
    }
    assert_eq!(Algorithm::Sha256.name(), "sha-256");
    assert_eq!(Algorithm::Sha512.name(), "sha-512");
    for unknown in ["", "sha256", "SHA-256", "sha-1", "md5", "sha-256 "] {
        assert_eq!(Algorithm::from_name(unknown), None, "{unknown}");
    }
}

/// The check value that catalogues of checksums give for CRC-32C, and RFC 3720 appendix B.4.
#[test]
fn the_checksum_is_crc_32c() {
    assert_eq!(Crc32c::of(b"123456789"), 0xe306_9283);
    assert_eq!(Crc32c::of(&[0; 32]), 0x8a91_36aa);
    assert_eq!(Crc32c::of(&[0xff; 32]), 0x62a8_ab43);
    assert_eq!(Crc32c::of(b""), 0);
    assert_eq!(Crc32c::default().finish(), 0);
}

proptest! {
    #[test]
    fn a_checksum_in_pieces_is_the_checksum_of_the_whole(
        first in vec(any::<u8>(), 0..600),
        second in vec(any::<u8>(), 0..600),
    ) {
        let whole = Crc32c::of(&[first.as_slice(), second.as_slice()].concat());
        let mut crc = Crc32c::default();
        crc.update(&first);
        crc.update(&second);
        prop_assert_eq!(crc.finish(), whole);
        let joined = Crc32c::join(Crc32c::of(&first), Crc32c::of(&second), second.len() as u64);
        prop_assert_eq!(joined, whole);
    }
}
