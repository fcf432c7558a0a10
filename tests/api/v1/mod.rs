//! `/v1`.

mod details;
mod logs;
mod result;
