//! `token`: create, list and revoke.

use clap::Subcommand;
use seawall_base::error::Result;
use seawall_base::{Error, Span};
use seawall_catalog::policy::{Action, Role};
use serde_json::json;

use crate::cli::Global;
use crate::output::{Exit, print_json};

/// Tokens for people and services.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Create a token; its secret is shown once
    #[command(after_help = "Example:\n  seawall token create --name checkout --role service --expires 90d")]
    Create {
        /// Who bears it
        #[arg(long)]
        name: String,
        /// owner, engineer, analyst or service
        #[arg(long)]
        role: Role,
        /// Group they belong to, such as a country or a team; may be given several times
        #[arg(long = "group")]
        groups: Vec<String>,
        /// When it stops working, for example 90d; never when absent
        #[arg(long)]
        expires: Option<Span>,
    },
    /// List tokens, never their secrets
    #[command(after_help = "Example:\n  seawall token list")]
    List,
    /// End a token
    #[command(after_help = "Example:\n  seawall token revoke 4be1c0de")]
    Revoke {
        /// Its id, as `list` shows it
        id: String,
    },
}

impl Token {
    pub(super) async fn run(&self, global: &Global) -> Result<Exit> {
        let installation = global.open().await?;
        let permit = installation.permit(Action::ManageTokens, "tokens").await?;
        match self {
            Token::Create { name, role, groups, expires } => {
                let token = installation.catalog.create_token(&permit, name, *role, groups, *expires).await?;
                if global.json() {
                    return print_json(&json!({"id": token.id, "secret": token.secret, "expires_at": token.expires_at.map(|at| at.to_string())}))
                        .map(|()| Exit::Ok);
                }
                println!("{}", token.secret);
                eprintln!("token {} for {name} ({role}); the secret is not shown again", token.id);
            }
            Token::List => {
                let tokens = installation.catalog.tokens().await?;
                if global.json() {
                    return print_json(&json!({"tokens": tokens})).map(|()| Exit::Ok);
                }
                for token in tokens {
                    let state = match (token.revoked_at, token.expires_at) {
                        (Some(at), _) => format!("revoked {at}"),
                        (None, Some(at)) => format!("expires {at}"),
                        (None, None) => "does not expire".to_owned(),
                    };
                    let groups = token.groups.join(",");
                    println!("{}  {}  {}  {groups}  {state}", token.id, token.name, token.role);
                }
            }
            Token::Revoke { id } => {
                let tokens = installation.catalog.tokens().await?;
                let token = tokens.into_iter().find(|token| token.id.as_str() == id).ok_or_else(|| {
                    Error::not_found("SW0634", format!("there is no token {id}"))
                        .hint("`seawall token list` shows the ids")
                })?;
                installation.catalog.revoke_token(&permit, &token.id).await?;
                if global.json() {
                    return print_json(&json!({"revoked": id})).map(|()| Exit::Ok);
                }
                println!("token {id} is revoked");
            }
        }
        Ok(Exit::Ok)
    }
}
