//! `/contexts`.

mod delete;
mod get;
mod list;
mod post;
mod reset;
mod settings;
