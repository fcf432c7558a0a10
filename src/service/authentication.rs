//! Who asks: passwords, tokens and certificates become principals.
//!
//! A password costs what its hash must cost, so that is done for few at once, and once a minute for each who asks often.

use std::num::NonZero;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::admission::{UnknownTokens, catch_up};
use super::permissions::{Principal, Via};
use super::{Service, ServiceError};
use crate::core::access::{Attempts, Credentials, Grants, TokenText, User, Verified};
use crate::jobs::Records;
use crate::ports::UserDirectory;
use crate::runtime::{clock, random};

/// Passwords that wait to be verified; beyond, 503.
const MOST_WAITING: usize = 256;
/// Each verification takes some 20 MB for its time.
const MOST_AT_ONCE: usize = 4;

/// What is kept between requests. Users that nobody configured need none of it.
pub(super) struct Authentication {
    directory: Arc<dyn UserDirectory>,
    verified: Mutex<Verified>,
    attempts: Mutex<Attempts>,
    waiting: Arc<Semaphore>,
    at_work: Semaphore,
    unknown: UnknownTokens,
}

impl Authentication {
    pub(super) fn new(directory: Arc<dyn UserDirectory>) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            directory,
            verified: Mutex::new(Verified::new(random::secret())),
            attempts: Mutex::new(Attempts::default()),
            waiting: Arc::new(Semaphore::new(MOST_WAITING)),
            at_work: Semaphore::new(processors.min(MOST_AT_ONCE)),
            unknown: UnknownTokens::new(),
        }
    }

    #[cfg(test)]
    pub(super) fn unknown(&self) -> &UnknownTokens {
        &self.unknown
    }

    pub(super) fn directory(&self) -> &dyn UserDirectory {
        &*self.directory
    }

    /// Users are known here; a token may have been made, or revoked, by another node in this moment.
    pub(super) async fn admit(
        self: &Arc<Self>,
        records: &Records,
        credentials: &Credentials,
        address: &str,
    ) -> Result<Principal, ServiceError> {
        let who = match credentials {
            Credentials::None => Err(ServiceError::NoCredentials),
            Credentials::Malformed | Credentials::BadToken => Err(ServiceError::BadCredentials),
            Credentials::Basic { user, password } => self.password(user, password, address).await,
            Credentials::Certificate { user } => self.certificate(user).await,
            Credentials::Bearer(token) => {
                if records.token(token.id()).await?.is_some() {
                    self.holder(records, token).await?;
                    catch_up(records).await;
                } else {
                    self.unknown.catch_up(records).await?;
                }
                return self.holder(records, token).await;
            }
        }?;
        catch_up(records).await;
        Ok(who)
    }

    /// What a token permits is never more than what its user may do now.
    async fn holder(&self, records: &Records, token: &TokenText) -> Result<Principal, ServiceError> {
        let record = records.token(token.id()).await?;
        let record = record.filter(|record| record.accepts(token, clock::unix_ms()));
        let record = record.ok_or(ServiceError::BadCredentials)?;
        let found = self.directory.find(&record.principal).await.user.ok_or(ServiceError::BadCredentials)?;
        // Words that a later version knows grant nothing here.
        let words = record.permissions.iter().filter_map(|word| Grants::of_word(word).ok());
        let granted = words.fold(Grants::NONE, Grants::or);
        Ok(principal(&record.principal, found.grants.and(granted), Via::Token(record.id)))
    }

    async fn password(self: &Arc<Self>, user: &str, password: &str, address: &str) -> Result<Principal, ServiceError> {
        let found = self.directory.find(user).await;
        if let Some(known) = &found.user
            && lock(&self.verified).contains(user, password, found.generation, clock::instant())
        {
            return Ok(principal(user, known.grants, Via::Password));
        }
        self.may_try(address, user)?;
        let place = Arc::clone(&self.waiting).try_acquire_owned().map_err(|_| ServiceError::TooManyLogins)?;
        let (this, user, password) = (Arc::clone(self), user.to_owned(), password.to_owned());
        let address = address.to_owned();
        // In a task of its own: who hangs up does not make room for more guesses, and a failure counts all the same.
        let verifying = tokio::spawn(async move {
            let verified = this.verify(&user, &password, &address).await;
            drop(place);
            verified
        });
        verifying.await.map_err(|error| ServiceError::Internal(error.to_string()))?
    }

    /// The certificate has been checked; whether there is the user has not.
    async fn certificate(&self, user: &str) -> Result<Principal, ServiceError> {
        let found = self.directory.find(user).await.user.ok_or(ServiceError::BadCredentials)?;
        Ok(principal(user, found.grants, Via::Certificate))
    }

    fn may_try(&self, address: &str, user: &str) -> Result<(), ServiceError> {
        match lock(&self.attempts).wait(address, user, clock::instant()) {
            None => Ok(()),
            Some(wait) => Err(ServiceError::TooManyAttempts { wait }),
        }
    }

    async fn verify(&self, user: &str, password: &str, address: &str) -> Result<Principal, ServiceError> {
        let _at_work = self.at_work.acquire().await.expect("never closed");
        // While this one waited, others may have been told, and the users may have changed.
        let found = self.directory.find(user).await;
        let known = |found: &User| principal(user, found.grants, Via::Password);
        if let Some(found_user) = &found.user
            && lock(&self.verified).contains(user, password, found.generation, clock::instant())
        {
            return Ok(known(found_user));
        }
        self.may_try(address, user)?;
        let hash = found.user.as_ref().and_then(|found| found.password.clone());
        let is_theirs = self.directory.is_password(password.to_owned(), hash).await;
        match &found.user {
            Some(found_user) if is_theirs => {
                lock(&self.attempts).succeeded(address, user);
                lock(&self.verified).insert(user, password, found.generation, clock::instant());
                Ok(known(found_user))
            }
            _ => {
                lock(&self.attempts).failed(address, user, clock::instant());
                Err(ServiceError::BadCredentials)
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder panics")
}

fn principal(name: &str, grants: Grants, via: Via) -> Principal {
    Principal { name: name.into(), grants, via }
}

/// A wait in whole seconds, for people and for `Retry-After`.
pub fn wait_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

impl Service {
    /// Whether users are configured.
    pub fn authenticates(&self) -> bool {
        self.authentication.is_some()
    }

    /// Who asks from this address. The same refusal for a wrong password, a user that is not there, and a token that is
    /// wrong, revoked or has expired. What who is let in reads afterwards is no older than what any node has answered before.
    ///
    /// # Errors
    /// When it cannot be told, or not now.
    pub async fn authenticate(&self, credentials: &Credentials, address: &str) -> Result<Principal, ServiceError> {
        let Some(authentication) = &self.authentication else {
            catch_up(&self.records).await;
            return Ok(match credentials {
                // Whoever may come in may do everything; but who it is, is known.
                Credentials::Certificate { user } => principal(user, Grants::all(), Via::Certificate),
                _ => Principal::anonymous(),
            });
        };
        authentication.admit(&self.records, credentials, address).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use tokio::sync::watch;

    use super::*;
    use crate::ports::Found;

    /// Knows `ann`, whose password is `hush`; verifies when it is let.
    struct Fake {
        asked: AtomicUsize,
        open: watch::Receiver<bool>,
    }

    #[async_trait]
    impl UserDirectory for Fake {
        async fn find(&self, name: &str) -> Found {
            let password = Some("hush".to_owned());
            let user = (name == "ann").then(|| User { password, roles: Vec::new(), grants: Grants::all() });
            Found { generation: 1, user }
        }

        async fn is_password(&self, password: String, hash: Option<String>) -> bool {
            self.asked.fetch_add(1, Ordering::SeqCst);
            self.open.clone().wait_for(|open| *open).await.unwrap();
            Some(password) == hash
        }
    }

    fn with_fake() -> (Arc<Authentication>, Arc<Fake>, watch::Sender<bool>) {
        let (gate, open) = watch::channel(false);
        let fake = Arc::new(Fake { asked: AtomicUsize::new(0), open });
        (Arc::new(Authentication::new(fake.clone())), fake, gate)
    }

    #[tokio::test]
    async fn many_at_once_with_one_password_cost_as_much_as_may_be_at_work() {
        let (authentication, fake, gate) = with_fake();
        let all = (0..100).map(|_| authentication.password("ann", "hush", "here"));
        let (all, ()) = tokio::join!(futures::future::join_all(all), async { gate.send(true).unwrap() });
        assert!(all.iter().all(|one| one.as_ref().is_ok_and(|who| who.via == Via::Password)));
        assert!(fake.asked.load(Ordering::SeqCst) <= MOST_AT_ONCE);
    }

    #[tokio::test]
    async fn beyond_those_that_may_wait_others_are_turned_away() {
        let (authentication, _, gate) = with_fake();
        let address = |i: usize| format!("10.0.{}.{}", i / 256, i % 256);
        let ask = |i: usize| {
            let authentication = Arc::clone(&authentication);
            async move { authentication.password(&format!("user{i}"), "x", &address(i)).await }
        };
        let waiting: Vec<_> = (0..MOST_WAITING).map(|i| tokio::spawn(ask(i))).collect();
        while authentication.waiting.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(ask(MOST_WAITING).await, Err(ServiceError::TooManyLogins));
        gate.send(true).unwrap();
        for one in waiting {
            assert_eq!(one.await.unwrap(), Err(ServiceError::BadCredentials));
        }
    }

    #[tokio::test]
    async fn a_failure_counts_although_nobody_waits_for_it() {
        let (authentication, _, gate) = with_fake();
        for _ in 0..5 {
            let attempt = authentication.password("ann", "guess", "here");
            // Whoever asked hangs up at once.
            tokio::select! { biased; _ = attempt => {}, () = tokio::task::yield_now() => {} }
        }
        gate.send(true).unwrap();
        while authentication.waiting.available_permits() < MOST_WAITING {
            tokio::task::yield_now().await;
        }
        let refused = authentication.password("ann", "hush", "here").await;
        assert!(matches!(refused, Err(ServiceError::TooManyAttempts { .. })), "{refused:?}");
    }

    #[tokio::test]
    async fn a_certificate_names_a_user_that_there_must_be() {
        let (authentication, ..) = with_fake();
        assert_eq!(authentication.certificate("ann").await.unwrap().via, Via::Certificate);
        assert_eq!(authentication.certificate("zoe").await, Err(ServiceError::BadCredentials));
    }

    #[test]
    fn waits_are_told_in_whole_seconds_and_never_too_short() {
        assert_eq!(wait_seconds(Duration::from_millis(1)), 1);
        assert_eq!(wait_seconds(Duration::from_secs(2)), 2);
    }
}
