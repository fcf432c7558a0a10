//! What HDFS says when it fails, in words that name the setting and what to do.

use hdfs_native::HdfsError;

use crate::config::{self, duration};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    NotFound,
    Exists,
    /// A quota, or the DataNodes.
    Full,
    /// No replica has the content that was written.
    Damaged,
    Denied,
    SafeMode,
    Unreachable,
    /// No replica could be read: away, or damaged, which the client does not tell apart.
    Unread,
    /// Of ours, not of HDFS.
    Settings,
    Other,
}

/// Why a call failed, and what may help.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    pub kind: Kind,
    message: String,
}

impl Fault {
    pub(super) fn new(kind: Kind, message: String) -> Self {
        Self { kind, message }
    }

    pub(super) fn deadline(settings: &config::Hdfs, what: &str) -> Self {
        let deadline = duration::text(settings.deadline);
        let message = format!(
            "HDFS ({}) did not {what} within store.hdfs.deadline ({deadline}): look whether store.hdfs.url is \
             right, and its NameNode and DataNodes run and can be reached from here",
            place(settings)
        );
        Self { kind: Kind::Unreachable, message }
    }

    pub(super) fn of(settings: &config::Hdfs, what: &str, error: &HdfsError) -> Self {
        let kind = kind(error);
        let advice = advice(kind, error, settings);
        let text = error.to_string();
        // The rest of it is a dump of what is known of each DataNode.
        let why = if kind == Kind::Unread { "all DataNodes that have it failed" } else { first_line(&text) };
        let message = format!("HDFS ({}) did not {what}: {why}{advice}", place(settings));
        Self { kind, message }
    }
}

pub(super) fn place(settings: &config::Hdfs) -> &str {
    settings.url.as_deref().unwrap_or("fs.defaultFS")
}

/// Java's errors bring their stack trace along.
fn first_line(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default().trim_end();
    let end = line.char_indices().nth(400).map_or(line.len(), |(end, _)| end);
    &line[..end]
}

fn kind(error: &HdfsError) -> Kind {
    match error {
        HdfsError::FileNotFound(_) => Kind::NotFound,
        HdfsError::AlreadyExists(_) => Kind::Exists,
        HdfsError::ChecksumError | HdfsError::BlocksNotFound(_) => Kind::Damaged,
        HdfsError::DataTransferError(why) if why.starts_with("All DataNodes failed") => Kind::Unread,
        HdfsError::InvalidArgument(_) | HdfsError::UrlParseError(_) | HdfsError::XmlParseError(_) => Kind::Settings,
        HdfsError::IOError(_) | HdfsError::DataTransferError(_) => Kind::Unreachable,
        HdfsError::RPCError(class, message) | HdfsError::FatalRPCError(class, message) => of_java(class, message),
        HdfsError::SASLError(_) | HdfsError::GSSAPIError(..) | HdfsError::NoSASLMechanism => Kind::Denied,
        _ => Kind::Other,
    }
}

/// Of a DataNode that was to take a block: another may take it.
pub(super) fn is_away(error: &HdfsError) -> bool {
    matches!(error, HdfsError::IOError(_) | HdfsError::DataTransferError(_))
}

fn of_java(class: &str, message: &str) -> Kind {
    let name = class.rsplit(['.', '$']).next().unwrap_or(class);
    match name {
        // A NameNode of a pair wraps it, so that clients try again.
        "SafeModeException" | "RetriableException" if message.contains("safe mode") => Kind::SafeMode,
        "FileNotFoundException" => Kind::NotFound,
        "FileAlreadyExistsException" => Kind::Exists,
        "AccessControlException" | "AuthorizationException" | "SaslException" | "InvalidToken" => Kind::Denied,
        "DSQuotaExceededException" | "NSQuotaExceededException" | "QuotaByStorageTypeExceededException" => Kind::Full,
        "StandbyException" => Kind::Unreachable,
        // The NameNode names no DataNode for the block: none runs, or else none has room. It counts those without room as
        // excluded, since our client excludes none.
        _ if message.contains("could only be written to 0 of") => {
            if message.contains("There are 0 datanode(s)") {
                Kind::Unreachable
            } else {
                Kind::Full
            }
        }
        _ => Kind::Other,
    }
}

fn advice(kind: Kind, error: &HdfsError, settings: &config::Hdfs) -> String {
    let path = &settings.path;
    match kind {
        Kind::Full => {
            format!(". Make room, or raise the quota of store.hdfs.path: hdfs dfsadmin -setSpaceQuota <bytes> {path}")
        }
        Kind::Denied => format!(
            ". Make store.hdfs.path and give it to the user of this server (hdfs dfs -mkdir -p {path}; hdfs dfs -chown \
             <user> {path}), or name another user in store.hdfs.user; with Kerberos, look at its ticket and store.hdfs.conf-dir"
        ),
        Kind::SafeMode => {
            ". It takes no changes until it has left safe mode: wait, or run hdfs dfsadmin -safemode leave".into()
        }
        Kind::Unreachable if matches!(error, HdfsError::RPCError(..)) => {
            ". Look whether enough DataNodes run, and whether this host reaches them".into()
        }
        Kind::Unreachable => ". Look whether store.hdfs.url is right and its NameNode and DataNodes run".into(),
        Kind::Unread => {
            ". Look whether those DataNodes run and can be reached from here, and with hdfs fsck whether the file is damaged"
                .into()
        }
        Kind::Settings => {
            ". Look at store.hdfs.url; a name service has to be described in hdfs-site.xml of store.hdfs.conf-dir, or of \
             HADOOP_CONF_DIR"
                .into()
        }
        Kind::Damaged => ". No replica is whole: look at hdfs fsck, and upload it again".into(),
        Kind::NotFound | Kind::Exists | Kind::Other => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOST: &str = "File /d/tmp/1 could only be written to 0 of the 1 minReplication nodes.";

    #[test]
    fn what_java_throws_is_told_apart() {
        let lost = |rest: &str| format!("{LOST} {rest}");
        for (class, message, expected) in [
            (
                "org.apache.hadoop.hdfs.server.namenode.SafeModeException",
                "… Name node is in safe mode.",
                Kind::SafeMode,
            ),
            ("org.apache.hadoop.ipc.RetriableException", "… Name node is in safe mode.", Kind::SafeMode),
            ("org.apache.hadoop.security.AccessControlException", "Permission denied: user=a", Kind::Denied),
            ("org.apache.hadoop.hdfs.protocol.DSQuotaExceededException", "The DiskSpace quota", Kind::Full),
            ("java.io.FileNotFoundException", "File does not exist: /x", Kind::NotFound),
            ("org.apache.hadoop.ipc.StandbyException", "Operation category READ", Kind::Unreachable),
            (
                "java.io.IOException",
                &lost("There are 0 datanode(s) running and no node(s) are excluded in this"),
                Kind::Unreachable,
            ),
            (
                "java.io.IOException",
                &lost("There are 1 datanode(s) running and 1 node(s) are excluded in this"),
                Kind::Full,
            ),
            (
                "java.io.IOException",
                &lost("There are 3 datanode(s) running and no node(s) are excluded in this"),
                Kind::Full,
            ),
            ("java.io.IOException", "anything", Kind::Other),
        ] {
            assert_eq!(of_java(class, message), expected, "{class} {message}");
        }
    }

    #[test]
    fn stack_traces_are_left_out() {
        let fault = Fault::of(
            &config::Hdfs::default(),
            "rename a file",
            &HdfsError::RPCError("java.io.IOException".into(), "no\n\tat java.base/x".into()),
        );
        assert!(!fault.to_string().contains("java.base"), "{fault}");
    }
}
