//! What templates know from Python and minijinja does otherwise: how values print, and `tojson`.

use std::fmt::Write;

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Value};

use crate::bounds;
use crate::objects::{Range, Tuple, View};

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

pub fn str_of(value: &Value) -> Result<String, Error> {
    let mut text = String::new();
    print(&mut text, value)?;
    Ok(text)
}

pub fn repr_of(value: &Value) -> Result<String, Error> {
    let mut text = String::new();
    print_repr(&mut text, value, 0)?;
    Ok(text)
}

fn print_items(
    out: &mut dyn Write,
    items: impl Iterator<Item = Value>,
    depth: usize,
) -> Result<(), Error> {
    for (i, item) in items.enumerate() {
        out.write_str(if i > 0 { ", " } else { "" })?;
        print_repr(out, &item, depth + 1)?;
    }
    Ok(())
}

fn print_repr(out: &mut dyn Write, value: &Value, depth: usize) -> Result<(), Error> {
    check_depth(depth)?;
    if let Some(tuple) = value.downcast_object_ref::<Tuple>() {
        out.write_char('(')?;
        print_items(out, tuple.0.iter().cloned(), depth)?;
        out.write_str(if tuple.0.len() == 1 { ",)" } else { ")" })?;
        return Ok(());
    }
    if let Some(range) = value.downcast_object_ref::<Range>() {
        write!(out, "range({}, {}", range.start, range.stop)?;
        match range.step {
            1 => out.write_str(")")?,
            step => write!(out, ", {step})")?,
        }
        return Ok(());
    }
    if let Some(view) = value.downcast_object_ref::<View>() {
        write!(out, "{}([", view.name)?;
        print_items(out, view.items.iter().cloned(), depth)?;
        out.write_str("])")?;
        return Ok(());
    }
    match value.kind() {
        ValueKind::Undefined => out.write_str("Undefined")?,
        ValueKind::Number => out.write_str(&number_text(value))?,
        ValueKind::String => print_quoted(out, value.as_str().unwrap_or(""))?,
        ValueKind::Seq | ValueKind::Iterable => {
            out.write_char('[')?;
            print_items(out, value.try_iter()?, depth)?;
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
