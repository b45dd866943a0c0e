//! The policy's own tests (X1): requests with the outcomes that they must have in every run (R1).

use crate::error::CoreError;
use crate::json::Json;
use crate::policy::Action;
use crate::request::{Context, Outcome, Request};
use serde::{Deserialize, Serialize};

/// One line after `expect`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// Name of its test.
    pub test: String,
    /// `file:line:column`.
    pub place: String,
    pub expect: Outcome,
    pub action: Action,
    pub resource: String,
    pub context: Context,
    /// The arguments of a call as JSON text, whose strings may have variables; binding puts them into the context.
    pub arguments: String,
}

impl Expectation {
    /// Hands each text that may have a variable to `change`, and reads the arguments.
    pub(super) fn each_text(
        &mut self,
        change: &mut dyn FnMut(&mut String) -> Result<(), CoreError>,
    ) -> Result<(), CoreError> {
        change(&mut self.resource)?;
        let Context {
            via,
            path,
            resolves,
            cname,
            ..
        } = &mut self.context;
        let perhaps = path.iter_mut().chain(resolves.iter_mut().flatten());
        for text in via.iter_mut().chain(cname).chain(perhaps) {
            change(text)?;
        }
        let mut arguments = Json::parse(self.arguments.as_bytes())
            .map_err(|error| CoreError::new(format!("arguments at {}", self.place), error.to_string()))?;
        each_string(&mut arguments, change)?;
        self.context.arguments = Some(arguments);
        Ok(())
    }

    /// Hands the whole request to `use_it`.
    pub fn with_request<T>(&self, use_it: impl FnOnce(&Request<'_>) -> T) -> T {
        self.context
            .with_request(Request::new(self.action, &self.resource), use_it)
    }
}

fn each_string(
    value: &mut Json,
    change: &mut dyn FnMut(&mut String) -> Result<(), CoreError>,
) -> Result<(), CoreError> {
    match value {
        Json::String(text) => change(text),
        Json::Array(items) => items.iter_mut().try_for_each(|item| each_string(item, change)),
        Json::Object(members) => members
            .iter_mut()
            .try_for_each(|(_, member)| each_string(member, change)),
        Json::Null | Json::Bool(_) | Json::Number(_) => Ok(()),
    }
}
