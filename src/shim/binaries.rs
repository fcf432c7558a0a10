//! Which binaries are beside the driver, which are on their way and who waits for them, which may go. Pure.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::api::driver::attach::Binary;

#[derive(Debug)]
struct File {
    /// `None` while it is fetched.
    size_bytes: Option<u64>,
    /// Jobs that name it and have not ended.
    users: usize,
    last_used: u64,
}

#[derive(Debug)]
struct User {
    files: Vec<String>,
    missing: usize,
}

/// What a job has to wait for.
#[derive(Debug, PartialEq, Eq)]
pub enum Wanted {
    Here,
    /// These are to be fetched; others may be on their way already.
    Waits(Vec<Binary>),
}

#[derive(Debug)]
pub struct Binaries {
    directory: PathBuf,
    limit_bytes: u64,
    files: HashMap<String, File>,
    users: HashMap<String, User>,
    /// Counts uses; stands for time.
    uses: u64,
}

impl Binaries {
    pub fn new(directory: PathBuf, limit_bytes: u64) -> Self {
        Self { directory, limit_bytes, files: HashMap::new(), users: HashMap::new(), uses: 0 }
    }

    /// Where the binary is, once it is here.
    pub fn path(&self, binary: &Binary) -> Option<PathBuf> {
        file_name(binary).map(|name| self.directory.join(name))
    }

    /// Holds the binaries for a job until `released`.
    ///
    /// # Errors
    /// In words, when one of them has no proper hash or type; then nothing is held.
    pub fn wanted(&mut self, job: &str, binaries: &[Binary]) -> Result<Wanted, String> {
        let mut named: Vec<(String, &Binary)> = Vec::new();
        for binary in binaries {
            let name = file_name(binary)
                .ok_or_else(|| format!("The binary {} has an unknown type or a malformed hash.", binary.name))?;
            if !named.iter().any(|(other, _)| *other == name) {
                named.push((name, binary));
            }
        }
        self.uses += 1;
        let (mut fetch, mut missing) = (Vec::new(), 0);
        for (name, binary) in &named {
            let file = self.files.entry(name.clone()).or_insert_with(|| {
                fetch.push((*binary).clone());
                File { size_bytes: None, users: 0, last_used: 0 }
            });
            file.users += 1;
            file.last_used = self.uses;
            missing += usize::from(file.size_bytes.is_none());
        }
        let files = named.into_iter().map(|(name, _)| name).collect();
        self.users.insert(job.to_owned(), User { files, missing });
        Ok(if missing == 0 { Wanted::Here } else { Wanted::Waits(fetch) })
    }

    /// A binary has come. The jobs that have all of theirs now.
    pub fn arrived(&mut self, binary: &Binary, size_bytes: u64) -> Vec<String> {
        let Some(name) = file_name(binary) else { return Vec::new() };
        if let Some(file) = self.files.get_mut(&name) {
            file.size_bytes = Some(size_bytes);
        }
        let waiting = self.users.iter_mut().filter(|(_, user)| user.files.contains(&name));
        let complete = waiting.filter_map(|(job, user)| {
            user.missing -= 1;
            (user.missing == 0).then(|| job.clone())
        });
        complete.collect()
    }

    /// A binary cannot be fetched. The jobs that waited for it; `released` is to follow for each.
    pub fn unobtainable(&mut self, binary: &Binary) -> Vec<String> {
        let Some(name) = file_name(binary) else { return Vec::new() };
        self.files.remove(&name);
        self.users.iter().filter(|(_, user)| user.files.contains(&name)).map(|(job, _)| job.clone()).collect()
    }

    /// The job has ended. Files to remove, so that those that nobody uses fit the limit; the longest unused go first.
    pub fn released(&mut self, job: &str) -> Vec<PathBuf> {
        let Some(user) = self.users.remove(job) else { return Vec::new() };
        for name in user.files {
            if let Some(file) = self.files.get_mut(&name) {
                file.users -= 1;
            }
        }
        let mut total: u64 = self.files.values().filter_map(|file| file.size_bytes).sum();
        let mut remove = Vec::new();
        while total > self.limit_bytes {
            let unused = self.files.iter().filter(|(_, file)| file.users == 0 && file.size_bytes.is_some());
            let Some(name) = unused.min_by_key(|(_, file)| file.last_used).map(|(name, _)| name.clone()) else { break };
            total -= self.files.remove(&name).and_then(|file| file.size_bytes).unwrap_or(0);
            remove.push(self.directory.join(name));
        }
        remove
    }
}

/// Hashes become file names.
fn file_name(binary: &Binary) -> Option<String> {
    let extension = match binary.kind.as_str() {
        "Wheel" => "whl",
        "Egg" => "egg",
        "Jar" => "jar",
        _ => return None,
    };
    let is_hash = binary.sha256.len() == 64 && binary.sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| format!("{}.{extension}", binary.sha256))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(letter: char) -> Binary {
        Binary { name: "b".into(), kind: "Wheel".into(), sha256: letter.to_string().repeat(64), size_bytes: 10 }
    }

    fn with_limit(limit: u64) -> Binaries {
        Binaries::new(PathBuf::from("/cache"), limit)
    }

    #[test]
    fn two_jobs_that_want_the_same_share_one_download() {
        let mut binaries = with_limit(100);
        assert_eq!(binaries.wanted("1", &[binary('a')]), Ok(Wanted::Waits(vec![binary('a')])));
        assert_eq!(binaries.wanted("2", &[binary('a'), binary('b')]), Ok(Wanted::Waits(vec![binary('b')])));
        assert_eq!(binaries.arrived(&binary('a'), 10), ["1"]);
        assert_eq!(binaries.arrived(&binary('b'), 10), ["2"]);
        assert_eq!(binaries.wanted("3", &[binary('a'), binary('b')]), Ok(Wanted::Here));
    }

    #[test]
    fn the_longest_unused_goes_first_and_never_one_in_use() {
        let mut binaries = with_limit(20);
        for (job, letter) in [("1", 'a'), ("2", 'b'), ("3", 'c')] {
            binaries.wanted(job, &[binary(letter)]).unwrap();
            binaries.arrived(&binary(letter), 10);
        }
        let path = |letter| binaries.path(&binary(letter)).unwrap();
        let (a, b) = (path('a'), path('b'));
        assert_eq!(binaries.released("2"), [b]);
        assert!(binaries.released("3").is_empty());
        binaries.wanted("4", &[binary('d')]).unwrap();
        binaries.arrived(&binary('d'), 10);
        binaries.wanted("5", &[binary('c')]).unwrap();
        assert_eq!(binaries.released("1"), [a]);
    }

    #[test]
    fn a_binary_that_cannot_be_had_is_tried_anew_for_the_next_job() {
        let mut binaries = with_limit(20);
        binaries.wanted("1", &[binary('a')]).unwrap();
        assert_eq!(binaries.unobtainable(&binary('a')), ["1"]);
        assert!(binaries.released("1").is_empty());
        assert_eq!(binaries.wanted("2", &[binary('a')]), Ok(Wanted::Waits(vec![binary('a')])));
    }

    #[test]
    fn a_job_that_was_cancelled_while_fetching_is_not_told_of_the_arrival() {
        let mut binaries = with_limit(20);
        binaries.wanted("1", &[binary('a')]).unwrap();
        binaries.released("1");
        assert!(binaries.arrived(&binary('a'), 10).is_empty());
    }

    #[test]
    fn unknown_types_and_malformed_hashes_are_refused() {
        let mut binaries = with_limit(20);
        assert!(binaries.wanted("1", &[Binary { kind: "Zip".into(), ..binary('a') }]).is_err());
        assert!(binaries.wanted("1", &[Binary { sha256: "../x".into(), ..binary('a') }]).is_err());
    }
}
