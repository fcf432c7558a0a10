//! Roles and the rules of what is about authentication.

use std::collections::BTreeMap;
use std::time::Duration;

use super::schema::Security;
use super::validate::Rules;
use crate::core::access::Grants;

impl Security {
    /// What each role grants.
    pub fn role_grants(&self) -> BTreeMap<String, Grants> {
        let grants = |words: &Vec<String>| Grants::of_words(words).expect("`load` has checked the words");
        self.roles.iter().map(|(name, words)| (name.clone(), grants(words))).collect()
    }
}

pub(super) fn rules(security: &Security, rules: &mut Rules) {
    for (role, words) in &security.roles {
        let key = format!("security.roles.{role}");
        if let Err(unknown) = Grants::of_words(words) {
            let hint = nearest(&unknown.0);
            rules.hold(false, &[&key], format!("`{key}`: {unknown}"), Some(&hint));
        }
    }
    let showable = |c: char| (' '..='~').contains(&c) && !matches!(c, '"' | '\\');
    rules.hold(
        security.realm.chars().all(showable),
        &["security.realm"],
        "`security.realm` holds what cannot stand in a header: it takes ASCII without quotes and backslashes",
        None,
    );
    rules.hold(
        security.users_file.is_some() || !security.use_as_proxy_user,
        &["security.use-as-proxy-user"],
        "`security.use-as-proxy-user` needs users: there is no `security.users-file`",
        None,
    );
    let file = security.users_file.as_ref().is_none_or(|file| !file.as_os_str().is_empty());
    rules.hold(file, &["security.users-file"], "`security.users-file` is empty", None);
    let life = security.max_token_life;
    rules.hold(life > Duration::ZERO, &["security.max-token-life"], "`security.max-token-life` must not be 0", None);
}

fn nearest(word: &str) -> String {
    let likeness = |known: &&str| strsim::jaro_winkler(word, known);
    let words = Grants::words();
    let best = words.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match best.filter(|best| likeness(best) >= 0.78) {
        Some(best) => format!("did you mean `{best}`?"),
        None => format!("there is {}", words.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;
    use crate::core::access::Permission;

    #[test]
    fn the_built_in_roles_grant_ever_more() {
        let roles = Security::default().role_grants();
        assert!(roles["reader"].is_within(roles["user"]) && roles["user"].is_within(roles["admin"]));
        assert_eq!(roles["admin"], Grants::all());
        for reserved in [Permission::ContextsReset, Permission::DataReset, Permission::TokensAll] {
            assert!(!roles["user"].allows(reserved), "{reserved:?}");
        }
        assert!(!roles["reader"].allows(Permission::JobsStart));
    }

    #[test]
    fn an_unknown_permission_gets_the_nearest_known() {
        let mut config = Config::default();
        config.security.roles.insert("mine".into(), vec!["jobs".into(), "jobs:strat".into()]);
        let told = config.validate().unwrap_err().to_string();
        assert_eq!(
            told,
            "error: `security.roles.mine`: `jobs:strat` is no permission\nhint: did you mean `jobs:start`?"
        );
    }

    #[test]
    fn proxy_users_need_users_and_a_realm_needs_plain_words() {
        let mut config = Config::default();
        config.security.use_as_proxy_user = true;
        config.security.realm = "a\"b".into();
        assert_eq!(config.validate().unwrap_err().0.len(), 2);
        config.security.users_file = Some("users.toml".into());
        config.security.realm = String::new();
        config.http.listen = "0.0.0.0:1".parse().unwrap();
        assert!(config.validate().is_ok());
    }
}
