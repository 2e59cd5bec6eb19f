//! Other implementations of RFC 9421 sign, and we accept; a byte is altered, and we refuse.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use httpsig::prelude::message_component::{HttpMessageComponent, HttpMessageComponentId};
use httpsig::prelude::{AlgorithmName, HttpSignatureBase, HttpSignatureParams, SharedKey};
use serde_json::{Value, json};
use steadfast_tests::config::{CHUNK, SECRET};
use steadfast_tests::data;
use steadfast_tests::http::Request;
use steadfast_tests::message::{self, now};
use steadfast_tests::python;
use steadfast_tests::server::Server;
use steadfast_tests::tree;
use steadfast_tests::upload::Session;

use crate::machine;
use crate::message::{ALL, chunk_request, create_request, status_request};

/// Signs a request, covering these components, with a nonce.
type Sign<'a> = dyn Fn(Request, &[&str], &str) -> Request + 'a;

fn with_signature(request: Request, input: &str, signature: &str) -> Request {
    request
        .header("Signature-Input", input)
        .header("Signature", signature)
}

/// The crate `httpsig`.
fn by_httpsig(request: Request, covered: &[&str], nonce: &str) -> Request {
    let ids = covered
        .iter()
        .map(|name| HttpMessageComponentId::try_from(*name).unwrap());
    let mut params = HttpSignatureParams::try_new(&ids.collect::<Vec<_>>()).unwrap();
    params
        .set_created(now())
        .set_keyid("default")
        .set_alg(&AlgorithmName::HmacSha256)
        .set_nonce(nonce);
    let lines = covered.iter().map(|name| {
        let value = message::value(&request, name);
        HttpMessageComponent::try_from(format!("\"{name}\": {value}").as_str()).unwrap()
    });
    let base = HttpSignatureBase::try_new(&lines.collect::<Vec<_>>(), &params).unwrap();
    let secret = STANDARD.encode(SECRET);
    let key = SharedKey::from_base64(&AlgorithmName::HmacSha256, &secret).unwrap();
    let signed = base.build_signature_headers(&key, Some("theirs")).unwrap();
    let (input, signature) = (
        signed.signature_input_header_value(),
        signed.signature_header_value(),
    );
    with_signature(request, &input, &signature)
}

fn flipped(text: &str, at: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    String::from_utf8(bytes).unwrap()
}

/// An upload from its create to its end, and every byte that matters altered.
fn speaks_with(sign: &Sign<'_>) {
    let server = Server::start(ALL);
    let file = data::random(1, 2 * CHUNK);
    let mut nonces = 0;
    let mut signed = |request: Request, covered: &[&str]| {
        nonces += 1;
        sign(request, covered, &format!("n{nonces}"))
    };
    let create = signed(
        create_request("their file.bin", file.len()),
        message::CREATE,
    );
    let signature = create.value_of("Signature").unwrap();
    let start = signature.find(':').unwrap() + 1;
    for at in [start, start + 20, start + 41] {
        let altered = create.clone().replace("Signature", flipped(&signature, at));
        let _ = altered
            .send(server.addr())
            .refused(401, "signature_invalid");
    }
    for (name, at) in [("X-Filename", 3), ("X-Total-Size", 0)] {
        let value = create.value_of(name).unwrap();
        let altered = match name {
            "X-Total-Size" => value.replace('1', "2"),
            _ => flipped(&value, at),
        };
        let altered = create.clone().replace(name, altered);
        let _ = altered
            .send(server.addr())
            .refused(401, "signature_invalid");
    }
    let session = Session::from_answer(create.send(server.addr()).status_is(201).json());
    let _ = create
        .send(server.addr())
        .refused(401, "signature_replayed");
    for index in 0..2 {
        let chunk = chunk_request(&session, index, session.chunk(&file, index));
        let chunk = signed(chunk, message::CHUNK);
        let mut other = session.chunk(&file, index).to_vec();
        other[index] ^= 1;
        if index == 0 {
            let altered = signed(chunk_request(&session, 0, &[0; CHUNK]), message::CHUNK);
            let altered = altered.body(other).send(server.addr());
            let _ = altered.refused(400, "digest_mismatch");
        }
        let _ = chunk.send(server.addr()).status_is(200);
    }
    let status = signed(status_request(&session), message::STATUS);
    assert_eq!(
        status.send(server.addr()).status_is(200).json()["state"],
        "completed"
    );
    assert_eq!(tree::holding(&server.uploads_dir(), &file).len(), 1);
}

#[test]
fn the_crate_httpsig_is_understood() {
    speaks_with(&by_httpsig);
}

#[test]
fn http_message_signatures_of_python_is_understood() {
    let python = match python::usable(Path::new(env!("CARGO_TARGET_TMPDIR"))) {
        Ok(python) => python,
        Err(why) => {
            let test = "http_message_signatures_of_python_is_understood";
            machine::report(&format!("skipped {test}: {why}"));
            return;
        }
    };
    speaks_with(&|request, covered, nonce| {
        let headers = covered.iter().filter(|name| !name.starts_with('@'));
        let headers: serde_json::Map<String, Value> = headers
            .map(|name| ((*name).to_owned(), request.value_of(name).unwrap().into()))
            .collect();
        let url = format!("http://localhost{}", request.path_and_query());
        let question = json!({
            "method": request.verb(),
            "url": url,
            "headers": headers,
            "covered": covered,
            "key_id": "default",
            "secret": SECRET,
            "nonce": nonce,
        });
        let signed = python::ask(&python, "sign.py", &question);
        let text = |name: &str| signed[name].as_str().unwrap().to_owned();
        with_signature(request, &text("Signature-Input"), &text("Signature"))
    });
}
