//! The decision engine, its decisions and the rules that they name.

use crate::context::Asked;
use crate::error;
use crate::explanation::{Explanation, NearestAllow, RuleRef};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use replicante_core::engine::Engine as CoreEngine;
use replicante_core::error::CoreError;
use replicante_core::fixit;
use replicante_core::policy::{BindError, Form, Values};
use replicante_core::request::{Decision as CoreDecision, Outcome};
use std::sync::Arc;

/// A compiled policy, ready to decide.
#[pyclass(frozen, module = "replicante")]
pub(crate) struct Engine(Arc<CoreEngine>);

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (compiled, variables = None, /))]
    fn new(py: Python<'_>, compiled: &[u8], variables: Option<Values>) -> PyResult<Self> {
        bound(py, Form::parse(compiled), &variables.unwrap_or_default())
    }

    /// The engine of a packed form.
    #[staticmethod]
    #[pyo3(signature = (packed, variables, /))]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a Python argument is converted to it"
    )]
    fn from_packed(py: Python<'_>, packed: &[u8], variables: Values) -> PyResult<Self> {
        bound(py, Form::unpack(packed), &variables)
    }

    /// The identity of the bound policy (D2), 64 hex digits.
    #[getter]
    fn identity(&self) -> &str {
        &self.0.compiled().identity
    }

    /// Decides one request.
    // It stays attached to the interpreter: letting go of it would cost more than deciding.
    #[pyo3(
        signature = (action, resource, **keywords),
        text_signature = "($self, action, resource, *, via=(), port=None, protocol='tcp', method=None, path=None, \
                          resolves=None, cname=(), arguments=None, made=False)"
    )]
    fn decide(
        &self,
        action: &str,
        resource: &Bound<'_, PyString>,
        keywords: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Decision> {
        self.decided(resource.py(), Asked::new(action, resource, keywords)?)
    }

    /// Decides the same action on each resource.
    #[pyo3(signature = (action, resources, /))]
    fn decide_many(&self, action: &str, resources: Vec<Bound<'_, PyString>>) -> PyResult<Vec<Decision>> {
        resources
            .into_iter()
            .map(|resource| self.decided(resource.py(), Asked::new(action, &resource, None)?))
            .collect()
    }

    /// Decides one request and tells what stands around the decision.
    #[pyo3(
        signature = (action, resource, **keywords),
        text_signature = "($self, action, resource, *, via=(), port=None, protocol='tcp', method=None, path=None, \
                          resolves=None, cname=(), arguments=None, made=False)"
    )]
    fn explain(
        &self,
        action: &str,
        resource: &Bound<'_, PyString>,
        keywords: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Explanation> {
        let asked = Asked::new(action, resource, keywords)?;
        asked.with_request(resource.py(), |request| Explanation::of(&self.0, request))
    }

    /// The one policy line that would allow a refused request.
    #[pyo3(
        signature = (action, resource, **keywords),
        text_signature = "($self, action, resource, *, via=(), port=None, protocol='tcp', method=None, path=None, \
                          resolves=None, cname=(), arguments=None, made=False)"
    )]
    fn fix(
        &self,
        action: &str,
        resource: &Bound<'_, PyString>,
        keywords: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Option<String>> {
        let asked = Asked::new(action, resource, keywords)?;
        asked.with_request(resource.py(), |request| fixit::line(&self.0, request))
    }

    fn __repr__(&self) -> String {
        format!("Engine({:?})", self.0.compiled().name)
    }
}

fn bound(py: Python<'_>, form: Result<Form, CoreError>, variables: &Values) -> PyResult<Engine> {
    let engine = py.detach(|| {
        form.map_err(BindError::from)
            .and_then(|form| form.bind(variables))
            .map(CoreEngine::new)
    });
    engine
        .map(|engine| Engine(Arc::new(engine)))
        .map_err(|error| error::compiled_form(py, &error))
}

impl Engine {
    pub(crate) fn core(&self) -> &CoreEngine {
        &self.0
    }

    fn decided(&self, py: Python<'_>, asked: Asked) -> PyResult<Decision> {
        let answer = asked.with_request(py, |request| self.0.decide(request))?;
        Ok(Decision {
            engine: Arc::clone(&self.0),
            asked,
            answer,
        })
    }
}

/// What the engine answered.
#[pyclass(frozen, module = "replicante")]
pub(crate) struct Decision {
    engine: Arc<CoreEngine>,
    /// Kept for `nearest_allow`, which is worked out only when it is asked for.
    asked: Asked,
    answer: CoreDecision,
}

#[pymethods]
impl Decision {
    /// `allow`, `hold` or `deny`.
    #[getter]
    fn effect(&self) -> &'static str {
        self.answer.outcome.word()
    }

    /// Whether the request goes ahead at once.
    #[getter]
    fn allowed(&self) -> bool {
        self.answer.outcome == Outcome::Allow
    }

    /// Why, in a word of section 14.
    #[getter]
    fn reason(&self) -> &'static str {
        self.answer.reason.word()
    }

    /// The rule that decided.
    #[getter]
    fn rule(&self) -> Option<RuleRef> {
        self.answer.rule.map(|entry| RuleRef::of(&self.engine, entry))
    }

    /// Where no allow rule matches, the one that comes nearest.
    #[getter]
    fn nearest_allow(&self, py: Python<'_>) -> PyResult<Option<NearestAllow>> {
        self.asked.with_request(py, |request| {
            self.engine
                .nearest_allow(request)
                .map(|nearest| NearestAllow::of(&self.engine, &nearest))
        })
    }

    fn __repr__(&self) -> String {
        match self.rule() {
            Some(rule) => format!("<Decision {}: {} by {}>", self.effect(), self.reason(), rule.id()),
            None => format!("<Decision {}: {}>", self.effect(), self.reason()),
        }
    }
}
