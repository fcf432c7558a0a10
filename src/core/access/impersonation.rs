//! Whose context it is, where users are proxy users: a context of `ann` is named `ann~name`, as in the reference.

const DELIMITER: char = '~';

/// What the names of a user's contexts begin with. A `~` in the user's name is doubled, so that no user's prefix begins
/// another's.
pub fn user_prefix(user: &str) -> String {
    format!("{}{DELIMITER}", user.replace(DELIMITER, "~~"))
}

/// The name that the user gave the context, when it is the user's own.
pub fn own_context<'a>(user: &str, full_name: &'a str) -> Option<&'a str> {
    full_name.strip_prefix(&user_prefix(user)).filter(|name| !name.starts_with(DELIMITER) && !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_sees_only_contexts_of_that_very_name() {
        assert_eq!(own_context("ann", "ann~c"), Some("c"));
        assert_eq!(own_context("ann", "ann~ann~c"), Some("ann~c"));
        assert_eq!(own_context("ann", "anna~c"), None);
        assert_eq!(own_context("ann", "c"), None);
        assert_eq!(own_context("ann", "ann~"), None);
    }

    #[test]
    fn a_tilde_in_a_users_name_makes_no_second_owner() {
        let full = format!("{}c", user_prefix("ann~2"));
        assert_eq!(full, "ann~~2~c");
        assert_eq!(own_context("ann~2", &full), Some("c"));
        assert_eq!(own_context("ann", &full), None);
    }
}
