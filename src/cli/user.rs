//! `doyen user`: the users file on this machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::args::{UserCommand, UserFile};
use super::exit::Exit;
use super::failure::{Failure, note};
use super::output::{print, table};
use super::secrets::new_password;
use crate::config::Config;
use crate::core::access::{Grants, User, Users, check_user_name};
use crate::runtime::passwords;
use crate::runtime::private_file::{self, PrivateFileError};

const MOST_BYTES: u64 = 16 << 20;

/// The users file, and what its roles mean.
struct Place {
    path: PathBuf,
    roles: BTreeMap<String, Grants>,
}

pub fn run(json: bool, command: &UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::Add { name, role, no_password, password_file, place } => {
            let place = Place::of(place)?;
            check_user_name(name).map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
            place.check_roles(role)?;
            let exists = || Failure::new(Exit::Failed, format!("there is a user {name} already"));
            if place.read_or_new()?.0.contains_key(name) {
                return Err(exists().hint("`doyen user passwd` gives another password, `doyen user roles` other roles"));
            }
            let password = if *no_password { None } else { Some(hashed(password_file.as_deref())?) };
            place.change(|users| {
                let user = User { password, roles: role.clone(), grants: Grants::NONE };
                // Somebody else may have been faster while the password was typed.
                if users.0.insert(name.clone(), user).is_some() { Err(exists()) } else { Ok(()) }
            })?;
            note(format!("added {name} to {}", place.path.display()));
        }
        UserCommand::Passwd { name, password_file, place } => {
            let place = Place::of(place)?;
            place.get(&mut place.read()?, name)?;
            let password = hashed(password_file.as_deref())?;
            place.change(|users| {
                place.get(users, name)?.password = Some(password);
                Ok(())
            })?;
            note(format!("{name} has another password"));
        }
        UserCommand::Roles { name, role, place } => {
            let place = Place::of(place)?;
            place.check_roles(role)?;
            place.change(|users| {
                place.get(users, name)?.roles.clone_from(role);
                Ok(())
            })?;
            note(format!("{name} has the roles {}", role.join(", ")));
        }
        UserCommand::Rm { name, place } => {
            let place = Place::of(place)?;
            place.change(|users| {
                place.get(users, name)?;
                users.0.remove(name);
                Ok(())
            })?;
            note(format!("removed {name}; revoke the tokens too before the name is given to somebody else"));
        }
        UserCommand::List { place } => list(&Place::of(place)?.read()?, json)?,
    }
    Ok(())
}

/// Whether the users file of a configuration is sound, if it names one.
///
/// # Errors
/// With what is wrong, and where.
pub fn check(config: &Config) -> Result<(), Failure> {
    match &config.security.users_file {
        None => Ok(()),
        Some(path) => Place { path: path.clone(), roles: config.security.role_grants() }.read().map(drop),
    }
}

fn hashed(file: Option<&Path>) -> Result<String, Failure> {
    passwords::hash(&new_password(file)?).map_err(|error| Failure::new(Exit::Failed, error.to_string()))
}

fn list(users: &Users, json: bool) -> Result<(), Failure> {
    if json {
        let user = |(name, user): (&String, &User)| serde_json::json!({"name": name, "roles": user.roles, "password": user.password.is_some()});
        return print(&serde_json::Value::from_iter(users.0.iter().map(user)).to_string());
    }
    let row = |(name, user): (&String, &User)| {
        let password = if user.password.is_some() { "yes" } else { "no" };
        vec![name.clone(), user.roles.join(","), password.to_owned()]
    };
    if users.0.is_empty() {
        note("no users");
    }
    print(&table(&["NAME", "ROLES", "PASSWORD"], &users.0.iter().map(row).collect::<Vec<_>>()))
}

impl Place {
    fn of(given: &UserFile) -> Result<Self, Failure> {
        let config = given.server().load()?;
        let path = given.file.clone().or_else(|| config.security.users_file.clone());
        let path = path.ok_or_else(|| {
            let failure = Failure::new(Exit::Usage, "no users file is named");
            failure.hint("set `security.users-file` in the configuration, or say --file")
        })?;
        Ok(Self { path, roles: config.security.role_grants() })
    }

    fn check_roles(&self, roles: &[String]) -> Result<(), Failure> {
        let unknown = roles.iter().find(|role| !self.roles.contains_key(*role));
        unknown.map_or(Ok(()), |role| {
            let known = self.roles.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let failure = Failure::new(Exit::Usage, format!("there is no role `{role}`"));
            Err(failure.hint(format!("there is {known}; `[security.roles]` of the configuration adds more")))
        })
    }

    fn read(&self) -> Result<Users, Failure> {
        let read = private_file::read(&self.path, MOST_BYTES);
        let (text, _) = read.map_err(|error| Failure::new(Exit::ConfigInvalid, chain(&error)))?;
        Users::parse(&text, &self.roles).map_err(|damage| {
            let message = format!("{}:{}: {}", self.path.display(), damage.line, damage.message);
            Failure::new(Exit::ConfigInvalid, message)
        })
    }

    fn read_or_new(&self) -> Result<Users, Failure> {
        if self.path.exists() { self.read() } else { Ok(Users::default()) }
    }

    fn get<'a>(&self, users: &'a mut Users, name: &str) -> Result<&'a mut User, Failure> {
        let message = || format!("there is no user {name} in {}", self.path.display());
        users.0.get_mut(name).ok_or_else(|| Failure::new(Exit::Failed, message()))
    }

    /// Reads, changes and writes the file while nobody else does.
    fn change(&self, change: impl FnOnce(&mut Users) -> Result<(), Failure>) -> Result<(), Failure> {
        let failed = |error: PrivateFileError| Failure::new(Exit::Failed, chain(&error));
        let _lock = private_file::lock_directory_of(&self.path).map_err(failed)?;
        let mut users = self.read_or_new()?;
        change(&mut users)?;
        private_file::replace(&self.path, &users.text()).map_err(failed)
    }
}

fn chain(error: &PrivateFileError) -> String {
    match error {
        PrivateFileError::Io { path, source } => format!("cannot use {}: {source}", path.display()),
        other => other.to_string(),
    }
}
