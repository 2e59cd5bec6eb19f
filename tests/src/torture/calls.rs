//! What the handler of the torture app saw: a line when a call begins, one when it ends, in a
//! file outside the filesystem that fails.
//!
//! ```text
//! <ms> <run> <number> begin <key>
//! <ms> <run> <number> end <sha256> <length> <name>
//! <ms> <run> <number> broken <length>
//! ```

use std::collections::BTreeMap;

use super::finding::Finding;

/// One call of the handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Which start of the server it fell into.
    pub run: u64,
    /// `Idempotency-Key` of the request.
    pub key: String,
    /// When it began, in milliseconds since 1970.
    pub begun: u64,
    /// How it ended, if it did.
    pub end: Option<End>,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The handler took the file, and was about to answer.
    Took {
        /// When.
        at: u64,
        /// SHA-256 of what it was given.
        sha256: String,
        /// Bytes that it was given.
        len: usize,
        /// The name it was given.
        name: String,
    },
    /// The body broke off.
    Broken {
        /// When.
        at: u64,
    },
}

/// Reads the file, in the order in which calls began. A line that was cut off is left out.
#[must_use]
pub fn parse(text: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut places: BTreeMap<(u64, u64), usize> = BTreeMap::new();
    let whole = text
        .split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n'));
    for line in whole {
        let words: Vec<&str> = line.splitn(7, ' ').collect();
        let [at, run, number, what, rest @ ..] = words.as_slice() else {
            continue;
        };
        let (Ok(at), Ok(run), Ok(number)) = (at.parse(), run.parse(), number.parse()) else {
            continue;
        };
        if let ("begin", [key]) = (*what, rest) {
            places.insert((run, number), calls.len());
            calls.push(Call {
                run,
                key: (*key).to_owned(),
                begun: at,
                end: None,
            });
            continue;
        }
        let end = match (*what, rest) {
            ("end", [sha256, len, name]) => End::Took {
                at,
                sha256: (*sha256).to_owned(),
                len: len.parse().unwrap_or_default(),
                name: (*name).to_owned(),
            },
            _ => End::Broken { at },
        };
        if let Some(place) = places.get(&(run, number)) {
            calls[*place].end = Some(end);
        }
    }
    calls
}

/// What is known of an upload whose calls are judged.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its file's name.
    pub name: String,
    /// Its SHA-256.
    pub sha256: String,
    /// When its client learnt that it is done, in milliseconds since 1970.
    pub done: Option<u64>,
    /// Whether its client learnt that it is done.
    pub is_done: bool,
    /// Whether it must never reach the handler.
    pub is_refused: bool,
    /// Whether its body may break off, since its files were damaged.
    pub is_damaged: bool,
}

/// What decides whether a second call was right.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// `on_unknown = "hold"`: there is no second call.
    pub hold: bool,
    /// Milliseconds after which an answer that is not on record is a fault; not where the disk has
    /// no room for it. A call is repeated without one if the server died earlier.
    pub recorded: Option<u64>,
    /// When each start of the server ended, in milliseconds since 1970.
    pub killed: BTreeMap<u64, u64>,
    /// When the power went, if it did: no body can be read to its end from then on.
    pub cut: BTreeMap<u64, u64>,
}

/// Judges the calls of one file's life: `known` by key.
#[must_use]
pub fn judge(calls: &[Call], known: &BTreeMap<String, Known>, rules: &Rules) -> Vec<Finding> {
    let mut by_key: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
    // Without power nobody is called.
    let is_heard = |call: &&Call| rules.cut.get(&call.run).is_none_or(|cut| call.begun < *cut);
    for call in calls.iter().filter(is_heard) {
        by_key.entry(&call.key).or_default().push(call);
    }
    let mut found = Vec::new();
    for (key, calls) in &by_key {
        let upload = known.get(*key);
        for pair in calls.windows(2) {
            found.extend(repeated(pair[0], pair[1], rules).map(Finding::Double));
        }
        for call in calls {
            found.extend(upload.and_then(|upload| wrong(call, upload, rules)));
        }
    }
    for (key, upload) in known.iter().filter(|(_, upload)| upload.is_done) {
        let took = |call: &&Call| matches!(call.end, Some(End::Took { .. }));
        let calls = by_key.get(key.as_str()).map_or(&[][..], Vec::as_slice);
        if !calls.iter().any(took) {
            let text = format!("{}: done, and the handler never took it", upload.name);
            found.push(Finding::Lost(text));
        }
    }
    found
}

/// Why `later` should not have been made after `call`, if so.
fn repeated(call: &Call, later: &Call, rules: &Rules) -> Option<String> {
    // Both sides know that nothing came of a broken body.
    if matches!(call.end, Some(End::Broken { .. })) {
        return None;
    }
    let what = format!("{}: called in run {} and {}", call.key, call.run, later.run);
    if call.run == later.run {
        return Some(format!("{what}, without a crash in between"));
    }
    if rules.hold {
        return Some(format!("{what}, under \"hold\""));
    }
    let killed = rules.killed.get(&call.run)?;
    let Some(End::Took { at, .. }) = &call.end else {
        return None;
    };
    rules
        .recorded
        .is_some_and(|recorded| at + recorded < *killed)
        .then(|| format!("{what}, {} ms after its end", killed - at))
}

/// What is wrong about a call, if anything.
fn wrong(call: &Call, upload: &Known, rules: &Rules) -> Option<Finding> {
    let name = &upload.name;
    if upload.is_refused {
        return Some(Finding::Phantom(format!("{name}: handed over, unasked")));
    }
    if upload.done.is_some_and(|done| call.begun > done) {
        let text = format!("{name}: called in run {} after its end", call.run);
        return Some(Finding::Double(text));
    }
    match &call.end {
        None => None,
        Some(End::Broken { at }) => {
            let is_cut = rules.cut.get(&call.run).is_some_and(|cut| cut <= at);
            (!is_cut && !upload.is_damaged)
                .then(|| Finding::Odd(format!("{name}: its body broke off")))
        }
        Some(End::Took {
            sha256,
            name: given,
            len,
            ..
        }) => (*sha256 != upload.sha256 || given != name).then(|| {
            Finding::Phantom(format!(
                "{name}: the handler saw {len} other bytes, {given}"
            ))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(done: Option<u64>) -> BTreeMap<String, Known> {
        let upload = Known {
            name: "a.bin".to_owned(),
            sha256: "aa".to_owned(),
            done,
            is_done: done.is_some(),
            is_refused: false,
            is_damaged: false,
        };
        BTreeMap::from([("key".to_owned(), upload)])
    }

    fn kinds(text: &str, done: Option<u64>, hold: bool) -> Vec<&'static str> {
        let rules = Rules {
            hold,
            recorded: Some(5_000),
            killed: BTreeMap::from([(1, 100), (2, 10_000)]),
            cut: BTreeMap::from([(2, 9_000)]),
        };
        let found = judge(&parse(text), &known(done), &rules);
        found.iter().map(Finding::kind).collect()
    }

    const ONCE: &str = "10 1 0 begin key\n20 1 0 end aa 7 a.bin\n";

    #[test]
    fn lines_are_read_as_written() {
        let calls = parse("10 1 0 begin key\n11 1 1 begin k2\n20 1 0 end aa 7 a b.bin\n30 1 2 beg");
        assert_eq!(calls.len(), 2);
        let end = End::Took {
            at: 20,
            sha256: "aa".to_owned(),
            len: 7,
            name: "a b.bin".to_owned(),
        };
        assert_eq!(calls[0].end, Some(end));
        assert_eq!(calls[1].end, None);
    }

    #[test]
    fn one_call_is_right() {
        assert_eq!(kinds(ONCE, Some(30), true), [""; 0]);
    }

    #[test]
    fn done_without_a_call_is_a_loss() {
        assert_eq!(kinds("", Some(30), false), ["lost"]);
        assert_eq!(kinds("10 1 0 begin key\n", Some(30), false), ["lost"]);
    }

    #[test]
    fn a_body_breaks_off_only_where_the_power_went() {
        assert_eq!(
            kinds("10 2 0 begin key\n8999 2 0 broken 0\n", None, false),
            ["odd"]
        );
        assert_eq!(
            kinds("10 2 0 begin key\n9000 2 0 broken 0\n", None, false),
            [""; 0]
        );
    }

    #[test]
    fn a_call_after_the_power_went_is_none() {
        let text = "9000 2 0 begin key\n9100 3 0 begin key\n";
        assert_eq!(kinds(text, None, true), [""; 0]);
        let text = "8999 2 0 begin key\n9100 3 0 begin key\n";
        assert_eq!(kinds(text, None, true), ["double"]);
    }

    #[test]
    fn other_bytes_are_a_phantom() {
        let text = "10 1 0 begin key\n20 1 0 end bb 7 a.bin\n";
        assert_eq!(kinds(text, Some(30), false), ["phantom"]);
    }

    #[test]
    fn a_second_call_needs_a_crash_and_no_hold() {
        let again = |run: u64, at: u64| {
            format!("{ONCE}{at} {run} 9 begin key\n{at} {run} 9 end aa 7 a.bin\n")
        };
        assert_eq!(kinds(&again(2, 200), Some(300), false), [""; 0]);
        assert_eq!(kinds(&again(2, 200), Some(300), true), ["double"]);
        assert_eq!(kinds(&again(1, 50), Some(300), false), ["double"]);
        assert_eq!(kinds(&again(2, 200), Some(90), false), ["double"]);
    }

    #[test]
    fn an_old_answer_must_have_been_recorded() {
        let text = "10 2 0 begin key\n20 2 0 end aa 7 a.bin\n11000 3 0 begin key\n";
        assert_eq!(kinds(text, None, false), ["double"]);
        let cut = "10 2 0 begin key\n11000 3 0 begin key\n";
        assert_eq!(kinds(cut, None, false), [""; 0], "it had not ended");
    }
}
