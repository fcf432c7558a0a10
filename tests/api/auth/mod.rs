//! A server with users: who gets in, what they may do, and what is told of it.

mod audit;
mod basic;
mod file;
mod guessing;
mod proxy;
mod roles;
mod tokens;

use doyen::core::access::{Credentials, User, Users, encode_basic};
use doyen::runtime::private_file;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use crate::fixture::{Place, Reply, Server};

/// The password of every user, and its hash at the least cost, for the machine that runs the tests.
const PASSWORD: &str = "open sesame";
const HASH: &str = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$kyj4KAQPkDHofxQqmZFrtcrDql5eltyrs3W6/tB5JPs";
const NO_CREDENTIALS: &str = "The resource requires authentication, which was not supplied with the request";
const BAD_CREDENTIALS: &str = "The supplied authentication is invalid";
const FORBIDDEN: &str = "The supplied authentication is not authorized to access this resource";

/// Names with their roles.
type Roles<'a> = &'a [(&'a str, &'a [&'a str])];

const EVERYBODY: Roles<'static> = &[("ann", &["admin"]), ("bob", &["user"]), ("eve", &["reader"])];

fn text(roles: Roles) -> String {
    let user = |(name, roles): &(&str, &[&str])| {
        let roles = roles.iter().map(|&role| role.to_owned()).collect();
        ((*name).to_owned(), User { password: Some(HASH.into()), roles, grants: Default::default() })
    };
    Users(roles.iter().map(user).collect()).text()
}

fn place(text: &str) -> Place {
    let place = Place::new();
    private_file::replace(&place.path("users.toml"), text).unwrap();
    place
}

fn start(place: Place, settings: &[&str]) -> Server {
    let settings = [&["security.users-file=users.toml"], settings].concat();
    Server::at(place, "127.0.0.1:0", &settings)
}

fn server() -> Server {
    start(place(&text(EVERYBODY)), &[])
}

fn asked(server: &Server, method: Method, path: &str, authorization: &str) -> RequestBuilder {
    server.request(method, path).header("authorization", authorization)
}

async fn get(server: &Server, path: &str, user: &str) -> Reply {
    Reply::to(asked(server, Method::GET, path, &encode_basic(user, PASSWORD))).await
}

async fn post(server: &Server, path: &str, user: &str, body: impl ToString) -> Reply {
    Reply::to(asked(server, Method::POST, path, &encode_basic(user, PASSWORD)).body(body.to_string())).await
}

async fn delete(server: &Server, path: &str, user: &str) -> Reply {
    Reply::to(asked(server, Method::DELETE, path, &encode_basic(user, PASSWORD))).await
}

async fn bearer(server: &Server, method: Method, path: &str, token: &str) -> Reply {
    Reply::to(asked(server, method, path, &format!("Bearer {token}"))).await
}

/// A token for the wish of this user.
async fn token(server: &Server, user: &str, wish: &Value) -> Value {
    let made = post(server, "/v1/tokens", user, wish).await.json(201);
    let text = made["token"].as_str().unwrap();
    let read = Credentials::of_header(format!("Bearer {text}").as_bytes());
    assert!(matches!(read, Credentials::Bearer(token) if made["id"] == token.id()));
    made
}

impl Reply {
    /// 401 with the words of the reference and a challenge.
    #[track_caller]
    fn is_challenge(&self, text: &str) {
        self.is_text(401, text);
        assert_eq!(self.header("www-authenticate"), "Basic realm=\"Sparkjobserver Private\",charset=UTF-8");
    }
}
