//! The core's errors. Each names what is wrong and where; none is raised during a decision.

/// Why bytes are not a compiled form that this engine reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct CoreError {
    /// Where, as a path of keys and indices.
    pub place: String,
    pub what: String,
}

impl CoreError {
    pub fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            what: what.into(),
        }
    }
}

/// Why a text is not a pattern; `code` is that of the diagnostic (`policy-language.md` §15).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PatternError {
    pub code: &'static str,
    /// Byte offset in the pattern's text.
    pub offset: usize,
    pub message: String,
}

impl PatternError {
    pub(crate) fn new(code: &'static str, offset: usize, message: impl Into<String>) -> Self {
        Self {
            code,
            offset,
            message: message.into(),
        }
    }
}
