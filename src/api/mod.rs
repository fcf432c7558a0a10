//! Wire types: what REST clients and drivers send and receive. The server, the CLI and the shim share them.

pub mod callbacks;
pub mod driver;
pub mod rest;
pub mod timeline;
pub mod tokens;
