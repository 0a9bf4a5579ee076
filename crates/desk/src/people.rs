//! Users and organizations of the desk.

use std::collections::BTreeMap;

use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use crate::http::null_as_empty;
use crate::{Desk, Error};

/// An organization, with the notes that only support staff may read.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Organization {
    pub id: u64,
    pub name: String,
    #[serde(default, deserialize_with = "null_as_empty")]
    pub notes: String,
    #[serde(default, deserialize_with = "null_as_empty")]
    pub details: String,
    /// Custom fields by key, such as `account_type`.
    #[serde(default, rename = "organization_fields")]
    pub fields: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct User {
    pub id: u64,
    pub name: String,
    #[serde(default, deserialize_with = "null_as_empty")]
    pub email: String,
    /// The default organization.
    pub organization_id: Option<u64>,
    /// Suspended by support staff.
    #[serde(default)]
    pub suspended: bool,
}

impl Desk {
    /// The ID of the user our credentials belong to, who is the author of our comments. Cached.
    pub async fn me(&self) -> Result<u64, Error> {
        self.shared.me.get_or_try_init(|| self.ask_me()).await.copied()
    }

    /// Like [`Desk::me`], but always asks the desk. Proves that it is up.
    ///
    /// # Errors
    /// Never [`Error::NotFound`]: that would mean that no desk is at this address.
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
            Error::NotFound => Error::unavailable("no desk answers at this address"),
            error => error,
        })?;
        // Zendesk gives an anonymous caller a user without an ID.
        answer.user.id.ok_or(Error::Unauthorized)
    }

    /// Whether the user is an agent or an administrator.
    pub async fn is_staff(&self, id: u64) -> Result<bool, Error> {
        #[derive(Deserialize)]
        struct Answer {
            user: Roles,
        }
        #[derive(Deserialize)]
        struct Roles {
            role: String,
        }
        let answer = self.call::<Answer>(self.request(Method::GET, &["users", &id.to_string()])?).await;
        match answer {
            // Deleted since.
            Err(Error::NotFound) => Ok(false),
            answer => Ok(matches!(answer?.user.role.as_str(), "agent" | "admin")),
        }
    }

    pub async fn organization(&self, id: u64) -> Result<Organization, Error> {
        #[derive(Deserialize)]
        struct Answer {
            organization: Organization,
        }
        let request = self.request(Method::GET, &["organizations", &id.to_string()])?;
        Ok(self.call::<Answer>(request).await?.organization)
    }

    /// The IDs of a user's organizations, at most 100.
    pub async fn user_organizations(&self, user_id: u64) -> Result<Vec<u64>, Error> {
        #[derive(Deserialize)]
        struct Answer {
            organizations: Vec<Id>,
        }
        #[derive(Deserialize)]
        struct Id {
            id: u64,
        }
        let request = self.request(Method::GET, &["users", &user_id.to_string(), "organizations"])?;
        let found = self.call::<Answer>(request).await?.organizations;
        Ok(found.into_iter().map(|organization| organization.id).collect())
    }

    /// The users with exactly this e-mail address, ignoring case. Empty without a call if it cannot be an address.
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
        // The desk also finds partial matches.
        users.retain(|user| user.email.to_lowercase() == email.to_lowercase());
        Ok(users)
    }
}
