//! Bars and spinners, on stderr and only when that is a terminal.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Takes itself off the screen when dropped.
pub struct Progress(ProgressBar);

impl Progress {
    /// For waiting; `text` says for what.
    pub fn spinner(text: String) -> Self {
        let Some(bar) = shown(ProgressBar::new_spinner) else {
            return Self(ProgressBar::hidden());
        };
        bar.set_style(style("{spinner} {msg} [{elapsed}]"));
        bar.set_message(text);
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }

    /// For `size` bytes to be sent; 0 when nobody knows how many.
    pub fn bytes(size_bytes: u64, text: String) -> Self {
        if size_bytes == 0 {
            let counting = Self::spinner(text);
            counting.0.set_style(style("{spinner} {msg} {bytes} {bytes_per_sec} [{elapsed}]"));
            return counting;
        }
        let Some(bar) = shown(|| ProgressBar::new(size_bytes)) else {
            return Self(ProgressBar::hidden());
        };
        bar.set_style(style("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} eta {eta}"));
        bar.set_message(text);
        Self(bar)
    }

    pub fn say(&self, text: String) {
        self.0.set_message(text);
    }

    /// A handle to count with, for a stream that outlives the borrow.
    pub fn counter(&self) -> impl Fn(u64) + Send + Sync + 'static {
        let bar = self.0.clone();
        move |more| bar.inc(more)
    }

    /// Back to the beginning, for another try.
    pub fn restart(&self) {
        self.0.set_position(0);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn shown(make: impl FnOnce() -> ProgressBar) -> Option<ProgressBar> {
    io::stderr().is_terminal().then(make)
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates here are well formed")
}
