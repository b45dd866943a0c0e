//! What is asked besides action and resource: the keywords of `Engine.decide`.

use crate::{error, json};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use replicante_core::json::Json;
use replicante_core::policy::{Action, Protocol};
use replicante_core::request::Request;

/// Its default is a request without any keyword, which costs no allocation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Context {
    via: Vec<String>,
    port: Option<u16>,
    protocol: Option<Protocol>,
    method: Option<String>,
    path: Option<String>,
    resolves: Option<Vec<String>>,
    cname: Vec<String>,
    arguments: Option<Json>,
    made: bool,
}

impl Context {
    /// Reads the keywords of a call.
    pub(crate) fn from_keywords(keywords: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let mut context = Self::default();
        for (name, value) in keywords.into_iter().flatten() {
            match name.cast::<PyString>()?.to_str()? {
                "via" => context.via = value.extract()?,
                "port" => context.port = value.extract()?,
                "protocol" => context.protocol = Some(protocol(value.extract()?)?),
                "method" => context.method = value.extract()?,
                "path" => context.path = value.extract()?,
                "resolves" => context.resolves = value.extract()?,
                "cname" => context.cname = value.extract()?,
                "arguments" if value.is_none() => context.arguments = None,
                "arguments" => {
                    let arguments = json::from_python(&value)?;
                    if !matches!(arguments, Json::Object(_)) {
                        return Err(error::argument("arguments are a dict"));
                    }
                    context.arguments = Some(arguments);
                }
                "made" => context.made = value.extract()?,
                other => return Err(error::argument(format!("got an unexpected keyword argument '{other}'"))),
            }
        }
        Ok(context)
    }

    /// Hands the whole request to `use_it`.
    pub(crate) fn with_request<T>(&self, action: Action, resource: &str, use_it: impl FnOnce(&Request<'_>) -> T) -> T {
        let via = borrowed(&self.via);
        let cname = borrowed(&self.cname);
        let resolves = self.resolves.as_deref().map(borrowed);
        use_it(&Request {
            action,
            resource,
            via: &via,
            port: self.port,
            protocol: self.protocol.unwrap_or(Protocol::Tcp),
            method: self.method.as_deref(),
            path: self.path.as_deref(),
            resolves: resolves.as_deref(),
            cname: &cname,
            arguments: self.arguments.as_ref(),
            made: self.made,
        })
    }
}

fn borrowed(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

fn protocol(word: &str) -> PyResult<Protocol> {
    match word {
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        "http" => Ok(Protocol::Http),
        _ => Err(error::value(format!("`{word}` is no protocol: tcp, udp or http"))),
    }
}

/// An action by its word after `expect` (X1).
pub(crate) fn action(word: &str) -> PyResult<Action> {
    Action::from_word(word).ok_or_else(|| error::value(format!("`{word}` is no action")))
}
