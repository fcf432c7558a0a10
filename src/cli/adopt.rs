//! `doyen store adopt`: what is said before, and what is asked.

use std::io::{self, BufRead, IsTerminal, Write};

use serde_json::json;

use super::exit::Exit;
use super::failure::{Failure, note};
use super::output::print;
use crate::core::belonging::Adoption;

/// Says what would be done, and asks for it unless `yes` is said already.
///
/// # Errors
/// When the answer is no, or nobody can be asked.
pub fn agree(adoption: &Adoption, yes: bool) -> Result<(), Failure> {
    let Adoption { store, takes, deletes } = adoption;
    if takes.is_empty() {
        return Ok(());
    }
    note(format!("this is taken over, and used with {store} from then on:"));
    takes.iter().for_each(|taken| note(format!("  {taken}")));
    note(
        "No server may run any more that used it. Drivers that live here, and are not known to that metadata store, are ended,",
    );
    note("and content to which nothing in it refers is deleted after `retention.unreferenced-age`.");
    if let Some(example) = deletes {
        note(format!("warning: it holds NO records, so that ALL content is deleted; there is {example}"));
    }
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(
            Failure::new(Exit::Usage, "nobody is there to agree: stdin is no terminal").hint("say it with --yes")
        );
    }
    let mut answer = String::new();
    write!(io::stderr(), "Go on? [y/N] ")?;
    io::stdin().lock().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::new(Exit::Failed, "nothing was taken over")),
    }
}

/// Tells what was done.
///
/// # Errors
/// When stdout cannot be written.
pub fn done(json: bool, adoption: &Adoption, id: &str) -> Result<Exit, Failure> {
    if json {
        print(&json!({"store": id, "taken-over": adoption.takes}).to_string())?;
    } else if adoption.takes.is_empty() {
        note(format!("there is nothing to take over: everything belongs to the metadata store {id}"));
    } else {
        note(format!("done: everything belongs to the metadata store {id}"));
    }
    Ok(Exit::Ok)
}
