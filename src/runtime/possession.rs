//! Whether the stores of this process are still its own: another server may have taken them over. It is told once, to whoever ends the process.

use std::sync::Arc;

use tokio::sync::watch;

/// Cheap to clone; all clones tell the same.
#[derive(Debug, Clone)]
pub struct Possession(Arc<watch::Sender<Option<String>>>);

impl Default for Possession {
    fn default() -> Self {
        Self(Arc::new(watch::channel(None).0))
    }
}

impl Possession {
    /// In words, what belongs to whom now. What is told first counts.
    pub fn lose(&self, why: &str) {
        let told = self.0.send_if_modified(|lost| {
            let is_first = lost.is_none();
            lost.get_or_insert_with(|| why.to_owned());
            is_first
        });
        if told {
            tracing::error!("{why}: this server changes nothing any more, and ends; its drivers are left as they are");
        }
    }

    pub fn lost(&self) -> Option<String> {
        self.0.borrow().clone()
    }

    /// Completes once something is lost.
    pub async fn until_lost(&self) -> String {
        let mut told = self.0.subscribe();
        let lost = told.wait_for(Option::is_some).await.ok().and_then(|lost| lost.clone());
        lost.expect("the sender is in here, and it is some")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_lost_first_is_told_to_all_who_wait_also_later() {
        let possession = Possession::default();
        let waits = tokio::spawn({
            let possession = possession.clone();
            async move { possession.until_lost().await }
        });
        assert_eq!(possession.lost(), None);
        possession.lose("the chroot");
        possession.lose("the binaries");
        assert_eq!(waits.await.unwrap(), "the chroot");
        assert_eq!(possession.until_lost().await, "the chroot");
    }
}
