//! The znodes that every store has, and what is said when somebody has deleted one.

use super::link::{Link, Trouble};
use super::paths::Paths;

/// Which of a store's own znodes are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fixed {
    pub(super) format: bool,
    pub(super) data: bool,
    pub(super) log: bool,
    pub(super) holder: bool,
    pub(super) owner: bool,
}

impl Fixed {
    /// As of one moment.
    pub(super) async fn look(link: &Link, paths: &Paths) -> Result<Self, Trouble> {
        let names = link.children(paths.root()).await?.unwrap_or_default();
        Ok(Self::of(&names))
    }

    pub(super) fn of(names: &[String]) -> Self {
        let has = |name: &str| names.iter().any(|found| found == name);
        Self { format: has("format"), data: has("data"), log: has("log"), holder: has("holder"), owner: has("owner") }
    }

    /// Whether this is what is left of a store of ours, and not something else.
    pub(super) fn is_ours(&self) -> bool {
        [self.format, self.data && self.log, self.data && self.holder, self.log && self.holder].contains(&true)
    }

    /// In words, why the store cannot be used. One without its format can, by who knows that it had the right one.
    pub(super) fn damage(&self, paths: &Paths) -> Option<String> {
        let back = "bring the data of ZooKeeper back from before, or choose another `zookeeper.chroot` and fill that with \
                    `doyen store import`";
        if !self.is_ours() {
            return Some(format!(
                "no store is at {} in ZooKeeper any more: its znodes were deleted, or ZooKeeper has lost its data. What a running \
                 server knows it serves until it is stopped; bring the data of ZooKeeper back before",
                paths.root()
            ));
        }
        let missing = |path: String, what: &str| format!("{path} is missing: somebody deleted it, {what}");
        if !self.data {
            return Some(missing(paths.data(), &format!("and all records with it; {back}")));
        }
        (!self.log).then(|| without_log(&missing(paths.log(), "")))
    }
}

/// The only one that hands can make again.
pub(super) fn without_format(paths: &Paths) -> String {
    let (path, format) = (paths.format(), super::FORMAT);
    format!(
        "{path} is missing: somebody deleted it, and no server starts without it; if nothing else was deleted, and the last server was of \
         this version, make it again in ZooKeeper's shell: `create {path} {format}`"
    )
}

pub(super) fn without_owner(paths: &Paths) -> String {
    format!(
        "{} is missing: somebody deleted it, and any server that is started with this chroot may make the store its own; start this one \
         again, so that it does so first",
        paths.owner()
    )
}

/// `found` says what is missing of the log.
pub(super) fn without_log(found: &str) -> String {
    format!(
        "{} and the order of the commits with it, so that nothing can be written; bring the data of ZooKeeper back from before, or choose \
         another `zookeeper.chroot` and fill that with `doyen store import`",
        found.trim_end()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn damage(names: &[&str]) -> String {
        let names: Vec<String> = names.iter().map(|&name| name.into()).collect();
        Fixed::of(&names).damage(&Paths::new("/d")).unwrap_or_default()
    }

    #[test]
    fn what_is_missing_is_named_with_what_to_do() {
        assert_eq!(damage(&["clock-7", "data", "log"]), "");
        assert!(without_format(&Paths::new("/d")).contains("`create /d/format 2`"));
        for (names, words) in [
            (&["format", "holder", "log"][..], ["/d/data is missing", "doyen store import"]),
            (&["data", "format", "holder", "owner"], ["/d/log is missing", "doyen store import"]),
            (&["owner"], ["no store is at /d", "bring the data of ZooKeeper back"]),
            (&[], ["no store is at /d", "bring the data of ZooKeeper back"]),
        ] {
            let said = damage(names);
            assert!(words.iter().all(|word| said.contains(word)), "{names:?}: {said}");
        }
    }

    #[test]
    fn what_others_made_is_not_ours_though_a_name_is_the_same() {
        for names in [&["data"][..], &["log", "brokers"], &["holder"]] {
            let names: Vec<String> = names.iter().map(|&name| name.into()).collect();
            assert!(!Fixed::of(&names).is_ours(), "{names:?}");
        }
    }
}
