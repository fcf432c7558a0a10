//! The body of a job or context: a file, and single keys over it, as HOCON.

use std::io::Read;
use std::path::Path;

use super::args::Body;
use super::exit::Exit;
use super::failure::Failure;

/// Far over what a server takes by default; a wrong file shall not fill the memory.
const MAX_FILE_BYTES: u64 = 64 << 20;

impl Body {
    /// The file, with the single keys over it.
    pub fn text(&self) -> Result<String, Failure> {
        let mut keys = String::new();
        for (key, value) in self.pairs()? {
            keys.push_str(&line(key, value));
        }
        let file = self.file()?;
        if keys.is_empty() { Ok(file) } else { Ok(format!("{}\n{keys}", unbraced(&file)?)) }
    }

    /// The file alone, as it is.
    pub fn file(&self) -> Result<String, Failure> {
        Ok(self.config.as_deref().map(read).transpose()?.unwrap_or_default())
    }

    /// The single keys and their values.
    pub fn pairs(&self) -> Result<Vec<(&str, &str)>, Failure> {
        self.set
            .iter()
            .map(|text| match text.split_once('=') {
                Some((key, value)) if is_path(key.trim()) => Ok((key.trim(), value.trim())),
                _ => Err(wrong_set(text)),
            })
            .collect()
    }
}

/// HOCON lets keys follow the keys of a file, but not the braces around them.
fn unbraced(file: &str) -> Result<&str, Failure> {
    let text = file.trim();
    if !text.starts_with('{') {
        return Ok(text);
    }
    let inside = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    inside.ok_or_else(|| {
        Failure::new(Exit::Usage, "the file begins with `{` but does not end with `}`, so keys cannot be added to it")
            .hint("leave out the outermost braces, or leave out the single keys")
    })
}

/// `a.b=1` as `"a"."b" = 1`.
fn line(key: &str, value: &str) -> String {
    let value = match serde_json::from_str::<&serde_json::value::RawValue>(value) {
        Ok(value) => value.get().to_owned(),
        Err(_) => serde_json::Value::from(value).to_string(),
    };
    let path: Vec<String> = key.split('.').map(|part| format!("\"{part}\"")).collect();
    format!("{} = {value}\n", path.join("."))
}

fn is_path(key: &str) -> bool {
    let wrong = |part: &str| part.is_empty() || part.contains(['"', '\\']) || part.contains(char::is_control);
    !key.split('.').any(wrong)
}

fn wrong_set(text: &str) -> Failure {
    Failure::new(Exit::Usage, format!("`{text}` is not a key and a value")).hint("write --set key=value")
}

fn read(path: &Path) -> Result<String, Failure> {
    let cannot = |why: String| Failure::new(Exit::Usage, format!("cannot read {}: {why}", path.display()));
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(MAX_FILE_BYTES + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text))
    };
    read.map_err(|error| cannot(error.to_string()))?;
    if text.len() as u64 > MAX_FILE_BYTES {
        Err(cannot(format!("it is over {MAX_FILE_BYTES} bytes")))
    } else {
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(file: &str, set: &[&str]) -> Result<String, Failure> {
        let at = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(at.path(), file).unwrap();
        let set = set.iter().map(|&text| text.to_owned()).collect();
        Body { config: Some(at.path().to_owned()), set }.text()
    }

    #[test]
    fn a_file_alone_goes_as_it_is() {
        assert_eq!(body(" { a = ${b} }\n", &[]).unwrap(), " { a = ${b} }\n");
    }

    #[test]
    fn keys_follow_the_file_with_or_without_braces() {
        assert_eq!(body("a = 1\n", &["b.c=2"]).unwrap(), "a = 1\n\"b\".\"c\" = 2\n");
        assert_eq!(body("{\"a\": 1}\n", &["b=2"]).unwrap(), "\"a\": 1\n\"b\" = 2\n");
        assert!(body("{ a = 1 } # so", &["b=2"]).is_err());
    }

    #[test]
    fn values_are_json_or_else_text() {
        let text =
            body("", &["a=12345678901234567890", "b=local[*]", "c=[1, 2]", "d=", "e=x=\"y\"", "f=true"]).unwrap();
        let lines: Vec<&str> = text.trim().lines().collect();
        assert_eq!(
            lines,
            [
                "\"a\" = 12345678901234567890",
                "\"b\" = \"local[*]\"",
                "\"c\" = [1, 2]",
                "\"d\" = \"\"",
                "\"e\" = \"x=\\\"y\\\"\"",
                "\"f\" = true"
            ]
        );
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for wrong in ["a", "=1", "a..b=1", "a\"=1"] {
            assert!(body("", &[wrong]).is_err(), "{wrong}");
        }
    }
}
