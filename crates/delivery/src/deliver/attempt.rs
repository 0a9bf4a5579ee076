//! What to try next when the desk refuses a comment. A pure function with a table of tests.

/// The ways to write a comment, in the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    First,
    /// With new uploads of the attachments: a token may have expired or been used.
    FreshTokens,
    /// Without attachments.
    Plain,
    /// The oldest file alone: the desk may refuse one of the others.
    Single,
}

impl Attempt {
    /// None when the desk refuses the file for good.
    pub(super) fn next(self, attaches: bool, files: usize) -> Option<Self> {
        match self {
            Self::First if attaches => Some(Self::FreshTokens),
            Self::First | Self::FreshTokens if attaches => Some(Self::Plain),
            Self::Single => None,
            _ => (files > 1).then_some(Self::Single),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Attempt::{First, FreshTokens, Plain, Single};

    #[test]
    fn refused_note_is_tried_in_every_other_way() {
        for (attempt, attaches, files, next) in [
            (First, true, 1, Some(FreshTokens)),
            (First, true, 2, Some(FreshTokens)),
            (First, false, 1, None),
            (First, false, 2, Some(Single)),
            (FreshTokens, true, 1, Some(Plain)),
            (FreshTokens, false, 1, None),
            (FreshTokens, false, 2, Some(Single)),
            (Plain, false, 1, None),
            (Plain, false, 2, Some(Single)),
            (Single, false, 1, None),
        ] {
            assert_eq!(attempt.next(attaches, files), next, "{attempt:?} {attaches} {files}");
        }
    }
}
