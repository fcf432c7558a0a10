//! The only place that reads clocks, randomness and the table of processes; everything else gets them from here or as
//! arguments.

pub mod clock;
pub mod crash;
pub mod host;
pub mod log_file;
pub mod logging;
pub mod loopback;
pub mod pace;
pub mod panics;
pub mod passwords;
pub mod possession;
pub mod private_file;
pub mod processes;
pub mod random;
pub mod tls;
