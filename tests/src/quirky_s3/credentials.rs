//! Where AWS's tools get credentials from: STS, an instance's metadata, a container's agent, SSO.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Response};
use http_body_util::Full;

use super::{Quirks, RecordedRequest, State, after, plain};

/// The operation of a request for credentials; none for S3.
pub(super) fn operation(method: &Method, asked: &RecordedRequest) -> Option<String> {
    let path = asked.target.split('?').next().unwrap_or_default();
    match (method.as_str(), path) {
        ("POST", "/") => asked.fields().get("Action").cloned(),
        ("PUT", "/latest/api/token") => Some("InstanceToken".into()),
        (
            "GET",
            "/latest/meta-data/iam/security-credentials/" | "/latest/meta-data/iam/security-credentials",
        ) => Some("InstanceProfile".into()),
        ("GET", "/latest/meta-data/iam/security-credentials/instance-role") => {
            Some("InstanceCredentials".into())
        }
        ("GET", path) if path.starts_with("/latest/") => Some("InstanceOther".into()),
        ("GET", "/container") => Some("ContainerCredentials".into()),
        ("GET", "/federation/credentials") => Some("GetRoleCredentials".into()),
        _ => None,
    }
}

pub(super) fn answer(quirks: &Quirks, state: &mut State, asked: &RecordedRequest) -> Response<Full<Bytes>> {
    let session = quirks.sessions[state.sessions.min(quirks.sessions.len() - 1)];
    match asked.operation.as_str() {
        "InstanceToken" => {
            let mut response = plain(200, "instance-token");
            response.headers_mut().insert("x-aws-ec2-metadata-token-ttl-seconds", 21_600.into());
            response
        }
        "InstanceProfile" => plain(200, "instance-role"),
        "InstanceCredentials" | "ContainerCredentials" => {
            let key = if asked.operation == "InstanceCredentials" { "ASIAINSTANCE" } else { "ASIACONTAINER" };
            let body = format!(
                r#"{{"Code":"Success","LastUpdated":"{}","Type":"AWS-HMAC","AccessKeyId":"{key}","SecretAccessKey":"s","Token":"token-of-{key}","Expiration":"{}"}}"#,
                after(Duration::ZERO),
                after(session)
            );
            plain(200, &body)
        }
        "GetRoleCredentials" => {
            let end = std::time::SystemTime::now() + session;
            let end = end.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
            plain(
                200,
                &format!(
                    r#"{{"roleCredentials":{{"accessKeyId":"ASIASSO","secretAccessKey":"s","sessionToken":"token-of-ASIASSO","expiration":{end}}}}}"#
                ),
            )
        }
        "AssumeRole" | "AssumeRoleWithWebIdentity" => sts(quirks, state, asked, session),
        _ => plain(404, ""),
    }
}

fn sts(
    quirks: &Quirks,
    state: &mut State,
    asked: &RecordedRequest,
    session: Duration,
) -> Response<Full<Bytes>> {
    let fields = asked.fields();
    let given = fields.get("ExternalId").map(String::as_str);
    if quirks.external_id.is_some_and(|wanted| given != Some(wanted)) {
        return plain(
            403,
            "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not authorized to perform: \
             sts:AssumeRole</Message></Error><RequestId>r</RequestId></ErrorResponse>",
        );
    }
    state.sessions += 1;
    let (action, number) = (&asked.operation, state.sessions);
    let role = fields.get("RoleArn").cloned().unwrap_or_default();
    let name = fields.get("RoleSessionName").cloned().unwrap_or_default();
    plain(
        200,
        &format!(
            "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result>\
             <AssumedRoleUser><AssumedRoleId>AROA:{name}</AssumedRoleId><Arn>{role}/{name}</Arn></AssumedRoleUser>\
             <Credentials><AccessKeyId>ASIAROLE{number}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
             <SessionToken>session-{number}</SessionToken><Expiration>{}</Expiration></Credentials>\
             </{action}Result></{action}Response>",
            after(session)
        ),
    )
}
