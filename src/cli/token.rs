//! `doyen token`.

use reqwest::{Method, RequestBuilder};

use super::Session;
use super::answer::{parse, text};
use super::args::TokenCommand;
use super::client::{Request, segment};
use super::failure::{Failure, note};
use super::output::{print, table};
use crate::api::tokens::{Token, TokenWish};

const PATH: &str = "/v1/tokens";

pub async fn run(session: &Session, command: &TokenCommand) -> Result<(), Failure> {
    match command {
        TokenCommand::Create { of, permission, life, note } => {
            let wish =
                TokenWish { user: of.clone(), permissions: permission.clone(), life: life.clone(), note: note.clone() };
            create(session, &wish).await
        }
        TokenCommand::List => list(session).await,
        TokenCommand::Revoke { id } => {
            let path = format!("{PATH}/{}", segment(id)?);
            let request = Request { method: Method::DELETE, path, query: Vec::new(), body: &Ok };
            session.done(&session.client.ask(request).await?, &format!("revoked {id}"))
        }
    }
}

/// The token alone goes to stdout, so that it can be written into a file.
async fn create(session: &Session, wish: &TokenWish) -> Result<(), Failure> {
    let wish = serde_json::to_string(wish).expect("a wish is plain data");
    let add = |request: RequestBuilder| Ok(request.header("content-type", "application/json").body(wish.clone()));
    let request = Request { method: Method::POST, path: PATH.into(), query: Vec::new(), body: &add };
    let answer = session.client.ask(request).await?;
    if session.json {
        return print(&text(&answer));
    }
    let token: Token = parse(&answer)?;
    print(token.token.as_deref().unwrap_or_default())?;
    note(format!("{} of {}, good until {}; it is not shown again", token.id, token.user, token.expires));
    Ok(())
}

async fn list(session: &Session) -> Result<(), Failure> {
    let answer = session.client.get(PATH.into(), Vec::new()).await?;
    if session.json {
        return print(&text(&answer));
    }
    let tokens: Vec<Token> = parse(&answer)?;
    if tokens.is_empty() {
        note("no tokens");
    }
    let row = |token: &Token| {
        let permissions = token.permissions.join(",");
        vec![
            token.id.clone(),
            token.user.clone(),
            token.expires.clone(),
            permissions,
            token.note.clone().unwrap_or_else(|| "-".into()),
        ]
    };
    let head = ["ID", "USER", "EXPIRES", "PERMISSIONS", "NOTE"];
    print(&table(&head, &tokens.iter().map(row).collect::<Vec<_>>()))
}
