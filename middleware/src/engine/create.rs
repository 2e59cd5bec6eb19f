use std::sync::Arc;

use super::command::{Create, Created};
use super::deliver::Deliver;
use super::{Engine, Refusal, View};
use crate::admission::{Allowance, Full, Request};
use crate::config::UploadConfig;
use crate::event::What;
use crate::store::StoreError;
use crate::upload::{Declaration, Header, Limits, Record, UploadKey};

impl Engine {
    /// Makes a new upload. One without bytes is handed over at once.
    ///
    /// # Errors
    /// [`Refusal`]; there is no new upload then.
    pub async fn create(
        self: &Arc<Self>,
        create: Create,
        deliver: Arc<dyn Deliver>,
    ) -> Result<Created, Refusal> {
        if self.latch.is_shut() {
            return Err(Refusal::Unavailable);
        }
        if self.draining.is_cancelled() {
            return Err(Refusal::Draining);
        }
        self.count_for(&create.owner)?;
        self.check_reachable()?;
        let bytes_max = bytes_max(&create.config);
        if create.declaration.total > bytes_max {
            return Err(Refusal::TooLarge { bytes_max });
        }
        let (own, empty) = (create.id.key(), create.declaration.total == 0);
        let engine = Arc::clone(self);
        // A client that leaves now must not leave a session half made or half counted.
        let made = self
            .tasks
            .spawn(async move { engine.find_or_make(&create).await });
        let mut created = made.await.unwrap_or(Err(Refusal::Internal))?;
        if empty && created.view.key == own {
            let concluded = self.finish_empty(created.view.key, &deliver).await;
            created.view = match concluded {
                // Its server hands it over.
                Err(Refusal::Elsewhere(_)) => created.view,
                concluded => concluded?,
            };
        }
        Ok(created)
    }

    async fn find_or_make(&self, create: &Create) -> Result<Created, Refusal> {
        // Repeated requests at the same time are answered one after the other, and what looks like
        // the rest of a create is not cleared away meanwhile.
        let _alone = self.creates.turn(create.id.key()).await;
        let id = create.id.clone();
        if create.idempotent {
            if let Some(view) = self.existing(create).await? {
                return Ok(Created { id, view });
            }
            if let Some(created) = self.made_elsewhere(create).await? {
                return Ok(created);
            }
        }
        let view = self.make(create).await?;
        Ok(Created { id, view })
    }

    async fn make(&self, create: &Create) -> Result<View, Refusal> {
        let key = create.id.key();
        self.reserve(create).await?;
        if create.idempotent {
            self.drop_leftovers(key).await?;
        }
        let header = Arc::new(self.header(create));
        let mut stored = self.store.create(key, Arc::clone(&header)).await;
        if create.idempotent && matches!(stored, Err(StoreError::Exists)) {
            // What an earlier request with this key made has expired.
            self.remove_expired(key).await?;
            self.reserve(create).await?;
            stored = self.store.create(key, Arc::clone(&header)).await;
            if matches!(stored, Err(StoreError::Exists)) {
                // Expired, and still written: the reservation is that of the other upload.
                return Err(Refusal::Busy);
            }
        }
        if let Err(error) = stored {
            self.budget.release(key);
            return Err(self.refusal(key, &error));
        }
        tracing::info!(%key, bytes = create.declaration.total, "upload created");
        let record = Record::new(header);
        self.note(key, &record);
        self.witness.tell(key, What::Created, &record);
        Ok(View::new(key, &record, &self.deadlines(), self.clock.now()))
    }

    /// Removes bytes without a log, which a power cut may have left of an earlier create with this
    /// id: they are not this upload's.
    async fn drop_leftovers(&self, key: UploadKey) -> Result<(), Refusal> {
        let dropped = self
            .table
            .unopened(key, async || match self.store.read(key).await {
                Ok(None) => self.forget_bytes(key).await,
                _ => Ok(()),
            });
        let dropped = dropped.await.unwrap_or(Ok(()));
        dropped.map_err(|error| super::receive::io_refusal(key, &error))
    }

    /// The upload that an earlier request with this id made.
    async fn existing(&self, create: &Create) -> Result<Option<View>, Refusal> {
        let view = match self.status_here(create.id.key()).await {
            Ok((view, _)) => view,
            Err(Refusal::NoSession) => return Ok(None),
            // Its client is to begin anew, and this is how: the key it sends must not be spoilt
            // for as long as the log is kept.
            Err(Refusal::StateLost) => {
                let key = create.id.key();
                let dropped = self.forget_bytes(key).await;
                dropped.map_err(|error| super::receive::io_refusal(key, &error))?;
                return Ok(None);
            }
            Err(refusal) => return Err(refusal),
        };
        let same = same_file(&view.header.declaration, &create.declaration)
            && view.header.owner == create.owner;
        if same {
            Ok(Some(view))
        } else {
            Err(Refusal::IdempotencyMismatch)
        }
    }

    /// Hands over an upload that has no chunks, unless that was done already.
    async fn finish_empty(
        self: &Arc<Self>,
        key: UploadKey,
        deliver: &Arc<dyn Deliver>,
    ) -> Result<View, Refusal> {
        let active = self.active(key).await?;
        let view = self.conclude(&active, deliver, true).await;
        self.let_go(active);
        Ok(view)
    }

    async fn reserve(&self, create: &Create) -> Result<(), Refusal> {
        let free_space = self.blobs.free_space().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "free space is not known");
            None
        });
        // What one owner takes is counted on all servers together, where there are others.
        let shared = self.bound().is_some();
        let uploads = &create.config.uploads;
        let (per_owner, reserved) = match shared {
            true => (0, 0),
            false => (
                uploads.max_sessions_per_owner,
                uploads.max_reserved_per_owner,
            ),
        };
        let allowance = Allowance {
            sessions: uploads.max_sessions,
            sessions_per_owner: per_owner,
            reserved_per_owner: reserved,
            free_space,
            keep_free: uploads.min_free_space,
        };
        let request = Request {
            key: create.id.key(),
            owner: &create.owner,
            bytes: create.declaration.total,
            now: self.clock.read().steady,
        };
        // Two that want the last place must not both be refused because both have reserved it.
        let _alone = match shared {
            true => Some(self.owners.turn_of(&create.owner).await),
            false => None,
        };
        let reserved = self.budget.reserve(&request, &allowance);
        reserved.map_err(|full| match full {
            Full::Sessions | Full::Owner => Refusal::TooManySessions,
            Full::Space => Refusal::NoSpace,
        })?;
        let shared = self.share(request.key, &create.owner).await;
        shared.inspect_err(|_| self.budget.release(request.key))
    }

    fn header(&self, create: &Create) -> Header {
        let uploads = &create.config.uploads;
        Header {
            created: self.clock.now(),
            owner: create.owner.clone(),
            signer: create.signer.clone(),
            declaration: create.declaration.clone(),
            durability: create.config.durability(),
            limits: Limits {
                chunk_size: uploads.chunk_size,
                chunk_size_min: uploads.min_chunk_size,
                chunk_size_max: uploads.max_chunk_size,
            },
        }
    }
}

/// The largest file there can ever be room for.
fn bytes_max(config: &UploadConfig) -> u64 {
    let bytes_max = config.server.max_upload_size;
    match config.uploads.max_reserved_per_owner {
        0 => bytes_max,
        of_owner => bytes_max.min(of_owner),
    }
}

/// Whether two declarations mean the same file; the host and headers a request came with do not.
pub(super) fn same_file(one: &Declaration, other: &Declaration) -> bool {
    let essence = |d: &Declaration| {
        (
            d.name.clone(),
            d.total,
            d.chunk_size,
            d.content_type.clone(),
            d.digests.clone(),
        )
    };
    essence(one) == essence(other)
}
