//! What a job leaves behind, a long result and a log, taken to the BinaryStore before its end is told.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::job_files::JobFiles;
use super::ledger::{Outcome, Settled};
use super::transfer::Transfer;
use crate::api::driver::Failure;
use crate::api::driver::spec::Limits;

/// A job that has ended in the driver.
#[derive(Debug)]
pub struct Ended {
    job: String,
    outcome: Outcome,
    result: Option<PathBuf>,
    log: Option<PathBuf>,
    has_files: bool,
}

/// Looks at what the job has left.
pub fn look(files: &JobFiles, limits: &Limits, job: String, outcome: Outcome) -> Ended {
    let log_bytes = files.bound_log(&job);
    let log = log_bytes.filter(|size| *size > 0).map(|_| files.log(&job));
    let has_log = log_bytes.is_some();
    let path = files.result(&job);
    let size = match &outcome {
        Outcome::FinishedInFile => fs::metadata(&path).map(|metadata| metadata.len()),
        // Too long to be sent as it is: then it goes the way of the long ones.
        Outcome::Finished(Some(result)) if result.get().len() as u64 > limits.inline_result_bytes => {
            into_file(result.get(), &path, limits.max_result_bytes)
        }
        _ => return Ended { job, outcome, result: None, log, has_files: has_log },
    };
    let (outcome, result) = match size {
        Ok(size) if size > limits.max_result_bytes => (too_large(size, limits.max_result_bytes), None),
        Ok(_) => (Outcome::FinishedInFile, Some(path)),
        Err(error) => (unavailable(&format!("its file cannot be read or written: {error}")), None),
    };
    Ended { job, outcome, result, log, has_files: true }
}

impl Ended {
    /// The job, if it has left files that are to be removed after the acknowledgement.
    pub fn with_files(&self) -> Option<&str> {
        self.has_files.then_some(&self.job)
    }

    pub fn needs_no_upload(&self) -> bool {
        self.result.is_none() && self.log.is_none()
    }

    pub fn without_upload(self) -> Settled {
        Settled { job: self.job, outcome: self.outcome, result_ref: None, log_ref: None, spans: None }
    }

    /// Waits until a server has taken it all.
    pub async fn upload(self, transfer: &Transfer) -> Settled {
        let (mut outcome, mut result_ref) = (self.outcome, None);
        if let Some(path) = self.result {
            let stored = match is_json(path.clone()).await {
                true => transfer.upload(&path).await.map_err(|error| format!("it cannot be stored: {error}")),
                false => Err("what the driver wrote is no JSON".into()),
            };
            match stored {
                Ok(blob) => result_ref = Some(blob),
                Err(reason) => outcome = unavailable(&reason),
            }
        }
        let log_ref = match self.log {
            // A log that cannot be had does not make the job fail.
            Some(path) => transfer.upload(&path).await.ok(),
            None => None,
        };
        Settled { job: self.job, outcome, result_ref, log_ref, spans: None }
    }
}

/// It will stand in the middle of answers, so it must not break them. A large one takes a while, on another thread.
async fn is_json(path: PathBuf) -> bool {
    let check = move || {
        let file = io::BufReader::new(fs::File::open(path)?);
        serde_json::from_reader::<_, serde::de::IgnoredAny>(file).map_err(io::Error::from)
    };
    tokio::task::spawn_blocking(check).await.is_ok_and(|checked| checked.is_ok())
}

fn into_file(result: &str, path: &PathBuf, max_bytes: u64) -> io::Result<u64> {
    let size = result.len() as u64;
    if size <= max_bytes {
        fs::write(path, result)?;
    }
    Ok(size)
}

fn too_large(size: u64, allowed: u64) -> Outcome {
    let message = format!("The result has {size} bytes; {allowed} are allowed (`jobs.max-result-bytes`).");
    Outcome::Failed(Failure::new("ResultTooLarge", message))
}

fn unavailable(reason: &str) -> Outcome {
    Outcome::Failed(Failure::new("ResultUnavailable", format!("The job's result is lost: {reason}.")))
}
