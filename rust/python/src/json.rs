//! JSON values: Python's from the strict reader, and the reader's from Python's.

use crate::error;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyNone, PyString, PyTuple, PyType};
use replicante_core::json::{Decimal, Json, MOST_LEVELS};

static DECIMAL: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// Reads one JSON value strictly (M4).
#[pyfunction]
#[pyo3(signature = (text, /))]
pub(crate) fn parse_json<'py>(py: Python<'py>, text: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let bytes = match text.cast::<PyString>() {
        Ok(text) => text.to_str()?.as_bytes(),
        Err(_) => text.extract::<&[u8]>()?,
    };
    to_python(py, &Json::parse(bytes).map_err(|error| error::json(&error))?)
}

fn to_python<'py>(py: Python<'py>, value: &Json) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Json::Null => PyNone::get(py).to_owned().into_any(),
        Json::Bool(value) => PyBool::new(py, *value).to_owned().into_any(),
        Json::Number(number) => {
            let text = number.to_string();
            if number.is_integer() {
                py.get_type::<PyInt>().call1((text,))?
            } else {
                decimal(py)?.call1((text,))?
            }
        }
        Json::String(text) => PyString::new(py, text).into_any(),
        Json::Array(items) => {
            let items = items
                .iter()
                .map(|item| to_python(py, item))
                .collect::<PyResult<Vec<_>>>()?;
            PyList::new(py, items)?.into_any()
        }
        Json::Object(members) => {
            let object = PyDict::new(py);
            for (name, member) in members {
                object.set_item(name, to_python(py, member)?)?;
            }
            object.into_any()
        }
    })
}

/// A Python value as JSON; numbers stay exact.
pub(crate) fn from_python(value: &Bound<'_, PyAny>) -> PyResult<Json> {
    at_level(value, 0)
}

fn at_level(value: &Bound<'_, PyAny>, level: usize) -> PyResult<Json> {
    if value.is_none() {
        return Ok(Json::Null);
    }
    // `bool` before `int`: it is a kind of one.
    if let Ok(value) = value.cast::<PyBool>() {
        return Ok(Json::Bool(value.is_true()));
    }
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(Json::String(text.to_str()?.to_owned()));
    }
    if value.is_instance_of::<PyInt>()
        || value.is_instance_of::<PyFloat>()
        || value.is_instance(decimal(value.py())?)?
    {
        let text = value.str()?;
        let number = Decimal::parse(text.to_str()?);
        return number
            .map(Json::Number)
            .ok_or_else(|| error::value(format!("{text} is no number of JSON, or out of range")));
    }
    if level == MOST_LEVELS {
        return Err(error::value("more than 64 levels"));
    }
    if let Ok(object) = value.cast::<PyDict>() {
        let mut members = Vec::with_capacity(object.len());
        for (name, member) in object {
            let name = name
                .cast::<PyString>()
                .map_err(|_| error::argument("keys of arguments are str"))?
                .to_str()?
                .to_owned();
            members.push((name, at_level(&member, level + 1)?));
        }
        return Ok(Json::Object(members));
    }
    let items: Vec<Bound<'_, PyAny>> = if let Ok(list) = value.cast::<PyList>() {
        list.iter().collect()
    } else if let Ok(tuple) = value.cast::<PyTuple>() {
        tuple.iter().collect()
    } else {
        return Err(error::argument(format!(
            "{} is no JSON value",
            value.get_type().name()?
        )));
    };
    items
        .iter()
        .map(|item| at_level(item, level + 1))
        .collect::<PyResult<_>>()
        .map(Json::Array)
}

fn decimal(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    DECIMAL.import(py, "decimal", "Decimal")
}
