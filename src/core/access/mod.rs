//! Who may do what: permissions, users, tokens, and what keeps guessing of passwords slow.

mod attempts;
mod credentials;
mod impersonation;
mod permission;
mod token;
mod users;
mod verified;

pub use attempts::Attempts;
pub use credentials::{Credentials, encode_basic};
pub use impersonation::{own_context, user_prefix};
pub use permission::{Grants, Permission, UnknownPermission};
pub use token::{TokenRecord, TokenText};
pub use users::{Damage, User, UserNameError, Users, check_user_name};
pub use verified::Verified;
