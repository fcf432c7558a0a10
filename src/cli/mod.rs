//! The command line: a client of any server, and the way into `server` and `shim`.
//!
//! Data goes to stdout, everything else to stderr; `exit` lists the codes.

mod adopt;
mod answer;
mod args;
mod binary;
mod body;
mod callbacks;
mod client;
mod context;
mod exit;
mod failure;
mod job;
mod logs;
mod output;
mod progress;
mod replay;
mod secrets;
mod simulate;
mod store;
mod timeline;
mod token;
mod user;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use crate::config::Config;

pub use adopt::{agree as agree_to_adopt, done as adopted};
pub use args::{Cli, Command, ConfigCommand, ServerArgs, ShimArgs, StoreCommand};
pub use exit::Exit;
pub use failure::{Failure, note};
pub use store::{look_at_file, run as store};

use answer::text;
use client::{Answer, Client, Trust};
use output::print;

/// What the process can be besides a client.
#[derive(Clone, Copy)]
pub struct Roles {
    pub server: fn(&ServerArgs) -> Exit,
    pub shim: fn(&ShimArgs) -> Exit,
    /// Opens the stores of a configuration for `doyen store`.
    pub store: fn(bool, &StoreCommand) -> Result<Exit, Failure>,
    /// Looks at files that a configuration names for its stores.
    pub check: fn(&Config) -> Result<(), Failure>,
}

/// Reads the arguments of this process and does what they say.
pub fn main(roles: Roles) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody reads it: nothing is left to do.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Ok.into() };
        }
    };
    match run(&cli, roles) {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report().into(),
    }
}

fn run(cli: &Cli, roles: Roles) -> Result<Exit, Failure> {
    match &cli.command {
        Command::Server(args) => return Ok((roles.server)(args)),
        Command::Shim(args) => return Ok((roles.shim)(args)),
        Command::Store(command) => return (roles.store)(cli.json, command),
        Command::Config(ConfigCommand::Default) => print(crate::config::reference())?,
        Command::Config(ConfigCommand::Check(args)) => {
            let config = args.load()?;
            user::check(&config)?;
            (roles.check)(&config)?;
            note("the configuration is valid");
        }
        Command::Version if cli.json => print(&serde_json::json!({"version": VERSION}).to_string())?,
        Command::Version => print(&format!("doyen {VERSION}"))?,
        Command::Binary(command) => ask(cli, async |session| binary::run(session, command).await)?,
        Command::Context(command) => ask(cli, async |session| context::run(session, command).await)?,
        Command::Job(command) => ask(cli, async |session| job::run(session, command).await)?,
        Command::Token(command) => ask(cli, async |session| token::run(session, command).await)?,
        Command::Replay(args) => replay::run(args)?,
        Command::Simulate(args) => simulate::run(cli.json, args)?,
        Command::User(command) => user::run(cli.json, command)?,
        Command::Watch(args) => ask(cli, async |session| watch::run(session, args).await)?,
    }
    Ok(Exit::Ok)
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What every command that asks a server needs.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) json: bool,
}

impl Session {
    /// For commands without data: the answer as JSON, or a line on stderr.
    fn done(&self, answer: &Answer, line: &str) -> Result<(), Failure> {
        if self.json {
            return print(&text(answer));
        }
        note(line);
        Ok(())
    }
}

fn ask(cli: &Cli, command: impl AsyncFnOnce(&Session) -> Result<(), Failure>) -> Result<(), Failure> {
    let authorization = secrets::authorization(cli.user.as_deref(), cli.token_file.as_deref())?;
    let trust = Trust { ca: &cli.ca, cert: &cli.cert, key: &cli.key };
    let session = Session { client: Client::new(&cli.url, &trust, authorization)?, json: cli.json };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot start: {error}")))?;
    runtime.block_on(command(&session))
}
