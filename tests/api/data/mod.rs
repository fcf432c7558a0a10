//! `/data`.

mod files;
