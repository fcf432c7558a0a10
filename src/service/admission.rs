//! What other nodes were told, for who asks: only whom this node knows has it asked for, or a token that another node may
//! just have made. Strangers bring about no more of it than one each [`PAUSE`], however many they are.

use std::time::{Duration, Instant};

use tokio::sync::{Mutex, Semaphore};
use tokio::time::sleep_until;

use super::ServiceError;
use crate::jobs::Records;
use crate::runtime::clock;

/// Between two times that unknown tokens have the store asked.
const PAUSE: Duration = Duration::from_millis(100);
/// Requests with unknown tokens that wait; beyond, 503.
const MOST_WAITING: usize = 256;

/// Reads that begin afterwards see what other nodes have answered. While the store is away they see what this node has heard of it last.
pub(super) async fn catch_up(records: &Records) {
    if let Err(error) = records.barrier().await {
        tracing::debug!(%error, "a request reads what is known here");
    }
}

/// Those who come with a token that is not known here wait together.
pub(super) struct UnknownTokens {
    places: Semaphore,
    last: Mutex<Last>,
}

/// When the store was last asked.
#[derive(Default)]
struct Last {
    begun: Option<Instant>,
    /// The begin of one that has come to its end: who asked may have hung up before.
    done: Option<Instant>,
}

impl UnknownTokens {
    pub(super) fn new() -> Self {
        Self { places: Semaphore::new(MOST_WAITING), last: Mutex::default() }
    }

    /// As `catch_up`.
    ///
    /// # Errors
    /// When too many wait.
    pub(super) async fn catch_up(&self, records: &Records) -> Result<(), ServiceError> {
        let came = clock::instant();
        let _place = self.places.try_acquire().map_err(|_| ServiceError::TooManyLogins)?;
        let mut last = self.last.lock().await;
        if last.done.is_some_and(|begun| begun >= came) {
            return Ok(());
        }
        if let Some(begun) = last.begun {
            sleep_until((begun + PAUSE).into()).await;
        }
        let begun = clock::instant();
        last.begun = Some(begun);
        catch_up(records).await;
        last.done = Some(begun);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use futures::future::join_all;

    use super::super::authentication::Authentication;
    use super::super::permissions::{Principal, Via};
    use super::*;
    use crate::adapters::memory::MemoryStore;
    use crate::core::access::{Credentials, Grants, TokenRecord, TokenText, User};
    use crate::ports::{Changes, Commit, CommitError, Entry, Found, MetaStore, ReadError, Revision, UserDirectory};
    use crate::runtime::random;

    /// A node's view of a store: it knows of what others did once it has passed the barrier.
    #[derive(Default)]
    struct Node {
        view: MemoryStore,
        /// What another node has committed.
        news: std::sync::Mutex<Vec<Commit>>,
        barriers: AtomicUsize,
    }

    #[async_trait]
    impl MetaStore for Node {
        async fn commit(&self, commit: Commit) -> Result<Revision, CommitError> {
            self.news.lock().unwrap().push(commit);
            Ok(Revision(0))
        }

        async fn get(&self, key: &str) -> Result<Option<Entry>, ReadError> {
            self.view.get(key).await
        }

        async fn range(
            &self,
            prefix: &str,
            after: Option<&str>,
            down: bool,
            n: usize,
        ) -> Result<Vec<Entry>, ReadError> {
            self.view.range(prefix, after, down, n).await
        }

        async fn changes(&self, cursor: Revision) -> Result<Changes, ReadError> {
            self.view.changes(cursor).await
        }

        async fn revision(&self) -> Result<Revision, ReadError> {
            self.view.revision().await
        }

        async fn barrier(&self) -> Result<(), ReadError> {
            self.barriers.fetch_add(1, Ordering::SeqCst);
            let news = std::mem::take(&mut *self.news.lock().unwrap());
            for commit in news {
                self.view.commit(commit).await.unwrap();
            }
            Ok(())
        }
    }

    /// Knows `ann`, whose password is `hush`.
    struct Ann;

    #[async_trait]
    impl UserDirectory for Ann {
        async fn find(&self, name: &str) -> Found {
            let user = User { password: Some("hush".into()), roles: Vec::new(), grants: Grants::all() };
            Found { generation: 1, user: (name == "ann").then_some(user) }
        }

        async fn is_password(&self, password: String, hash: Option<String>) -> bool {
            Some(password) == hash
        }
    }

    struct World {
        node: Arc<Node>,
        records: Records,
        authentication: Arc<Authentication>,
    }

    impl World {
        fn new() -> Self {
            let node = Arc::new(Node::default());
            let records = Records::new(node.clone());
            Self { node, records, authentication: Arc::new(Authentication::new(Arc::new(Ann))) }
        }

        async fn ask(&self, credentials: &Credentials) -> Result<Principal, ServiceError> {
            self.authentication.admit(&self.records, credentials, "here").await
        }

        fn barriers(&self) -> usize {
            self.node.barriers.load(Ordering::SeqCst)
        }

        /// Another node makes it.
        async fn made(&self, token: &TokenText) {
            let record = TokenRecord {
                id: token.id().into(),
                sha256: token.hash(),
                principal: "ann".into(),
                permissions: vec!["jobs-read".into()],
                created_ms: clock::unix_ms(),
                expires_ms: i64::MAX,
                note: None,
            };
            self.records.create_token(&record, &[], None).await.unwrap();
        }
    }

    fn token() -> TokenText {
        TokenText::of_random(&(random::secret() + &random::secret()))
    }

    #[tokio::test]
    async fn who_is_refused_by_what_is_known_here_asks_nothing_of_the_store() {
        let world = World::new();
        let basic = |user: &str, password: &str| Credentials::Basic { user: user.into(), password: password.into() };
        let known = token();
        world.made(&known).await;
        world.node.barrier().await.unwrap();
        let guess = known.reveal();
        let guess = TokenText::parse(&format!("{}{}", &guess[..guess.len() - 64], "0".repeat(64))).unwrap();
        for stranger in [
            Credentials::None,
            Credentials::Malformed,
            Credentials::BadToken,
            basic("ann", "guess"),
            basic("zoe", "hush"),
            Credentials::Certificate { user: "zoe".into() },
            Credentials::Bearer(guess),
        ] {
            assert!(world.ask(&stranger).await.is_err());
        }
        assert_eq!(world.barriers(), 1);
        for known in [basic("ann", "hush"), Credentials::Certificate { user: "ann".into() }, Credentials::Bearer(known)]
        {
            let before = world.barriers();
            assert_eq!(world.ask(&known).await.unwrap().name, "ann");
            assert_eq!(world.barriers(), before + 1);
        }
    }

    #[tokio::test]
    async fn a_token_that_another_node_has_just_made_is_good_and_one_that_it_has_just_revoked_is_not() {
        let (world, token) = (World::new(), token());
        let bearer = Credentials::Bearer(token.clone());
        world.made(&token).await;
        assert_eq!(world.ask(&bearer).await.unwrap().via, Via::Token(token.id().into()));
        assert_eq!(world.barriers(), 1);
        world.records.delete_token(token.id(), None).await.unwrap();
        assert_eq!(world.ask(&bearer).await, Err(ServiceError::BadCredentials));
    }

    #[tokio::test]
    async fn unknown_tokens_share_what_they_ask_of_the_store_and_have_it_asked_at_a_pace() {
        let world = World::new();
        let begun = clock::instant();
        for _ in 0..4 {
            let unknown: Vec<_> = (0..MOST_WAITING).map(|_| Credentials::Bearer(token())).collect();
            let refused = join_all(unknown.iter().map(|one| world.ask(one))).await;
            assert!(refused.iter().all(|one| *one == Err(ServiceError::BadCredentials)));
        }
        // The first of each round is alone, if the others came after it had begun.
        assert!(world.barriers() <= 8);
        let paces = clock::since(begun).as_millis() / PAUSE.as_millis();
        assert!(world.barriers() <= 1 + usize::try_from(paces).unwrap(), "{} in {paces}", world.barriers());
    }

    #[tokio::test]
    async fn beyond_those_that_may_wait_others_are_turned_away_and_who_hangs_up_makes_room() {
        let world = World::new();
        let held = world.authentication.unknown().last.lock().await;
        let unknown: Vec<_> = (0..=MOST_WAITING).map(|_| Credentials::Bearer(token())).collect();
        let mut waiting: Vec<_> = unknown.iter().map(|one| Box::pin(world.ask(one))).collect();
        for one in &mut waiting[..MOST_WAITING] {
            assert!(futures::poll!(one).is_pending());
        }
        assert_eq!(world.ask(&unknown[MOST_WAITING]).await, Err(ServiceError::TooManyLogins));
        waiting.clear();
        drop(held);
        assert_eq!(world.ask(&unknown[0]).await, Err(ServiceError::BadCredentials));
    }
}
