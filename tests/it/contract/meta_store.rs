//! The contract of MetaStore.

use std::sync::Arc;

use bytes::Bytes;
use doyen::ports::{Change, Changes, Commit, CommitError, MetaStore, Precondition, Revision, Write};
use futures::future::join_all;

type Store = Arc<dyn MetaStore>;

pub fn put(key: &str, value: &str) -> Write {
    Write::Put(key.into(), Bytes::copy_from_slice(value.as_bytes()))
}

pub fn commit(preconditions: &[Precondition], writes: &[Write]) -> Commit {
    Commit { preconditions: preconditions.to_vec(), writes: writes.to_vec() }
}

async fn write(store: &Store, writes: &[Write]) -> Revision {
    store.commit(commit(&[], writes)).await.unwrap()
}

async fn value(store: &Store, key: &str) -> Option<String> {
    store.get(key).await.unwrap().map(|entry| String::from_utf8(entry.value.to_vec()).unwrap())
}

async fn keys(store: &Store, prefix: &str, after: Option<&str>, descending: bool, limit: usize) -> String {
    let entries = store.range(prefix, after, descending, limit).await.unwrap();
    entries.into_iter().map(|entry| entry.key).collect::<Vec<_>>().join(" ")
}

pub async fn committed_value_is_read_with_its_revision(store: Store) {
    let revision = write(&store, &[put("a", "1"), put("b", "")]).await;
    let a = store.get("a").await.unwrap().unwrap();
    assert_eq!((a.key.as_str(), a.value.as_ref(), a.version), ("a", &b"1"[..], revision));
    assert_eq!(value(&store, "b").await.as_deref(), Some(""));
    assert_eq!(value(&store, "c").await, None);
    let all = store.range("", None, false, 10).await.unwrap();
    assert_eq!(all.iter().map(|entry| entry.version).collect::<Vec<_>>(), [revision, revision]);
}

pub async fn revisions_ascend_and_an_empty_commit_counts(store: Store) {
    let first = write(&store, &[put("a", "1")]).await;
    let second = write(&store, &[]).await;
    let third = write(&store, &[Write::Delete("a".into())]).await;
    assert!(Revision(0) < first && first < second && second < third);
    assert_eq!(store.revision().await.unwrap(), third);
}

pub async fn writes_to_one_key_apply_in_order(store: Store) {
    write(&store, &[put("a", "1"), Write::Delete("a".into()), put("a", "2")]).await;
    assert_eq!(value(&store, "a").await.as_deref(), Some("2"));
    write(&store, &[put("a", "3"), Write::Delete("a".into())]).await;
    assert_eq!(value(&store, "a").await, None);
}

pub async fn deleting_an_absent_key_is_no_error(store: Store) {
    write(&store, &[Write::Delete("a".into())]).await;
    assert_eq!(value(&store, "a").await, None);
}

pub async fn absent_exists_and_at_hold_or_conflict(store: Store) {
    use Precondition::{Absent, At, Exists};
    let old = write(&store, &[put("a", "1")]).await;
    let new = write(&store, &[put("a", "2")]).await;
    for (precondition, holds) in [
        (Absent("b".into()), true),
        (Absent("a".into()), false),
        (Exists("a".into()), true),
        (Exists("b".into()), false),
        (At("a".into(), new), true),
        (At("a".into(), old), false),
        (At("b".into(), new), false),
        (At("b".into(), Revision(0)), false),
    ] {
        let answer = store.commit(commit(std::slice::from_ref(&precondition), &[])).await;
        let expected = if holds { None } else { Some(CommitError::Conflict(0)) };
        assert_eq!(answer.err(), expected, "{precondition:?}");
    }
}

pub async fn none_under_sees_only_the_prefix(store: Store) {
    write(&store, &[put("b/1", ""), put("d", "")]).await;
    for (prefix, holds) in
        [("a", true), ("b", false), ("b/1", false), ("b/1/", true), ("b0", true), ("e", true), ("", false)]
    {
        let answer = store.commit(commit(&[Precondition::NoneUnder(prefix.into())], &[])).await;
        assert_eq!(answer.is_ok(), holds, "{prefix}");
    }
}

pub async fn conflict_names_the_first_that_fails_and_writes_nothing(store: Store) {
    let before = write(&store, &[put("a", "1")]).await;
    let preconditions =
        [Precondition::Exists("a".into()), Precondition::Absent("a".into()), Precondition::Exists("b".into())];
    let answer = store.commit(commit(&preconditions, &[put("a", "2"), put("c", "3")])).await;
    assert_eq!(answer, Err(CommitError::Conflict(1)));
    assert_eq!((value(&store, "a").await.as_deref(), value(&store, "c").await), (Some("1"), None));
    assert_eq!(store.revision().await.unwrap(), before);
}

pub async fn poison_among_63_good_harms_nobody(store: Store) {
    let commits = (0..64).map(|n| {
        let precondition =
            if n == 31 { Precondition::Exists("never".into()) } else { Precondition::Absent(format!("{n}")) };
        store.commit(commit(&[precondition], &[put(&format!("{n}"), "x")]))
    });
    let answers = join_all(commits).await;
    for (n, answer) in answers.iter().enumerate() {
        assert_eq!(answer.is_ok(), n != 31, "{answer:?}");
        assert_eq!(value(&store, &n.to_string()).await.is_some(), n != 31);
    }
    assert_eq!(answers[31], Err(CommitError::Conflict(0)));
}

pub async fn racing_increments_lose_nothing(store: Store) {
    write(&store, &[put("n", "0")]).await;
    let increment = || async {
        loop {
            let entry = store.get("n").await.unwrap().unwrap();
            let next = str::from_utf8(&entry.value).unwrap().parse::<u32>().unwrap() + 1;
            let answer =
                store.commit(commit(&[Precondition::At("n".into(), entry.version)], &[put("n", &next.to_string())]));
            match answer.await {
                Ok(_) => return,
                Err(CommitError::Conflict(0)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    join_all((0..16).map(|_| increment())).await;
    assert_eq!(value(&store, "n").await.as_deref(), Some("16"));
}

pub async fn range_walks_up_and_down_by_pages(store: Store) {
    write(&store, &["a", "j/1", "j/2", "j/3", "j/4", "j/5", "k"].map(|key| put(key, ""))).await;
    assert_eq!(keys(&store, "j/", None, false, 2).await, "j/1 j/2");
    assert_eq!(keys(&store, "j/", Some("j/2"), false, 2).await, "j/3 j/4");
    assert_eq!(keys(&store, "j/", Some("j/4"), false, 2).await, "j/5");
    assert_eq!(keys(&store, "j/", Some("j/5"), false, 2).await, "");
    assert_eq!(keys(&store, "j/", None, true, 2).await, "j/5 j/4");
    assert_eq!(keys(&store, "j/", Some("j/4"), true, 2).await, "j/3 j/2");
    assert_eq!(keys(&store, "j/", Some("j/2"), true, 2).await, "j/1");
    assert_eq!(keys(&store, "j/", Some("j/1"), true, 2).await, "");
    assert_eq!(keys(&store, "j/", None, true, 0).await, "");
    assert_eq!(keys(&store, "", None, true, 1000).await, "k j/5 j/4 j/3 j/2 j/1 a");
}

pub async fn range_begins_beside_keys_that_do_not_exist(store: Store) {
    write(&store, &["a", "j/1", "j/3", "k"].map(|key| put(key, ""))).await;
    assert_eq!(keys(&store, "j/", Some("j/2"), false, 9).await, "j/3");
    assert_eq!(keys(&store, "j/", Some("j/2"), true, 9).await, "j/1");
    // Before and behind all of the prefix.
    assert_eq!(keys(&store, "j/", Some("a"), false, 9).await, "j/1 j/3");
    assert_eq!(keys(&store, "j/", Some("a"), true, 9).await, "");
    assert_eq!(keys(&store, "j/", Some("z"), false, 9).await, "");
    assert_eq!(keys(&store, "j/", Some("z"), true, 9).await, "j/3 j/1");
    // The prefix itself, as a cursor and as a key.
    assert_eq!(keys(&store, "j/", Some("j/"), false, 9).await, "j/1 j/3");
    assert_eq!(keys(&store, "j/", Some("j/"), true, 9).await, "");
    assert_eq!(keys(&store, "j/1", None, false, 9).await, "j/1");
    assert_eq!(keys(&store, "j/1", Some("j/1"), false, 9).await, "");
}

pub async fn range_knows_prefixes_of_any_alphabet(store: Store) {
    write(&store, &["z", "é", "é/1", "ê", "\u{10ffff}", "\u{10ffff}a"].map(|key| put(key, ""))).await;
    assert_eq!(keys(&store, "é", None, true, 9).await, "é/1 é");
    assert_eq!(keys(&store, "\u{10ffff}", None, true, 9).await, "\u{10ffff}a \u{10ffff}");
    assert_eq!(keys(&store, "\u{7f}", None, true, 9).await, "");
}

pub async fn changes_are_told_in_order_and_waited_for(store: Store) {
    let begin = store.revision().await.unwrap();
    let first = write(&store, &[put("a", "1"), put("b", "1")]).await;
    let second = write(&store, &[Write::Delete("a".into())]).await;
    let Changes::Since { changes, cursor } = store.changes(begin).await.unwrap() else { panic!("lost") };
    let told: Vec<_> = changes.iter().map(|change| change.key.as_str()).collect();
    assert!(told.ends_with(&["b", "a"]) && changes.is_sorted_by_key(|change| change.revision), "{changes:?}");
    assert_eq!((changes.last().unwrap().revision, cursor), (second, second));
    let Changes::Since { changes, .. } = store.changes(first).await.unwrap() else { panic!("lost") };
    assert_eq!(changes, [Change { revision: second, key: "a".into() }]);

    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.changes(second).await.unwrap() }
    });
    let third = write(&store, &[put("c", "1")]).await;
    let expected = Changes::Since { changes: vec![Change { revision: third, key: "c".into() }], cursor: third };
    assert_eq!(waiting.await.unwrap(), expected);
}

pub async fn newest_4096_changes_are_known(store: Store) {
    let begin = store.revision().await.unwrap();
    for hundred in 0..41 {
        join_all((0..100).take(if hundred == 40 { 96 } else { 100 }).map(|n| {
            let store = &store;
            async move { write(store, &[put(&format!("{hundred}/{n}"), "")]).await }
        }))
        .await;
    }
    let (mut cursor, mut known, newest) = (begin, 0, store.revision().await.unwrap());
    while cursor < newest {
        // Perhaps in parts.
        let Changes::Since { changes, cursor: next } = store.changes(cursor).await.unwrap() else { panic!("lost") };
        (cursor, known) = (next, known + changes.len());
    }
    assert_eq!((cursor, known), (newest, 4096));
}

pub async fn unknown_cursor_is_lost(store: Store) {
    let revision = write(&store, &[put("a", "1")]).await;
    let answer = store.changes(Revision(revision.0 + 1000)).await.unwrap();
    assert_eq!(answer, Changes::Lost { cursor: revision });
}

pub async fn every_revision_is_a_cursor(store: Store) {
    let begin = store.revision().await.unwrap();
    let (put_a, deleted) = (write(&store, &[put("a", "1")]).await, write(&store, &[Write::Delete("a".into())]).await);
    let (empty, put_b) = (write(&store, &[]).await, write(&store, &[put("b", "1")]).await);
    let told = [(put_a, "a"), (deleted, "a"), (put_b, "b")];
    for cursor in [begin, put_a, deleted, empty] {
        let Changes::Since { changes, .. } = store.changes(cursor).await.unwrap() else { panic!("lost") };
        let later = told.iter().filter(|(revision, _)| *revision > cursor);
        let expected: Vec<_> =
            later.map(|(revision, key)| Change { revision: *revision, key: (*key).into() }).collect();
        // Of a key that changed twice, only the last change need be told.
        assert!(changes.iter().all(|change| expected.contains(change)), "{changes:?}");
        assert!(
            expected.iter().skip(usize::from(cursor == begin)).all(|change| changes.contains(change)),
            "{changes:?}"
        );
    }
}
