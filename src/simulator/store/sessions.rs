//! Sessions: a node's registration stands while its session lives, and what a session asked is not carried out once it is over.

use doyen_cluster::ids::NodeId;

use crate::plan::HostNo;
use crate::store::Store;

/// Counts the sessions of a run.
pub type SessionNo = usize;

#[derive(Debug, Clone)]
pub struct Session {
    pub id: NodeId,
    pub host: HostNo,
    pub live: bool,
    /// The newest state that it has seen: it reads nothing older.
    pub seen: u64,
    /// Changes each time the session is heard of or falls silent: an expiry that was set before is void.
    pub turn: u32,
    /// Nothing is heard of it.
    pub silent: bool,
}

impl Store {
    pub fn open(&mut self, now: u64, id: NodeId, host: HostNo) -> SessionNo {
        self.register(now, &id, true);
        self.sessions.push(Session { id, host, live: true, seen: 0, turn: 0, silent: false });
        self.sessions.len() - 1
    }

    pub fn session(&self, session: SessionNo) -> &Session {
        &self.sessions[session]
    }

    /// Ends it, closed or expired; false if it was over already.
    pub fn end(&mut self, now: u64, session: SessionNo) -> bool {
        if !std::mem::replace(&mut self.sessions[session].live, false) {
            return false;
        }
        let id = self.sessions[session].id.clone();
        self.register(now, &id, false);
        true
    }

    /// The session is heard of, or falls silent. The new turn.
    pub fn turn(&mut self, session: SessionNo, silent: bool) -> u32 {
        let session = &mut self.sessions[session];
        session.silent = silent;
        session.turn += 1;
        session.turn
    }

    /// All that have not ended.
    pub fn live_sessions(&self) -> Vec<SessionNo> {
        (0..self.sessions.len()).filter(|number| self.sessions[*number].live).collect()
    }
}
