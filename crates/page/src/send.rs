//! The small uploaders for a shell with curl, or PowerShell, filled in for one link.
//! Invariant: each contains the link's address once, quoted so that nothing in it can end the quote.

const PLACE: &str = "@LINK@";

/// The uploader for a POSIX shell. The link's address has a slash at its end.
pub fn send_sh(link: &str) -> String {
    include_str!("send.sh").replace(PLACE, &link.replace('\'', r"'\''"))
}

/// The uploader for PowerShell, where typographic quotes end a quote, too.
pub fn send_ps1(link: &str) -> String {
    let mut quoted = String::with_capacity(link.len());
    for c in link.chars() {
        if matches!(c, '\'' | '\u{2018}'..='\u{201b}') {
            quoted.push(c);
        }
        quoted.push(c);
    }
    include_str!("send.ps1").replace(PLACE, &quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_is_quoted() {
        for (link, sh, ps1) in [
            ("https://h/u/t/", "link='https://h/u/t/'\n", "$link = 'https://h/u/t/'\n"),
            ("'; rm -rf ~; '", "link=''\\''; rm -rf ~; '\\'''\n", "$link = '''; rm -rf ~; '''\n"),
            ("a\u{2019}b", "link='a\u{2019}b'\n", "$link = 'a\u{2019}\u{2019}b'\n"),
        ] {
            for (text, line) in [(send_sh(link), sh), (send_ps1(link), ps1)] {
                assert_eq!(text.matches(line).count(), 1, "{link}");
                assert!(!text.contains(PLACE), "{link}");
            }
        }
    }

    #[test]
    fn what_is_served_is_plain_ascii() {
        // An old PowerShell takes a file without a byte order mark for the local code page.
        assert!(send_sh("").is_ascii() && send_ps1("").is_ascii());
    }
}
