//! Who asks: a bearer token, or anybody on loopback when the server was started without tokens.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use seawall_base::error::Result;
use seawall_base::{Error, ErrorKind, Permit};
use seawall_catalog::Catalog;
use seawall_catalog::policy::{Action, Principal};

/// Who may ask.
#[derive(Clone)]
pub enum Access {
    /// A request without a token acts as this principal. Only for a server that listens on loopback.
    Open(Principal),
    /// Every request needs a token.
    Tokens,
}

impl Access {
    /// Whoever sent `headers`.
    pub async fn principal(&self, catalog: &Catalog, headers: &HeaderMap) -> Result<Principal> {
        match self {
            // Who shows a token acts with its rights, also where none is asked for.
            Access::Open(_) if headers.contains_key(AUTHORIZATION) => catalog.authenticate(bearer(headers)?).await,
            Access::Open(principal) => Ok(principal.clone()),
            Access::Tokens => catalog.authenticate(bearer(headers)?).await,
        }
    }

    /// A permit for whoever sent `headers` to do `action` to `resource`.
    pub async fn permit(
        &self,
        catalog: &Catalog,
        headers: &HeaderMap,
        action: Action,
        resource: &str,
    ) -> Result<Permit> {
        let principal = self.principal(catalog, headers).await?;
        catalog.authorize(&principal, action, resource).await
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str> {
    let value = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    value.and_then(|value| value.strip_prefix("Bearer ")).ok_or_else(|| {
        Error::new(ErrorKind::Denied, "SW0880", "the request carries no token")
            .hint("send `Authorization: Bearer sw_...`; `seawall token create` makes one")
    })
}
