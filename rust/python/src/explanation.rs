//! Rules as Python sees them, and what an explanation says of them.

use pyo3::prelude::*;
use replicante_core::engine::{Difference, Engine as CoreEngine, NearestAllow as CoreNearest};
use replicante_core::fixit;
use replicante_core::request::Request;

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
    pub(crate) fn of(engine: &CoreEngine, entry: usize) -> Self {
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

    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

#[pymethods]
impl RuleRef {
    fn __repr__(&self) -> String {
        format!(
            "<RuleRef {} at {}:{}:{}>",
            self.id, self.file, self.line, self.column
        )
    }
}

/// An allow rule of the same action, and how the request differs from it.
#[pyclass(frozen, eq, hash, get_all, module = "replicante._core")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NearestAllow {
    rule: RuleRef,
    differs: Vec<String>,
}

impl NearestAllow {
    pub(crate) fn of(engine: &CoreEngine, nearest: &CoreNearest) -> Self {
        Self {
            rule: RuleRef::of(engine, nearest.rule),
            differs: nearest.differences.iter().map(Difference::to_string).collect(),
        }
    }
}

#[pymethods]
impl NearestAllow {
    fn __repr__(&self) -> String {
        format!("<NearestAllow {}: {}>", self.rule.id, self.differs.join("; "))
    }
}

/// A decision with what stands around it.
#[pyclass(frozen, get_all, module = "replicante._core")]
#[derive(Clone, Debug)]
pub(crate) struct Explanation {
    outcome: &'static str,
    reason: &'static str,
    rule: Option<RuleRef>,
    would_allow: Vec<RuleRef>,
    nearest_allow: Option<NearestAllow>,
    lifted_by: Option<String>,
}

impl Explanation {
    pub(crate) fn of(engine: &CoreEngine, request: &Request<'_>) -> Self {
        let explained = engine.explain(request);
        let refer = |entry: usize| RuleRef::of(engine, entry);
        Self {
            outcome: explained.decision.outcome.word(),
            reason: explained.decision.reason.word(),
            rule: explained.decision.rule.map(refer),
            would_allow: explained.would_allow.into_iter().map(refer).collect(),
            nearest_allow: explained
                .nearest_allow
                .map(|nearest| NearestAllow::of(engine, &nearest)),
            lifted_by: fixit::line(engine, request),
        }
    }
}
