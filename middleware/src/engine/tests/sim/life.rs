//! One process, from its start to its end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;

use super::super::source;
use super::world::{Upload, World};
use crate::admission::Origin;
use crate::engine::{Append, Create, Created, Deliver, Engine, Refusal, View};
use crate::upload::tests::sample;
use crate::upload::{Owner, State, Target};
use crate::volume::sim::Plan;

/// Lives of a history, without the last in which nothing goes wrong.
const LIVES_MAX: u64 = 4;
/// Operations after which something goes wrong.
const OPERATIONS_MAX: u64 = 90;

/// What a client asks for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ask {
    Create,
    Chunk(u64),
    /// All but the last byte of a chunk, then the client is gone.
    Part(u64),
    Status,
    Cancel,
}

/// What a client was told.
pub(super) enum Told {
    Created(Result<Created, Refusal>),
    Chunk(u64, Result<View, Refusal>),
    Part,
    Status(Result<(View, Vec<(u64, u64)>), Refusal>),
    Cancelled(Result<(), Refusal>),
}

impl Told {
    pub(super) fn is_refused(&self) -> bool {
        match self {
            Self::Created(told) => told.is_err(),
            Self::Chunk(_, told) => told.is_err(),
            Self::Status(told) => told.is_err(),
            Self::Cancelled(told) => told.is_err(),
            Self::Part => true,
        }
    }
}

impl World {
    /// The whole history.
    pub(super) fn live(&mut self) -> Result<(), String> {
        let lives = 1 + self.rng.below(LIVES_MAX);
        for life in 0..lives {
            let plan = self.plan();
            self.note(format!("life {life}: {plan:?}"));
            self.fs.plan(plan);
            self.app.life.store(life, Ordering::Relaxed);
            let lived = self.in_runtime(async |world, engine| world.work(engine).await);
            lived?;
            self.end_life(usize::try_from(life).unwrap());
        }
        self.note("the last life".to_owned());
        self.fs.plan(Plan::default());
        self.app.life.store(lives, Ordering::Relaxed);
        self.in_runtime(async |world, engine| world.finish(engine).await)
    }

    /// Runs a life in a runtime of its own; what is left of it at its end is gone, as with a process.
    fn in_runtime(
        &mut self,
        life: impl AsyncFnOnce(&mut Self, &Arc<Engine>) -> Result<(), String>,
    ) -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let engine = self.engine();
        runtime.block_on(life(self, &engine))
    }

    fn plan(&mut self) -> Plan {
        let at = |world: &mut Self| Some(world.rng.below(OPERATIONS_MAX));
        let mut plan = Plan::default();
        if self.is_durable() && self.rng.chance(60) {
            plan.cut_at = at(self);
        }
        if self.is_durable() && self.rng.chance(15) {
            plan.flush_fails_at = at(self);
        }
        if self.rng.chance(15) {
            plan.full = at(self).map(|from| (from, 1 + self.rng.below(20)));
        }
        plan
    }

    fn end_life(&mut self, life: usize) {
        self.crashed.insert(life);
        let cut = self.fs.is_cut() || (self.is_durable() && self.rng.chance(40));
        self.note(
            if cut {
                "  the power is cut"
            } else {
                "  kill -9"
            }
            .to_owned(),
        );
        if cut {
            self.fs.cut();
        }
        self.pass(Duration::from_secs(1));
    }

    /// Clients ask for things, several at a time, until the process dies.
    async fn work(&mut self, engine: &Arc<Engine>) -> Result<(), String> {
        let deliver = self.deliver();
        if self.rng.chance(50) {
            engine.recover(Some(&deliver)).await;
        }
        let rounds = 1 + self.rng.below(5);
        for _ in 0..rounds {
            let mut asked = JoinSet::new();
            for _ in 0..1 + self.rng.below(5) {
                let (upload, ask) = self.choose();
                self.note(format!("  upload {}: {ask:?}", upload.number));
                asked.spawn(ask_for(
                    Arc::clone(engine),
                    Arc::clone(&deliver),
                    upload,
                    ask,
                ));
            }
            if self.rng.chance(10) {
                // Clients leave.
                for _ in 0..self.rng.below(30) {
                    tokio::task::yield_now().await;
                }
                asked.abort_all();
            }
            while let Some(told) = asked.join_next().await {
                if let Ok((number, told)) = told {
                    self.hear(number, told)?;
                }
            }
            if self.fs.is_cut() {
                break;
            }
            if self.rng.chance(5) {
                self.note("  a long time passes".to_owned());
                self.expire();
                engine.close_idle().await;
                engine.sweep().await;
            }
            if self.rng.chance(10) {
                engine.close_idle().await;
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        }
        if self.rng.chance(10) {
            engine.drain().await;
        }
        Ok(())
    }

    fn choose(&mut self) -> (Upload, Ask) {
        if self.uploads.is_empty() || (self.uploads.len() < 4 && self.rng.chance(25)) {
            return (self.new_upload(), Ask::Create);
        }
        let index = self.rng.index(self.uploads.len());
        let chunks = self.uploads[index].chunks();
        let chunk = self.rng.below(chunks);
        let ask = match self.rng.below(20) {
            0 => Ask::Cancel,
            1..3 => Ask::Create,
            3..5 => Ask::Status,
            5 => Ask::Part(chunk),
            _ => Ask::Chunk(chunk),
        };
        let upload = &mut self.uploads[index];
        match ask {
            Ask::Cancel => upload.cancelling = true,
            Ask::Chunk(chunk) => _ = upload.sent.insert(chunk),
            _ => {}
        }
        (upload.clone(), ask)
    }

    /// Nothing goes wrong any more: every upload is finished.
    async fn finish(&mut self, engine: &Arc<Engine>) -> Result<(), String> {
        self.app.kind.store(true, Ordering::Relaxed);
        let deliver = self.deliver();
        engine.recover(Some(&deliver)).await;
        for index in 0..self.uploads.len() {
            let upload = self.uploads[index].clone();
            let asked = [Ask::Status].into_iter();
            let asked = asked.chain((0..upload.chunks()).map(Ask::Chunk));
            for ask in asked.chain([Ask::Status]) {
                if let Ask::Chunk(chunk) = ask {
                    self.uploads[index].sent.insert(chunk);
                }
                let (engine, deliver) = (Arc::clone(engine), Arc::clone(&deliver));
                let (number, told) = ask_for(engine, deliver, upload.clone(), ask).await;
                self.hear(number, told)?;
            }
            self.check_finished(engine, index).await?;
        }
        self.check_calls()?;
        self.check_nothing_left(engine).await
    }
}

async fn ask_for(
    engine: Arc<Engine>,
    deliver: Arc<dyn Deliver>,
    upload: Upload,
    ask: Ask,
) -> (u8, Told) {
    let id = upload.id.clone();
    let told = match ask {
        Ask::Create => {
            let mut declaration = sample::declaration(upload.total);
            declaration.chunk_size = Some(upload.chunk);
            let create = Create {
                id,
                idempotent: true,
                declaration,
                owner: Owner::default(),
                signer: None,
                config: engine.config().now(),
            };
            Told::Created(engine.create(create, deliver).await)
        }
        Ask::Chunk(chunk) => {
            let bytes = upload.bytes(chunk);
            let (client, mut feed) = source::body();
            for piece in bytes.chunks(400) {
                client.send(piece);
            }
            drop(client);
            let append = append(&upload, chunk);
            let appended = engine.append(&append, &mut feed, deliver).await;
            Told::Chunk(chunk, appended.map(|appended| appended.view))
        }
        Ask::Part(chunk) => {
            let bytes = upload.bytes(chunk);
            let (client, mut feed) = source::body();
            client.send(&bytes[..bytes.len() - 1]);
            client.break_off();
            let append = append(&upload, chunk);
            let appended = engine.append(&append, &mut feed, deliver).await;
            let view = appended.map(|appended| appended.view);
            match view {
                // Held before: nothing of the body was needed to say so.
                Ok(view) => Told::Chunk(chunk, Ok(view)),
                Err(_) => Told::Part,
            }
        }
        Ask::Status => {
            let status = engine.status(&id).await;
            Told::Status(status.map(|(view, gaps)| (view, gaps.ranges)))
        }
        Ask::Cancel => Told::Cancelled(engine.cancel(&id).await),
    };
    (upload.number, told)
}

fn append(upload: &Upload, chunk: u64) -> Append {
    Append {
        id: upload.id.clone(),
        target: Target::Chunk {
            number: chunk,
            length: None,
        },
        digests: Vec::new(),
        origin: Origin::default(),
    }
}

/// Whether an upload will not change any more.
pub(super) fn is_over(state: State) -> bool {
    state.is_final() || state == State::Unknown
}
