//! The harness of the black-box tests.
//!
//! Everything here stands outside the server: a raw HTTP/1.1 client that can misbehave
//! ([`http`]), the real server program as a child process ([`server`]), an app of ours in
//! this process whose handler the test writes ([`app`], [`script`]), and the same app in a
//! process that may be killed ([`process`]), clients by the thousand ([`crowd`]) and over TLS ([`secure`], [`certificates`]). Around the server stand a real Redis ([`redis`]), a
//! network that fails on demand ([`fault_proxy`]) and a real nginx ([`nginx`]). [`torture`] is a
//! program of its own that breaks the server in every way its promise speaks of; [`hostile`] plays
//! what is sent to harm it.
//!
//! 1. What is expected comes from the wire specification, never from the implementation.
//! 2. Nothing sleeps to let something happen: [`wait::eventually`] polls with a deadline.
//! 3. Every child process is ended by the handle that started it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

pub mod accept;
pub mod app;
pub mod certificates;
pub mod child;
pub mod config;
pub mod crowd;
pub mod data;
pub mod fault_proxy;
pub mod hostile;
pub mod http;
pub mod message;
pub mod multipart;
pub mod namespace;
pub mod nginx;
pub mod process;
pub mod prometheus;
pub mod python;
pub mod redis;
pub mod script;
pub mod secure;
pub mod server;
pub mod torture;
pub mod tree;
pub mod upload;
pub mod wait;
