//! What is asked besides action and resource: the keywords of `Engine.decide`.

use crate::{error, json};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use replicante_core::json::Json;
use replicante_core::policy::{Action, Protocol};
use replicante_core::request::{Context, Request};

/// One request, kept as it was asked. Without keywords it costs no allocation.
pub(crate) struct Asked {
    action: Action,
    resource: Py<PyString>,
    context: Option<Box<Context>>,
}

impl Asked {
    /// Reads the arguments of a call.
    pub(crate) fn new(
        action: &str,
        resource: &Bound<'_, PyString>,
        keywords: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        Ok(Self {
            action: Action::from_word(action)
                .ok_or_else(|| error::value(format!("`{action}` is no action")))?,
            resource: resource.clone().unbind(),
            context: keywords.map(from_keywords).transpose()?.map(Box::new),
        })
    }

    /// Hands the whole request to `use_it`.
    pub(crate) fn with_request<T>(
        &self,
        py: Python<'_>,
        use_it: impl FnOnce(&Request<'_>) -> T,
    ) -> PyResult<T> {
        let plain = Request::new(self.action, self.resource.to_str(py)?);
        Ok(match &self.context {
            Some(context) => context.with_request(plain, use_it),
            None => use_it(&plain),
        })
    }
}

/// The keywords of a call.
fn from_keywords(keywords: &Bound<'_, PyDict>) -> PyResult<Context> {
    let mut context = Context::default();
    for (name, value) in keywords {
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
            other => {
                return Err(error::argument(format!(
                    "got an unexpected keyword argument '{other}'"
                )));
            }
        }
    }
    Ok(context)
}

fn protocol(word: &str) -> PyResult<Protocol> {
    match word {
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        "http" => Ok(Protocol::Http),
        _ => Err(error::value(format!("`{word}` is no protocol: tcp, udp or http"))),
    }
}
