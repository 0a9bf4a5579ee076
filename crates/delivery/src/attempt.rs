//! What is tried, in which order, when the desk refuses a comment. A pure function with a table of tests.

/// What is tried after the desk refused a comment, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// As it should be.
    First,
    /// With attachments handed over anew: a token may have run out or been used up.
    FreshTokens,
    /// Without attachments.
    Plain,
    /// The oldest file alone: it may be the others that are refused.
    Single,
}

impl Attempt {
    /// What to try next; nothing when the file is refused for good.
    pub(crate) fn next(self, attaches: bool, files: usize) -> Option<Self> {
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
    fn a_refused_note_is_tried_in_every_other_way() {
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
