//! The commands that a page offers to copy.

/// The command that sends a file. Plain `curl -T` exits with status 0 on an HTTP error.
pub fn curl_file(link: &str, ticket: Option<&str>) -> String {
    match ticket {
        Some(_) => format!("curl --fail-with-body --retry 5 -T FILE -o receipt.txt '{link}'"),
        // curl adds the file's name only after a slash at the end.
        None => format!("curl --fail-with-body --retry 5 -T FILE -o receipt.txt '{link}FILE?ticket=NUMBER'"),
    }
}

/// The command that sends a file from Windows, in a command prompt or in PowerShell, where `curl` may be another command.
pub fn curl_windows(link: &str, ticket: Option<&str>) -> String {
    curl_file(link, ticket).replacen("curl", "curl.exe", 1).replace('\'', "\"")
}

/// The command that sends the output of another.
pub fn curl_pipe(link: &str, ticket: Option<&str>) -> String {
    let query = if ticket.is_some() { "" } else { "?ticket=NUMBER" };
    format!("tar cz DIRECTORY | curl --fail-with-body -T - -o receipt.txt '{link}NAME.tar.gz{query}'")
}

/// The command that sends a large file and resumes after interruptions. A pipe into `sh` would hide an error of curl.
pub fn send_file(link: &str, ticket: Option<&str>) -> String {
    let named = if ticket.is_some() { "" } else { "-t NUMBER " };
    format!("curl -fsSo send.sh '{link}send.sh' && sh send.sh {named}FILE > receipt.txt")
}

/// The command that sends a large file from Windows with PowerShell, and resumes after interruptions.
pub fn send_powershell(link: &str, ticket: Option<&str>) -> String {
    let named = if ticket.is_some() { "" } else { "-Ticket NUMBER " };
    format!(
        "curl.exe -fsSo send.ps1 \"{link}send.ps1\"; powershell -ExecutionPolicy Bypass -File send.ps1 {named}FILE"
    )
}

/// The command that opens a ticket with a file.
pub fn curl_open_ticket(link: &str) -> String {
    format!(
        "curl --fail-with-body -F contact=NAME@EXAMPLE.COM -F customer=CUSTOMER -F case_number=T123456789 -F subject=SUBJECT \
         -F description=DESCRIPTION -F nfr=false -F file=@FILE '{link}tickets'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_takes_double_quotes() {
        for (ticket, expected) in [
            (
                Some("1"),
                "curl.exe --fail-with-body --retry 5 -T FILE -o receipt.txt \"https://curl.example/u/t/\"",
            ),
            (
                None,
                "curl.exe --fail-with-body --retry 5 -T FILE -o receipt.txt \"https://curl.example/u/t/FILE?ticket=NUMBER\"",
            ),
        ] {
            assert_eq!(curl_windows("https://curl.example/u/t/", ticket), expected);
        }
    }
}
