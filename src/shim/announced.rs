//! Where a server that was started anew says that it is reached: a file in the shim's directory.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::api::driver::spec::{ANNOUNCED_FILE, Announced as Content};

const MAX_BYTES: u64 = 64 << 10;

pub struct Announced {
    path: PathBuf,
    /// What the file held when it was last read.
    seen: Vec<u8>,
}

impl Announced {
    pub fn new(directory: &Path) -> Self {
        Self { path: directory.join(ANNOUNCED_FILE), seen: Vec::new() }
    }

    /// What the file says, when it is another than at the last look: a `welcome` may have told more servers since.
    pub fn look(&mut self) -> Option<Content> {
        let mut text = Vec::new();
        File::open(&self.path).ok()?.take(MAX_BYTES).read_to_end(&mut text).ok()?;
        if text == self.seen {
            return None;
        }
        self.seen = text;
        let content: Content = serde_json::from_slice(&self.seen).ok()?;
        Some(content).filter(|content| !content.servers.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_announcement_counts_once_and_one_that_cannot_be_read_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let mut announced = Announced::new(directory.path());
        let write = |text: &str| std::fs::write(directory.path().join(ANNOUNCED_FILE), text).unwrap();
        assert_eq!(announced.look(), None);
        for server in ["http://a", "http://b"] {
            write(&format!("{{\"servers\":[\"{server}\"],\"more\":1}}"));
            assert_eq!(announced.look(), Some(Content { servers: vec![server.to_owned()], trust: None }));
            assert_eq!(announced.look(), None);
        }
        for text in ["", "[]", "{\"servers\":[]}", "{\"servers\":[\"http://"] {
            write(text);
            assert_eq!(announced.look(), None, "{text}");
        }
    }
}
