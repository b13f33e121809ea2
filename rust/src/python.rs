//! What templates know from Python and minijinja does otherwise: how values print, `tojson`, and
//! some methods of strings.

use std::fmt::Write;

use minijinja::value::{from_args, Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat;

use crate::bounds;

/// Nesting that printing and `tojson` follow; the request's own JSON may be 128 deep.
const MAX_DEPTH: usize = 256;

pub fn refuse(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// An error once a soft bound is passed.
pub fn check_bounds() -> Result<(), Error> {
    bounds::check().map_err(refuse)
}

/// Python's repr of a float: the shortest digits that read back, scientific from 1e16 and below
/// 1e-4.
pub fn float_text(x: f64) -> String {
    if x.is_nan() {
        return "nan".into();
    }
    if x.is_infinite() {
        return if x > 0.0 { "inf" } else { "-inf" }.into();
    }
    if x != 0.0 && !(1e-4..1e16).contains(&x.abs()) {
        let text = format!("{x:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let text = format!("{x}");
    if text.contains('.') {
        text
    } else {
        text + ".0"
    }
}

fn number_text(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    f64::try_from(value.clone()).map_or_else(|_| value.to_string(), float_text)
}

/// str(value), as `{{ value }}` writes it.
pub fn print(out: &mut dyn Write, value: &Value) -> Result<(), Error> {
    match value.as_str() {
        Some(text) => Ok(out.write_str(text)?),
        None if value.is_undefined() => Ok(()),
        None => print_repr(out, value, 0),
    }
}

fn print_repr(out: &mut dyn Write, value: &Value, depth: usize) -> Result<(), Error> {
    check_depth(depth)?;
    match value.kind() {
        ValueKind::Undefined => out.write_str("Undefined")?,
        ValueKind::Number => out.write_str(&number_text(value))?,
        ValueKind::String => print_quoted(out, value.as_str().unwrap_or(""))?,
        ValueKind::Seq | ValueKind::Iterable => {
            out.write_char('[')?;
            for (i, item) in value.try_iter()?.enumerate() {
                out.write_str(if i > 0 { ", " } else { "" })?;
                print_repr(out, &item, depth + 1)?;
            }
            out.write_char(']')?;
        }
        ValueKind::Map => {
            out.write_char('{')?;
            for (i, key) in value.try_iter()?.enumerate() {
                out.write_str(if i > 0 { ", " } else { "" })?;
                print_repr(out, &key, depth + 1)?;
                out.write_str(": ")?;
                print_repr(out, &value.get_item(&key)?, depth + 1)?;
            }
            out.write_char('}')?;
        }
        _ => write!(out, "{value}")?,
    }
    Ok(())
}

fn check_depth(depth: usize) -> Result<(), Error> {
    check_bounds()?;
    if depth > MAX_DEPTH {
        return Err(refuse("a value is nested too deeply"));
    }
    Ok(())
}

fn print_quoted(out: &mut dyn Write, text: &str) -> Result<(), Error> {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.write_char(quote)?;
    for c in text.chars() {
        match c {
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            c if c == quote => write!(out, "\\{c}")?,
            c if (c as u32) < 0x20 || (0x7f..=0xa0).contains(&(c as u32)) || c == '\u{ad}' => {
                write!(out, "\\x{:02x}", c as u32)?
            }
            c => out.write_char(c)?,
        }
    }
    out.write_char(quote)?;
    Ok(())
}

/// json.dumps with the separators and options that Hugging Face's `tojson` passes on.
struct JsonStyle {
    indent: Option<String>,
    item: String,
    key: String,
    is_ascii: bool,
    is_sorted: bool,
}

pub fn tojson(value: &Value, indent: Option<Value>, options: Kwargs) -> Result<String, Error> {
    check_bounds()?;
    // tojson(value, ensure_ascii, indent, ...): templates name the options, but for a first number.
    let indent = match indent {
        Some(v) => Some(v),
        None => options.get::<Option<Value>>("indent")?,
    };
    let indent = match indent {
        Some(v) if v.kind() == ValueKind::String => v.as_str().map(str::to_owned),
        Some(v) if v.kind() == ValueKind::Number => {
            let n = i64::try_from(v)?;
            Some(" ".repeat(n.clamp(0, 64) as usize))
        }
        _ => None,
    };
    let separators = options.get::<Option<Vec<String>>>("separators")?;
    let style = JsonStyle {
        is_ascii: options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
        is_sorted: options.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
        item: match &separators {
            Some(s) if s.len() == 2 => s[0].clone(),
            _ if indent.is_some() => ",".into(),
            _ => ", ".into(),
        },
        key: match &separators {
            Some(s) if s.len() == 2 => s[1].clone(),
            _ => ": ".into(),
        },
        indent,
    };
    options.assert_all_used()?;
    let mut out = String::new();
    write_json(&mut out, value, &style, 0)?;
    Ok(out)
}

fn break_line(out: &mut String, style: &JsonStyle, depth: usize) {
    if let Some(indent) = &style.indent {
        out.push('\n');
        for _ in 0..depth {
            out.push_str(indent);
        }
    }
}

fn write_json(out: &mut String, v: &Value, style: &JsonStyle, depth: usize) -> Result<(), Error> {
    check_depth(depth)?;
    match v.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if v.is_true() { "true" } else { "false" }),
        ValueKind::Number => out.push_str(&match number_text(v).as_str() {
            "nan" => "NaN".to_owned(),
            "inf" => "Infinity".to_owned(),
            "-inf" => "-Infinity".to_owned(),
            text => text.to_owned(),
        }),
        ValueKind::String => write_json_string(out, v.as_str().unwrap_or(""), style.is_ascii),
        ValueKind::Seq | ValueKind::Iterable => {
            out.push('[');
            let mut is_empty = true;
            for item in v.try_iter()? {
                out.push_str(if is_empty { "" } else { &style.item });
                is_empty = false;
                break_line(out, style, depth + 1);
                write_json(out, &item, style, depth + 1)?;
            }
            if !is_empty {
                break_line(out, style, depth);
            }
            out.push(']');
        }
        ValueKind::Map => {
            let mut keys: Vec<Value> = v.try_iter()?.collect();
            if style.is_sorted {
                keys.sort();
            }
            out.push('{');
            for (i, key) in keys.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { &style.item });
                break_line(out, style, depth + 1);
                match key.as_str() {
                    Some(text) => write_json_string(out, text, style.is_ascii),
                    None => {
                        let mut text = String::new();
                        write_json(&mut text, key, style, depth + 1)?;
                        write_json_string(out, &text, style.is_ascii);
                    }
                }
                out.push_str(&style.key);
                write_json(out, &v.get_item(key)?, style, depth + 1)?;
            }
            if !keys.is_empty() {
                break_line(out, style, depth);
            }
            out.push('}');
        }
        kind => return Err(refuse(format!("{kind} value cannot be written as JSON"))),
    }
    Ok(())
}

fn write_json_string(out: &mut String, text: &str, is_ascii: bool) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 => _ = write!(out, "\\u{:04x}", c as u32),
            // A guard character stays one: as an escape it would be text that nothing removes.
            '\u{fdd0}'..='\u{fdef}' => out.push(c),
            c if is_ascii && !c.is_ascii() => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Methods of Python's types. What pycompat lacks, or counts in bytes where Python counts
/// characters, is done here.
pub fn method(state: &State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    check_bounds()?;
    if let Some(text) = value.as_str() {
        if let Some(result) = string_method(text, name, args) {
            return result;
        }
    }
    pycompat::unknown_method_callback(state, value, name, args)
}

fn string_method(s: &str, name: &str, args: &[Value]) -> Option<Result<Value, Error>> {
    Some(match name {
        "find" | "rfind" | "index" | "rindex" => find(s, name, args),
        "removeprefix" => {
            from_args(args).map(|(p,): (&str,)| Value::from(s.strip_prefix(p).unwrap_or(s)))
        }
        "removesuffix" => {
            from_args(args).map(|(p,): (&str,)| Value::from(s.strip_suffix(p).unwrap_or(s)))
        }
        "partition" | "rpartition" => from_args(args).and_then(|(sep,): (&str,)| {
            if sep.is_empty() {
                return Err(refuse("empty separator"));
            }
            let (parts, is_last) = match name {
                "partition" => (s.split_once(sep), false),
                _ => (s.rsplit_once(sep), true),
            };
            let parts = match parts {
                Some((a, b)) => [a, sep, b],
                None if is_last => ["", "", s],
                None => [s, "", ""],
            };
            Ok(parts.into_iter().map(Value::from).collect())
        }),
        "rsplit" => {
            from_args(args).and_then(|(sep, max): (Option<&str>, Option<i64>)| rsplit(s, sep, max))
        }
        // True for no text only in Rust.
        "isspace" | "isdigit" | "isnumeric" | "isalnum" | "isalpha" | "isupper" | "islower"
            if s.is_empty() =>
        {
            Ok(Value::from(false))
        }
        // Letters without case do not count.
        "isupper" | "islower" => {
            let cased = || s.chars().filter(|c| c.is_uppercase() || c.is_lowercase());
            Ok(Value::from(
                cased().next().is_some()
                    && cased().all(|c| c.is_uppercase() == (name == "isupper")),
            ))
        }
        _ => return None,
    })
}

fn find(s: &str, name: &str, args: &[Value]) -> Result<Value, Error> {
    let (what, start): (&str, Option<i64>) = from_args(args)?;
    let n_chars = || s.chars().count() as i64;
    let skip = match start.unwrap_or(0) {
        i if i < 0 => (n_chars() + i).max(0) as usize,
        i => i as usize,
    };
    let from = s.char_indices().map(|(at, _)| at).chain([s.len()]).nth(skip);
    let found = from.and_then(|from| {
        let rest = &s[from..];
        let at = if name.starts_with('r') { rest.rfind(what) } else { rest.find(what) };
        at.map(|at| s[..from + at].chars().count() as i64)
    });
    match found {
        None if name.ends_with("index") => Err(refuse("substring not found")),
        found => Ok(Value::from(found.unwrap_or(-1))),
    }
}

fn rsplit(s: &str, sep: Option<&str>, max: Option<i64>) -> Result<Value, Error> {
    let max = max.filter(|&n| n >= 0).map_or(usize::MAX, |n| n as usize);
    let mut parts: Vec<&str> = Vec::new();
    match sep {
        Some("") => return Err(refuse("empty separator")),
        Some(sep) => parts.extend(s.rsplitn(max.saturating_add(1), sep)),
        None => {
            let mut rest = s.trim_end();
            while !rest.is_empty() && parts.len() < max {
                let at = rest.rfind(char::is_whitespace);
                let cut = at.map_or(0, |at| after(rest, at));
                parts.push(&rest[cut..]);
                rest = rest[..cut].trim_end();
            }
            if !rest.is_empty() {
                parts.push(rest);
            }
        }
    }
    Ok(parts.into_iter().rev().map(Value::from).collect())
}

fn after(s: &str, at: usize) -> usize {
    at + s[at..].chars().next().map_or(0, char::len_utf8)
}
