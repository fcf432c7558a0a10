//! The driver's end of the conversation: JSON lines over a socket, in batches both ways.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use serde::Serialize;
use tokio::net::UnixStream;

use crate::api::driver::MAX_MESSAGE_BYTES;

const READ_BYTES: usize = 16 << 10;

pub struct Channel {
    stream: UnixStream,
    input: BytesMut,
    /// So much of `input` holds no end of a line.
    scanned: usize,
    /// Bounded by what the driver may be told: `max_jobs` runs and their cancels.
    output: BytesMut,
}

impl Channel {
    pub fn new(stream: std::os::unix::net::UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let stream = UnixStream::from_std(stream)?;
        Ok(Self { stream, input: BytesMut::new(), scanned: 0, output: BytesMut::new() })
    }

    /// Queues a message; `next` writes it.
    pub fn send(&mut self, message: &impl Serialize) {
        let line = serde_json::to_vec(message).expect("messages have string keys only");
        self.output.extend_from_slice(&line);
        self.output.extend_from_slice(b"\n");
    }

    /// Writes what is queued and, with `reading`, waits for whole lines, as many as have come. `None` at the end of the
    /// stream. May be dropped and called again at any time.
    pub async fn next(&mut self, reading: bool) -> io::Result<Option<Bytes>> {
        poll_fn(|context| {
            self.write(context);
            if reading { self.read(context) } else { Poll::Pending }
        })
        .await
    }

    /// What lies in the socket once nobody is left to write more. Asks the socket itself: the runtime may not have
    /// been told yet that there is something.
    pub fn rest(mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.input).to_vec();
        let mut buffer = vec![0; READ_BYTES];
        while let Ok(count @ 1..) = rustix::io::read(&self.stream, &mut buffer) {
            rest.extend_from_slice(&buffer[..count]);
        }
        rest.truncate(rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
        rest
    }

    /// A driver that no longer listens is noticed by reading.
    fn write(&mut self, context: &mut Context<'_>) {
        while !self.output.is_empty() {
            match self.stream.try_write(&self.output) {
                Ok(count) => self.output.advance(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.stream.poll_write_ready(context).is_pending() {
                        return;
                    }
                }
                Err(_) => self.output.clear(),
            }
        }
    }

    fn read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        loop {
            if let Some(end) = self.input[self.scanned..].iter().rposition(|byte| *byte == b'\n') {
                let lines = self.input.split_to(self.scanned + end + 1).freeze();
                self.scanned = self.input.len();
                return Poll::Ready(Ok(Some(lines)));
            }
            self.scanned = self.input.len();
            if self.scanned > MAX_MESSAGE_BYTES {
                return Poll::Ready(Err(io::Error::other("the driver sent a line of more than 64 MiB")));
            }
            self.input.reserve(READ_BYTES);
            match self.stream.try_read_buf(&mut self.input) {
                Ok(0) => return Poll::Ready(Ok(None)),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.stream.poll_read_ready(context))?;
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Poll::Ready(Ok(None)),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    fn pair() -> (Channel, std::os::unix::net::UnixStream) {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        (Channel::new(ours).unwrap(), theirs)
    }

    #[tokio::test]
    async fn whole_lines_come_together_and_the_rest_later() {
        let (mut channel, mut driver) = pair();
        driver.write_all(b"one\ntwo\nthr").unwrap();
        assert_eq!(channel.next(true).await.unwrap().unwrap(), "one\ntwo\n");
        driver.write_all(b"ee\n").unwrap();
        assert_eq!(channel.next(true).await.unwrap().unwrap(), "three\n");
        drop(driver);
        assert!(channel.next(true).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn what_a_driver_said_last_is_read_after_its_death() {
        let (channel, mut driver) = pair();
        driver.write_all(b"one\ntwo\nthr").unwrap();
        drop(driver);
        assert_eq!(channel.rest(), b"one\ntwo\n");
    }

    #[tokio::test]
    async fn a_driver_that_does_not_read_does_not_keep_us_from_reading() {
        let (mut channel, mut driver) = pair();
        channel.send(&"x".repeat(4 << 20));
        driver.write_all(b"one\n").unwrap();
        assert_eq!(channel.next(true).await.unwrap().unwrap(), "one\n");
        let reader = std::thread::spawn(move || {
            let mut all = vec![0; (4 << 20) + 3];
            driver.read_exact(&mut all).unwrap();
            driver.write_all(b"two\n").unwrap();
            all
        });
        assert_eq!(channel.next(true).await.unwrap().unwrap(), "two\n");
        assert!(reader.join().unwrap().ends_with(b"x\"\n"));
    }
}
