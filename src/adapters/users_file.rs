//! The users file: read at the start, and again when it changes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::core::access::{Damage, Grants, Users};
use crate::ports::{Found, UserDirectory};
use crate::runtime::private_file::{self, PrivateFileError, Stamp};
use crate::runtime::{clock, passwords, random};

/// A change is noticed so much later at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// As long as something is wrong, the log says so this often.
const COMPLAIN_EVERY: Duration = Duration::from_secs(3600);
const MOST_BYTES: u64 = 16 << 20;

#[derive(Debug, thiserror::Error)]
pub enum UsersFileError {
    #[error(transparent)]
    File(#[from] PrivateFileError),
    #[error("{path}:{}: {}", .damage.line, .damage.message)]
    Damaged { path: PathBuf, damage: Damage },
    #[error(transparent)]
    Hash(#[from] passwords::HashError),
}

struct Content {
    users: Users,
    generation: u64,
    /// Verified in vain for who is not there.
    decoy: String,
}

/// When the file was looked at, and what was found then.
struct Look {
    at: Instant,
    stamp: Stamp,
    /// What was said last of what is wrong, and when.
    complaint: Option<(String, Instant)>,
}

struct Inner {
    path: PathBuf,
    roles: BTreeMap<String, Grants>,
    content: Mutex<Arc<Content>>,
    look: Mutex<Look>,
    /// For a file without any password.
    decoy: String,
}

#[derive(Clone)]
pub struct UsersFile(Arc<Inner>);

impl UsersFile {
    /// # Errors
    /// When the file cannot be read, is open to others, or damaged. Later, that leaves what was read before.
    pub fn open(path: &Path, roles: BTreeMap<String, Grants>) -> Result<Self, UsersFileError> {
        let (users, stamp) = read(path, &roles)?;
        let decoy = passwords::hash(&random::secret())?;
        let content = Mutex::new(Arc::new(Content::new(users, 1, &decoy)));
        let look = Mutex::new(Look { at: clock::instant(), stamp, complaint: None });
        Ok(Self(Arc::new(Inner { path: path.to_owned(), roles, content, look, decoy })))
    }

    /// Looks at the file also while nobody logs in, so that the log tells in time of what is wrong with it.
    pub async fn watch(self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            self.look().await;
        }
    }

    async fn look(&self) {
        if self.0.is_due() {
            let inner = Arc::clone(&self.0);
            // It ends without a look only when the server does.
            let _ = tokio::task::spawn_blocking(move || inner.look()).await;
        }
    }
}

impl Content {
    fn new(users: Users, generation: u64, decoy: &str) -> Self {
        let decoy = users.costliest_hash().unwrap_or(decoy).to_owned();
        Self { users, generation, decoy }
    }
}

fn complain(error: &str) {
    tracing::error!(%error, "the users file cannot be used; the users stay what they were");
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder panics")
}

fn read(path: &Path, roles: &BTreeMap<String, Grants>) -> Result<(Users, Stamp), UsersFileError> {
    let (text, stamp) = private_file::read(path, MOST_BYTES)?;
    let users = Users::parse(&text, roles);
    let users = users.map_err(|damage| UsersFileError::Damaged { path: path.to_owned(), damage })?;
    Ok((users, stamp))
}

impl Inner {
    /// Whether it is this caller's turn to look at the file.
    fn is_due(&self) -> bool {
        let mut look = lock(&self.look);
        let is_due = clock::since(look.at) >= LOOK_EVERY;
        if is_due {
            look.at = clock::instant();
        }
        is_due
    }

    fn look(&self) {
        let before = lock(&self.look).stamp;
        let error = match private_file::stamp(&self.path) {
            Ok(now) if now == before => return self.remind(),
            Err(error) => UsersFileError::from(error),
            Ok(now) => match read(&self.path, &self.roles) {
                Ok((users, stamp)) => return self.replace(users, stamp),
                Err(error) => {
                    // It is not read again before it changes.
                    lock(&self.look).stamp = now;
                    error
                }
            },
        };
        let new = error.to_string();
        let mut look = lock(&self.look);
        if look.complaint.as_ref().is_none_or(|(said, _)| *said != new) {
            complain(&new);
            look.complaint = Some((new, clock::instant()));
        }
        drop(look);
        self.remind();
    }

    /// Says again what was said long ago, and still holds.
    fn remind(&self) {
        if let Some((said, at)) = &mut lock(&self.look).complaint
            && clock::since(*at) >= COMPLAIN_EVERY
        {
            complain(said);
            *at = clock::instant();
        }
    }

    fn replace(&self, users: Users, stamp: Stamp) {
        let mut look = lock(&self.look);
        look.stamp = stamp;
        look.complaint = None;
        let mut content = lock(&self.content);
        tracing::info!(path = %self.path.display(), users = users.0.len(), "the users file was read again");
        *content = Arc::new(Content::new(users, content.generation + 1, &self.decoy));
    }
}

#[async_trait]
impl UserDirectory for UsersFile {
    async fn find(&self, name: &str) -> Found {
        self.look().await;
        let content = Arc::clone(&lock(&self.0.content));
        Found { generation: content.generation, user: content.users.0.get(name).cloned() }
    }

    async fn is_password(&self, password: String, hash: Option<String>) -> bool {
        let is_user = hash.is_some();
        let hash = hash.unwrap_or_else(|| lock(&self.0.content).decoy.clone());
        let verified = tokio::task::spawn_blocking(move || passwords::verify(&password, &hash)).await;
        is_user && verified.unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    struct Scene {
        directory: tempfile::TempDir,
    }

    impl Scene {
        fn new(text: &str) -> Self {
            let scene = Self { directory: tempfile::tempdir().unwrap() };
            scene.write(text);
            scene
        }

        fn path(&self) -> PathBuf {
            self.directory.path().join("users.toml")
        }

        fn write(&self, text: &str) {
            private_file::replace(&self.path(), text).unwrap();
        }

        fn open(&self) -> Result<UsersFile, UsersFileError> {
            UsersFile::open(&self.path(), BTreeMap::from([("admin".into(), Grants::all())]))
        }
    }

    const ANN: &str = "[users.ann]\nroles = [\"admin\"]\n";
    const BOB: &str = "[users.bob]\nroles = []\n";

    async fn has(file: &UsersFile, name: &str) -> bool {
        // As if a second had passed.
        lock(&file.0.look).at = clock::instant().checked_sub(LOOK_EVERY).unwrap();
        file.find(name).await.user.is_some()
    }

    #[tokio::test]
    async fn a_change_is_seen_and_damage_leaves_what_was() {
        let scene = Scene::new(ANN);
        let file = scene.open().unwrap();
        assert!(has(&file, "ann").await && !has(&file, "bob").await);
        let before = file.find("ann").await.generation;
        scene.write(BOB);
        assert!(!has(&file, "ann").await && has(&file, "bob").await);
        assert!(file.find("bob").await.generation > before);
        scene.write("[users.eve");
        assert!(has(&file, "bob").await);
        assert!(complaint(&file).contains("users.toml:1: "));
        std::fs::remove_file(scene.path()).unwrap();
        assert!(has(&file, "bob").await);
        scene.write(ANN);
        assert!(has(&file, "ann").await && lock(&file.0.look).complaint.is_none());
    }

    fn complaint(file: &UsersFile) -> String {
        lock(&file.0.look).complaint.as_ref().map(|(said, _)| said.clone()).unwrap_or_default()
    }

    #[tokio::test]
    async fn a_file_that_others_may_read_by_now_leaves_what_was_and_is_complained_of_again_and_again() {
        let scene = Scene::new(ANN);
        let file = scene.open().unwrap();
        let open = |mode| std::fs::set_permissions(scene.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        open(0o644);
        assert!(has(&file, "ann").await);
        assert!(complaint(&file).ends_with("users.toml is open to others (mode 644); `chmod o-rwx,g-w` it"));
        let long_ago = clock::instant().checked_sub(COMPLAIN_EVERY).unwrap();
        lock(&file.0.look).complaint.as_mut().unwrap().1 = long_ago;
        assert!(has(&file, "ann").await);
        assert_ne!(lock(&file.0.look).complaint.as_ref().unwrap().1, long_ago);
        open(0o600);
        assert!(has(&file, "ann").await && complaint(&file).is_empty());
    }

    #[test]
    fn at_the_start_damage_is_an_error_with_file_and_line() {
        let told = Scene::new("\n[users.ann]\nroles = [\"boss\"]\n").open().err().unwrap().to_string();
        assert!(told.ends_with("users.toml:3: there is no role `boss`; there is admin"), "{told}");
    }

    #[tokio::test]
    async fn who_is_not_there_has_no_password() {
        let hash = passwords::hash("hush").unwrap();
        let file = Scene::new(&format!("{ANN}password = \"{hash}\"\n")).open().unwrap();
        let kept = file.find("ann").await.user.unwrap().password;
        assert!(file.is_password("hush".into(), kept.clone()).await);
        assert!(!file.is_password("hash".into(), kept).await);
        assert!(!file.is_password("hush".into(), None).await);
    }
}
