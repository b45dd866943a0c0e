//! A policy's compiled form before its variables are bound: as JSON, and packed for a fast start.

use super::bind::{BindError, Values, bind};
use super::{Compiled, check};
use crate::error::CoreError;
use crate::json::Json;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// What packed bytes begin with. The rest is the form in postcard's encoding, which has no field names: package and shim
/// are of one version, so both know the fields.
const MAGIC: &[u8] = b"replicante-packed 2\n";

/// A compiled form whose texts may hold `${name}`.
#[derive(Clone, Debug)]
pub struct Form(Compiled);

impl Form {
    /// Reads the JSON form.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn parse(bytes: &[u8]) -> Result<Self, CoreError> {
        // The strict reader refuses what serde lets pass: duplicate keys, unpaired surrogates, depth, huge numbers.
        Json::check(bytes)
            .map_err(|error| CoreError::new(format!("byte {}", error.offset), error.what.to_string()))?;
        serde_json::from_slice(bytes).map(Self).map_err(|error| {
            CoreError::new(
                format!("line {} column {}", error.line(), error.column()),
                error.to_string(),
            )
        })
    }

    /// The same as packed bytes.
    ///
    /// # Errors
    /// When it can't be encoded, which no form that was read can cause.
    pub fn pack(&self) -> Result<Vec<u8>, CoreError> {
        postcard::to_extend(&self.0, MAGIC.to_vec())
            .map_err(|error| CoreError::new("packed form", error.to_string()))
    }

    /// Reads packed bytes.
    ///
    /// # Errors
    /// When they are cut, changed or of another version.
    pub fn unpack(bytes: &[u8]) -> Result<Self, CoreError> {
        let wrong = |why: String| CoreError::new("packed form", why);
        let body = bytes
            .strip_prefix(MAGIC)
            .ok_or_else(|| wrong("not of this version".into()))?;
        let (compiled, rest) = postcard::take_from_bytes(body).map_err(|error| wrong(error.to_string()))?;
        if rest.is_empty() {
            Ok(Self(compiled))
        } else {
            Err(wrong(format!("{} bytes too many", rest.len())))
        }
    }

    /// Puts the values of a run in, and checks everything.
    ///
    /// # Errors
    /// A value that is missing or can't be used, or the first thing of the form that is wrong.
    pub fn bind(self, values: &Values) -> Result<Compiled, BindError> {
        let mut compiled = self.0;
        bind(&mut compiled, values)?;
        compiled.identity = identity(&compiled.trust_digest, &compiled.bindings);
        check::check(&compiled)?;
        Ok(compiled)
    }
}

/// The identity of a bound policy (D2): of its trust digest, which covers all that is written, and of the values that it
/// mentions. SHA-256 of their canonical JSON (RFC 8785), 64 hex digits.
pub fn identity(trust_digest: &str, variables: &BTreeMap<String, String>) -> String {
    let document = serde_json::json!({"trust_digest": trust_digest, "variables": variables});
    let digest = Sha256::digest(document.to_string());
    let mut text = String::with_capacity(64);
    for byte in digest {
        use std::fmt::Write as _;
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests;
