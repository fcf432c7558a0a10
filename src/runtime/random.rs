//! Randomness.

use uuid::Uuid;

/// A new id whose text sorts by time of creation: ids of one process ascend strictly.
#[allow(clippy::disallowed_methods, reason = "the one maker of ids")]
pub fn id() -> String {
    Uuid::now_v7().to_string()
}

/// A secret of 256 bits as 64 hex digits.
///
/// # Panics
/// When the operating system gives no randomness.
pub fn secret() -> String {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).expect("the operating system gives randomness");
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A number from 0 to below this power of two.
///
/// # Panics
/// When the operating system gives no randomness.
pub fn below(power_of_two: u64) -> u64 {
    getrandom::u64().expect("the operating system gives randomness") % power_of_two
}

/// A number from 0 to below 1, for jitter.
///
/// # Panics
/// When the operating system gives no randomness.
pub fn fraction() -> f64 {
    f64::from(getrandom::u32().expect("the operating system gives randomness")) / (f64::from(u32::MAX) + 1.0)
}
