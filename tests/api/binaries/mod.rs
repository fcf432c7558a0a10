//! `/binaries`.

mod delete;
mod get;
mod list;
mod names;
mod post;
