//! Contexts: their record, their states and which change of state is allowed.

use serde::{Deserialize, Serialize};

use super::binaries::{NameError, check_name};
use super::jobs::Failure;
use super::supervision::{Birth, Life};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ContextState {
    /// Recorded; its driver starts.
    #[default]
    Started,
    Running,
    /// Between two attempts.
    Restarting,
    Stopping,
    Finished,
    Error,
    Killed,
}

impl ContextState {
    pub const ALL: [Self; 7] =
        [Self::Started, Self::Running, Self::Restarting, Self::Stopping, Self::Finished, Self::Error, Self::Killed];

    pub fn name(self) -> &'static str {
        match self {
            Self::Started => "STARTED",
            Self::Running => "RUNNING",
            Self::Restarting => "RESTARTING",
            Self::Stopping => "STOPPING",
            Self::Finished => "FINISHED",
            Self::Error => "ERROR",
            Self::Killed => "KILLED",
        }
    }

    pub fn has_ended(self) -> bool {
        matches!(self, Self::Finished | Self::Error | Self::Killed)
    }

    /// Whether `GET /contexts` names it.
    pub fn is_listed(self) -> bool {
        matches!(self, Self::Running | Self::Restarting | Self::Stopping)
    }

    /// The one table of a context's life.
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Started | Self::Restarting => {
                matches!(next, Self::Running | Self::Stopping | Self::Error | Self::Killed)
            }
            Self::Running => matches!(next, Self::Restarting | Self::Stopping | Self::Error | Self::Killed),
            Self::Stopping => matches!(next, Self::Finished | Self::Error | Self::Killed),
            Self::Finished | Self::Error | Self::Killed => false,
        }
    }
}

/// What stands under `contexts/<id>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ContextRecord {
    pub id: String,
    pub name: String,
    /// Kind of driver.
    pub kind: String,
    pub state: ContextState,
    pub started_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<i64>,
    /// Settings as JSON text, nested.
    pub settings: String,
    pub max_jobs: u32,
    /// Whether its jobs wait for a place when they do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<bool>,
    /// Ends with its job.
    #[serde(default)]
    pub ad_hoc: bool,
    pub principal: String,
    pub attempt: u32,
    /// SHA-256 of the attempt's secret, in hex.
    pub secret_hash: String,
    /// The launched shim, as its launcher tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ui_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Whether it has ever run: its creation was answered with success.
    #[serde(default)]
    pub initialized: bool,
    #[serde(default)]
    pub life: Life,
    /// Restarts in a row; forgotten after a time of good health.
    #[serde(default)]
    pub restarts: u32,
    /// Why the attempt before this one was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Failure>,
    /// Why the server itself stopped it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_because: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub birth: Option<Birth>,
}

/// A shim's process: known by id and start time, never by id alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Process {
    pub pid: u32,
    pub start_ticks: u64,
    pub directory: String,
}

/// What stands under `attachments/<context id>`: each attachment writes it anew, so that its version fences the older ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Attachment {
    pub attempt: u32,
    pub node: String,
}

/// What stands under `context-names/<name>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct NameRecord {
    pub context_id: String,
    pub live: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContextNameError {
    /// The reference's words, which clients match.
    #[error("context name must start with letters")]
    FirstLetter,
    #[error("context name refused: {0}")]
    Name(#[from] NameError),
}

/// A letter of any script first, then anything that a name may hold.
pub fn check_context_name(name: &str) -> Result<(), ContextNameError> {
    if !name.chars().next().is_some_and(char::is_alphabetic) {
        return Err(ContextNameError::FirstLetter);
    }
    Ok(check_name(name)?)
}

/// The name of a context that is made for one job.
pub fn ad_hoc_name(proxy_user: Option<&str>, id: &str, class: &str) -> String {
    let prefix = proxy_user.map(super::access::user_prefix).unwrap_or_default();
    format!("{prefix}{id}-{class}")
}

/// Sizes of memory as Spark takes them, checked before a JVM is started in vain.
pub fn is_memory_size(text: &str) -> bool {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = &text[digits.len()..];
    let known = matches!(unit, "" | "b" | "k" | "kb" | "m" | "mb" | "g" | "gb" | "t" | "tb" | "p" | "pb");
    known && !digits.is_empty() && digits.len() <= 18 && digits.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_states_is_decided() {
        use ContextState::{Error, Finished, Killed, Restarting, Running, Started, Stopping};
        let allowed = [
            (Started, Running),
            (Started, Stopping),
            (Started, Error),
            (Started, Killed),
            (Running, Restarting),
            (Running, Stopping),
            (Running, Error),
            (Running, Killed),
            (Restarting, Running),
            (Restarting, Stopping),
            (Restarting, Error),
            (Restarting, Killed),
            (Stopping, Finished),
            (Stopping, Error),
            (Stopping, Killed),
        ];
        for from in ContextState::ALL {
            for to in ContextState::ALL {
                assert_eq!(from.may_become(to), allowed.contains(&(from, to)), "{from:?} -> {to:?}");
            }
        }
    }

    #[test]
    fn a_context_name_begins_with_a_letter_of_any_script() {
        assert_eq!(check_context_name("über 1/2"), Ok(()));
        for name in ["", "1abc", "_x", "-x", ".x", "§"] {
            assert_eq!(check_context_name(name), Err(ContextNameError::FirstLetter), "{name}");
        }
    }

    #[test]
    fn memory_sizes_are_those_of_spark() {
        for good in ["1024k", "2g", "512M", "100", "1tb"] {
            assert!(is_memory_size(good), "{good}");
        }
        for bad in ["lots", "", "g", "1.5g", "2 g", "-1g"] {
            assert!(!is_memory_size(bad), "{bad}");
        }
    }
}
