//! HTTP: routes, what requests hold, and which answer each outcome gets. No store is touched here.

mod age;
mod answer;
mod audit;
mod authentication;
mod binaries;
mod body;
mod browser;
mod callbacks;
mod contexts;
mod data;
mod drain;
mod drivers;
mod error;
mod events;
mod health;
mod idempotency;
mod jobs;
mod logs;
mod metrics;
mod openapi;
mod params;
mod resting;
mod results;
mod router;
mod secure;
mod server;
mod timeline;
mod tokens;
mod unread;
mod waiting;

pub use metrics::Metrics;
pub use openapi::document;
pub use router::router;
pub use server::{Secure, serve};
pub use waiting::waiting;
