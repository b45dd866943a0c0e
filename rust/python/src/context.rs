//! What is asked besides action and resource: the keywords of `Engine.decide`.

use crate::{error, json};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use replicante_core::json::Json;
use replicante_core::policy::{Action, Protocol};
use replicante_core::request::Request;

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
            context: keywords.map(Context::from_keywords).transpose()?.map(Box::new),
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

/// The keywords; its default is a request without any.
#[derive(Default)]
struct Context {
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
    fn from_keywords(keywords: &Bound<'_, PyDict>) -> PyResult<Self> {
        let mut context = Self::default();
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

    fn with_request<T>(&self, plain: Request<'_>, use_it: impl FnOnce(&Request<'_>) -> T) -> T {
        let via = borrowed(&self.via);
        let cname = borrowed(&self.cname);
        let resolves = self.resolves.as_deref().map(borrowed);
        use_it(&Request {
            via: &via,
            port: self.port,
            protocol: self.protocol.unwrap_or(plain.protocol),
            method: self.method.as_deref(),
            path: self.path.as_deref(),
            resolves: resolves.as_deref(),
            cname: &cname,
            arguments: self.arguments.as_ref(),
            made: self.made,
            ..plain
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
