//! The server's end of an attachment, without its socket: `http` moves frames between the two.

use serde::Serialize;
use tokio::sync::mpsc;

/// What goes to a shim.
#[derive(Debug)]
pub enum Frame {
    Text(String),
    Close(u16),
}

#[derive(Debug, Clone)]
pub struct Connection {
    /// Unique in this process.
    pub id: u64,
    frames: mpsc::Sender<Frame>,
}

impl Connection {
    pub fn new(id: u64, frames: mpsc::Sender<Frame>) -> Self {
        Self { id, frames }
    }

    /// False when the shim takes nothing any more, or not fast enough: then the connection is of no use.
    #[must_use]
    pub fn send<T: Serialize>(&self, message: &T) -> bool {
        let text = serde_json::to_string(message).expect("messages are plain data");
        self.frames.try_send(Frame::Text(text)).is_ok()
    }

    pub fn close(&self, code: u16) {
        // Gone already, or so full that dropping our end closes it.
        let _ = self.frames.try_send(Frame::Close(code));
    }
}
