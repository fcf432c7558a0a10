//! The `doyen` program, and the only wiring.

mod belonging;
mod node;
mod possession;
mod stores;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use doyen::adapters::embedded::data_dir::DataDirError;
use doyen::adapters::zookeeper::OpenError;
use doyen::cli::{self, Exit, Failure, Roles, ServerArgs, ShimArgs};
use doyen::config::{Config, LogFormat};
use doyen::runtime::logging;
use node::StartError;

fn main() -> ExitCode {
    // As its launcher calls it: without the command line's parser, whose code would stay mapped beside each driver.
    if let [_, role, flag, directory] = &std::env::args_os().collect::<Vec<_>>()[..]
        && role == "shim"
        && flag == "--directory"
    {
        return doyen::shim::run(Path::new(directory));
    }
    cli::main(Roles { server, shim, store: stores::run, check })
}

fn shim(args: &ShimArgs) -> Exit {
    if doyen::shim::run(&args.directory) == ExitCode::SUCCESS { Exit::Ok } else { Exit::Failed }
}

fn server(args: &ServerArgs) -> Exit {
    let config = match args.load() {
        Ok(config) => config,
        Err(errors) => return Failure::Config(errors).report(),
    };
    let format = match config.log.format {
        LogFormat::Auto => logging::Format::Auto,
        LogFormat::Text => logging::Format::Text,
        LogFormat::Json => logging::Format::Json,
    };
    let file = config.log.directory.as_ref().map(|dir| dir.join(logging::file_name(&config.node.name)));
    if let Err(error) = logging::init(&config.log.level, format, file.as_deref(), config.log.audit_file.as_deref()) {
        return Failure::new(Exit::ConfigInvalid, error.to_string()).report();
    }
    // Fails only when there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(config) {
        Ok(()) => Exit::Ok,
        Err(error) => failure(&error).report(),
    }
}

fn check(config: &Config) -> Result<(), Failure> {
    stores::check(config).map_err(|error| failure(&error))
}

/// For what still runs when the server has ended.
const LAST: Duration = Duration::from_secs(1);

fn run(config: Config) -> Result<(), StartError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(anyhow::Error::from)?;
    let ended = runtime.block_on(node::run(config));
    // What a dead mount holds is not waited for.
    runtime.shutdown_timeout(LAST);
    ended
}

fn failure(error: &StartError) -> Failure {
    let with_causes = |error: &dyn std::error::Error| {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            text = format!("{text}: {inner}");
            cause = inner.source();
        }
        text
    };
    match error {
        StartError::DataDir(error) => {
            let (exit, hint) = match error {
                DataDirError::InUse { command: Some(_), .. } => {
                    (Exit::DataDirInUse, "wait until that command has ended, or choose another directory with --data-dir")
                }
                DataDirError::InUse { .. } => {
                    (Exit::DataDirInUse, "stop that server, or choose another directory with --data-dir")
                }
                DataDirError::NewerFormat { .. } => {
                    (Exit::DataDirTooNew, "start the version that wrote it, or a newer one")
                }
                _ => (Exit::DataDirUnusable, "choose a directory that this user may write, with --data-dir"),
            };
            Failure::new(exit, with_causes(error)).hint(hint)
        }
        StartError::Listen { .. } => Failure::new(Exit::AddressUnavailable, with_causes(error))
            .hint("stop what listens there, or choose another address with --http"),
        StartError::Tls(_) => Failure::new(Exit::ConfigInvalid, with_causes(error))
            .hint("see `tls.certificate`, `tls.key` and `tls.client-ca` of the configuration"),
        StartError::Users(error) => Failure::new(Exit::ConfigInvalid, error.to_string())
            .hint("`doyen config check` looks at the users file too; `doyen user add` writes one"),
        StartError::NoBinaries { .. } | StartError::ZooKeeper(OpenError::Nothing { .. }) => {
            Failure::new(Exit::DataDirUnusable, error.to_string())
                .hint("name the configuration of the server with --config; `doyen store import` makes what it fills")
        }
        StartError::ZooKeeper(error) => {
            let exit = if error.is_of_configuration() { Exit::ConfigInvalid } else { Exit::ServerFailed };
            Failure::new(exit, error.to_string()).hint("see `zookeeper` in the configuration")
        }
        StartError::HalfImported { .. } => Failure::new(Exit::ServerFailed, with_causes(error))
            .hint("`doyen store import` of the same file goes on; or begin with an empty store"),
        StartError::Setting(why) => {
            Failure::new(Exit::ConfigInvalid, why.clone()).hint("see `store` in the configuration")
        }
        StartError::Belongs(_) => Failure::new(Exit::ConfigInvalid, error.to_string()).hint(
            "correct where the stores are (`store.metadata`, `zookeeper`, `store.binaries`, `node.data-dir`); or move a store, by \
             `doyen store export` from the one and `doyen store import` into the other; or go on with what is configured, by \
             `doyen store adopt`",
        ),
        StartError::Dispossessed(_) => Failure::new(Exit::ConfigInvalid, error.to_string()).hint(
            "another server was given it by `doyen store adopt`. If that was right, start this one no more, or with stores of its own; \
             its drivers end after `contexts.orphan-timeout`",
        ),
        StartError::Away(_) => Failure::new(Exit::ServerFailed, error.to_string()),
        StartError::Other(error) => Failure::new(Exit::ServerFailed, format!("{error:#}")),
    }
}
