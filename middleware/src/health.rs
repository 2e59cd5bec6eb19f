use std::sync::Arc;

use serde_json::{Value, json};

use crate::config::Durability;
use crate::engine::{Condition, Disk, Engine};
use crate::network::By;

/// Tells whether uploads can be taken, for the routes by which a load balancer watches the app; from
/// [`SteadfastLayer::health`](crate::SteadfastLayer::health). Such routes go on the outer router,
/// beside the layer, so that nobody needs a signature for them:
///
/// ```
/// use axum::http::{StatusCode, header};
/// use axum::{Router, extract::State, response::IntoResponse, routing::get};
/// use steadfast::{Health, SteadfastLayer, UploadConfig};
/// use tower::Layer;
///
/// async fn ready(State(health): State<Health>) -> impl IntoResponse {
///     let readiness = health.ready().await;
///     let status = match readiness.is_ready() {
///         true => StatusCode::OK,
///         false => StatusCode::SERVICE_UNAVAILABLE,
///     };
///     (status, [(header::CONTENT_TYPE, "application/json")], readiness.to_json())
/// }
///
/// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let mut config = UploadConfig::default();
/// # config.uploads.state_dir = dir.path().join("state");
/// # config.uploads.min_free_space = 0;
/// let (layer, driver) = SteadfastLayer::from_config(config).await?;
/// let health = layer.health();
/// assert!(health.ready().await.is_ready());
///
/// let app = Router::new()
///     .route("/health/ready", get(ready))
///     .with_state(health.clone())
///     .fallback_service(layer.layer(Router::new()));
/// # let _: Router = app;
///
/// driver.drain().await;
/// let readiness = health.ready().await;
/// assert_eq!(readiness.drain, Err("The server is shutting down."));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Health {
    // Not all that the layer shares: who watches the server does not keep its directory locked.
    engine: Arc<Engine>,
}

impl Health {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    /// Whether uploads can be taken now. The answer comes within a second, also from a disk that
    /// hangs. It needs no rate limit: the disk is asked once a second at most.
    pub fn ready(&self) -> impl Future<Output = Readiness> + Send + 'static {
        let engine = Arc::clone(&self.engine);
        async move { Readiness::of(engine.condition().await) }
    }

    /// What is switched on: the dialects, as they are called in `[dialects]`, and `redis` where
    /// sessions are shared with other servers.
    #[must_use]
    pub fn features(&self) -> Vec<&'static str> {
        let all = [
            ("chunked", self.engine.config().now().speaks_chunked()),
            ("redis", self.engine.has_peers()),
        ];
        let on = all.into_iter().filter(|(_, on)| *on);
        on.map(|(name, _)| name).collect()
    }

    /// What acknowledgements of new uploads survive.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.engine.config().now().durability()
    }
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Health").finish_non_exhaustive()
    }
}

/// Whether uploads can be taken, and if not, what is in the way: a sentence that anybody may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Readiness {
    /// The sessions that are shared with other servers can be reached; always so where none are.
    pub store: Result<(), &'static str>,
    /// The disk of unfinished uploads has not failed, answers, and has more free space than
    /// `uploads.min_free_space`.
    pub disk: Result<(), &'static str>,
    /// The server is not shutting down.
    pub drain: Result<(), &'static str>,
    /// Why uploads wait, if they do. That makes no server unready: a pause for the network is over in
    /// seconds, its other routes go on, and uploads are tied to their server.
    pub paused: Option<&'static str>,
}

impl Readiness {
    fn of(condition: Condition) -> Self {
        let store = match condition.reachable {
            true => Ok(()),
            false => Err("The shared sessions cannot be reached; the log says why."),
        };
        let disk = match condition.disk {
            Disk::Ready => Ok(()),
            Disk::Failed => Err(
                "The disk failed to keep an upload; no more is taken until the server is restarted.",
            ),
            Disk::Short => Err("The disk has no more free space than uploads.min_free_space."),
            Disk::Unknown => {
                Err("The disk cannot be asked how much of it is free; the log says why.")
            }
            Disk::Silent => Err("The disk does not answer."),
        };
        let drain = match condition.ending {
            false => Ok(()),
            true => Err("The server is shutting down."),
        };
        let paused = condition.paused.map(|by| match by {
            By::Network => "Uploads wait: the network of this server changes.",
            By::Operator => "Uploads wait: an operator has paused them.",
        });
        Self {
            store,
            disk,
            drain,
            paused,
        }
    }

    /// Whether nothing is in the way.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.checks().iter().all(|(_, check)| check.is_ok())
    }

    /// All checks under the names that they have in the answer.
    fn checks(&self) -> [(&'static str, Result<(), &'static str>); 3] {
        [
            ("store", self.store),
            ("disk", self.disk),
            ("drain", self.drain),
        ]
    }

    /// The body of an answer: `{"status":"ready","checks":{"store":{"ok":true},…}}`, or
    /// `"not_ready"` and a `detail` where `ok` is false. While uploads wait, `paused` says why.
    #[must_use]
    pub fn to_json(&self) -> String {
        let status = if self.is_ready() {
            "ready"
        } else {
            "not_ready"
        };
        let checks: serde_json::Map<_, _> = self
            .checks()
            .into_iter()
            .map(|(name, check)| (name.to_owned(), body_of(check)))
            .collect();
        let mut answer = json!({ "status": status, "checks": checks });
        if let Some(why) = self.paused {
            answer["paused"] = why.into();
        }
        answer.to_string()
    }
}

fn body_of(check: Result<(), &str>) -> Value {
    match check {
        Ok(()) => json!({ "ok": true }),
        Err(why) => json!({ "ok": false, "detail": why }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::SteadfastLayer;

    const WELL: Condition = Condition {
        reachable: true,
        disk: Disk::Ready,
        ending: false,
        paused: None,
    };

    #[test]
    fn all_that_is_well_is_ready() {
        let readiness = Readiness::of(WELL);
        assert!(readiness.is_ready());
        assert_eq!(
            readiness.to_json(),
            r#"{"status":"ready","checks":{"store":{"ok":true},"disk":{"ok":true},"drain":{"ok":true}}}"#
        );
    }

    #[test]
    fn a_pause_is_told_and_harms_nothing() {
        for (by, word) in [(By::Network, "network"), (By::Operator, "operator")] {
            let readiness = Readiness::of(Condition {
                paused: Some(by),
                ..WELL
            });
            assert!(readiness.is_ready());
            let body: Value = serde_json::from_str(&readiness.to_json()).unwrap();
            assert_eq!(body["status"], "ready");
            assert!(body["paused"].as_str().unwrap().contains(word), "{body}");
        }
    }

    #[test]
    fn whatever_is_wrong_says_so_alone() {
        let disk = |disk| Condition { disk, ..WELL };
        let unreachable = Condition {
            reachable: false,
            ..WELL
        };
        let ending = Condition {
            ending: true,
            ..WELL
        };
        let cases = [
            (unreachable, "store", "reached"),
            (disk(Disk::Failed), "disk", "failed"),
            (disk(Disk::Short), "disk", "min_free_space"),
            (disk(Disk::Unknown), "disk", "log"),
            (disk(Disk::Silent), "disk", "answer"),
            (ending, "drain", "shutting down"),
        ];
        for (condition, name, word) in cases {
            let readiness = Readiness::of(condition);
            assert!(!readiness.is_ready());
            let body: Value = serde_json::from_str(&readiness.to_json()).unwrap();
            assert_eq!(body["status"], "not_ready");
            for (other, check) in body["checks"].as_object().unwrap() {
                assert_eq!(check["ok"], other != name, "{body}");
                let detail = check.get("detail").map(|detail| detail.as_str().unwrap());
                assert_eq!(detail.is_some(), other == name, "{body}");
                assert!(detail.is_none_or(|why| why.contains(word) && why.ends_with('.')));
            }
        }
    }

    async fn layer(dir: &tempfile::TempDir, dialect: bool) -> (SteadfastLayer, crate::Driver) {
        let mut config = crate::UploadConfig::default();
        config.uploads.state_dir = dir.path().join("state");
        config.uploads.min_free_space = 0;
        config.uploads.chunked_uploads_enabled = dialect;
        config.uploads.durability = Durability::Process;
        SteadfastLayer::from_config(config).await.unwrap()
    }

    #[tokio::test]
    async fn a_handle_says_what_is_on() {
        for (dialect, features) in [(true, vec!["chunked"]), (false, vec![])] {
            let dir = tempfile::tempdir().unwrap();
            let health = layer(&dir, dialect).await.0.health();
            assert_eq!(health.features(), features);
            assert_eq!(health.durability(), Durability::Process);
        }
    }

    #[tokio::test]
    async fn a_handle_does_not_keep_the_state_directory() {
        let dir = tempfile::tempdir().unwrap();
        let health = {
            let (layer, _driver) = layer(&dir, true).await;
            layer.health()
        };
        let _next = layer(&dir, true).await;
        assert!(health.ready().await.is_ready());
    }
}
