//! The hostile pack, a test per file of cases: see `tests/hostile/README.md`.

use std::collections::BTreeSet;
use std::path::Path;

use steadfast_tests::hostile::{case, failures, run};

/// A test per theme, and the list of them.
macro_rules! themes {
    ($($theme:ident),* $(,)?) => {
        const THEMES: &[&str] = &[$(stringify!($theme)),*];

        $(
            #[test]
            fn $theme() {
                run(stringify!($theme));
            }
        )*
    };
}

themes![
    configs,
    cves,
    digests_and_conditions,
    headers,
    http2,
    injection,
    lengths,
    message,
    methods,
    names,
    numbers,
    races,
    sessions,
    signatures,
    slow_and_many,
    targets,
    tls,
    transfer_coding,
];

#[test]
fn every_file_of_the_pack_is_played_and_every_name_is_used_once() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("hostile");
    let mut names = BTreeSet::new();
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(dir).expect("the pack") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|kind| kind != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("cases");
        for case in case::parse(&text).expect("cases") {
            assert!(
                names.insert(case.name.clone()),
                "{} is there twice",
                case.name
            );
        }
        found.extend(
            path.file_stem()
                .map(|stem| stem.to_string_lossy().into_owned()),
        );
    }
    let played: BTreeSet<_> = THEMES.iter().map(|theme| (*theme).to_owned()).collect();
    assert_eq!(found, played);
}

/// A file of one case that asks for the status of nothing, and what more it says.
fn one(more: &str) -> Vec<case::Case> {
    let text = format!(
        "[[case]]\nname = 'a-case'\nwhy = 'A reason.'\nsteps = [{{ send = {} }}]\n{more}",
        r"'GET /upload/status HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n'"
    );
    case::parse(&text).expect("a case")
}

#[test]
fn the_runner_tells_what_is_wrong() {
    let told = |more: &str, problem: &str| {
        let found = failures(&one(more));
        assert_eq!(found.len(), 1, "{more}");
        assert!(found[0].contains(problem), "{more}: {found:?}");
    };
    assert_eq!(failures(&one("expect = [400]")), [""; 0]);
    told("expect = [200]", "answers [400]");
    told("expect = ['closed']", "answers [400]");
    told(
        "expect = [400]\ncode = 'no_session'",
        "\"missing_parameter\", not",
    );
    told(
        "expect = [400]\nabsent = ['missing']",
        "\"missing\" is in an answer",
    );
    told(
        "expect = [400]\nhandler_calls = 1",
        "0 calls of the handler, not 1",
    );
    told(
        "expect = [400]\nsetup = ['session', 'chunk 0']\nuploaded = 7",
        "uploaded Some(65536), not 7",
    );
    told(
        "expect = [400]\nknown = 'why'",
        "although known to fail: why",
    );
    assert_eq!(failures(&one("expect = [200]\nknown = 'why'")), [""; 0]);
}

/// Plays a case against a server, and expects to be told of this.
fn told_of(case: &str, problem: &str) {
    let text = format!("[[case]]\nname = 'a-case'\nwhy = 'A reason.'\n{case}\n");
    let found = failures(&case::parse(&text).expect("a case"));
    assert_eq!(found.len(), 1, "{case}");
    assert!(found[0].contains(problem), "{case}: {found:?}");
}

#[test]
fn a_refusal_without_its_code_is_told() {
    let steps = r"steps = [{ send = 'GET /upload/status HTTP/1.1\r\nHost: a b\r\n\r\n' }]";
    let case = format!("{steps}\nexpect = [400]\ncode = 'missing_parameter'");
    told_of(&case, "code \"\", not \"missing_parameter\"");
}

#[test]
fn what_a_packed_head_says_is_told() {
    let case = r#"
        transport = "h2"
        steps = [{ h2_frame = { type = "HEADERS", flags = "END_STREAM|END_HEADERS", stream = 1, headers = [
            [":method", "GET"], [":scheme", "http"], [":path", "/upload/status"], [":authority", "{HOST}"],
        ] } }]
        expect = [400]
        absent = ["no-store"]
    "#;
    told_of(case, "\"no-store\" is in an answer");
}

/// A component that is unknown is repeated.
#[test]
fn a_signature_that_is_repeated_is_told() {
    let head = r"POST /upload/chunked HTTP/1.1\r\nHost: {HOST}\r\nX-Filename: a\r\nX-Total-Size: 1\r\nX-Seen: {SIGNED create}\r\n";
    let input = r#"Signature-Input: sig=("X{CODE}");created=1\r\nSignature: sig=:AAAA:\r\nConnection: close\r\n\r\n"#;
    let config = "config = \"[security]\\nschemes = ['message']\"";
    let case = format!("{config}\nsteps = [{{ send = '{head}{input}' }}]\nexpect = [401]");
    told_of(&case, "= is in an answer");
}

#[test]
fn a_configuration_that_is_taken_is_told() {
    let text = r#"
        [[case]]
        name = "a"
        why = "b."
        config_only = true
        message = "no"
        config = "[server]\nbind = \"127.0.0.1:0\"\n"
    "#;
    let found = failures(&case::parse(text).expect("a case"));
    assert!(found[0].contains("it starts"), "{found:?}");
    assert!(found[0].contains("it makes"), "{found:?}");
}

#[test]
fn a_mistake_in_a_case_is_named() {
    let refused = |more: &str, problem: &str| {
        let text = format!("[[case]]\nname = 'a-case'\nwhy = 'A reason.'\n{more}\n");
        let found = case::parse(&text).expect_err("a mistake");
        assert!(found.contains(problem), "{more}: {found}");
    };
    refused("steps = [{ sand = 'a' }]", "unknown field `sand`");
    refused(
        "steps = [{ send = 'a', wait_ms = 1 }]",
        "a step does one thing",
    );
    refused("steps = [{ send = '{SESION}' }]", "no placeholder {SESION}");
    refused(r"steps = [{ send = '\q' }]", r"no escape \q");
    refused("steps = [{ send_hex = '1' }]", "Odd number of digits");
    refused("setup = ['sesion']", "\"sesion\" is none of");
    refused("expect = ['open']", "a status, or \"closed\"");
    refused("transport = 'udp'", "unknown variant `udp`");
    refused("expect = [200]", "a-case: a case has steps and expect");
    refused(
        "steps = [{ send = '{MESSAGE get}' }]",
        "\"get\" is no create",
    );
    refused(
        "steps = [{ send = '{MESSAGE create a}' }]",
        "\"a\" is no +component",
    );
    refused("steps = [{ send = '{MESSAGE create -a}' }]", "\"-a\" is no");
    refused(
        "steps = [{ send = '{CODE third}' }]",
        "\"third\" is no shape",
    );
    refused(
        "transport = 'tls'\nsteps = [{ send = 'a', connections = 2 }]\nexpect = [200]",
        "connections is for transport plain",
    );
    let frame = "steps = [{ h2_frame = { type = 'DATTA', stream = 1 } }]";
    refused(frame, "\"DATTA\" is neither a name");
}
