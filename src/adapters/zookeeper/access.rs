//! Who may write the store: what we show ZooKeeper, and what stands open in it.

use std::path::Path;

use super::link::{Link, Trouble};
use super::paths::Paths;
use super::{OpenError, Tls};
use crate::runtime::private_file;
use crate::runtime::tls::client_config;

const MOST_BYTES: u64 = 4096;

/// `user:password` of `zookeeper.auth-file`.
///
/// # Errors
/// When it cannot be read, is open to others, or holds something else.
pub fn read_auth(file: &Path) -> Result<String, OpenError> {
    let wrong = |why: String| OpenError::Setting { key: "zookeeper.auth-file", why };
    let (text, _) = private_file::read(file, MOST_BYTES).map_err(|error| wrong(error.to_string()))?;
    let text = text.trim();
    let parts = text.split_once(':').filter(|(user, password)| !user.is_empty() && !password.is_empty());
    if parts.is_none() || text.contains(char::is_control) {
        return Err(wrong(format!("{} has to hold one line, user:password", file.display())));
    }
    Ok(text.to_owned())
}

impl Tls {
    /// Whether its files can be used now. Later they are read anew, and what is wrong with them then may pass.
    ///
    /// # Errors
    /// When one cannot be read, is no PEM, or the key is that of another certificate.
    pub fn check(&self) -> Result<(), OpenError> {
        let wrong = |key: &'static str| move |why: String| OpenError::Setting { key, why };
        client_config(&self.ca, None).map_err(|error| wrong("zookeeper.tls-ca")(error.to_string()))?;
        let Some((certificate, key)) = &self.identity else { return Ok(()) };
        let client = client_config(&self.ca, Some((certificate, key)));
        client.map(drop).map_err(|error| wrong("zookeeper.tls-certificate, zookeeper.tls-key")(error.to_string()))
    }
}

/// A store that was made without a user stays open to everybody, also when there is one now.
pub(super) async fn warn_if_open(link: &Link, paths: &Paths) -> Result<(), Trouble> {
    let mut open = Vec::new();
    for path in [paths.root().to_owned(), paths.format(), paths.owner(), paths.data(), paths.log()] {
        if link.is_open(&path).await? {
            open.push(path);
        }
    }
    if !open.is_empty() {
        let root = paths.root();
        tracing::warn!(
            open = open.join(" "),
            "everybody who reaches ZooKeeper may write these znodes, and perhaps what is below them: they were made without \
             `zookeeper.auth-file`. Say in ZooKeeper's shell: `addauth digest USER:PASSWORD`, as in that file, and then \
             `setAcl -R {root} auth::cdrwa`"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_that_holds_no_user_and_password_for_us_alone_is_refused_with_its_setting() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("auth");
        let read = |text: &str, mode: u32| {
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
            read_auth(&file).map_err(|error| error.to_string())
        };
        assert_eq!(read("doyen:a:b\n", 0o600).unwrap(), "doyen:a:b");
        for (text, mode) in
            [("", 0o600), ("doyen\n", 0o600), (":a", 0o600), ("a:", 0o600), ("a:b\nc:d", 0o600), ("a:b", 0o644)]
        {
            let said = read(text, mode).unwrap_err();
            assert!(said.contains("`zookeeper.auth-file`") && !said.contains("a:b"), "{said}");
        }
        assert!(read_auth(&directory.path().join("none")).is_err());
    }
}
