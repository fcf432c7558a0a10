//! The fake and the embedded store give the same answers to any sequence of commits.

use doyen::adapters::embedded::EmbeddedStore;
use doyen::adapters::memory::MemoryStore;
use doyen::ports::{Commit, MetaStore, Precondition, Revision, Write};
use proptest::collection::vec;
use proptest::prelude::*;
use redb::backends::InMemoryBackend;

#[derive(Debug, Clone)]
enum Step {
    Commit(Commit),
    Range { prefix: String, after: Option<String>, descending: bool, limit: usize },
    Changes,
}

/// Few keys, so that steps meet; with a neighbour of each prefix.
fn key() -> impl Strategy<Value = String> {
    "[abé]{0,3}"
}

fn precondition() -> impl Strategy<Value = Precondition> {
    prop_oneof![
        key().prop_map(Precondition::Absent),
        key().prop_map(Precondition::Exists),
        (key(), 0u64..20).prop_map(|(key, revision)| Precondition::At(key, Revision(revision))),
        key().prop_map(Precondition::NoneUnder),
    ]
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        3 => (key(), vec(any::<u8>(), 0..9)).prop_map(|(key, value)| Write::Put(key, value.into())),
        1 => key().prop_map(Write::Delete),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let commit = (vec(precondition(), 0..2), vec(write(), 0..5))
        .prop_map(|(preconditions, writes)| Step::Commit(Commit { preconditions, writes }));
    let range = (key(), proptest::option::of(key()), any::<bool>(), 0usize..9)
        .prop_map(|(prefix, after, descending, limit)| Step::Range { prefix, after, descending, limit });
    prop_oneof![3 => commit, 3 => range, 1 => Just(Step::Changes)]
}

async fn agree(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let fake = MemoryStore::default();
    let real = EmbeddedStore::open_with(1 << 20, 0, || Ok(InMemoryBackend::new())).unwrap();
    for step in steps {
        match step {
            Step::Commit(commit) => prop_assert_eq!(fake.commit(commit.clone()).await, real.commit(commit).await),
            Step::Range { prefix, after, descending, limit } => {
                let after = after.as_deref();
                let expected = fake.range(&prefix, after, descending, limit).await;
                prop_assert_eq!(expected, real.range(&prefix, after, descending, limit).await);
            }
            Step::Changes => {
                let revision = fake.revision().await.unwrap();
                prop_assert_eq!(real.revision().await, Ok(revision));
                let everything = fake.range("", None, false, 1000).await.unwrap();
                // Without any change since the beginning both would wait.
                if !everything.is_empty() {
                    prop_assert_eq!(fake.changes(Revision(0)).await, real.changes(Revision(0)).await);
                }
            }
        }
    }
    prop_assert_eq!(fake.range("", None, false, 1000).await, real.range("", None, false, 1000).await);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_commits_is_answered_alike(steps in vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(agree(steps))?;
    }
}
