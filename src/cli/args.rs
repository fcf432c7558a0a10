//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum, value_parser};

use super::exit::Exit;
use crate::config::duration;
use crate::config::{Config, ENVIRONMENT_PREFIX, Errors, Sources, load};

const DEFAULT_URL: &str = "http://127.0.0.1:8090";

const GLOBAL: &str = "Options of all commands";

/// A job server for Apache Spark, and its client.
#[derive(Debug, Parser)]
#[command(name = "doyen", version, after_long_help = Exit::help(), arg_required_else_help = true)]
pub struct Cli {
    /// A server; say it again for more. The next is asked when one is down.
    #[arg(
        long,
        global = true,
        env = "DOYEN_URL",
        hide_env_values = true,
        value_delimiter = ',',
        default_value = DEFAULT_URL,
        value_name = "URL",
        help_heading = GLOBAL
    )]
    pub url: Vec<String>,
    /// Trust servers that show a certificate of this PEM file, or that an authority in it has issued
    #[arg(long, global = true, env = "DOYEN_CA", value_name = "FILE", help_heading = GLOBAL)]
    pub ca: Option<PathBuf>,
    /// Show this certificate, in PEM; needs --key and --ca
    #[arg(long, global = true, env = "DOYEN_CERT", value_name = "FILE", help_heading = GLOBAL)]
    pub cert: Option<PathBuf>,
    /// The key of --cert, in PEM
    #[arg(long, global = true, env = "DOYEN_KEY", value_name = "FILE", help_heading = GLOBAL)]
    pub key: Option<PathBuf>,
    /// Print the server's answer as it is, in JSON.
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub json: bool,
    /// Who you are; the password is DOYEN_PASSWORD, or is asked for [env: DOYEN_USER=]
    #[arg(long, global = true, value_name = "NAME", help_heading = GLOBAL)]
    pub user: Option<String>,
    /// A file with a token, instead of user and password [env: DOYEN_TOKEN=, the token itself]
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "user", help_heading = GLOBAL)]
    pub token_file: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a server.
    Server(ServerArgs),
    /// Hold one driver. Servers start this.
    #[command(hide = true)]
    Shim(ShimArgs),
    /// Look at the server's configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Wheels, eggs and jars.
    #[command(subcommand)]
    Binary(BinaryCommand),
    /// Contexts, in which jobs run.
    #[command(subcommand)]
    Context(ContextCommand),
    /// Jobs.
    #[command(subcommand)]
    Job(JobCommand),
    /// Print what happens to jobs, contexts and binaries, a line each, until it is interrupted.
    Watch(WatchArgs),
    /// Play back what a node's flight recorder has kept: its decisions, and whether they are the same again.
    Replay(ReplayArgs),
    /// Play a cluster and its faults, and show who accuses, claims, wins and stops, and how long nobody could write.
    ///
    /// Nothing runs but the rules of the cluster, in a simulated network with a simulated store: no server is asked, and a minute takes
    /// a moment. The same arguments always play the same.
    #[command(after_help = super::simulate::help())]
    Simulate(SimulateArgs),
    /// Print the version.
    Version,
    /// Who may use servers: the users file on this machine.
    #[command(subcommand)]
    User(UserCommand),
    /// Tokens, which programs use instead of passwords.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Look after the stores of a server that does not run: check, repair, count, export, import, adopt.
    #[command(subcommand)]
    Store(StoreCommand),
}

#[derive(Debug, Default, Args)]
pub struct ServerArgs {
    /// The configuration [default: doyen.toml, if it is there]
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address and port to listen on (http.listen)
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<String>,
    /// Where to keep everything (node.data-dir)
    #[arg(long, value_name = "DIRECTORY")]
    pub data_dir: Option<String>,
    /// This node's name (node.name)
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Any key of the configuration
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
}

impl ServerArgs {
    /// The configuration, with this process's environment and working directory.
    ///
    /// # Errors
    /// As `config::load`.
    pub fn load(&self) -> Result<Config, Errors> {
        load(&Sources {
            file: self.config.clone(),
            directory: Some(PathBuf::new()),
            environment: environment(),
            set: self.set.clone(),
            http: self.http.clone(),
            data_dir: self.data_dir.clone(),
            node: self.node.clone(),
        })
    }
}

/// Our own variables. What is not Unicode cannot be valid, and the configuration says so of it.
fn environment() -> Vec<(String, String)> {
    let text = |value: std::ffi::OsString| value.to_string_lossy().into_owned();
    let all = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
    let mut ours: Vec<_> = all.filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX)).collect();
    ours.sort();
    ours
}

#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The dump
    #[arg(value_name = "FILE")]
    pub dump: PathBuf,
}

#[derive(Debug, Args)]
#[group(skip)]
#[command(group(ArgGroup::new("what").args(["fault", "seed", "plan"]).required(true).multiple(true)))]
pub struct SimulateArgs {
    /// What happens, once the cluster has formed; see below
    #[arg(long, value_name = "FAULTS")]
    pub fault: Option<String>,
    /// How many nodes, named A, B, … by age [default: 3]
    #[arg(long, value_name = "N", requires = "fault", value_parser = value_parser!(u8).range(1..=26))]
    pub nodes: Option<u8>,
    /// How long it goes on after the faults have begun [default: 20s]
    #[arg(long = "for", value_name = "TIME", requires = "fault", value_parser = super::simulate::time)]
    pub lasting_ms: Option<u64>,
    /// Delays and moments come from this number [default: 1]; without --fault also nodes and faults, at random
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Play what this file says, as --dump writes it, or a seed that failed
    #[arg(long, value_name = "FILE", conflicts_with_all = ["fault", "seed"])]
    pub plan: Option<PathBuf>,
    /// Also show how the cluster forms
    #[arg(long, requires = "fault")]
    pub all: bool,
    /// Draw it
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Write each run's flight recorder there, for `doyen replay`, and the plan, for --plan
    #[arg(long, value_name = "DIRECTORY")]
    pub dump: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ShimArgs {
    /// The shim's own directory, with the file that says what to run.
    #[arg(long)]
    pub directory: PathBuf,
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the commented reference: every key at its default.
    Default,
    /// Tell what is wrong with the configuration, and where.
    Check(ServerArgs),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BinaryType {
    Wheel,
    Egg,
    Jar,
}

#[derive(Debug, Subcommand)]
pub enum BinaryCommand {
    /// Upload a file under a name; an older one of that name is replaced.
    Push {
        name: String,
        file: PathBuf,
        /// What the file is [default: told by .whl, .egg, .jar]
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<BinaryType>,
    },
    /// List the binaries.
    List,
    /// Delete a binary.
    Rm { name: String },
}

/// Settings or a job's input, in HOCON or JSON.
#[derive(Debug, Default, Args)]
pub struct Body {
    /// A file of HOCON or JSON; - is stdin
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A single key, over the file; the value is JSON, or else text
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub enum ContextCommand {
    /// Start a context.
    Create {
        name: String,
        /// A kind of driver, like python or pyspark, or a context factory of Spark Jobserver
        #[arg(long)]
        factory: Option<String>,
        #[command(flatten)]
        body: Body,
    },
    /// List the contexts.
    List,
    /// Show one context.
    Show { name: String },
    /// Stop a context.
    Stop {
        name: String,
        /// Without time for its jobs
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// Start a job; prints its id, or with --wait its result.
    Submit(SubmitArgs),
    /// List jobs, the newest first.
    List {
        /// Only those in this state
        #[arg(long)]
        status: Option<String>,
        /// At most so many
        #[arg(long)]
        limit: Option<u32>,
    },
    /// Show one job.
    Show { id: String },
    /// Print what a job wrote.
    Logs {
        id: String,
        /// Go on until the job ends
        #[arg(short, long)]
        follow: bool,
        /// Of this attempt of the job, from 1 on; else of the last that wrote something
        #[arg(long, value_name = "N")]
        attempt: Option<u32>,
    },
    /// Show where a job's time went.
    Timeline { id: String },
    /// Stop a job.
    Kill { id: String },
    /// Show what became of a job's callback.
    Callbacks {
        id: String,
        /// Have it delivered once more
        #[arg(long)]
        replay: bool,
    },
}

#[derive(Debug, Args)]
pub struct SubmitArgs {
    /// Binaries by name, or URIs
    #[arg(long, required = true, value_delimiter = ',', value_name = "BINARY")]
    pub app: Vec<String>,
    /// The job's class, like package.module.Class
    #[arg(long)]
    pub class: String,
    /// The context to run in [default: one of its own]
    #[arg(long)]
    pub context: Option<String>,
    /// Wait for a place in the context, if there is none
    #[arg(long, requires = "context")]
    pub queue: bool,
    /// From -100 to 100: of the jobs that wait, the higher goes first
    #[arg(long, requires = "context", allow_negative_numbers = true, value_name = "N",
        value_parser = value_parser!(i32).range(-100..=100))]
    pub priority: Option<i32>,
    /// Run it again so often when it is lost with its driver; a named context must be supervised
    #[arg(long, value_name = "N")]
    pub retries: Option<u32>,
    #[command(flatten)]
    pub body: Body,
    /// Wait for the end and print the result
    #[arg(long)]
    pub wait: bool,
    /// How long to wait at most, like 30s; a bare number is seconds. The job goes on then
    #[arg(long, requires = "wait", value_name = "DURATION", value_parser = timeout)]
    pub timeout: Option<Duration>,
}

/// Which users file.
#[derive(Debug, Default, Args)]
pub struct UserFile {
    /// The users file [default: security.users-file of the configuration]
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The configuration [default: doyen.toml, if it is there]
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Any key of the configuration
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
}

impl UserFile {
    /// The configuration is that of a server.
    pub fn server(&self) -> ServerArgs {
        ServerArgs { config: self.config.clone(), set: self.set.clone(), ..ServerArgs::default() }
    }
}

#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user. The password is asked for, or read from stdin if that is no terminal.
    Add {
        name: String,
        /// What the user may do: admin, user, reader, or a role of the configuration; say it again for more
        #[arg(long, required = true, value_delimiter = ',')]
        role: Vec<String>,
        /// No password lets the user in: only tokens do
        #[arg(long, conflicts_with = "password_file")]
        no_password: bool,
        /// Read the password from this file's first line; - is stdin
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        #[command(flatten)]
        place: UserFile,
    },
    /// List the users.
    List {
        #[command(flatten)]
        place: UserFile,
    },
    /// Remove a user.
    Rm {
        name: String,
        #[command(flatten)]
        place: UserFile,
    },
    /// Give a user another password.
    Passwd {
        name: String,
        /// Read the password from this file's first line; - is stdin
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        #[command(flatten)]
        place: UserFile,
    },
    /// Give a user other roles.
    Roles {
        name: String,
        #[arg(required = true)]
        role: Vec<String>,
        #[command(flatten)]
        place: UserFile,
    },
}

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token, and print it: it is shown this once.
    Create {
        /// Whose [default: your own]
        #[arg(long, value_name = "NAME")]
        of: Option<String>,
        /// What it permits, like jobs or jobs:read; say it again for more [default: all that the user may do]
        #[arg(long, value_delimiter = ',')]
        permission: Vec<String>,
        /// How long it is good for, like 12h or 30d [default: 90d]
        #[arg(long, value_name = "DURATION")]
        life: Option<String>,
        /// What it is for
        #[arg(long)]
        note: Option<String>,
    },
    /// List the tokens that are good.
    List,
    /// Make a token good for nothing.
    Revoke { id: String },
}

/// Whose stores.
#[derive(Debug, Default, Args)]
pub struct StorePlace {
    /// The server's configuration [default: doyen.toml, if it is there]
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the server keeps everything (node.data-dir)
    #[arg(long, value_name = "DIRECTORY")]
    pub data_dir: Option<String>,
    /// Any key of the configuration
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
}

impl StorePlace {
    pub fn server(&self) -> ServerArgs {
        let Self { config, data_dir, set } = self;
        ServerArgs { config: config.clone(), data_dir: data_dir.clone(), set: set.clone(), ..ServerArgs::default() }
    }
}

#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Read everything, and say what is wrong, a line each; exit code 9 if something is.
    Check {
        /// Repair what is safe to repair: entries of indexes are added or deleted, records and content are not
        #[arg(long)]
        repair: bool,
        /// Do not read the content of binaries, results and logs
        #[arg(long)]
        no_content: bool,
        #[command(flatten)]
        place: StorePlace,
    },
    /// Tell how much the store holds, by kind.
    Stats {
        #[command(flatten)]
        place: StorePlace,
    },
    /// Write all records and content into a file, from which another store is filled.
    Export {
        /// A new file; - is stdout
        file: PathBuf,
        /// Also with contexts that live and jobs that have not ended: without their drivers, as a restart of the machine leaves them
        #[arg(long)]
        as_lost: bool,
        /// Leave out content that is damaged or cannot be read, and name it; all content is read twice
        #[arg(long)]
        without_unreadable: bool,
        #[command(flatten)]
        place: StorePlace,
    },
    /// Fill an empty store from a file. Said again after it was broken off, it goes on.
    Import {
        /// The file of an export; - is stdin
        file: PathBuf,
        #[command(flatten)]
        place: StorePlace,
    },
    /// Take over what belongs to another data directory or metadata store: once a server's disk is lost, for instance.
    ///
    /// What is configured belongs together afterwards: the chroot in ZooKeeper, the binaries, and the data directory with its drivers.
    /// It says before what it takes over, and from whom.
    Adopt {
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        /// Also when a server worked with the binaries less than three minutes ago: it ends once it notices
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        place: StorePlace,
    },
}

impl StoreCommand {
    pub fn place(&self) -> &StorePlace {
        match self {
            Self::Check { place, .. }
            | Self::Stats { place }
            | Self::Export { place, .. }
            | Self::Import { place, .. }
            | Self::Adopt { place, .. } => place,
        }
    }
}

#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Only this job, and only until it has ended
    #[arg(long, value_name = "ID")]
    pub job: Option<String>,
    /// Only this context and its jobs
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Only these: job, context, binary
    #[arg(long, value_delimiter = ',', value_name = "TYPE")]
    pub types: Vec<String>,
    /// Only those in these states
    #[arg(long, value_delimiter = ',', value_name = "STATE")]
    pub state: Vec<String>,
    /// Go on after this event, instead of now
    #[arg(long, value_name = "CURSOR")]
    pub cursor: Option<u64>,
}

/// A year: more is a mistake.
const MAX_TIMEOUT: Duration = Duration::from_secs(366 * 24 * 3600);

/// As in the configuration, or a number of seconds.
fn timeout(text: &str) -> Result<Duration, String> {
    let read = text.parse().map(Duration::from_secs).or_else(|_| duration::parse(text))?;
    if read.is_zero() || read > MAX_TIMEOUT { Err("it is from 1ms to 366d".into()) } else { Ok(read) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn urls_may_be_repeated_and_stand_after_the_command() {
        let cli =
            Cli::try_parse_from(["doyen", "job", "list", "--url", "http://a", "--url", "http://b,http://c"]).unwrap();
        assert_eq!(cli.url, ["http://a", "http://b", "http://c"]);
    }

    #[test]
    fn a_priority_may_be_negative_and_needs_a_context() {
        let submit = ["doyen", "job", "submit", "--app", "a", "--class", "c", "--priority", "-5"];
        assert!(Cli::try_parse_from(submit).is_err());
        assert!(Cli::try_parse_from(submit.into_iter().chain(["--context", "c"])).is_ok());
    }

    #[test]
    fn a_timeout_needs_wait() {
        let submit = ["doyen", "job", "submit", "--app", "a,b", "--class", "c", "--timeout", "3"];
        assert!(Cli::try_parse_from(submit).is_err());
        assert!(Cli::try_parse_from(submit.into_iter().chain(["--wait"])).is_ok());
    }

    #[test]
    fn a_timeout_is_a_duration_or_seconds() {
        assert_eq!(timeout("90"), Ok(Duration::from_secs(90)));
        assert_eq!((timeout("250ms"), timeout("2m")), (Ok(Duration::from_millis(250)), Ok(Duration::from_secs(120))));
        for wrong in ["0", "0s", "x", "1.5s", "-1", "400d"] {
            assert!(timeout(wrong).is_err(), "{wrong}");
        }
    }
}
