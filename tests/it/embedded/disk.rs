//! Storage in memory that loses what was not flushed, fails on demand, and counts flushes.

use std::io::{Error, ErrorKind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use doyen::adapters::embedded::EmbeddedStore;
use redb::StorageBackend;
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The storage takes nothing beyond its length.
    Full,
    ReadOnly,
    Flush,
    Read,
    /// Every operation, from the one of this number on.
    From(u64),
}

#[derive(Debug, Default)]
struct State {
    current: Vec<u8>,
    durable: Vec<u8>,
    unflushed: Vec<(usize, Vec<u8>)>,
    flushes: u64,
    operations: u64,
    fault: Option<Fault>,
    held: bool,
    /// Flushes that pass although others are held.
    passes: u64,
    /// Storage opened before a power loss is dead.
    life: u64,
}

/// The disk; `storage` opens it.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    state: Arc<Mutex<State>>,
    released: Arc<Condvar>,
    waiting: Arc<watch::Sender<bool>>,
}

#[derive(Debug)]
pub struct Storage {
    disk: Disk,
    life: u64,
}

impl Disk {
    pub fn storage(&self) -> Storage {
        Storage { disk: self.clone(), life: self.lock().life }
    }

    pub fn open(&self) -> EmbeddedStore {
        let disk = self.clone();
        EmbeddedStore::open_with(1 << 20, 0, move || Ok(disk.storage())).unwrap()
    }

    pub fn fail(&self, fault: Option<Fault>) {
        self.lock().fault = fault;
    }

    pub fn flushes(&self) -> u64 {
        self.lock().flushes
    }

    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Flushes wait until `release`.
    pub fn hold(&self) {
        self.lock().held = true;
    }

    pub fn release(&self) {
        self.lock().held = false;
        self.released.notify_all();
    }

    /// So many flushes pass, then they wait again.
    pub fn let_flush(&self, count: u64) {
        self.lock().passes = count;
        self.waiting.send_replace(false);
        self.released.notify_all();
    }

    /// Until a flush waits.
    pub async fn held(&self) {
        self.waiting.subscribe().wait_for(|waiting| *waiting).await.unwrap();
    }

    /// Of what was not flushed, the writes that `survives` picks are kept, in any combination.
    pub fn lose_power(&self, mut survives: impl FnMut() -> bool) {
        let mut state = self.lock();
        let unflushed = std::mem::take(&mut state.unflushed);
        let length = state.current.len();
        state.durable.resize(length, 0);
        for (offset, data) in unflushed {
            if survives() {
                state.durable[offset..offset + data.len()].copy_from_slice(&data);
            }
        }
        state.current = state.durable.clone();
        state.life += 1;
        state.held = false;
        drop(state);
        self.released.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Storage {
    fn begin(&self, fault: Fault) -> Result<MutexGuard<'_, State>, Error> {
        let mut state = self.disk.lock();
        if state.life != self.life {
            return Err(Error::other("the power is gone"));
        }
        state.operations += 1;
        let fails = match state.fault {
            Some(Fault::From(first)) => state.operations >= first,
            other => other == Some(fault),
        };
        if fails { Err(Error::other(format!("injected: {fault:?}"))) } else { Ok(state) }
    }
}

impl StorageBackend for Storage {
    fn len(&self) -> Result<u64, Error> {
        Ok(self.disk.lock().current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let state = self.begin(Fault::Read)?;
        let offset = offset as usize;
        let found = state.current.get(offset..offset + out.len()).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        let mut state = self.begin(Fault::ReadOnly)?;
        if state.fault == Some(Fault::Full) && len as usize > state.current.len() {
            return Err(ErrorKind::StorageFull.into());
        }
        state.current.resize(len as usize, 0);
        state.unflushed.retain(|(offset, data)| offset + data.len() <= len as usize);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), Error> {
        drop(self.begin(Fault::Flush)?);
        let mut state = self.disk.lock();
        while state.held && state.passes == 0 {
            self.disk.waiting.send_replace(true);
            state = self.disk.released.wait(state).unwrap();
        }
        state.passes = state.passes.saturating_sub(1);
        if state.life != self.life {
            return Err(Error::other("the power is gone"));
        }
        let length = state.current.len();
        state.durable.resize(length, 0);
        for (offset, data) in std::mem::take(&mut state.unflushed) {
            state.durable[offset..offset + data.len()].copy_from_slice(&data);
        }
        state.flushes += 1;
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        let mut state = self.begin(Fault::ReadOnly)?;
        let offset = offset as usize;
        state.current[offset..offset + data.len()].copy_from_slice(data);
        state.unflushed.push((offset, data.to_vec()));
        Ok(())
    }
}
