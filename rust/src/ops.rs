//! The functions that rewrite.rs writes into templates: Python's operators.

use minijinja::value::{ObjectRepr, Rest, ValueKind};
use minijinja::{format_filter, Environment, Error, FormatStyle, Value};

use crate::objects::{Method, Range, Tuple};
use crate::python::{self, check_bounds, refuse, repr_of, str_of};

const MAX_TEXT: usize = 100_000_000;
/// Jinja2's own limit in its sandbox.
const MAX_RANGE: usize = 100_000;

pub fn register(env: &mut Environment) {
    env.add_function("range", range);
    env.add_function("__id", |v: Value| v);
    env.add_function("__tuple", |items: Rest<Value>| Tuple::value(items.0));
    env.add_function("__cat", cat);
    env.add_function("__iter", iterated);
    env.add_function("__slice", slice);
    env.add_function("__method", method);
    env.add_function("__add", add);
    env.add_function("__sub", |a: &Value, b: &Value| arithmetic("-", a, b));
    env.add_function("__mul", mul);
    env.add_function("__div", |a: &Value, b: &Value| arithmetic("/", a, b));
    env.add_function("__floordiv", |a: &Value, b: &Value| arithmetic("//", a, b));
    env.add_function("__mod", modulo);
    env.add_function("__pow", |a: &Value, b: &Value| arithmetic("**", a, b));
    env.add_function("__neg", |v: &Value| {
        arithmetic("-", &Value::from(0), v).map(negative_zero(v))
    });
    env.add_function("__pos", |v: &Value| arithmetic("+", &Value::from(0), v));
}

fn range(first: i64, second: Option<i64>, step: Option<i64>) -> Result<Value, Error> {
    let (start, stop) = second.map_or((0, first), |stop| (first, stop));
    let limit = i64::MAX / 4;
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(refuse("range: the step is not 0"));
    }
    if [start, stop, step].iter().any(|n| n.abs() > limit) {
        return Err(refuse("range: the numbers are too large"));
    }
    let range = Range { start, stop, step };
    if range.n() > MAX_RANGE {
        return Err(refuse(format!("range: more than {MAX_RANGE} numbers")));
    }
    Ok(Value::from_object(range))
}

/// 0 - 0.0 is 0.0, and -(0.0) is not.
fn negative_zero(v: &Value) -> impl Fn(Value) -> Value {
    let is_zero = !v.is_integer()
        && f64::try_from(v.clone()).is_ok_and(|x| x == 0.0)
        && v.kind() == ValueKind::Number;
    move |out| if is_zero { Value::from(-0.0) } else { out }
}

fn cat(parts: Rest<Value>) -> Result<String, Error> {
    check_bounds()?;
    let mut out = String::new();
    for part in parts.iter() {
        python::print(&mut out, part)?;
    }
    Ok(out)
}

pub fn no_iteration(v: &Value) -> Error {
    let name = match v.kind() {
        ValueKind::None => "NoneType",
        ValueKind::Bool => "bool",
        ValueKind::Number if v.is_integer() => "int",
        ValueKind::Number => "float",
        _ => "such an object",
    };
    refuse(format!("'{name}' object is not iterable"))
}

fn characters(text: &str) -> Value {
    text.chars().map(|c| Value::from(c.to_string())).collect()
}

/// What a loop goes through.
fn iterated(v: Value) -> Result<Value, Error> {
    match v.kind() {
        ValueKind::String => Ok(characters(v.as_str().unwrap_or(""))),
        ValueKind::None | ValueKind::Bool | ValueKind::Number | ValueKind::Plain => {
            Err(no_iteration(&v))
        }
        _ => Ok(v),
    }
}

fn method(of: Value, name: String) -> Value {
    let is_dict = of.kind() == ValueKind::Map
        && of.as_object().is_some_and(|o| !o.type_name().contains("Namespace"));
    if is_dict {
        return Value::from_object(Method { of, name });
    }
    of.get_attr(&name).unwrap_or(Value::UNDEFINED)
}

fn is_list(v: &Value) -> bool {
    v.downcast_object_ref::<Range>().is_none()
        && v.as_object().is_some_and(|o| matches!(o.repr(), ObjectRepr::Seq | ObjectRepr::Iterable))
}

pub fn is_tuple(v: &Value) -> bool {
    v.downcast_object_ref::<Tuple>().is_some()
}

// ---- slices ----------------------------------------------------------------------------------

fn index(v: &Value) -> Result<Option<i64>, Error> {
    match v.kind() {
        ValueKind::None => Ok(None),
        _ if v.is_integer() || v.kind() == ValueKind::Bool => {
            let wide = i128::try_from(v.clone())?;
            Ok(Some(wide.clamp(i64::MIN as i128 / 2, i64::MAX as i128 / 2) as i64))
        }
        _ => Err(refuse("slice indices must be integers or none")),
    }
}

/// Where a slice of n items begins, ends and how it goes on.
fn cut(n: usize, start: &Value, stop: &Value, step: &Value) -> Result<(i64, i64, i64), Error> {
    let n = n as i64;
    let step = index(step)?.unwrap_or(1);
    if step == 0 {
        return Err(refuse("slice step cannot be zero"));
    }
    let (low, high) = if step > 0 { (0, n) } else { (-1, n - 1) };
    let place = |v: Option<i64>, otherwise: i64| match v {
        None => otherwise,
        Some(i) if i < 0 => (i + n).max(low),
        Some(i) => i.min(high),
    };
    let (first, last) = if step > 0 { (0, n) } else { (n - 1, -1) };
    Ok((place(index(start)?, first), place(index(stop)?, last), step))
}

fn positions(n: usize, start: &Value, stop: &Value, step: &Value) -> Result<Vec<usize>, Error> {
    let (mut at, end, step) = cut(n, start, stop, step)?;
    let mut out = Vec::new();
    while (step > 0 && at < end) || (step < 0 && at > end) {
        out.push(at as usize);
        at = at.saturating_add(step);
    }
    Ok(out)
}

fn slice(v: &Value, start: &Value, stop: &Value, step: &Value) -> Result<Value, Error> {
    check_bounds()?;
    if v.is_undefined() {
        return Err(refuse("the value to slice is undefined"));
    }
    if let Some(text) = v.as_str() {
        let chars: Vec<char> = text.chars().collect();
        let at = positions(chars.len(), start, stop, step)?;
        return Ok(Value::from(at.into_iter().map(|i| chars[i]).collect::<String>()));
    }
    if let Some(range) = v.downcast_object_ref::<Range>() {
        let (from, to, step) = cut(range.n(), start, stop, step)?;
        let step = range.step.saturating_mul(step);
        return Ok(Value::from_object(Range { start: range.at(from), stop: range.at(to), step }));
    }
    if !is_list(v) {
        return Ok(Value::UNDEFINED);
    }
    let items: Vec<Value> = v.try_iter()?.collect();
    let at = positions(items.len(), start, stop, step)?;
    let out: Vec<Value> = at.into_iter().map(|i| items[i].clone()).collect();
    Ok(if is_tuple(v) { Tuple::value(out) } else { Value::from(out) })
}

// ---- arithmetic ------------------------------------------------------------------------------

enum Pair {
    Ints(i128, i128),
    Floats(f64, f64),
}

fn pair(op: &str, a: &Value, b: &Value) -> Result<Pair, Error> {
    let is_number = |v: &Value| matches!(v.kind(), ValueKind::Number | ValueKind::Bool);
    if !is_number(a) || !is_number(b) {
        return Err(refuse(format!(
            "tried to use {op} operator on unsupported types {} and {}",
            a.kind(),
            b.kind()
        )));
    }
    let int = |v: &Value| match v.kind() {
        ValueKind::Bool => Some(i128::from(v.is_true())),
        _ if v.is_integer() => i128::try_from(v.clone()).ok(),
        _ => None,
    };
    if let (Some(a), Some(b)) = (int(a), int(b)) {
        return Ok(Pair::Ints(a, b));
    }
    let float = |v: &Value| match int(v) {
        Some(n) => Ok(n as f64),
        None => f64::try_from(v.clone()),
    };
    Ok(Pair::Floats(float(a)?, float(b)?))
}

fn int_value(n: i128) -> Value {
    match i64::try_from(n) {
        Ok(small) => Value::from(small),
        Err(_) => Value::from(n),
    }
}

fn by_zero() -> Error {
    refuse("division by zero")
}

pub fn arithmetic(op: &str, a: &Value, b: &Value) -> Result<Value, Error> {
    let too_large = || refuse(format!("{op}: the number is too large"));
    match pair(op, a, b)? {
        Pair::Ints(a, b) => match op {
            "+" => a.checked_add(b).map(int_value).ok_or_else(too_large),
            "-" => a.checked_sub(b).map(int_value).ok_or_else(too_large),
            "*" => a.checked_mul(b).map(int_value).ok_or_else(too_large),
            "/" if b == 0 => Err(by_zero()),
            "/" => Ok(Value::from(a as f64 / b as f64)),
            "//" | "%" if b == 0 => Err(by_zero()),
            "//" => {
                let quotient = a.checked_div(b).ok_or_else(too_large)?;
                let is_below = a % b != 0 && (a < 0) != (b < 0);
                Ok(int_value(quotient - i128::from(is_below)))
            }
            "%" => {
                let rest = a.checked_rem(b).ok_or_else(too_large)?;
                Ok(int_value(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }))
            }
            _ if b < 0 && a == 0 => Err(by_zero()),
            _ if b < 0 => Ok(Value::from((a as f64).powf(b as f64))),
            _ => u32::try_from(b)
                .ok()
                .and_then(|b| a.checked_pow(b))
                .map(int_value)
                .ok_or_else(too_large),
        },
        Pair::Floats(a, b) => Ok(Value::from(match op {
            "+" => a + b,
            "-" => a - b,
            "*" => a * b,
            "**" => a.powf(b),
            _ if b == 0.0 => return Err(by_zero()),
            "/" => a / b,
            "//" => (a / b).floor(),
            _ => {
                let rest = a % b;
                if rest != 0.0 && (rest < 0.0) != (b < 0.0) {
                    rest + b
                } else {
                    rest
                }
            }
        })),
    }
}

fn add(a: &Value, b: &Value) -> Result<Value, Error> {
    check_bounds()?;
    if let (Some(a), Some(b)) = (a.as_str(), b.as_str()) {
        return Ok(Value::from([a, b].concat()));
    }
    if is_list(a) && is_list(b) {
        if is_tuple(a) != is_tuple(b) {
            return Err(refuse("a list and a tuple cannot be added"));
        }
        let items: Vec<Value> = a.try_iter()?.chain(b.try_iter()?).collect();
        return Ok(if is_tuple(a) { Tuple::value(items) } else { Value::from(items) });
    }
    arithmetic("+", a, b)
}

fn times(v: &Value) -> Option<usize> {
    let is_int = v.is_integer() || v.kind() == ValueKind::Bool;
    is_int.then(|| i128::try_from(v.clone()).unwrap_or(0).max(0) as usize)
}

fn mul(a: &Value, b: &Value) -> Result<Value, Error> {
    check_bounds()?;
    let (of, n) = if times(b).is_some() { (a, b) } else { (b, a) };
    let Some(n) = times(n) else { return arithmetic("*", a, b) };
    if let Some(text) = of.as_str() {
        if text.len().saturating_mul(n) > MAX_TEXT {
            return Err(refuse("repeated string is too large"));
        }
        return Ok(Value::from(text.repeat(n)));
    }
    if is_list(of) {
        let items: Vec<Value> = of.try_iter()?.collect();
        if items.len().saturating_mul(n) > MAX_TEXT / 100 {
            return Err(refuse("repeated list is too large"));
        }
        let out: Vec<Value> = items.iter().cycle().take(items.len() * n).cloned().collect();
        return Ok(if is_tuple(of) { Tuple::value(out) } else { Value::from(out) });
    }
    arithmetic("*", a, b)
}

fn modulo(a: &Value, b: &Value) -> Result<Value, Error> {
    let Some(text) = a.as_str() else { return arithmetic("%", a, b) };
    let args: Vec<Value> = match b.downcast_object_ref::<Tuple>() {
        Some(tuple) => tuple.0.clone(),
        None => vec![b.clone()],
    };
    percent(text, &args).map(Value::from)
}

/// Python's % on a text. Values that are not numbers are written as Python writes them.
pub fn percent(text: &str, args: &[Value]) -> Result<String, Error> {
    check_bounds()?;
    let (text, reprs) = without_reprs(text);
    let args: Result<Vec<Value>, Error> = args
        .iter()
        .enumerate()
        .map(|(i, v)| match v.kind() {
            _ if reprs.contains(&i) => repr_of(v).map(Value::from),
            ValueKind::Map | ValueKind::Number | ValueKind::String => Ok(v.clone()),
            _ => str_of(v).map(Value::from),
        })
        .collect();
    format_filter(FormatStyle::Printf, &text, &args?)
}

/// The text with %s for %r, and which values those are.
fn without_reprs(text: &str) -> (String, Vec<usize>) {
    let mut out = String::new();
    let mut reprs = Vec::new();
    let mut n = 0;
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let spec = &rest[at + 1..];
        let n_flags = spec.len()
            - spec.trim_start_matches(|c: char| "#0- +.".contains(c) || c.is_ascii_digit()).len();
        out.push_str(&rest[..at + 1 + n_flags]);
        let mut after = spec[n_flags..].chars();
        match after.next() {
            Some('r') => {
                reprs.push(n);
                out.push('s');
                n += 1;
            }
            Some(c) => {
                n += usize::from(c != '%');
                out.push(c);
            }
            None => {}
        }
        rest = after.as_str();
    }
    out.push_str(rest);
    (out, reprs)
}
