//! The Jinja environment that published chat templates are written for: Hugging Face's sandbox with
//! trim_blocks and lstrip_blocks, loop controls, `raise_exception`, `strftime_now` and a `tojson`
//! that escapes nothing but what JSON must.

use std::fmt;

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};

use crate::python::{self, check_bounds, refuse};
use crate::rewrite::{rewrite, Rewritten};
use crate::{filters, methods, ops};

/// The source of an error that the template itself raised: its words, without minijinja's.
#[derive(Debug)]
pub struct Raised(pub String);

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

pub const NAME: &str = "chat";

pub fn build(
    source: &str,
    strftime: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
) -> Result<(Environment<'static>, Vec<String>), Error> {
    let mut env = Environment::new();
    env.set_trim_blocks(true);
    env.set_lstrip_blocks(true);
    env.set_keep_trailing_newline(false);
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_undefined_behavior(UndefinedBehavior::Lenient);
    env.set_unknown_method_callback(methods::method);
    env.set_formatter(|out, _, value| {
        check_bounds()?;
        python::print(out, value)
    });
    ops::register(&mut env);
    filters::register(&mut env);
    env.add_filter("tojson", python::tojson);
    env.add_filter("length", length);
    env.add_filter("count", length);
    env.add_filter("string", |v: &Value| -> Result<String, Error> {
        let mut text = String::new();
        python::print(&mut text, v)?;
        Ok(text)
    });
    env.add_filter("default", default);
    env.add_filter("d", default);
    env.add_filter("indent", indent);
    // Python's text is a sequence and its dict iterable.
    env.add_test("sequence", |v: &Value| {
        matches!(
            v.kind(),
            ValueKind::String | ValueKind::Seq | ValueKind::Iterable | ValueKind::Map
        )
    });
    env.add_test("iterable", |v: &Value| {
        use ValueKind::*;
        matches!(v.kind(), String | Seq | Iterable | Map | Undefined)
    });
    env.add_test("number", |v: &Value| matches!(v.kind(), ValueKind::Number | ValueKind::Bool));
    env.add_function("raise_exception", |message: &Value| -> Result<Value, Error> {
        let message = message.to_string();
        Err(refuse(message.clone()).with_source(Raised(message)))
    });
    env.add_function("strftime_now", move |format: &str| -> Result<String, Error> {
        strftime(format).ok_or_else(|| refuse("strftime_now: the date does not fit"))
    });
    env.add_function("joiner", minijinja_contrib::globals::joiner);
    env.add_function("cycler", |items: Rest<Value>| minijinja_contrib::globals::cycler(items.0));
    env.add_test("callable", |v: &Value| v.kind() == ValueKind::Plain && !v.is_undefined());
    let rewritten = rewrite(source);
    let unknown = unknown_names(&env, &rewritten);
    env.add_template_owned(NAME, rewritten.source)?;
    Ok((env, unknown))
}

/// A line for the log about each filter and test that there is none of.
fn unknown_names(env: &Environment, rewritten: &Rewritten) -> Vec<String> {
    let is_known = |name: &String, kind: &str| {
        let source = format!("{{{{ n is {kind} }}}}");
        env.render_str(&source, minijinja::context! { n => name }).is_ok_and(|t| t == "True")
    };
    let filters = rewritten.filters.iter().filter(|name| !is_known(name, "filter"));
    let tests = rewritten.tests.iter().filter(|name| !is_known(name, "test"));
    filters
        .map(|name| format!("the chat template uses a filter that is unknown: {name}"))
        .chain(tests.map(|name| format!("the chat template uses a test that is unknown: {name}")))
        .collect()
}

/// `len` of nothing is none: templates ask for the length of lists that may be absent.
fn length(value: &Value) -> Result<usize, Error> {
    match value.kind() {
        ValueKind::None | ValueKind::Undefined => Ok(0),
        ValueKind::Iterable => Ok(match value.len() {
            Some(n) => n,
            None => value.try_iter()?.count(),
        }),
        kind => value.len().ok_or_else(|| refuse(format!("{kind} has no length"))),
    }
}

/// The option may be named: default('x', boolean=true).
fn default(
    value: &Value,
    other: Option<Value>,
    lax: Option<bool>,
    options: Kwargs,
) -> Result<Value, Error> {
    let other = match other {
        Some(v) => v,
        None => options.get::<Option<Value>>("default_value")?.unwrap_or_else(|| Value::from("")),
    };
    let lax = match lax {
        Some(lax) => lax,
        None => options.get::<Option<bool>>("boolean")?.unwrap_or(false),
    };
    options.assert_all_used()?;
    let is_missing = value.is_undefined() || (lax && !value.is_true());
    Ok(if is_missing { other } else { value.clone() })
}

/// Indents all lines but the first, and none that is empty; a last newline stays.
fn indent(
    text: &str,
    width: Option<Value>,
    first: Option<bool>,
    blank: Option<bool>,
    options: Kwargs,
) -> Result<String, Error> {
    check_bounds()?;
    let margin = match width.or(options.get("width")?) {
        None => "    ".to_owned(),
        Some(v) if v.as_str().is_some() => v.to_string(),
        Some(v) => " ".repeat(usize::try_from(v)?.min(256)),
    };
    let first = first.or(options.get("first")?).unwrap_or(false);
    let blank = blank.or(options.get("blank")?).unwrap_or(false);
    options.assert_all_used()?;
    let mut out = String::with_capacity(text.len());
    for (i, line) in text.split('\n').enumerate() {
        if i > 0 {
            out.push('\n');
        }
        if if i == 0 { first } else { blank || !line.is_empty() } {
            out.push_str(&margin);
        }
        out.push_str(line);
    }
    Ok(out)
}

/// One line for people.
pub fn describe(error: &Error) -> String {
    let mut source = std::error::Error::source(error);
    while let Some(e) = source {
        if let Some(raised) = e.downcast_ref::<Raised>() {
            return raised.0.clone();
        }
        source = e.source();
    }
    let what = match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => "the template takes too many steps".to_owned(),
        (ErrorKind::InvalidOperation, Some(detail)) => detail.to_owned(),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    };
    match error.line() {
        Some(line) => format!("line {line}: {what}"),
        None => what,
    }
}
