//! Who may do what. Where no users are configured, everybody is `anonymous` and may do everything.

use super::{Service, ServiceError};
use crate::core::access::{Grants, own_context, user_prefix};
use crate::core::contexts::check_context_name;
use crate::core::hocon::{Object, Value};

pub use crate::core::access::Permission;

/// The setting of a context that says as whom it runs.
const PROXY_USER: &str = "spark.proxy.user";

/// Who asks; the name stands on every record that the request makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    pub name: String,
    pub grants: Grants,
    pub via: Via,
}

/// How it is known who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Via {
    /// Not at all.
    Nothing,
    Password,
    /// A token, by its id.
    Token(String),
    Certificate,
}

impl Principal {
    /// Everybody, where no users are configured.
    pub fn anonymous() -> Self {
        Self { name: "anonymous".into(), grants: Grants::all(), via: Via::Nothing }
    }

    /// Who has not logged in where users are configured.
    pub fn nobody() -> Self {
        Self { grants: Grants::NONE, ..Self::anonymous() }
    }
}

impl Service {
    /// The one place where permissions are decided; every use case begins with it.
    pub(super) fn permit(&self, who: &Principal, what: Permission) -> Result<(), ServiceError> {
        let is_open = what == Permission::MetricsRead && self.config.security.open_metrics;
        if who.grants.allows(what) || is_open {
            return Ok(());
        }
        tracing::debug!(principal = %who.name, permission = what.name(), "refused");
        Err(ServiceError::Forbidden(what.name()))
    }

    /// Under which name a context of this name stands for who asks: users who are proxy users have their own.
    pub(super) fn full_name(&self, who: &Principal, name: &str) -> String {
        if self.config.security.use_as_proxy_user { user_prefix(&who.name) + name } else { name.to_owned() }
    }

    /// Whether who asks may name the contexts of others, in full: who may stop them all may stop one.
    pub(super) fn reaches_others(&self, who: &Principal) -> bool {
        self.config.security.use_as_proxy_user && who.grants.allows(Permission::ContextsReset)
    }

    /// The name as who asks knows it; `None` for a context that is not for them.
    pub(super) fn shown_name(&self, who: &Principal, full_name: &str) -> Option<String> {
        if self.config.security.use_as_proxy_user {
            return own_context(&who.name, full_name).map(str::to_owned);
        }
        Some(full_name.to_owned())
    }

    /// Like `full_name`, for a new context: a prefix does not make a name good.
    pub(super) fn new_full_name(&self, who: &Principal, name: &str) -> Result<String, ServiceError> {
        if self.config.security.use_as_proxy_user {
            check_context_name(name).map_err(|error| ServiceError::BadName(error.to_string()))?;
        }
        Ok(self.full_name(who, name))
    }

    /// As whom a context for a job runs: as who asks, where users are proxy users, whatever the request says.
    pub(super) fn proxy_user(&self, who: &Principal, wished: Option<&str>) -> Option<String> {
        if self.config.security.use_as_proxy_user {
            return Some(who.name.clone());
        }
        wished.map(str::to_owned)
    }

    /// Has the settings of a context say so too.
    pub(super) fn set_proxy_user(&self, who: &Principal, settings: &mut Object) {
        if self.config.security.use_as_proxy_user {
            let name = Value::String(who.name.clone());
            settings.set_path(PROXY_USER, name).expect("it is a path");
        }
    }
}
