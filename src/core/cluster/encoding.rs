//! The record as bytes: JSON with its format before it and a sum over it, so that a damaged or newer one is told from a good one.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::fnv;
use crate::record::{FORMAT, Invalid, Record};

/// Bytes of an encoded record at most; ZooKeeper takes a megabyte.
pub const LONGEST: usize = 512 * 1024;

/// Why bytes are no record that can be used. Whoever reads one neither claims nor creates.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Unreadable {
    #[error("the record has format {format}, this version reads up to {FORMAT}: run the version that wrote it")]
    Newer { format: u32 },
    #[error("the record is damaged: {why}")]
    Damaged { why: String },
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

#[derive(Serialize, Deserialize)]
struct Wrapped<'a> {
    format: u32,
    sum: String,
    #[serde(borrow)]
    record: &'a RawValue,
}

/// Against damage, not against malice: who may write the record may write any record.
fn sum(bytes: &[u8]) -> String {
    format!("{:016x}", fnv::sum(bytes))
}

/// # Errors
/// The record breaks a rule that all records keep, or is longer than [`LONGEST`].
pub fn encode(record: &Record) -> Result<Vec<u8>, Invalid> {
    record.validate()?;
    let text = serde_json::to_string(record).map_err(|_| Invalid("it cannot be written as JSON"))?;
    let raw: &RawValue = serde_json::from_str(&text).map_err(|_| Invalid("it cannot be written as JSON"))?;
    let wrapped = Wrapped { format: FORMAT, sum: sum(text.as_bytes()), record: raw };
    let bytes = serde_json::to_vec(&wrapped).map_err(|_| Invalid("it cannot be written as JSON"))?;
    if bytes.len() > LONGEST { Err(Invalid("it is longer than allowed")) } else { Ok(bytes) }
}

/// # Errors
/// See [`Unreadable`].
pub fn decode(bytes: &[u8]) -> Result<Record, Unreadable> {
    let damaged = |why: &dyn std::fmt::Display| Unreadable::Damaged { why: why.to_string() };
    if bytes.len() > LONGEST {
        return Err(damaged(&"it is longer than allowed"));
    }
    // A newer format may look otherwise, but for its number.
    let format: Format = serde_json::from_slice(bytes).map_err(|e| damaged(&e))?;
    if format.format > FORMAT {
        return Err(Unreadable::Newer { format: format.format });
    }
    if format.format == 0 {
        return Err(damaged(&"there is no format 0"));
    }
    let wrapped: Wrapped = serde_json::from_slice(bytes).map_err(|e| damaged(&e))?;
    if wrapped.sum != sum(wrapped.record.get().as_bytes()) {
        return Err(damaged(&"its sum is not that of its content"));
    }
    let record: Record = serde_json::from_str(wrapped.record.get()).map_err(|e| damaged(&e))?;
    record.validate().map_err(|e| damaged(&e))?;
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::record;

    fn encoded() -> String {
        String::from_utf8(encode(&record(&["a", "b"])).expect("it is valid")).expect("JSON is UTF-8")
    }

    #[track_caller]
    fn refused(bytes: &str, why: &str) {
        let told = decode(bytes.as_bytes()).expect_err("it is no good record").to_string();
        assert!(told.contains(why), "{told}");
    }

    #[test]
    fn what_was_written_is_read() {
        assert_eq!(decode(encoded().as_bytes()), Ok(record(&["a", "b"])));
    }

    #[test]
    fn a_newer_format_is_told_as_such_whatever_it_holds() {
        refused(r#"{"format":2,"members":"elsewhere"}"#, "format 2");
    }

    #[test]
    fn each_damaged_byte_is_noticed() {
        let good = encoded();
        for at in 0..good.len() {
            let mut bytes = good.clone().into_bytes();
            bytes[at] ^= 1;
            assert_ne!(decode(&bytes), Ok(record(&["a", "b"])), "byte {at}");
            assert!(decode(&bytes).is_err(), "byte {at} of {good}");
        }
    }

    #[test]
    fn a_cut_record_and_an_empty_one_are_damaged() {
        refused(&encoded()[..40], "damaged");
        refused("", "damaged");
    }

    #[test]
    fn equal_ages_are_refused_when_read_and_when_written() {
        let mut twins = record(&["a", "b"]);
        twins.members[1].age = twins.members[0].age;
        assert!(encode(&twins).is_err());
        let text = serde_json::to_string(&twins).expect("JSON");
        refused(&format!(r#"{{"format":1,"sum":"{}","record":{text}}}"#, sum(text.as_bytes())), "ages");
    }
}
