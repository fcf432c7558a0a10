//! The users file: who there is, the hash of each password, and roles. TOML, so that people can read and write it.
//!
//! ```toml
//! [users.ann]
//! password = "$argon2id$v=19$m=19456,t=2,p=1$…"
//! roles = ["user"]
//! ```

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::Grants;

/// The longest name of a user, in bytes.
const MAX_NAME_BYTES: usize = 64;
/// More users than these want a directory service.
const MAX_USERS: usize = 10_000;
/// What every hash begins with: the algorithm and its version.
const HASH_BEGIN: &str = "$argon2id$v=19$";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// A PHC string of argon2id. None: no password lets this user in, but tokens and certificates may.
    pub password: Option<String>,
    pub roles: Vec<String>,
    /// What the roles come to.
    pub grants: Grants,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Users(pub BTreeMap<String, User>);

/// What is wrong with a users file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Damage {
    /// Counts from 1.
    pub line: usize,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserNameError {
    #[error("a user's name begins with a letter and has 1 to {MAX_NAME_BYTES} bytes")]
    Length,
    #[error("a user's name holds no `:`, no `/`, no blanks and no control characters")]
    Character,
    #[error("`anonymous` is who has not logged in")]
    Anonymous,
}

/// Names stand before a colon in HTTP Basic, and at the beginning of names of contexts.
pub fn check_user_name(name: &str) -> Result<(), UserNameError> {
    if name.len() > MAX_NAME_BYTES || !name.starts_with(char::is_alphabetic) {
        return Err(UserNameError::Length);
    }
    if name.chars().any(|c| c.is_control() || c.is_whitespace() || matches!(c, ':' | '/')) {
        return Err(UserNameError::Character);
    }
    if name == "anonymous" { Err(UserNameError::Anonymous) } else { Ok(()) }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    users: BTreeMap<Spanned<String>, Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    password: Option<Spanned<String>>,
    roles: Vec<Spanned<String>>,
}

impl Users {
    /// Reads the file's text; `roles` are those of the configuration.
    ///
    /// # Errors
    /// The first thing that is wrong. A user who stands there twice is.
    pub fn parse(text: &str, roles: &BTreeMap<String, Grants>) -> Result<Self, Damage> {
        let damage = |span: Range<usize>, message: String| Damage { line: line(text, span.start), message };
        let file: File = toml::from_str(text).map_err(|error| {
            let message = error.message().lines().collect::<Vec<_>>().join(", ");
            damage(error.span().unwrap_or_default(), message)
        })?;
        let mut users = BTreeMap::new();
        for (name, entry) in file.users {
            check_user_name(name.get_ref()).map_err(|error| damage(name.span(), error.to_string()))?;
            if users.len() == MAX_USERS {
                return Err(damage(name.span(), format!("there are more than {MAX_USERS} users")));
            }
            let mut grants = Grants::NONE;
            for role in &entry.roles {
                let found = roles.get(role.get_ref()).ok_or_else(|| {
                    let known = roles.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                    damage(role.span(), format!("there is no role `{}`; there is {known}", role.get_ref()))
                })?;
                grants = grants.or(*found);
            }
            if let Some(hash) = entry.password.as_ref().filter(|hash| !is_hash(hash.get_ref())) {
                let message = "`password` is no hash of argon2id; `doyen user passwd` makes one";
                return Err(damage(hash.span(), message.into()));
            }
            let password = entry.password.map(Spanned::into_inner);
            let roles = entry.roles.into_iter().map(Spanned::into_inner).collect();
            users.insert(name.into_inner(), User { password, roles, grants });
        }
        Ok(Self(users))
    }

    /// The hash whose verification takes the most.
    pub fn costliest_hash(&self) -> Option<&str> {
        let hashes = self.0.values().filter_map(|user| user.password.as_deref());
        hashes.max_by_key(|hash| cost(hash))
    }

    /// The file's text.
    pub fn text(&self) -> String {
        let mut text = String::from(
            "# Users of Doyen. `doyen user add|passwd|rm` write this file anew, and keep no comments.\n\
             # A running server reads it again within a second of a change.\n",
        );
        for (name, user) in &self.0 {
            let mut entry = toml::Table::new();
            if let Some(hash) = &user.password {
                entry.insert("password".into(), hash.clone().into());
            }
            entry.insert("roles".into(), user.roles.clone().into());
            let users = toml::Table::from_iter([(name.clone(), toml::Value::Table(entry))]);
            let file = toml::Table::from_iter([("users".to_owned(), toml::Value::Table(users))]);
            text.push('\n');
            text.push_str(&toml::to_string(&file).expect("names and texts can be written as TOML"));
        }
        text
    }
}

/// The parts of a PHC string, and costs within reason: a line of the file must not be able to stop the server.
fn is_hash(text: &str) -> bool {
    let Some((costs, rest)) = text.strip_prefix(HASH_BEGIN).and_then(|rest| rest.split_once('$')) else { return false };
    let word = |text: &str| {
        (11..=88).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
    };
    let is_sound = |cost: &str| match cost.split_once('=') {
        Some(("m", kib)) => kib.parse::<u32>().is_ok_and(|kib| (8..=1 << 18).contains(&kib)),
        Some(("t", passes)) => passes.parse::<u32>().is_ok_and(|passes| (1..=64).contains(&passes)),
        Some(("p", lanes)) => lanes.parse::<u32>().is_ok_and(|lanes| (1..=16).contains(&lanes)),
        _ => false,
    };
    let named: Vec<&str> = costs.split(',').collect();
    let parts = rest.split_once('$').is_some_and(|(salt, hash)| word(salt) && word(hash));
    named.len() == 3 && named.into_iter().all(is_sound) && parts
}

/// Memory times passes, of a hash that is one.
fn cost(hash: &str) -> u64 {
    let costs = hash.strip_prefix(HASH_BEGIN).and_then(|rest| rest.split_once('$')).map_or("", |(costs, _)| costs);
    let number =
        |cost: &str| cost.strip_prefix("m=").or_else(|| cost.strip_prefix("t=")).and_then(|n| n.parse::<u64>().ok());
    costs.split(',').filter_map(number).product()
}

fn line(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzYWx0$JKS+2+/JOhD7QUJmvM0zjOzvG7nLGn1YPwEL1MVxLrs";

    fn roles() -> BTreeMap<String, Grants> {
        let role = |name: &str, word: &str| (name.to_owned(), Grants::of_word(word).unwrap());
        BTreeMap::from([role("admin", "*"), role("runner", "jobs"), role("reader", "jobs:read")])
    }

    fn parse(text: &str) -> Result<Users, Damage> {
        Users::parse(text, &roles())
    }

    #[track_caller]
    fn damaged(text: &str, line: usize, told: &str) {
        let damage = parse(text).unwrap_err();
        assert!(damage.line == line && damage.message.contains(told), "{damage:?}");
    }

    #[test]
    fn what_is_written_reads_back() {
        let text = format!("[users.ann]\npassword = \"{HASH}\"\nroles = [\"admin\"]\n[users.\"b.ü~\"]\nroles = []\n");
        let users = parse(&text).unwrap();
        assert_eq!(users.0["ann"].grants, Grants::all());
        assert_eq!((users.0["b.ü~"].grants, &users.0["b.ü~"].password), (Grants::NONE, &None));
        assert_eq!(parse(&users.text()).unwrap(), users);
        assert_eq!(parse("").unwrap(), Users::default());
    }

    #[test]
    fn grants_of_roles_add_up() {
        let users = parse("[users.ann]\nroles = [\"runner\", \"reader\"]\n").unwrap();
        assert_eq!(users.0["ann"].grants, Grants::of_word("jobs").unwrap());
    }

    #[test]
    fn damage_is_told_with_its_line() {
        damaged("[users.ann]\nroles = [\n", 2, "");
        damaged("\n[users.ann]\npasswort = \"x\"\nroles = []\n", 3, "passwort");
        damaged("[users.ann]\n\nroles = [\"admin\",\n\"boss\"]\n", 4, "no role `boss`; there is admin, reader, runner");
        damaged("[users.ann]\nroles = []\npassword = \"hush\"\n", 3, "no hash of argon2id");
        damaged("[users.ann]\n", 1, "roles");
        damaged("x = 1\n", 1, "unknown field");
    }

    #[test]
    fn a_user_twice_is_damage() {
        damaged("[users.ann]\nroles = []\n[users.ann]\nroles = []\n", 3, "duplicate");
        damaged("[users.ann]\nroles = []\n[users.\"ann\"]\nroles = []\n", 3, "duplicate");
    }

    #[test]
    fn names_that_cannot_be_sent_are_refused() {
        for name in ["a:b", "a/b", "a b", "1a", "-", "anonymous", "~a"] {
            let damage = parse(&format!("\n[users.\"{name}\"]\nroles = []\n")).unwrap_err();
            assert_eq!(damage.line, 2, "{name} {damage:?}");
        }
        assert_eq!(check_user_name(""), Err(UserNameError::Length));
        assert_eq!(check_user_name(&"n".repeat(65)), Err(UserNameError::Length));
        assert_eq!(check_user_name("ann@example.org"), Ok(()));
    }

    #[test]
    fn the_costliest_hash_is_told_by_memory_and_passes() {
        let (more, less) = (HASH.replace("m=8,t=1", "m=100,t=3"), HASH.replace("m=8,t=1", "m=200,t=1"));
        let text = format!(
            "[users.a]\nroles=[]\npassword=\"{less}\"\n[users.b]\nroles=[]\npassword=\"{more}\"\n[users.c]\nroles=[]\n"
        );
        assert_eq!(parse(&text).unwrap().costliest_hash(), Some(more.as_str()));
        assert_eq!(Users::default().costliest_hash(), None);
    }

    #[test]
    fn a_hash_that_would_stop_the_server_is_refused() {
        assert!(is_hash(HASH));
        for (from, to) in [
            ("m=8", "m=4294967295"),
            ("t=1", "t=100000"),
            ("p=1", "p=1000"),
            ("p=1", "p=1,p=1"),
            ("argon2id", "argon2i"),
            ("v=19", "v=16"),
            ("c29tZXNhbHRzYWx0", "c29"),
            ("m=8,", ""),
        ] {
            assert!(!is_hash(&HASH.replace(from, to)), "{to}");
        }
    }
}
