//! The launch description, as `docs/reference/compiled-form.md` gives it.

use crate::error::ShimError;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::RawFd;

/// The protocol between package and shim.
const PROTOCOL: u32 = 1;

/// Most bytes of a description: a policy of many thousand rules fits.
const MOST_BYTES: u64 = 64 << 20;

/// What the caller asks for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    pub protocol: u32,
    pub version: String,
    /// The compiled form.
    pub policy: String,
    pub argv: Vec<String>,
    pub cwd: String,
    pub bindings: BTreeMap<String, String>,
    pub run: String,
    pub run_dir: String,
    pub private_home: Option<String>,
    pub cache: String,
    pub beneath: Vec<String>,
    pub read_only: Vec<String>,
    pub no_weaker: bool,
    pub explain: bool,
    pub report: Report,
}

/// The form of the report at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Report {
    Text,
    Json,
}

/// Reads the description from an inherited descriptor.
///
/// # Errors
/// L001 for another version, L002 for anything that is no description.
pub fn read(fd: RawFd) -> Result<Description, ShimError> {
    let strange = |why: String| ShimError::Description(why);
    // Through /proc the descriptor is opened anew, so that no number is taken on trust; the inherited one is closed
    // before the agent starts, with all others.
    let mut file = File::open(format!("/proc/self/fd/{fd}")).map_err(|error| strange(error.to_string()))?;
    file.rewind().map_err(|error| strange(error.to_string()))?;
    let mut text = String::new();
    file.take(MOST_BYTES)
        .read_to_string(&mut text)
        .map_err(|error| strange(error.to_string()))?;
    let description: Description = serde_json::from_str(&text).map_err(|error| strange(error.to_string()))?;
    if description.version != env!("CARGO_PKG_VERSION") || description.protocol != PROTOCOL {
        let shim = env!("CARGO_PKG_VERSION").to_owned();
        return Err(ShimError::Version {
            shim,
            package: description.version,
        });
    }
    if description.argv.first().is_none_or(String::is_empty) {
        return Err(strange("no program is given".into()));
    }
    Ok(description)
}
