//! Who may do what. Until users are configured, everybody is `anonymous` and may do everything.

use super::{Service, ServiceError};

/// Who asks; stands on every record that the request makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    pub name: String,
}

impl Principal {
    pub fn anonymous() -> Self {
        Self { name: "anonymous".into() }
    }
}

/// The reference's permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    BinariesRead,
    BinariesUpload,
    BinariesDelete,
    ContextsRead,
    ContextsStart,
    ContextsStop,
    ContextsReset,
    JobsRead,
    JobsStart,
    JobsStop,
    DataRead,
    DataUpload,
    DataDelete,
    DataReset,
}

impl Permission {
    pub fn name(self) -> &'static str {
        match self {
            Self::BinariesRead => "binaries:read",
            Self::BinariesUpload => "binaries:upload",
            Self::BinariesDelete => "binaries:delete",
            Self::ContextsRead => "contexts:read",
            Self::ContextsStart => "contexts:start",
            Self::ContextsStop => "contexts:stop",
            Self::ContextsReset => "contexts:reset",
            Self::JobsRead => "jobs:read",
            Self::JobsStart => "jobs:start",
            Self::JobsStop => "jobs:delete",
            Self::DataRead => "data:read",
            Self::DataUpload => "data:upload",
            Self::DataDelete => "data:delete",
            Self::DataReset => "data:reset",
        }
    }
}

impl Service {
    /// The one place where permissions are decided; every use case begins with it.
    #[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "users and roles will be asked here")]
    pub(super) fn permit(&self, who: &Principal, what: Permission) -> Result<(), ServiceError> {
        tracing::trace!(principal = %who.name, permission = what.name(), "permitted");
        Ok(())
    }
}
