//! `/jobs`.

mod callback_url;
mod code;
mod config;
mod context;
mod cp;
mod delete;
mod get;
mod list;
mod queue;
mod sync;
