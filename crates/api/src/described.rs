//! Types that only the description of the interface needs: requests that the gateway reads field by field, and answers that
//! have no type of their own.

use crate::{FieldError, LINE_CHARS_MAX, Problem, TEXT_CHARS_MAX};

// Not imported: what the derived code spells out would count as too long.
type Schema = utoipa::openapi::Schema;
type Shape = utoipa::openapi::RefOr<Schema>;
type Object = utoipa::openapi::schema::Object;
type ObjectBuilder = utoipa::openapi::schema::ObjectBuilder;

const STRING: utoipa::openapi::schema::Type = utoipa::openapi::schema::Type::String;

/// One line, without characters that cannot be seen.
pub struct Line;

impl utoipa::PartialSchema for Line {
    fn schema() -> Shape {
        let line = text("One line, without characters that cannot be seen.", LINE_CHARS_MAX);
        line.pattern(Some(r"^[^\x00-\x1f\x7f-\x9f]*$")).into()
    }
}

impl utoipa::ToSchema for Line {}

/// Any number of lines.
pub struct Text;

impl utoipa::PartialSchema for Text {
    fn schema() -> Shape {
        text("Any number of lines.", TEXT_CHARS_MAX).into()
    }
}

impl utoipa::ToSchema for Text {}

fn text(what: &str, chars_max: usize) -> ObjectBuilder {
    let object = ObjectBuilder::new().schema_type(STRING).description(Some(what));
    object.min_length(Some(1)).max_length(Some(chars_max))
}

/// A schema of fields with changes.
fn more(fields: Shape, change: impl FnOnce(&mut Object)) -> Shape {
    match fields {
        Shape::T(Schema::Object(mut fields)) => {
            change(&mut fields);
            Shape::T(Schema::Object(fields))
        }
        other => other,
    }
}

/// A ticket to open.
#[derive(utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TicketFields {
    /// The e-mail address of an arranged contact.
    pub contact: Line,
    /// The customer that the ticket is about.
    pub customer: Line,
    /// The partner's own number of the case, such as `T123456789`.
    pub case_number: Option<Line>,
    /// What the ticket is about, in a line.
    pub subject: Line,
    /// The problem, in any number of lines.
    pub description: Text,
    /// Whether it concerns software that is not for resale, which gets no support. Some partners must say.
    pub nfr: Option<bool>,
}

/// [`TicketFields`] as a form, with files.
pub struct TicketForm;

impl utoipa::PartialSchema for TicketForm {
    fn schema() -> Shape {
        let file = ObjectBuilder::new().schema_type(STRING).content_media_type("application/octet-stream");
        let files = utoipa::openapi::schema::ArrayBuilder::new()
            .items(file)
            .description(Some("Every part that is not one of the fields is a file, whatever its name."));
        more(<TicketFields as utoipa::PartialSchema>::schema(), |fields| {
            fields.properties.insert("file".to_owned(), files.into());
            fields.additional_properties = None;
        })
    }
}

impl utoipa::ToSchema for TicketForm {
    fn schemas(schemas: &mut Vec<(String, Shape)>) {
        <TicketFields as utoipa::ToSchema>::schemas(schemas);
    }
}

/// How soon support shall look at a ticket.
#[derive(utoipa::ToSchema)]
pub enum UrgencyName {
    #[serde(rename = "2h")]
    TwoHours,
    #[serde(rename = "1h")]
    OneHour,
    #[serde(rename = "30m")]
    ThirtyMinutes,
}

/// A ticket to escalate.
#[derive(utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EscalationFields {
    /// The number of the ticket or of the partner's own case, such as `123456` or `T123456789`, without `#` or other text.
    /// May be left out on a link that is bound to a ticket.
    pub request: Option<Line>,
    /// Why the ticket needs attention now.
    pub reason: Text,
    /// What shall happen.
    pub actions: Text,
    /// `2h` if it is left out.
    pub urgency: Option<UrgencyName>,
    pub emergency: Option<bool>,
}

/// [`EscalationFields`] with the partner's short name as `partner`.
pub struct PartnerEscalationFields;

impl utoipa::PartialSchema for PartnerEscalationFields {
    fn schema() -> Shape {
        more(<EscalationFields as utoipa::PartialSchema>::schema(), |fields| {
            let line = utoipa::openapi::schema::RefBuilder::new().ref_location_from_schema_name("Line");
            let line = line.description(Some("The partner's short name."));
            fields.properties.insert("partner".to_owned(), line.into());
            fields.required.extend(["partner".to_owned(), "request".to_owned()]);
        })
    }
}

impl utoipa::ToSchema for PartnerEscalationFields {
    fn schemas(schemas: &mut Vec<(String, Shape)>) {
        <EscalationFields as utoipa::ToSchema>::schemas(schemas);
    }
}

/// A note for support.
#[derive(utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NoteFields {
    /// What support should know: at most 5,000 characters.
    pub text: Text,
    /// The number of the ticket. May be left out on a link that is bound to one.
    pub ticket: Option<Line>,
}

/// What an escalation may become.
#[derive(utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EscalationStateName {
    Submitted,
    Acknowledged,
    Resolved,
    Declined,
}

/// What an upload may be, and how the delivery of a complete one may be.
#[derive(utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum UploadStateName {
    Open,
    Completing,
    Complete,
    Cancelled,
    Removed,
    Pending,
    Done,
    Undeliverable,
}

/// A new state of an escalation.
#[derive(utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EscalationChange {
    pub state: EscalationStateName,
    /// Why it is declined: the sender reads it. Only then it must be there.
    pub reason: Option<Line>,
}

/// A person who may open tickets.
#[derive(utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContactFields {
    pub name: Line,
    /// The address that the contact is known by.
    pub email: Line,
    pub slack_user_id: Option<Line>,
}

/// A job is recorded.
#[derive(utoipa::ToSchema)]
pub struct Accepted {
    pub accepted: bool,
}

/// A problem with what a request says.
#[derive(utoipa::ToSchema)]
pub struct FieldsProblem {
    #[serde(flatten)]
    pub problem: Problem,
    /// Each wrong field, if the type is `/problems/bad-fields`.
    pub errors: Option<Vec<FieldError>>,
}
