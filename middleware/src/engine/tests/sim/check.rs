//! The oracle: what clients were told, against what there is.

use std::sync::Arc;
use std::time::Duration;

use super::life::{Told, is_over};
use super::world::{Upload, World};
use crate::config::OnUnknown;
use crate::engine::{Engine, Refusal, View};
use crate::upload::State;

const YEAR: Duration = Duration::from_secs(365 * 86_400);

impl World {
    /// Puts what a client was told into its ledger, or says what is wrong with it.
    pub(super) fn hear(&mut self, number: u8, told: Told) -> Result<(), String> {
        let index = usize::from(number) - 1;
        if self.fs.is_cut() && told.is_refused() {
            self.note(format!("    upload {number} hears nothing any more"));
            return Ok(());
        }
        let (text, result) = {
            let upload = &mut self.uploads[index];
            match told {
                Told::Created(Ok(created)) => {
                    ("created".to_owned(), heard_view(upload, &created.view))
                }
                Told::Created(Err(refusal)) => (format!("no create: {refusal:?}"), Ok(())),
                Told::Chunk(chunk, Ok(view)) => {
                    upload.held.insert(chunk);
                    let text = format!("chunk {chunk} is safe, {}", view.state);
                    (text, heard_view(upload, &view))
                }
                Told::Chunk(chunk, Err(refusal)) => (
                    format!("no chunk {chunk}: {refusal:?}"),
                    heard_refusal(upload, &refusal),
                ),
                Told::Part => ("left".to_owned(), Ok(())),
                Told::Status(Ok((view, missing))) => {
                    let text = format!("{}, missing {missing:?}", view.state);
                    (text, heard_status(upload, &view, &missing))
                }
                Told::Status(Err(refusal)) => (
                    format!("no status: {refusal:?}"),
                    heard_refusal(upload, &refusal),
                ),
                Told::Cancelled(Ok(())) => {
                    upload.cancelled = true;
                    ("cancelled".to_owned(), Ok(()))
                }
                Told::Cancelled(Err(refusal)) => (
                    format!("not cancelled: {refusal:?}"),
                    heard_refusal(upload, &refusal),
                ),
            }
        };
        self.note(format!("    upload {number} hears: {text}"));
        result.map_err(|fault| format!("upload {number}: {fault}"))
    }

    /// Waits for the end of an upload and compares what the app got.
    pub(super) async fn check_finished(
        &mut self,
        engine: &Arc<Engine>,
        index: usize,
    ) -> Result<(), String> {
        let upload = self.uploads[index].clone();
        let key = upload.id.key();
        let mut state = None;
        for _ in 0..20 {
            state = match engine.status_here(key).await {
                Ok((view, _)) => Some(view.state),
                Err(_) => None,
            };
            if state.is_none_or(is_over) {
                break;
            }
            tokio::time::sleep(Duration::from_secs(400)).await;
        }
        let held = self.config.delivery.on_unknown == OnUnknown::Hold;
        let fine = match state {
            None => upload.held.is_empty(),
            Some(State::Completed) => self.got(&upload),
            Some(State::Rejected) => self.got(&upload),
            Some(State::Cancelled) => upload.cancelling,
            Some(State::Unknown) => held,
            Some(_) => false,
        };
        if fine {
            Ok(())
        } else {
            Err(format!("upload {} ends as {state:?}", upload.number))
        }
    }

    /// Whether the app got the file, and nothing else for it.
    fn got(&self, upload: &Upload) -> bool {
        let calls = self.app.calls.lock().unwrap();
        let mut got = calls.iter().filter(|call| call.key == upload.id.key());
        let content = upload.content();
        got.clone().count() > 0 && got.all(|call| call.bytes == content)
    }

    /// A handler that decided is asked again only where the process died before that was on record.
    pub(super) fn check_calls(&self) -> Result<(), String> {
        let calls = self.app.calls.lock().unwrap();
        let hold = self.config.delivery.on_unknown == OnUnknown::Hold;
        for (index, call) in calls.iter().enumerate() {
            if self
                .expired
                .get(&call.key)
                .is_some_and(|&life| call.life <= life)
            {
                continue;
            }
            let again = calls[index + 1..].iter().find(|next| next.key == call.key);
            let Some(again) = again else { continue };
            let asks = matches!(call.status, Some(503));
            let died = self.crashed.contains(&call.life) && again.life > call.life;
            let fine = asks || (!hold && (died || call.status.is_none()));
            if !fine {
                return Err(format!("the handler was called again after {call:?}"));
            }
        }
        Ok(())
    }

    /// When everything has expired nothing is left.
    pub(super) async fn check_nothing_left(&mut self, engine: &Arc<Engine>) -> Result<(), String> {
        // The clocks run together: nobody set one.
        engine
            .remove_orphans()
            .await
            .map_err(|error| error.to_string())?;
        for _ in 0..3 {
            self.pass(YEAR);
            engine.close_idle().await;
            engine.sweep().await;
        }
        match self.fs.names().as_slice() {
            [] => Ok(()),
            left => Err(format!("left over: {left:?}")),
        }
    }
}

fn heard_view(upload: &mut Upload, view: &View) -> Result<(), String> {
    if view.header.declaration.total != upload.total || view.chunk_size != upload.chunk {
        return Err("that is another file".to_owned());
    }
    if upload.cancelled && view.state != State::Cancelled {
        return Err(format!("a cancelled upload is {}", view.state));
    }
    if view.state == State::Cancelled && upload.cancelling {
        upload.told = None;
        return Ok(());
    }
    if let Some(told) = upload.told
        && (view.state != State::Completed && view.state != State::Rejected
            || view.answer.as_ref().map(|answer| answer.status) != Some(told))
    {
        return Err(format!("the answer {told} was taken back: {}", view.state));
    }
    if matches!(view.state, State::Completed | State::Rejected) {
        upload.told = view.answer.as_ref().map(|answer| answer.status);
    }
    Ok(())
}

fn heard_status(upload: &mut Upload, view: &View, missing: &[(u64, u64)]) -> Result<(), String> {
    heard_view(upload, view)?;
    let is_missing = |chunk: u64| {
        missing
            .iter()
            .any(|(from, to)| (*from..=*to).contains(&chunk))
    };
    if upload.cancelled {
        return Ok(());
    }
    for chunk in 0..upload.chunks() {
        let (held, listed) = (upload.held.contains(&chunk), !is_missing(chunk));
        if held && !listed {
            return Err(format!("chunk {chunk} was safe and is missing"));
        }
        if listed && !upload.sent.contains(&chunk) {
            return Err(format!("chunk {chunk} was never sent and is listed"));
        }
        if listed {
            upload.held.insert(chunk);
        }
    }
    Ok(())
}

fn heard_refusal(upload: &Upload, refusal: &Refusal) -> Result<(), String> {
    let gone = matches!(refusal, Refusal::NoSession | Refusal::StateLost);
    if gone && (!upload.held.is_empty() || upload.cancelled) {
        return Err(format!("chunks {:?} were safe: {refusal:?}", upload.held));
    }
    if *refusal == Refusal::Internal {
        return Err("an error of ours".to_owned());
    }
    Ok(())
}
