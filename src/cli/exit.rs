//! Exit codes: part of the interface, so they never change their meaning.

use std::process::ExitCode;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Ok = 0,
    Failed = 1,
    Usage = 2,
    Unreachable = 3,
    NotFound = 4,
    Refused = 5,
    ServerError = 6,
    TimedOut = 7,
    OutcomeUnknown = 8,
    StoreUnsound = 9,
    ConfigInvalid = 64,
    AddressUnavailable = 65,
    DataDirInUse = 66,
    DataDirUnusable = 67,
    DataDirTooNew = 68,
    ServerFailed = 69,
}

impl Exit {
    pub const ALL: [Self; 16] = [
        Self::Ok,
        Self::Failed,
        Self::Usage,
        Self::Unreachable,
        Self::NotFound,
        Self::Refused,
        Self::ServerError,
        Self::TimedOut,
        Self::OutcomeUnknown,
        Self::StoreUnsound,
        Self::ConfigInvalid,
        Self::AddressUnavailable,
        Self::DataDirInUse,
        Self::DataDirUnusable,
        Self::DataDirTooNew,
        Self::ServerFailed,
    ];

    pub fn code(self) -> u8 {
        self as u8
    }

    pub fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "done",
            Self::Failed => "the operation failed, or the job ended in ERROR or KILLED",
            Self::Usage => "wrong arguments, or a named file cannot be read",
            Self::Unreachable => "no server can be reached, or none is ready (it waits for its stores, or stops)",
            Self::NotFound => "the server has no such thing (404)",
            Self::Refused => "the server refused the request (other 4xx)",
            Self::ServerError => "the server failed, or has no room (5xx)",
            Self::TimedOut => "the time of --timeout is over; the job goes on",
            Self::OutcomeUnknown => "the connection broke after a change was sent: it may have happened or not",
            Self::StoreUnsound => "something in the store is wrong (store check)",
            Self::ConfigInvalid => "server, config check: the configuration is invalid",
            Self::AddressUnavailable => "server: the address cannot be listened on",
            Self::DataDirInUse => "server: another server uses the data directory",
            Self::DataDirUnusable => "server: the data directory cannot be read or written; store: nothing is there",
            Self::DataDirTooNew => "server: the data directory was written by a newer version",
            Self::ServerFailed => "server, shim: any other failure",
        }
    }

    /// All codes with their meaning, a line each.
    pub fn help() -> String {
        let line = |exit: &Self| format!("  {:>2}  {}\n", exit.code(), exit.meaning());
        format!("Exit codes:\n{}", Self::ALL.iter().map(line).collect::<String>())
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_listed_once_and_ascend() {
        assert!(Exit::ALL.is_sorted_by(|a, b| a.code() < b.code()));
        assert!(Exit::help().contains("\n  64  server, config check: the configuration is invalid\n"));
    }

    #[test]
    fn the_readme_says_the_same() {
        let readme = include_str!("../../README.md").replace('`', "");
        for exit in Exit::ALL {
            // Which commands it is of, the table's head says.
            let of_some = exit.meaning().split_once(": ").filter(|_| exit.code() >= 64);
            let meaning = of_some.map_or(exit.meaning(), |(_, meaning)| meaning);
            let row = format!("| {} | {meaning} |", exit.code());
            assert!(readme.contains(&row), "{row}");
        }
    }
}
