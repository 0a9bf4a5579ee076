//! Contacts: the people of a partner who may open tickets.

use serde::{Deserialize, Serialize};

use crate::Extra;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Contact {
    pub id: String,
    #[serde(default)]
    pub partner: String,
    #[serde(default)]
    pub name: String,
    /// In lower case.
    #[serde(default)]
    pub email: String,
    pub slack_user_id: Option<String>,
    /// RFC 3339.
    pub created_at: Option<String>,
    /// RFC 3339. It opens no tickets any more.
    pub disabled_at: Option<String>,
    #[serde(flatten)]
    #[cfg_attr(feature = "openapi", schema(ignore))]
    pub extra: Extra,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ContactList {
    pub contacts: Vec<Contact>,
}
