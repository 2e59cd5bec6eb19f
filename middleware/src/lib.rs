//! Makes any axum or hyper upload handler resumable, without changing the handler.
