//! `doyen store`: looks after stores that no server uses.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::args::StoreCommand;
use super::exit::Exit;
use super::failure::{Failure, note};
use super::output::{print, table};
use super::progress::Progress;
use crate::core::timestamp;
use crate::maintenance::{
    self, BlobError, CheckOptions, Checked, ExportOptions, FamilyStats, Finding, FormatError, Imported, Kind, Repaired,
    Source, Stats, Stores, ToolError,
};

/// Does what the command says, with stores that nobody else uses.
///
/// # Errors
/// With what went wrong, and what to do.
pub async fn run(json: bool, command: &StoreCommand, stores: &Stores) -> Result<Exit, Failure> {
    match command {
        StoreCommand::Check { repair, no_content, .. } => {
            check(json, CheckOptions { repair: *repair, content: !no_content }, stores).await
        }
        StoreCommand::Stats { .. } => stats(json, stores).await,
        StoreCommand::Export { file, as_lost, without_unreadable, .. } => {
            let options = ExportOptions { as_lost: *as_lost, without_unreadable: *without_unreadable };
            export(json, file, options, stores).await
        }
        StoreCommand::Import { file, .. } => import(json, file, stores).await,
        // Of that the wiring knows more: src/belonging.rs.
        StoreCommand::Adopt { .. } => Ok(Exit::Ok),
    }
}

/// Whether the file that the command names is of use: asked before any store is opened, or made.
///
/// # Errors
/// When there is nothing to import, or something that an export would replace.
pub fn look_at_file(command: &StoreCommand) -> Result<(), Failure> {
    let usage = |path: &Path, why: &str| Failure::new(Exit::Usage, format!("{}{why}", path.display()));
    match command {
        StoreCommand::Import { file, .. } if file != Path::new("-") => match file.metadata() {
            Err(error) => Err(usage(file, &format!(": {error}"))),
            Ok(found) if !found.is_file() => Err(usage(file, " is no file").hint("a pipe is imported as `-`")),
            Ok(_) => Ok(()),
        },
        StoreCommand::Export { file, .. } if file != Path::new("-") && file.symlink_metadata().is_ok() => {
            Err(usage(file, " is there already").hint("name another file"))
        }
        _ => Ok(()),
    }
}

async fn check(json: bool, options: CheckOptions, stores: &Stores) -> Result<Exit, Failure> {
    let bytes = if options.content { stores.blob_bytes().await.map_err(failure)? } else { 0 };
    let progress = Progress::bytes(bytes, "content".into());
    let mut tell = |finding: &Finding, repaired| {
        let line = if json { json_line(finding, repaired) } else { text_line(finding, repaired) };
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{line}")
    };
    let checked = maintenance::check(stores, options, &mut tell, &progress.counter()).await.map_err(failure)?;
    drop(progress);
    if json {
        print(&summary(&checked).to_string())?;
    } else {
        conclude(&checked, options);
    }
    Ok(if checked.is_sound() { Exit::Ok } else { Exit::StoreUnsound })
}

fn text_line(finding: &Finding, repaired: Repaired) -> String {
    let Finding { kind, key, wrong, means, repair } = finding;
    let then = match (repair, repaired) {
        (_, Repaired::Yes) => "; repaired".to_owned(),
        (_, Repaired::Changed) => "; not repaired: it changed in this moment".to_owned(),
        (Some(repair), Repaired::No) => format!("; --repair would {}", repair.does),
        (None, Repaired::No) => String::new(),
    };
    format!("{}: {key}: {wrong}: {means}{then}", kind.name())
}

fn json_line(finding: &Finding, repaired: Repaired) -> String {
    let Finding { kind, key, wrong, means, repair } = finding;
    let repair = repair.as_ref().map(|repair| repair.does);
    let repaired = repaired == Repaired::Yes;
    json!({"kind": kind.name(), "object": key, "wrong": wrong, "means": means, "repair": repair, "repaired": repaired})
        .to_string()
}

fn summary(checked: &Checked) -> serde_json::Value {
    let by_kind = |of: &BTreeMap<Kind, u64>| -> serde_json::Map<_, _> {
        of.iter().map(|(kind, number)| (kind.name().to_owned(), (*number).into())).collect()
    };
    let (findings, left) = (by_kind(&checked.findings), by_kind(&checked.left));
    json!({"sound": checked.is_sound(), "entries": checked.entries, "packed-jobs": checked.packed, "blobs": checked.blobs, "blob-bytes": checked.blob_bytes,
        "unreferenced-blobs": checked.unreferenced, "unreferenced-bytes": checked.unreferenced_bytes,
        "unread-segments": checked.unread_segments, "unknown-kinds": checked.unknown, "findings": findings, "repaired": checked.repaired,
        "left": left})
}

fn conclude(checked: &Checked, options: CheckOptions) {
    let Checked { entries, packed, blobs, blob_bytes, unreferenced, unreferenced_bytes, unread_segments, .. } = checked;
    let hashed = if options.content { "their content verified" } else { "their content not read" };
    note(format!("read {entries} records, {packed} packed jobs and {blobs} blobs of {blob_bytes} bytes, {hashed}"));
    if *unreferenced > 0 {
        let then = match unread_segments {
            0 => "retention removes them, once a server has seen them so for `retention.unreferenced-age`".into(),
            lost => format!("retention keeps them while {lost} segments of old jobs cannot be read"),
        };
        note(format!("nothing is seen to refer to {unreferenced} blobs of {unreferenced_bytes} bytes; {then}"));
    }
    for (family, number) in &checked.unknown {
        note(format!("unknown kind {family}: {number} records, which this version does not judge"));
    }
    let (wrong, repaired) = (checked.wrong(), checked.repaired);
    if wrong == 0 {
        return note("the store is sound");
    }
    let kinds: Vec<String> =
        checked.findings.iter().map(|(kind, number)| format!("{number} {}", kind.name())).collect();
    note(format!("{wrong} things are wrong ({}); {repaired} of them are repaired", kinds.join(", ")));
    if options.repair {
        for (kind, number) in &checked.left {
            note(format!("left as they are: {number} {}: {}", kind.name(), kind.why_left()));
        }
    }
    let more = checked.repairable - repaired;
    if more > 0 && !options.repair {
        note(format!("hint: `doyen store check --repair` repairs {more} of them"));
    }
}

async fn stats(json: bool, stores: &Stores) -> Result<Exit, Failure> {
    let stats = maintenance::stats(stores).await.map_err(failure)?;
    if json {
        let stats = serde_json::to_string(&stats).expect("plain fields");
        print(&stats)?;
        return Ok(Exit::Ok);
    }
    print(&text(&stats, stores))?;
    Ok(Exit::Ok)
}

fn text(stats: &Stats, stores: &Stores) -> String {
    let row = |(name, FamilyStats { number, bytes }): (&str, &FamilyStats)| {
        vec![name.to_owned(), number.to_string(), bytes.to_string()]
    };
    let mut rows: Vec<_> = stats.records.iter().map(|(name, of)| row((name, of))).collect();
    rows.push(row(("blobs", &stats.blobs)));
    rows.push(row(("blobs without a reference", &stats.unreferenced_blobs)));
    let mut lines = vec![table(&["KIND", "NUMBER", "BYTES"], &rows), String::new()];
    lines.extend(stats.jobs.iter().map(|(state, number)| format!("jobs {state}: {number}")));
    if stats.packed_jobs > 0 {
        lines.push(format!("old jobs in segments: {}", stats.packed_jobs));
    }
    if let (Some(oldest), Some(newest)) = (stats.oldest_job_ms, stats.newest_job_ms) {
        lines.push(format!("jobs submitted: {} to {}", timestamp::text(oldest), timestamp::text(newest)));
    }
    lines.push(format!("records: {}", stores.meta_place));
    lines.extend(stats.znodes.map(|znodes| format!("znodes: {znodes}")));
    lines.push(format!("binaries: {}", stores.blobs_place));
    lines.join("\n")
}

/// A file that appears under its name once it is whole, and is removed when it does not come to that.
struct Aside {
    path: PathBuf,
}

impl Aside {
    fn create(file: &Path) -> Result<(Self, File), Failure> {
        let unusable = |path: &Path, why: io::Error| Failure::new(Exit::Usage, format!("{}: {why}", path.display()));
        let mut name = file.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let path = file.with_file_name(name);
        // For its owner only: there are hashes of tokens, and what users sent, in it.
        let made = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        let made = made.map_err(|error| unusable(&path, error))?;
        Ok((Self { path }, made))
    }

    fn publish(self, out: &File, file: &Path) -> io::Result<()> {
        out.sync_all()?;
        std::fs::rename(&self.path, file)?;
        let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory)?.sync_all()
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // Published, it has another name.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn export(json: bool, file: &Path, options: ExportOptions, stores: &Stores) -> Result<Exit, Failure> {
    let to_stdout = file == Path::new("-");
    if to_stdout && io::stdout().is_terminal() {
        return Err(Failure::new(Exit::Usage, "an export is nothing to read").hint("redirect it, or name a file"));
    }
    // To add up their bytes beforehand would take a while itself where there are many.
    let progress = Progress::bytes(0, "export".into());
    let counter = progress.counter();
    let mut left = 0_u64;
    let mut left_out = |error: &BlobError| {
        left += 1;
        note(format!("left out: {error}"));
    };
    let counts = if to_stdout {
        let out = BufWriter::new(io::stdout());
        maintenance::export(stores, options, out, &mut left_out, &counter).await.map_err(failure)?
    } else {
        let (aside, out) = Aside::create(file)?;
        let written = maintenance::export(stores, options, BufWriter::new(&out), &mut left_out, &counter).await;
        let counts = written.map_err(failure)?;
        aside.publish(&out, file).map_err(|error| failure(ToolError::Output(error)))?;
        counts
    };
    drop(progress);
    if json && !to_stdout {
        print(&json!({"entries": counts.entries, "blobs": counts.blobs, "left-out": left}).to_string())?;
    } else {
        note(format!("exported {} records and {} blobs", counts.entries, counts.blobs));
    }
    if left > 0 {
        note(format!(
            "left out {left} blobs: `doyen store check` says whose they are, here and where this is imported"
        ));
    }
    Ok(Exit::Ok)
}

async fn import(json: bool, file: &Path, stores: &Stores) -> Result<Exit, Failure> {
    let source = if file == Path::new("-") { Source::Stdin } else { Source::File(file) };
    let bytes = match source {
        Source::Stdin => 0,
        // Read twice: first whether it is whole.
        Source::File(path) => path.metadata().map_or(0, |found| found.len() * 2),
    };
    let progress = Progress::bytes(bytes, "import".into());
    let imported = maintenance::import(stores, source, &progress.counter()).await;
    let imported = imported.map_err(|error| of_file(error, file))?;
    drop(progress);
    if json {
        let Imported { entries, blobs, resumed, packed_jobs, .. } = imported;
        print(
            &json!({"entries": entries, "blobs": blobs, "resumed": resumed, "packed-jobs": packed_jobs}).to_string(),
        )?;
        return Ok(Exit::Ok);
    }
    if imported.resumed {
        let (entries, blobs) = (imported.entries_there, imported.blobs_there);
        note(format!("gone on with an import that had brought {entries} records and {blobs} blobs"));
    }
    note(format!("imported {} records and {} blobs into {}", imported.entries, imported.blobs, stores.meta_place));
    if imported.packed_jobs > 0 {
        note(format!("packed {} old jobs of them into {} segments", imported.packed_jobs, imported.segments));
    }
    Ok(Exit::Ok)
}

/// What is wrong with a file is told with its name.
fn of_file(error: ToolError, file: &Path) -> Failure {
    let name = if file == Path::new("-") { "standard input".into() } else { file.display().to_string() };
    let is_of_file = matches!(error, ToolError::Format(_));
    let failure = failure(error);
    if is_of_file { failure.of(&name) } else { failure }
}

fn failure(error: ToolError) -> Failure {
    let told = |exit, hint: &str| Failure::new(exit, error.to_string()).hint(hint);
    match &error {
        ToolError::Live { .. } => told(
            Exit::Failed,
            "stop them first (`curl -X PUT <server>/contexts?reset=reboot`, or stop the server with SIGINT); with --as-lost they are \
             exported as a restart of the machine leaves them: contexts end in ERROR, or are started again if they are supervised, \
             and jobs end in ERROR or are retried; those in the queue of a supervised context go on waiting",
        ),
        ToolError::HalfImported { .. } | ToolError::OtherImport { .. } => told(Exit::Failed, GO_ON),
        ToolError::NotEmpty { .. } => told(
            Exit::Failed,
            "an import fills an empty store: name another --data-dir or `zookeeper.chroot`, or move away what is there",
        ),
        ToolError::Differs { .. } => told(Exit::Failed, "begin anew with an empty store"),
        ToolError::TooLarge { .. } => {
            told(Exit::Failed, "export it again once the job is removed, or import into a store that takes it")
        }
        ToolError::Format(FormatError::Newer { .. }) => {
            told(Exit::Usage, "import it with that version, or a newer one")
        }
        ToolError::Format(FormatError::Cut { .. } | FormatError::Damaged { .. }) => told(
            Exit::Failed,
            "no server serves what was imported of it; copy the file again and go on with the import, or begin anew with an empty store",
        ),
        ToolError::Format(_) => Failure::new(Exit::Usage, error.to_string()),
        ToolError::Blob(BlobError::Damaged { .. } | BlobError::Unreadable { .. }) => told(
            Exit::Failed,
            "`doyen store check` says whose it is; delete the file of a blob that nobody needs, or export all else with \
             --without-unreadable",
        ),
        ToolError::Output(broken) if broken.kind() == io::ErrorKind::BrokenPipe => Failure::ReaderGone,
        _ => Failure::new(Exit::Failed, error.to_string()),
    }
}

const GO_ON: &str =
    "`doyen store import` of the same file goes on; to give it up, remove what is there and begin with an empty store";
