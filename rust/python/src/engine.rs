//! The decision engine, its decisions and the rules that they name.

use crate::context::{Context, action};
use crate::error;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use replicante_core::engine::Engine as CoreEngine;
use replicante_core::fixit;
use replicante_core::policy::Compiled;
use replicante_core::request::{Decision as CoreDecision, Outcome};
use std::sync::Arc;

/// A compiled policy, ready to decide.
#[pyclass(frozen, module = "replicante")]
pub(crate) struct Engine(Arc<CoreEngine>);

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (compiled, /))]
    fn new(py: Python<'_>, compiled: &[u8]) -> PyResult<Self> {
        let engine = py.detach(|| Compiled::parse(compiled).map(CoreEngine::new));
        engine.map(|engine| Self(Arc::new(engine))).map_err(|error| error::compiled_form(py, &error))
    }

    /// Decides one request.
    // A decision stays attached to the interpreter: letting go of it would cost more than deciding.
    #[pyo3(
        signature = (action, resource, **keywords),
        text_signature = "($self, action, resource, *, via=(), port=None, protocol='tcp', method=None, path=None, \
                          resolves=None, cname=(), arguments=None, made=False)"
    )]
    fn decide(
        &self,
        #[pyo3(from_py_with = action_of)] action: replicante_core::policy::Action,
        resource: &str,
        keywords: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Decision> {
        let context = Context::from_keywords(keywords)?;
        let decision = context.with_request(action, resource, |request| self.0.decide(request));
        Ok(Decision { engine: Arc::clone(&self.0), decision })
    }

    /// Decides the same action on each resource.
    #[pyo3(signature = (action, resources, /))]
    fn decide_many(
        &self,
        #[pyo3(from_py_with = action_of)] action: replicante_core::policy::Action,
        resources: Vec<Bound<'_, PyString>>,
    ) -> PyResult<Vec<Decision>> {
        let context = Context::default();
        let decided = resources.iter().map(|resource| {
            let decision = context.with_request(action, resource.to_str()?, |request| self.0.decide(request));
            Ok(Decision { engine: Arc::clone(&self.0), decision })
        });
        decided.collect()
    }

    /// The one policy line that would allow a refused request.
    #[pyo3(
        signature = (action, resource, **keywords),
        text_signature = "($self, action, resource, *, via=(), port=None, protocol='tcp', method=None, path=None, \
                          resolves=None, cname=(), arguments=None, made=False)"
    )]
    fn fix(
        &self,
        #[pyo3(from_py_with = action_of)] action: replicante_core::policy::Action,
        resource: &str,
        keywords: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Option<String>> {
        let context = Context::from_keywords(keywords)?;
        Ok(context.with_request(action, resource, |request| fixit::line(&self.0, request)))
    }

    fn __repr__(&self) -> String {
        format!("Engine({:?})", self.0.compiled().name)
    }
}

fn action_of(word: &Bound<'_, PyAny>) -> PyResult<replicante_core::policy::Action> {
    action(word.cast::<PyString>()?.to_str()?)
}

/// What the engine answered.
#[pyclass(frozen, module = "replicante")]
pub(crate) struct Decision {
    engine: Arc<CoreEngine>,
    decision: CoreDecision,
}

#[pymethods]
impl Decision {
    /// `allow`, `hold` or `deny`.
    #[getter]
    fn effect(&self) -> &'static str {
        self.decision.outcome.word()
    }

    /// Whether the request goes ahead at once.
    #[getter]
    fn allowed(&self) -> bool {
        self.decision.outcome == Outcome::Allow
    }

    /// Why, in a word of section 14.
    #[getter]
    fn reason(&self) -> &'static str {
        self.decision.reason.word()
    }

    /// The rule that decided.
    #[getter]
    fn rule(&self) -> Option<RuleRef> {
        self.decision.rule.map(|entry| RuleRef::of(&self.engine, entry))
    }

    fn __repr__(&self) -> String {
        match self.rule() {
            Some(rule) => format!("<Decision {}: {} by {}>", self.effect(), self.reason(), rule.id),
            None => format!("<Decision {}: {}>", self.effect(), self.reason()),
        }
    }
}

/// A rule as written: its id and its place.
#[pyclass(frozen, eq, hash, get_all, module = "replicante")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RuleRef {
    id: String,
    file: String,
    line: u32,
    column: u32,
    because: Option<String>,
}

impl RuleRef {
    fn of(engine: &CoreEngine, entry: usize) -> Self {
        let compiled = engine.compiled();
        let source = &compiled.sources[compiled.rules[entry].source];
        Self {
            id: source.id.clone(),
            file: source.file.clone(),
            line: source.line,
            column: source.column,
            because: source.because.clone(),
        }
    }
}

#[pymethods]
impl RuleRef {
    fn __repr__(&self) -> String {
        format!("<RuleRef {} at {}:{}:{}>", self.id, self.file, self.line, self.column)
    }
}
