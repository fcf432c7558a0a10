//! The connection to one of the servers: made anew whenever it breaks, with backoff over all that are known.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{Sink, Stream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::connect::{Socket, connect};
use crate::api::driver::attach::{HELLO_WITHIN_MS, PING_EVERY_MS, SILENT_AFTER_MS, close};
use crate::runtime::{clock, random};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// An attachment that lasted less does not end the backoff.
const STEADY_AFTER: Duration = Duration::from_secs(1);
const BATCH: usize = 256;
/// A server that takes nothing is not listened to while more than this waits for it.
const OUTPUT_BYTES: usize = 128 << 20;

#[derive(Debug)]
pub enum Event {
    /// Connected: say hello.
    Open,
    Messages(Vec<Utf8Bytes>),
    /// Broken, or there was none; the next try follows by itself.
    Lost(String),
    /// The server will not have this attempt, now or later.
    Refused(String),
}

enum State {
    Pausing,
    Connecting(JoinHandle<Result<Socket, String>>),
    Open(Box<Connection>),
    Off,
}

pub struct Attachment {
    path: String,
    secret: String,
    trust: Option<PathBuf>,
    servers: Vec<String>,
    /// Index of the server that is tried or attached.
    current: usize,
    pause: Duration,
    /// When `due` has something to do.
    deadline: Instant,
    state: State,
}

struct Connection {
    socket: Socket,
    output: VecDeque<Message>,
    output_bytes: usize,
    unflushed: bool,
    heard_at: Instant,
    /// When the first welcome came.
    welcomed_at: Option<Instant>,
    opened_at: Instant,
    ping_at: Instant,
}

impl Attachment {
    /// `servers` are base URLs; `trust` is the file of those that may be trusted for `https:`.
    pub fn new(context: &str, secret: &str, servers: Vec<String>, trust: Option<PathBuf>) -> Self {
        Self {
            path: format!("/v1/drivers/{context}/attach"),
            secret: secret.to_owned(),
            trust,
            servers,
            current: 0,
            pause: FIRST_PAUSE,
            deadline: clock::instant(),
            state: State::Pausing,
        }
    }

    /// The server has welcomed us and told which servers there are; an empty list changes nothing.
    pub fn welcomed(&mut self, servers: &[String], now: Instant) {
        if let State::Open(connection) = &mut self.state {
            connection.welcomed_at.get_or_insert(now);
        }
        if !servers.is_empty() {
            let current = self.servers.get(self.current).cloned();
            self.servers = servers.to_vec();
            self.current = self.servers.iter().position(|server| Some(server) == current.as_ref()).unwrap_or(0);
        }
    }

    /// Whether `due` would try a server now.
    pub fn is_about_to_connect(&self, now: Instant) -> bool {
        matches!(self.state, State::Pausing) && now >= self.deadline
    }

    /// From the next try on.
    pub fn set_trust(&mut self, trust: PathBuf) {
        self.trust = Some(trust);
    }

    /// Other servers are to be tried from now on.
    pub fn announced(&mut self, servers: Vec<String>) {
        self.servers = servers;
        self.current = 0;
        self.pause = FIRST_PAUSE;
    }

    /// All servers, the attached one first.
    pub fn servers(&self) -> Vec<String> {
        let (before, from_current) = self.servers.split_at(self.current.min(self.servers.len()));
        [from_current, before].concat()
    }

    /// When a server that has welcomed us was last heard.
    pub fn heard_at(&self) -> Option<Instant> {
        match &self.state {
            State::Open(connection) if connection.welcomed_at.is_some() => Some(connection.heard_at),
            _ => None,
        }
    }

    /// Queues a message; `event` writes it. Lost when the connection breaks.
    pub fn send(&mut self, text: Utf8Bytes) {
        if let State::Open(connection) = &mut self.state {
            connection.output_bytes += text.len();
            connection.output.push_back(Message::Text(text));
        }
    }

    /// What waits to be written, in bytes.
    pub fn backlog_bytes(&self) -> usize {
        if let State::Open(connection) = &self.state { connection.output_bytes } else { 0 }
    }

    /// No attachment from now on.
    pub fn end(&mut self) {
        self.state = State::Off;
    }

    /// Cuts the connection; the next server is tried after a pause.
    pub fn cut(&mut self, now: Instant) {
        if matches!(self.state, State::Off) {
            return;
        }
        let steady = matches!(&self.state, State::Open(connection)
            if connection.welcomed_at.is_some_and(|at| now.saturating_duration_since(at) > STEADY_AFTER));
        if steady {
            self.pause = FIRST_PAUSE;
        }
        self.state = State::Pausing;
        self.current = if self.servers.is_empty() { 0 } else { (self.current + 1) % self.servers.len() };
        self.deadline = now + self.pause.mul_f64(random::fraction().mul_add(0.5, 0.5));
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    pub fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Pausing => Some(self.deadline),
            State::Connecting(_) | State::Off => None,
            State::Open(connection) => Some(connection.deadline()),
        }
    }

    /// Connects, pings or gives up a silent server, if it is time.
    pub fn due(&mut self, now: Instant) -> Option<Event> {
        match &mut self.state {
            State::Pausing if now >= self.deadline => {
                let server = self.servers.get(self.current).cloned().unwrap_or_default();
                let (path, secret, trust) = (self.path.clone(), self.secret.clone(), self.trust.clone());
                let connecting = async move { connect(&server, &path, &secret, trust.as_deref()).await };
                self.state = State::Connecting(tokio::spawn(connecting));
                None
            }
            State::Open(connection) => {
                let error = connection.due(now)?;
                self.cut(now);
                Some(Event::Lost(error))
            }
            _ => None,
        }
    }

    /// Writes what is queued and waits for what comes. May be dropped and called again at any time.
    pub async fn event(&mut self) -> Event {
        match &mut self.state {
            State::Pausing | State::Off => std::future::pending().await,
            State::Connecting(connecting) => match connecting.await.unwrap_or_else(|error| Err(error.to_string())) {
                Ok(socket) => {
                    self.state = State::Open(Box::new(Connection::new(socket, clock::instant())));
                    Event::Open
                }
                Err(error) => {
                    self.cut(clock::instant());
                    Event::Lost(error)
                }
            },
            State::Open(connection) => match poll_fn(|context| connection.poll(context)).await {
                Ok(messages) => Event::Messages(messages),
                Err(Closed::Refused(reason)) => Event::Refused(reason),
                Err(Closed::Lost(reason)) => {
                    self.cut(clock::instant());
                    Event::Lost(reason)
                }
            },
        }
    }
}

enum Closed {
    Lost(String),
    Refused(String),
}

impl Connection {
    fn new(socket: Socket, now: Instant) -> Self {
        Self {
            socket,
            output: VecDeque::new(),
            output_bytes: 0,
            unflushed: false,
            heard_at: now,
            welcomed_at: None,
            opened_at: now,
            ping_at: now + Duration::from_millis(PING_EVERY_MS),
        }
    }

    fn deadline(&self) -> Instant {
        self.silent_at().min(self.ping_at)
    }

    fn silent_at(&self) -> Instant {
        match self.welcomed_at {
            Some(_) => self.heard_at + Duration::from_millis(SILENT_AFTER_MS),
            None => self.opened_at + Duration::from_millis(HELLO_WITHIN_MS),
        }
    }

    fn due(&mut self, now: Instant) -> Option<String> {
        if now >= self.silent_at() {
            return Some("the server was silent".into());
        }
        if now >= self.ping_at {
            self.ping_at = now + Duration::from_millis(PING_EVERY_MS);
            self.output.push_back(Message::Ping(Bytes::new()));
        }
        None
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Vec<Utf8Bytes>, Closed>> {
        if let Poll::Ready(Err(error)) = self.write(context) {
            // What the server said as it closed says more than that writing failed.
            return Poll::Ready(Err(match self.read(context) {
                Poll::Ready(Err(closed)) => closed,
                _ => Closed::Lost(error.to_string()),
            }));
        }
        if self.output_bytes > OUTPUT_BYTES {
            return Poll::Pending;
        }
        self.read(context)
    }

    fn write(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while !self.output.is_empty() {
            std::task::ready!(Pin::new(&mut self.socket).poll_ready(context))?;
            let Some(message) = self.output.pop_front() else { break };
            if let Message::Text(text) = &message {
                self.output_bytes -= text.len();
            }
            Pin::new(&mut self.socket).start_send(message)?;
            self.unflushed = true;
        }
        if self.unflushed {
            std::task::ready!(Pin::new(&mut self.socket).poll_flush(context))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn read(&mut self, context: &mut Context<'_>) -> Poll<Result<Vec<Utf8Bytes>, Closed>> {
        let mut messages = Vec::new();
        while messages.len() < BATCH {
            let closed = match Pin::new(&mut self.socket).poll_next(context) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok(message))) => {
                    self.heard_at = clock::instant();
                    match message {
                        Message::Text(text) => {
                            messages.push(text);
                            continue;
                        }
                        Message::Close(frame) => {
                            let frame = frame.map(|frame| (u16::from(frame.code), frame.reason.to_string()));
                            judge(frame)
                        }
                        _ => continue,
                    }
                }
                Poll::Ready(Some(Err(error))) => Closed::Lost(error.to_string()),
                Poll::Ready(None) => Closed::Lost("the server closed the connection".into()),
            };
            // What came before the end is not lost: the end is met again.
            if messages.is_empty() {
                return Poll::Ready(Err(closed));
            }
            if let Closed::Refused(_) = closed {
                return Poll::Ready(Err(closed));
            }
            break;
        }
        if messages.is_empty() { Poll::Pending } else { Poll::Ready(Ok(messages)) }
    }
}

fn judge(frame: Option<(u16, String)>) -> Closed {
    let Some((code, reason)) = frame else { return Closed::Lost("the server closed the connection".into()) };
    let text = format!("the server closed the connection with {code} {reason}");
    match code {
        close::MALFORMED | close::WRONG_SECRET | close::NO_CONTEXT | close::SUPERSEDED => Closed::Refused(text),
        _ => Closed::Lost(text),
    }
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::protocol::Role;
    use tokio_util::either::Either;

    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn attachment() -> Attachment {
        Attachment::new("c", "s", ["http://a", "http://b", "http://c"].map(String::from).into(), None)
    }

    /// Open since `now`; the server is the listener, which says nothing.
    async fn open(now: Instant) -> (Attachment, tokio::net::TcpListener) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let socket = WebSocketStream::from_raw_socket(Either::Left(stream), Role::Client, None).await;
        let mut attachment = attachment();
        attachment.state = State::Open(Box::new(Connection::new(socket, now)));
        (attachment, listener)
    }

    #[tokio::test]
    async fn a_server_that_does_not_welcome_is_dropped_after_five_seconds() {
        let now = clock::instant();
        let (mut attachment, _listener) = open(now).await;
        assert!(attachment.due(now + Duration::from_millis(4999)).is_none());
        assert!(matches!(attachment.due(now + seconds(5)), Some(Event::Lost(_))));
        assert_eq!(attachment.servers()[0], "http://b");
    }

    #[tokio::test]
    async fn a_silent_server_is_pinged_each_five_seconds_and_dropped_after_fifteen() {
        let now = clock::instant();
        let (mut attachment, _listener) = open(now).await;
        attachment.welcomed(&[], now);
        for (at, pings) in [(4, 0), (5, 1), (9, 1), (10, 2), (14, 2)] {
            assert!(attachment.due(now + seconds(at)).is_none());
            assert!(matches!(&attachment.state, State::Open(connection) if connection.output.len() == pings));
        }
        assert!(matches!(attachment.due(now + seconds(15)), Some(Event::Lost(_))));
    }

    #[test]
    fn pauses_grow_to_five_seconds_over_all_servers_with_jitter() {
        let (mut attachment, now) = (attachment(), clock::instant());
        for (expected_ms, server) in [(50, "b"), (100, "c"), (200, "a"), (400, "b")] {
            attachment.cut(now);
            let pause = attachment.deadline().unwrap() - now;
            assert!(pause * 2 >= Duration::from_millis(expected_ms) && pause <= Duration::from_millis(expected_ms));
            assert_eq!(attachment.servers()[0], format!("http://{server}"));
        }
        for _ in 0..20 {
            attachment.cut(now);
        }
        assert!((Duration::from_millis(2500)..=seconds(5)).contains(&(attachment.deadline().unwrap() - now)));
    }

    #[tokio::test]
    async fn an_attachment_that_lasted_ends_the_backoff_a_short_one_does_not() {
        let now = clock::instant();
        for (lasted, longest_ms) in [(seconds(2), 50), (Duration::from_millis(10), 5000)] {
            let (mut attachment, _listener) = open(now).await;
            attachment.pause = LONGEST_PAUSE;
            attachment.welcomed(&[], now);
            attachment.cut(now + lasted);
            let pause = attachment.deadline().unwrap() - (now + lasted);
            assert!(pause <= Duration::from_millis(longest_ms) && pause * 2 >= Duration::from_millis(longest_ms));
        }
    }

    #[test]
    fn close_codes_are_judged_as_documented() {
        let refused = |code| matches!(judge(Some((code, String::new()))), Closed::Refused(_));
        assert!([4400, 4401, 4404, 4409].into_iter().all(refused));
        assert!(![1000, 1001, 1006, 4410, 4503].into_iter().any(refused));
    }
}
