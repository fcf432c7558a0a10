//! Passwords and tokens of who uses the command line: from files, the environment, or the terminal without echo. Never
//! from arguments, which others can see, and never shown.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use reqwest::header::HeaderValue;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

use super::exit::Exit;
use super::failure::Failure;
use crate::core::access::encode_basic;

const MAX_BYTES: u64 = 4096;
const MIN_PASSWORD_CHARS: usize = 8;
const TERMINAL: &str = "/dev/tty";
const WITHOUT_PASSWORD: &str =
    "give it on stdin or with --password-file; `doyen user add --no-password` adds a user whom only tokens let in";

/// Keys, as a terminal sends them that does not interpret them.
const INTERRUPT: u8 = 3;
const END: u8 = 4;
const ERASE: [u8; 2] = [8, 127];
const ERASE_LINE: u8 = 21;

/// The value of `Authorization`, if the caller says who they are: with flags, or else with the environment.
///
/// # Errors
/// When what they name cannot be had.
pub fn authorization(user: Option<&str>, token_file: Option<&Path>) -> Result<Option<HeaderValue>, Failure> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let text = match (user, token_file) {
        (Some(user), _) => of_user(user)?,
        (None, Some(file)) => bearer(&of_file(file)?),
        (None, None) => match (variable("DOYEN_TOKEN"), variable("DOYEN_USER")) {
            (Some(token), _) => bearer(token.trim()),
            (None, Some(user)) => of_user(&user)?,
            (None, None) => return Ok(None),
        },
    };
    let wrong = |_| Failure::new(Exit::Usage, "the token holds what no token holds");
    let mut value = HeaderValue::from_str(&text).map_err(wrong)?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

fn of_user(user: &str) -> Result<String, Failure> {
    if user.contains(':') {
        return Err(Failure::new(Exit::Usage, "a user's name holds no `:`").hint("the password is DOYEN_PASSWORD"));
    }
    let password = match std::env::var("DOYEN_PASSWORD") {
        Ok(password) => password,
        Err(_) => prompt(&format!("password of {user}: "))?,
    };
    Ok(encode_basic(user, &password))
}

/// A new password: from a file (`-` is stdin), from what is piped in, or asked for twice.
///
/// # Errors
/// When there is none, or it is too short.
pub fn new_password(file: Option<&Path>) -> Result<String, Failure> {
    let password = match file {
        Some(file) if file != Path::new("-") => of_file(file)?,
        None if io::stdin().is_terminal() => {
            let first = prompt("new password: ")?;
            if prompt("once more: ")? != first {
                return Err(Failure::new(Exit::Usage, "the two passwords differ"));
            }
            first
        }
        _ => first_line(io::stdin().lock()).map_err(|error| cannot_read("stdin", &error))?,
    };
    if password.chars().count() < MIN_PASSWORD_CHARS {
        let failure = Failure::new(Exit::Usage, format!("a password has at least {MIN_PASSWORD_CHARS} characters"));
        return Err(if password.is_empty() { failure.hint(WITHOUT_PASSWORD) } else { failure });
    }
    Ok(password)
}

fn of_file(path: &Path) -> Result<String, Failure> {
    let line = File::open(path).and_then(|file| first_line(io::BufReader::new(file)));
    line.map_err(|error| cannot_read(&path.display().to_string(), &error))
}

fn cannot_read(what: &str, error: &io::Error) -> Failure {
    Failure::new(Exit::Usage, format!("cannot read {what}: {error}"))
}

fn first_line(from: impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    from.take(MAX_BYTES).read_line(&mut line)?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// Asks on the terminal, whatever stdin and stdout are.
fn prompt(question: &str) -> Result<String, Failure> {
    let terminal = OpenOptions::new().read(true).write(true).open(TERMINAL).map_err(|_| {
        let failure = Failure::new(Exit::Usage, "there is no terminal to ask for the password");
        failure.hint("set DOYEN_PASSWORD, or use a token with --token-file or DOYEN_TOKEN")
    })?;
    let failed = |error: io::Error| Failure::new(Exit::Failed, format!("cannot ask on the terminal: {error}"));
    ask(&terminal, question).map_err(failed)?.ok_or_else(|| Failure::new(Exit::Usage, "no password was given"))
}

/// Reads key by key, so that an interrupt does not leave a terminal without echo.
fn ask(terminal: &File, question: &str) -> io::Result<Option<String>> {
    let before = tcgetattr(terminal)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
    silent.special_codes[SpecialCodeIndex::VMIN] = 1;
    silent.special_codes[SpecialCodeIndex::VTIME] = 0;
    let mut to = terminal;
    let _restored = Restored(terminal, before);
    // First, so that nothing shows which is typed as soon as the question stands there.
    tcsetattr(terminal, OptionalActions::Flush, &silent)?;
    to.write_all(question.as_bytes())?;
    let line = keys(io::BufReader::new(terminal));
    to.write_all(b"\n")?;
    line
}

struct Restored<'a>(&'a File, Termios);

impl Drop for Restored<'_> {
    fn drop(&mut self) {
        // A terminal that is gone needs no echo.
        let _ = tcsetattr(self.0, OptionalActions::Flush, &self.1);
    }
}

/// The line, without what was erased; `None` after an interrupt or the end.
fn keys(from: impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    for key in from.bytes() {
        match key? {
            b'\n' | b'\r' => {
                let text = String::from_utf8(line);
                return text.map(Some).map_err(|_| io::Error::other("the password is not UTF-8"));
            }
            INTERRUPT | END => return Ok(None),
            ERASE_LINE => line.clear(),
            key if ERASE.contains(&key) => {
                // A character may be of several bytes, of which the first alone does not look like 10xxxxxx.
                while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
            }
            key if line.len() < MAX_BYTES as usize => line.push(key),
            _ => {}
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Option<String> {
        keys(text.as_bytes()).unwrap()
    }

    #[test]
    fn keys_make_a_line_and_may_erase() {
        assert_eq!(typed("hush\r"), Some("hush".into()));
        assert_eq!(typed("hü\u{7f}ush\u{8}h\n"), Some("hush".into()));
        assert_eq!(typed("\u{7f}wrong\u{15}right\n"), Some("right".into()));
        assert_eq!(typed("\n"), Some(String::new()));
    }

    #[test]
    fn an_interrupt_and_an_end_give_nothing() {
        assert_eq!(typed("hu\u{3}sh\n"), None);
        assert_eq!(typed("\u{4}"), None);
        assert_eq!(typed("no end"), None);
    }

    #[test]
    fn a_file_counts_to_its_first_line_end() {
        assert_eq!(first_line(&b"hush \r\nmore"[..]).unwrap(), "hush ");
        assert_eq!(first_line(&b""[..]).unwrap(), "");
    }
}
