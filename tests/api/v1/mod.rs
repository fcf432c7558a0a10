//! `/v1`.

mod callbacks;
mod details;
mod logs;
mod result;
