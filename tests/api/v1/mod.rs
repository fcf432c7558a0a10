//! `/v1`.

mod callbacks;
mod details;
mod events;
mod logs;
mod lost_logs;
mod result;
mod timeline;
