//! Commits and reads of contexts, their names and attachments.

use super::{Claim, Records, StoreError, Versioned, mark, put};
use crate::core::contexts::{Attachment, ContextRecord, NameRecord};
use crate::core::idempotency::Effect;
use crate::core::keys;
use crate::ports::{Commit, Precondition, Revision, Write};

impl Records {
    /// Takes the name. Conflict: a context of that name lives (or took the name in this moment).
    pub async fn create_context(&self, context: &ContextRecord, claim: Option<&Claim>) -> Result<(), StoreError> {
        let name_key = keys::context_name(&context.name);
        let before: Option<Versioned<NameRecord>> = self.get(&name_key).await?;
        let precondition = match before {
            Some(Versioned { record: NameRecord { live: true, .. }, .. }) => return Err(StoreError::Conflict(0)),
            Some(ended) => Precondition::At(name_key.clone(), ended.version),
            None => Precondition::Absent(name_key.clone()),
        };
        let live = !context.state.has_ended();
        let mut writes = vec![
            put(keys::context(&context.id), context),
            put(name_key, &NameRecord { context_id: context.id.clone(), live }),
        ];
        if live {
            writes.push(mark(keys::context_live(&context.id)));
        }
        let commit = Commit { preconditions: vec![precondition], writes };
        let effect = || Effect::ContextCreated { context: context.id.clone() };
        self.commit_claimed("context-create", commit, claim, effect).await?;
        Ok(())
    }

    /// Writes a live context's new state; an end frees its name.
    pub async fn update_context(&self, context: &ContextRecord) -> Result<(), StoreError> {
        let preconditions = vec![Precondition::Exists(keys::context_live(&context.id))];
        let mut writes = vec![put(keys::context(&context.id), context)];
        if context.state.has_ended() {
            writes.push(Write::Delete(keys::context_live(&context.id)));
            writes.push(Write::Delete(keys::attachment(&context.id)));
            let ended = NameRecord { context_id: context.id.clone(), live: false };
            writes.push(put(keys::context_name(&context.name), &ended));
        }
        self.commit("context-update", Commit { preconditions, writes }).await?;
        Ok(())
    }

    /// The end of a context that the store does not hold as live: an earlier try was stored and its answer lost, or somebody deleted its
    /// record by hand, and then nothing else would free its name.
    pub async fn end_context_again(&self, context: &ContextRecord) -> Result<(), StoreError> {
        if self.context(&context.id).await?.is_some_and(|stored| stored.state.has_ended()) {
            return Ok(());
        }
        let mut preconditions = vec![Precondition::Absent(keys::context_live(&context.id))];
        let mut writes = vec![put(keys::context(&context.id), context), Write::Delete(keys::attachment(&context.id))];
        let name_key = keys::context_name(&context.name);
        let name = self.get::<NameRecord>(&name_key).await?.filter(|name| name.record.context_id == context.id);
        if let Some(Versioned { version, .. }) = name {
            preconditions.push(Precondition::At(name_key.clone(), version));
            writes.push(put(name_key, &NameRecord { context_id: context.id.clone(), live: false }));
        }
        self.commit("context-update", Commit { preconditions, writes }).await?;
        Ok(())
    }

    /// A context's driver is lost, and another attempt is to follow: from now on nothing commits that was meant for the
    /// attachment of the old one.
    pub async fn restart_context(&self, context: &ContextRecord) -> Result<(), StoreError> {
        let preconditions = vec![Precondition::Exists(keys::context_live(&context.id))];
        let writes = vec![put(keys::context(&context.id), context), Write::Delete(keys::attachment(&context.id))];
        self.commit("context-restart", Commit { preconditions, writes }).await?;
        Ok(())
    }

    /// Writes the hash of the secret of an attempt that is about to be launched.
    pub async fn relaunch_context(&self, context: &ContextRecord) -> Result<(), StoreError> {
        let preconditions = vec![Precondition::Exists(keys::context_live(&context.id))];
        let writes = vec![put(keys::context(&context.id), context)];
        self.commit("context-relaunch", Commit { preconditions, writes }).await?;
        Ok(())
    }

    /// Makes this attachment the one that may be given jobs: what was written under an older one no longer commits.
    pub async fn attach(&self, context_id: &str, attachment: &Attachment) -> Result<Revision, StoreError> {
        let preconditions = vec![Precondition::Exists(keys::context_live(context_id))];
        let writes = vec![put(keys::attachment(context_id), attachment)];
        Ok(self.commit("context-attach", Commit { preconditions, writes }).await?)
    }

    /// The newest context of that name, also when it has ended.
    pub async fn context_named(&self, name: &str) -> Result<Option<ContextRecord>, StoreError> {
        let Some(found) = self.get::<NameRecord>(&keys::context_name(name)).await? else { return Ok(None) };
        Ok(self.get(&keys::context(&found.record.context_id)).await?.map(|v| v.record))
    }

    pub async fn context(&self, id: &str) -> Result<Option<ContextRecord>, StoreError> {
        Ok(self.get(&keys::context(id)).await?.map(|v| v.record))
    }

    pub async fn live_contexts(&self) -> Result<Vec<ContextRecord>, StoreError> {
        let mut contexts = Vec::new();
        for id in self.leaves(keys::CONTEXTS_LIVE).await? {
            contexts.extend(self.get(&keys::context(&id)).await?.map(|v| v.record));
        }
        Ok(contexts)
    }
}
