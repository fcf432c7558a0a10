//! The commented reference of all keys.

/// `conf/doyen.toml`: every key at its default, explained. As a file it changes nothing.
pub fn reference() -> &'static str {
    include_str!("../../conf/doyen.toml")
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    #[test]
    fn the_reference_lists_every_key_at_its_default() {
        let listed: toml::Table = reference().parse().unwrap();
        let defaults = toml::Table::try_from(Config::default()).unwrap();
        assert_eq!(toml::to_string(&listed).unwrap(), toml::to_string(&defaults).unwrap());
    }

    #[test]
    fn keys_without_a_default_stand_as_comments() {
        for line in ["# directory = ", "# log-bytes = ", "# users-file = ", "# audit-file = ", "# auth-file = "] {
            assert!(reference().contains(&format!("\n{line}")), "{line}");
        }
    }

    #[test]
    fn every_key_is_explained() {
        let mut explained = false;
        for line in reference().lines() {
            let key = line.contains(" = ") && !line.starts_with('#');
            assert!(!key || explained, "no comment above `{line}`");
            explained = line.starts_with("# ");
        }
    }
}
