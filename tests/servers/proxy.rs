//! A TCP proxy that does what networks do.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    Fair,
    /// What is there is reset, and what comes is closed at once.
    Cut,
    /// Connections stand, and nothing comes through, in either direction.
    Silent,
    /// Requests arrive, answers do not.
    AnswersLost,
    /// Each piece of an answer comes so much later.
    Slow(Duration),
    /// So many bytes a second, in each direction.
    Throttled(u32),
}

pub struct Proxy {
    pub address: SocketAddr,
    weather: watch::Sender<Now>,
    task: JoinHandle<()>,
}

/// How often it was cut until now, so that no connection misses a short cut.
type Now = (u32, Weather);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Request,
    Answer,
}

impl Proxy {
    pub async fn before(target: &str) -> Self {
        Self::at("127.0.0.1:0", target).await
    }

    /// Where clients are told to look for the server.
    pub async fn at(address: &str, target: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (weather, current) = watch::channel((0, Weather::Fair));
        let target = target.to_owned();
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                if current.borrow().1 != Weather::Cut {
                    tokio::spawn(connect(client, target.clone(), current.clone()));
                }
            }
        });
        Self { address, weather, task }
    }

    pub fn set(&self, weather: Weather) {
        self.weather.send_modify(|now| *now = (now.0 + u32::from(weather == Weather::Cut), weather));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.set(Weather::Cut);
        self.task.abort();
    }
}

async fn connect(client: TcpStream, target: String, weather: watch::Receiver<Now>) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let requests = pump(Direction::Request, from_client, to_server, weather.clone());
    let answers = pump(Direction::Answer, from_server, to_client, weather);
    tokio::pin!(requests, answers);
    // Who has said all may wait for an answer yet; a connection that is broken is so in both directions.
    tokio::select! {
        end = &mut requests => if end == End::Said { answers.await; },
        end = &mut answers => if end == End::Said { requests.await; },
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Said,
    Broken,
}

async fn pump(
    direction: Direction,
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut weather: watch::Receiver<Now>,
) -> End {
    let mut buffer = [0; 16 * 1024];
    // Bytes have gone missing: nobody can go on with this connection.
    let mut torn = false;
    let begun = weather.borrow().0;
    loop {
        let (cuts, now) = *weather.borrow_and_update();
        if cuts > begun || (torn && matches!(now, Weather::Fair | Weather::Slow(_) | Weather::Throttled(_))) {
            return End::Broken;
        }
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            changed = weather.changed() => {
                if changed.is_err() {
                    return End::Broken;
                }
                continue;
            }
        };
        let length = match read {
            Ok(0) => return End::Said,
            Ok(length) => length,
            Err(_) => return End::Broken,
        };
        let (_, now) = *weather.borrow();
        match now {
            Weather::Cut => return End::Broken,
            Weather::Silent => {
                torn = true;
                continue;
            }
            Weather::AnswersLost if direction == Direction::Answer => {
                torn = true;
                continue;
            }
            Weather::Fair | Weather::AnswersLost => {}
            Weather::Slow(delay) if direction == Direction::Answer => tokio::time::sleep(delay).await,
            Weather::Slow(_) => {}
            Weather::Throttled(bytes) => {
                tokio::time::sleep(Duration::from_secs(1) * u32::try_from(length).unwrap() / bytes).await;
            }
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return End::Broken;
        }
    }
}
