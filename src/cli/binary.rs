//! `doyen binary`.

use std::fs::File;
use std::path::Path;

use futures::StreamExt;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method, RequestBuilder};
use serde_json::{Map, Value};
use tokio_util::io::ReaderStream;

use super::Session;
use super::answer::{parse, text};
use super::args::{BinaryCommand, BinaryType};
use super::client::{Request, segment};
use super::exit::Exit;
use super::failure::{Failure, note};
use super::output::{cell, print, table};
use super::progress::Progress;

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 256 << 10;

impl BinaryType {
    fn of(file: &Path) -> Option<Self> {
        match file.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "whl" => Some(Self::Wheel),
            "egg" => Some(Self::Egg),
            "jar" => Some(Self::Jar),
            _ => None,
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Wheel => "application/python-wheel",
            Self::Egg => "application/python-egg",
            Self::Jar => "application/java-archive",
        }
    }
}

pub async fn run(session: &Session, command: &BinaryCommand) -> Result<(), Failure> {
    match command {
        BinaryCommand::Push { name, file, kind } => push(session, name, file, *kind).await,
        BinaryCommand::List => list(session).await,
        BinaryCommand::Rm { name } => {
            let path = format!("/binaries/{}", segment(name)?);
            let answer =
                session.client.ask(Request { method: Method::DELETE, path, query: Vec::new(), body: &Ok }).await?;
            session.done(&answer, &format!("deleted {name}"))
        }
    }
}

async fn push(session: &Session, name: &str, file: &Path, kind: Option<BinaryType>) -> Result<(), Failure> {
    let kind = kind.or_else(|| BinaryType::of(file)).ok_or_else(|| {
        let message = format!("cannot tell from its name what {} is", file.display());
        Failure::new(Exit::Usage, message).hint("say --type wheel, egg or jar")
    })?;
    let (_, size_bytes) = open(file)?;
    let progress = Progress::bytes(size_bytes, name.to_owned());
    let body = |request: RequestBuilder| {
        progress.restart();
        let (file, size_bytes) = open(file)?;
        let request = request.header(CONTENT_TYPE, kind.content_type()).header(CONTENT_LENGTH, size_bytes);
        Ok(request.body(stream(file, progress.counter())))
    };
    let path = format!("/binaries/{}", segment(name)?);
    let answer = session.client.ask(Request { method: Method::POST, path, query: Vec::new(), body: &body }).await;
    drop(progress);
    session.done(&answer?, &format!("pushed {name}, {size_bytes} bytes"))
}

/// The file and its size in bytes.
fn open(path: &Path) -> Result<(File, u64), Failure> {
    let cannot = |why: String| Failure::new(Exit::Usage, format!("cannot read {}: {why}", path.display()));
    let file = File::open(path).map_err(|error| cannot(error.to_string()))?;
    let metadata = file.metadata().map_err(|error| cannot(error.to_string()))?;
    if metadata.is_file() { Ok((file, metadata.len())) } else { Err(cannot("not a regular file".into())) }
}

fn stream(file: File, count: impl Fn(u64) + Send + Sync + 'static) -> Body {
    let chunks = ReaderStream::with_capacity(tokio::fs::File::from_std(file), CHUNK_BYTES);
    Body::wrap_stream(chunks.inspect(move |chunk| {
        if let Ok(chunk) = chunk {
            count(chunk.len() as u64);
        }
    }))
}

async fn list(session: &Session) -> Result<(), Failure> {
    let answer = session.client.get("/binaries".into(), Vec::new()).await?;
    if session.json {
        return print(&text(&answer));
    }
    let binaries: Map<String, Value> = parse(&answer)?;
    let row = |(name, binary): (&String, &Value)| {
        vec![name.clone(), cell(binary.get("binary-type")), cell(binary.get("upload-time"))]
    };
    if binaries.is_empty() {
        note("no binaries");
    }
    print(&table(&["NAME", "TYPE", "UPLOADED"], &binaries.iter().map(row).collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_by_file_name() {
        assert_eq!(BinaryType::of(Path::new("a/b-1.0-py3-none-any.WHL")), Some(BinaryType::Wheel));
        assert_eq!(BinaryType::of(Path::new("a.jar")), Some(BinaryType::Jar));
        assert_eq!(BinaryType::of(Path::new("whl")), None);
        assert_eq!(BinaryType::of(Path::new("a.zip")), None);
    }
}
