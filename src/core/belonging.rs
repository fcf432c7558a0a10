//! Whose drivers and content it is: a data directory, and binaries that are elsewhere, name the metadata store whose records say what of
//! them is used. What no record there refers to is removed, so with another metadata store, or an empty one, nothing may begin.

use serde::{Deserialize, Serialize};

/// What stands under `store-id` in a metadata store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StoreIdRecord {
    /// Random, and never another one.
    pub id: String,
    /// Wall clock, milliseconds since the epoch.
    pub made_ms: i64,
}

/// How a metadata store is named by what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StoreName {
    pub store: String,
    /// For people: where it was when it was named.
    pub place: String,
}

impl StoreName {
    /// Whatever stands there is a name: what does not read is that of a store that nobody has.
    pub fn read(text: &str) -> Self {
        let unknown = || Self { store: text.trim().chars().take(80).collect(), place: "somewhere else".into() };
        Self::parse(text).unwrap_or_else(unknown)
    }

    /// `None`: not as `text` writes it.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("plain fields")
    }
}

/// A data directory, or binaries that are elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Belonging {
    /// For people: what it is, and where.
    pub what: String,
    pub named: Option<StoreName>,
}

/// All that says whose it is, before anything is begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// For people: where the metadata store is.
    pub place: String,
    pub id: Option<String>,
    pub has_records: bool,
    pub directory: Belonging,
    /// `None` where they are in the data directory.
    pub binaries: Option<Belonging>,
    /// Drivers or content, for an example. Looked for only where the metadata store has no records.
    pub remains: Option<String>,
}

/// Why a server does not work with the stores that are configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "{place} holds no metadata store yet, but {named}: a new one would know nothing of its drivers and content"
    )]
    New { place: String, named: String },
    #[error("{place} holds the metadata store {id}, but {named}")]
    Another { place: String, id: String, named: String },
    #[error("{place} holds no metadata store yet, but there is {example}, which the records of another one tell of")]
    Remains { place: String, example: String },
}

impl Found {
    fn belongings(&self) -> impl Iterator<Item = &Belonging> {
        std::iter::once(&self.directory).chain(&self.binaries)
    }

    /// What names another metadata store than the one that is there.
    fn of_others(&self) -> impl Iterator<Item = (&Belonging, &StoreName)> {
        let named = self.belongings().filter_map(|one| Some((one, one.named.as_ref()?)));
        named.filter(|(_, name)| self.id.as_ref() != Some(&name.store))
    }

    fn refusal<'a>(&self, others: impl Iterator<Item = (&'a Belonging, &'a StoreName)>) -> Result<(), Refusal> {
        let sentence = |(one, name): (&Belonging, &StoreName)| {
            format!("{} belongs to the metadata store {} ({})", one.what, name.store, name.place)
        };
        let sentences: Vec<String> = others.map(sentence).collect();
        let (place, named) = (self.place.clone(), sentences.join(", and "));
        match &self.id {
            _ if sentences.is_empty() => Ok(()),
            Some(id) => Err(Refusal::Another { place, id: id.clone(), named }),
            None => Err(Refusal::New { place, named }),
        }
    }

    /// Whether a server may work with it. What names no metadata store is then given the name of this one.
    ///
    /// # Errors
    /// When something here belongs to another metadata store.
    pub fn judge(&self) -> Result<(), Refusal> {
        self.refusal(self.of_others())?;
        match &self.remains {
            // As older versions have left them, who named nothing.
            Some(example) if self.id.is_none() && !self.has_records => {
                Err(Refusal::Remains { place: self.place.clone(), example: example.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Whether an import into the metadata store may take the rest over. It takes the data directory, and binaries that belong to
    /// the same store as that: so a server moves from one metadata store to another. Binaries of others it does not take.
    ///
    /// # Errors
    /// When the binaries belong to another server.
    pub fn judge_import(&self) -> Result<(), Refusal> {
        let ours = self.directory.named.as_ref().map(|name| &name.store);
        let binaries = self.binaries.as_ref();
        self.refusal(self.of_others().filter(|(one, name)| Some(*one) == binaries && Some(&name.store) != ours))
    }

    /// What an adoption does; `chroot` is whose the metadata store is, if it is another data directory's.
    pub fn adoption(&self, chroot: Option<String>) -> Adoption {
        let of_chroot = chroot.map(|by| format!("{}, which is that of {by}", self.place));
        let of_others = self
            .of_others()
            .map(|(one, name)| format!("{}, from the metadata store {} ({})", one.what, name.store, name.place));
        let mut takes: Vec<String> = of_chroot.into_iter().chain(of_others).collect();
        let nothing_is_known = !self.has_records && self.remains.is_some();
        if takes.is_empty() && self.id.is_none() && nothing_is_known {
            takes.extend(self.belongings().map(|one| one.what.clone()));
        }
        let id = self.id.as_ref().map_or("a new one".into(), |id| format!("metadata store {id}"));
        let deletes = self.remains.clone().filter(|_| nothing_is_known);
        Adoption { store: format!("{} ({id})", self.place), takes, deletes }
    }
}

/// What `doyen store adopt` does, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adoption {
    /// Which metadata store everything belongs to afterwards.
    pub store: String,
    /// What is taken over, and from whom.
    pub takes: Vec<String>,
    /// The metadata store knows of nothing: then all content goes. This, for an example.
    pub deletes: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(what: &str, store: Option<&str>) -> Belonging {
        let named = store.map(|store| StoreName { store: store.into(), place: format!("/{store}") });
        Belonging { what: what.into(), named }
    }

    fn found(id: Option<&str>, directory: Option<&str>, binaries: Option<&str>) -> Found {
        let (directory, binaries) = (named("the directory", directory), Some(named("the share", binaries)));
        let id = id.map(str::to_owned);
        Found { place: "/here".into(), has_records: id.is_some(), id, directory, binaries, remains: None }
    }

    #[test]
    fn what_names_this_store_or_none_is_no_reason_to_refuse() {
        for (id, directory, binaries) in [
            (None, None, None),
            (Some("a"), None, None),
            (Some("a"), Some("a"), None),
            (Some("a"), None, Some("a")),
            (Some("a"), Some("a"), Some("a")),
        ] {
            assert_eq!(found(id, directory, binaries).judge(), Ok(()));
        }
    }

    #[test]
    fn a_store_that_is_not_there_yet_gets_nothing_that_belongs_to_another() {
        let said = found(None, Some("a"), Some("a")).judge().unwrap_err().to_string();
        let both =
            "the directory belongs to the metadata store a (/a), and the share belongs to the metadata store a (/a)";
        assert!(said.starts_with("/here holds no metadata store yet") && said.contains(both), "{said}");
        assert!(found(None, None, Some("a")).judge().is_err());
    }

    #[test]
    fn of_two_stores_both_are_named() {
        let said = found(Some("b"), Some("b"), Some("a")).judge().unwrap_err().to_string();
        assert_eq!(said, "/here holds the metadata store b, but the share belongs to the metadata store a (/a)");
    }

    #[test]
    fn content_without_a_name_beside_a_store_without_records_is_another_ones() {
        let remains = Some("a driver".to_owned());
        let older = Found { remains, ..found(None, None, None) };
        assert!(matches!(older.judge(), Err(Refusal::Remains { .. })));
        assert_eq!(Found { has_records: true, ..older.clone() }.judge(), Ok(()));
        assert_eq!(Found { id: Some("a".into()), ..older }.judge(), Ok(()));
    }

    #[test]
    fn an_import_takes_the_directory_and_what_belongs_with_it_and_no_other_servers_binaries() {
        for (id, directory, binaries) in
            [(None, Some("a"), Some("a")), (Some("b"), Some("a"), Some("b")), (None, Some("a"), None)]
        {
            assert_eq!(found(id, directory, binaries).judge_import(), Ok(()));
        }
        for (id, directory) in [(None, Some("a")), (None, None), (Some("b"), Some("b"))] {
            assert!(found(id, directory, Some("c")).judge_import().is_err());
        }
    }

    #[test]
    fn an_adoption_says_what_it_takes_from_whom_and_what_goes() {
        let plan = found(Some("b"), Some("a"), None).adoption(Some("node \"n\"".into()));
        let takes = ["/here, which is that of node \"n\"", "the directory, from the metadata store a (/a)"];
        assert_eq!((plan.takes, plan.deletes), (takes.map(str::to_owned).to_vec(), None));
        assert_eq!(found(Some("a"), Some("a"), Some("a")).adoption(None).takes, [""; 0]);
        let empty = Found { remains: Some("blob 7".into()), ..found(None, None, None) };
        assert_eq!(empty.adoption(None).takes, ["the directory", "the share"]);
        assert_eq!(empty.adoption(None).deletes.as_deref(), Some("blob 7"));
    }

    #[test]
    fn a_name_comes_back_from_its_text_and_anything_else_is_nobodys() {
        let name = StoreName { store: "a".into(), place: "/a \"b\"".into() };
        assert_eq!(StoreName::read(&name.text()), name);
        assert_eq!(StoreName::read("0192\n").store, "0192");
        assert_eq!(StoreName::read("").store, "");
    }
}
