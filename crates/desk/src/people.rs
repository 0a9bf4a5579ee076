//! Who we are, who a contact is, and what support staff wrote down about an organization.

use std::collections::BTreeMap;

use reqwest::Method;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::{Desk, Error};

/// An organization, with what only support staff may read.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Organization {
    /// Its id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Free text of support staff; empty if there is none.
    #[serde(default, deserialize_with = "text")]
    pub notes: String,
    /// More of it.
    #[serde(default, deserialize_with = "text")]
    pub details: String,
    /// Custom fields by key, such as `account_type`.
    #[serde(default, rename = "organization_fields")]
    pub fields: BTreeMap<String, Value>,
}

/// A user of the desk.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct User {
    /// Their id.
    pub id: u64,
    /// Their name.
    pub name: String,
    /// Their address.
    #[serde(default, deserialize_with = "text")]
    pub email: String,
    /// Their default organization.
    pub organization_id: Option<u64>,
    /// Locked out by support staff.
    #[serde(default)]
    pub suspended: bool,
}

/// `null` is the empty text.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Desk {
    /// The id of the user our credentials belong to: the author of what we write. Asked for once.
    pub async fn me(&self) -> Result<u64, Error> {
        self.shared.me.get_or_try_init(|| self.ask_me()).await.copied()
    }

    /// The same, asked anew: proof that the desk answers at this moment.
    ///
    /// # Errors
    /// Never [`Error::NotFound`]: then no desk answers.
    pub async fn ask_me(&self) -> Result<u64, Error> {
        #[derive(Deserialize)]
        struct Answer {
            user: Me,
        }
        #[derive(Deserialize)]
        struct Me {
            id: Option<u64>,
        }
        let answer = self.call::<Answer>(self.request(Method::GET, &["users", "me"])?).await;
        let answer = answer.map_err(|error| match error {
            // Whoever asks who we are has named nothing that could be missing.
            Error::NotFound => Error::unavailable("no desk answers at this address"),
            error => error,
        })?;
        // Zendesk answers an anonymous caller with a user that has no id.
        answer.user.id.ok_or(Error::Unauthorized)
    }

    /// An organization with its notes.
    pub async fn organization(&self, id: u64) -> Result<Organization, Error> {
        #[derive(Deserialize)]
        struct Answer {
            organization: Organization,
        }
        let request = self.request(Method::GET, &["organizations", &id.to_string()])?;
        Ok(self.call::<Answer>(request).await?.organization)
    }

    /// The users with exactly this address, whatever its case. None for what cannot be an address, without a call.
    pub async fn users_by_email(&self, email: &str) -> Result<Vec<User>, Error> {
        #[derive(Deserialize)]
        struct Answer {
            users: Vec<User>,
        }
        let email = email.trim();
        if !email.contains('@') || email.chars().any(|c| c == '"' || c.is_whitespace() || c.is_control()) {
            return Ok(Vec::new());
        }
        let request = self.request(Method::GET, &["users", "search"])?;
        let request = request.query(&[("query", format!("email:\"{email}\""))]);
        let mut users = self.call::<Answer>(request).await?.users;
        // The desk's match is not exact.
        users.retain(|user| user.email.to_lowercase() == email.to_lowercase());
        Ok(users)
    }
}
