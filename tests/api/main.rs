//! The real server over HTTP, with real drivers of kind `python`: each route, each answer. Modules mirror the URLs.

#![allow(clippy::unwrap_used, reason = "tests")]

mod auth;
mod binaries;
mod clock;
mod contexts;
mod data;
mod fixture;
mod health;
mod history;
mod http;
mod idempotency;
mod jobs;
mod kills;
mod monit;
mod openapi;
mod retention;
#[path = "../servers/mod.rs"]
mod servers;
mod stop;
mod store;
mod supervise;
mod tls;
mod v1;
mod zookeeper;
