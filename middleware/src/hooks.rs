use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::Response;
use http::request::Parts;

use crate::upload::{Declaration, Header, Owner, UploadKey};

type OnCreate = dyn Fn(&Parts, &Declaration) -> Result<Owner, Response<Bytes>> + Send + Sync;
type OnAccess = dyn Fn(&Parts) -> Result<Owner, Response<Bytes>> + Send + Sync;
type OnHandoff = dyn Fn(&mut Parts, &Finished<'_>) + Send + Sync;

/// What the app knows and the layer cannot. Each is set at most once.
#[derive(Default)]
pub(crate) struct Hooks {
    on_create: OnceLock<Arc<OnCreate>>,
    on_access: OnceLock<Arc<OnAccess>>,
    on_handoff: OnceLock<Arc<OnHandoff>>,
}

/// An upload that is about to be handed over.
#[derive(Clone, Copy, Debug)]
pub struct Finished<'a> {
    /// Its name in logs, and its `Idempotency-Key`.
    pub key: UploadKey,
    /// Whose it is: what `on_create` answered, else the id of the key that signed.
    pub owner: &'a Owner,
    /// What the client declared.
    pub declaration: &'a Declaration,
}

impl Hooks {
    pub(crate) fn set_on_create(&self, hook: Arc<OnCreate>) {
        // The first one counts; the layer's documentation says so.
        let _ = self.on_create.set(hook);
    }

    pub(crate) fn set_on_access(&self, hook: Arc<OnAccess>) {
        let _ = self.on_access.set(hook);
    }

    pub(crate) fn set_on_handoff(&self, hook: Arc<OnHandoff>) {
        let _ = self.on_handoff.set(hook);
    }

    /// Asks the app who creates an upload; `signer` is the id of the key that signed.
    pub(crate) fn on_create(
        &self,
        parts: &Parts,
        declaration: &Declaration,
        signer: Option<&str>,
    ) -> Result<Owner, Response<Bytes>> {
        match self.on_create.get() {
            Some(hook) => hook(parts, declaration),
            None => Ok(Owner(signer.unwrap_or_default().to_owned())),
        }
    }

    /// Asks the app who wants something of an upload; `None` where it has no say.
    pub(crate) fn on_access(&self, parts: &Parts) -> Option<Result<Owner, Response<Bytes>>> {
        self.on_access.get().map(|hook| hook(parts))
    }

    pub(crate) fn on_handoff(&self, parts: &mut Parts, key: UploadKey, header: &Header) {
        if let Some(hook) = self.on_handoff.get() {
            let declaration = &header.declaration;
            hook(
                parts,
                &Finished {
                    key,
                    owner: &header.owner,
                    declaration,
                },
            );
        }
    }
}
