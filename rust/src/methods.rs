//! Methods of Python's types that minijinja's own list lacks, or does otherwise.

use minijinja::value::{from_args, Kwargs, ValueKind};
use minijinja::{format_filter, Error, FormatStyle, State, Value};
use minijinja_contrib::pycompat;

use crate::filters::{items_of, pairs};
use crate::objects::{Tuple, View};
use crate::python::{check_bounds, refuse, str_of};

type Out = Result<Value, Error>;

const MAX_WIDTH: i64 = 1 << 20;

pub fn method(state: &State, value: &Value, name: &str, args: &[Value]) -> Out {
    check_bounds()?;
    let own = match value.kind() {
        ValueKind::String => string_method(value.as_str().unwrap_or(""), name, args),
        ValueKind::Map => dict_method(value, name, args),
        ValueKind::Seq | ValueKind::Iterable => list_method(value, name, args),
        ValueKind::Number => number_method(value, name, args),
        _ => None,
    };
    own.unwrap_or_else(|| pycompat::unknown_method_callback(state, value, name, args))
}

fn dict_method(dict: &Value, name: &str, args: &[Value]) -> Option<Out> {
    let view = |name: &'static str, items: Result<Vec<Value>, Error>| {
        from_args::<()>(args)?;
        Ok(Value::from_object(View { name, items: items? }))
    };
    let keys = || Ok(dict.try_iter()?.collect());
    Some(match name {
        "keys" => view("dict_keys", keys()),
        "items" => view("dict_items", pairs(dict)),
        "values" => view(
            "dict_values",
            keys().and_then(|keys: Vec<Value>| keys.iter().map(|k| dict.get_item(k)).collect()),
        ),
        "copy" => from_args::<()>(args).map(|()| dict.clone()),
        "pop" | "popitem" | "clear" | "update" | "setdefault" => immutable(name),
        _ => return None,
    })
}

fn immutable(name: &str) -> Out {
    Err(refuse(format!("{name}: a template cannot change what it is given")))
}

fn list_method(list: &Value, name: &str, args: &[Value]) -> Option<Out> {
    let is_tuple = list.downcast_object_ref::<Tuple>().is_some();
    Some(match name {
        "index" => from_args(args).and_then(
            |(what, start, stop): (&Value, Option<usize>, Option<usize>)| {
                let items = items_of(list)?;
                let end = stop.unwrap_or(items.len()).min(items.len());
                (start.unwrap_or(0)..end)
                    .find(|&i| items[i] == *what)
                    .map(Value::from)
                    .ok_or_else(|| refuse("the value is not in the list"))
            },
        ),
        "count" => from_args(args).and_then(|(what,): (&Value,)| {
            Ok(Value::from(items_of(list)?.iter().filter(|v| *v == what).count()))
        }),
        "copy" if !is_tuple => from_args::<()>(args).and_then(|()| items_of(list).map(Value::from)),
        "append" | "extend" | "insert" | "remove" | "pop" | "clear" | "sort" | "reverse" => {
            immutable(name)
        }
        _ => return None,
    })
}

fn number_method(number: &Value, name: &str, args: &[Value]) -> Option<Out> {
    Some(from_args::<()>(args).and_then(|()| match name {
        "is_integer" if number.is_integer() => Ok(Value::from(true)),
        "is_integer" => Ok(Value::from(f64::try_from(number.clone())?.fract() == 0.0)),
        "bit_length" if number.is_integer() => {
            let n = i128::try_from(number.clone())?.unsigned_abs();
            Ok(Value::from(128 - n.leading_zeros()))
        }
        _ => Err(refuse(format!("number has no method named {name}"))),
    }))
}

// ---- texts -----------------------------------------------------------------------------------

/// Positional and named: s.split(sep='a', maxsplit=1).
fn named<'a>(args: &'a [Value], names: &[&str]) -> Result<Vec<Option<Value>>, Error> {
    let (positional, named): (&'a [Value], Kwargs) = from_args(args)?;
    if positional.len() > names.len() {
        return Err(refuse("too many arguments"));
    }
    let mut out = Vec::new();
    for (i, name) in names.iter().enumerate() {
        out.push(match positional.get(i) {
            Some(v) => Some(v.clone()),
            None => named.get::<Option<Value>>(name)?,
        });
    }
    named.assert_all_used()?;
    Ok(out)
}

fn some_text(v: &Option<Value>) -> Result<Option<&str>, Error> {
    match v {
        None => Ok(None),
        Some(v) if v.is_none() => Ok(None),
        Some(v) => v.as_str().map(Some).ok_or_else(|| refuse("a string is wanted")),
    }
}

fn string_method(s: &str, name: &str, args: &[Value]) -> Option<Out> {
    let chars = || s.chars();
    let all = |is: fn(char) -> bool| {
        from_args::<()>(args).map(|()| Value::from(!s.is_empty() && s.chars().all(is)))
    };
    Some(match name {
        "find" | "rfind" | "index" | "rindex" => find(s, name, args),
        "count" => count(s, args),
        "startswith" | "endswith" if args.len() > 1 => starts(s, name, args),
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
            Ok(Tuple::value(parts.into_iter().map(Value::from).collect()))
        }),
        "split" | "rsplit" => named(args, &["sep", "maxsplit"]).and_then(|given| {
            let max = match &given[1] {
                Some(v) => Some(i64::try_from(v.clone())?),
                None => None,
            };
            match name {
                "split" => split(s, some_text(&given[0])?, max),
                _ => rsplit(s, some_text(&given[0])?, max),
            }
        }),
        "splitlines" => named(args, &["keepends"])
            .map(|given| split_lines(s, given[0].as_ref().is_some_and(Value::is_true))),
        "join" => from_args(args).and_then(|(values,): (&Value,)| {
            let parts: Result<Vec<String>, Error> = items_of(values)?
                .iter()
                .map(|v| match v.as_str() {
                    Some(text) => Ok(text.to_owned()),
                    None => Err(refuse(format!("join: a string is wanted, {} found", v.kind()))),
                })
                .collect();
            Ok(Value::from(parts?.join(s)))
        }),
        "zfill" => from_args(args).and_then(|(width,): (i64,)| {
            let (sign, digits) = match s.strip_prefix(['+', '-']) {
                Some(rest) => s.split_at(s.len() - rest.len()),
                None => ("", s),
            };
            let fill = fill_of(s, width)?;
            Ok(Value::from(format!("{sign}{}{digits}", "0".repeat(fill))))
        }),
        "ljust" | "rjust" | "center" => {
            from_args(args).and_then(|(width, fill): (i64, Option<&str>)| {
                let fill = fill.unwrap_or(" ");
                if fill.chars().count() != 1 {
                    return Err(refuse("the fill character must be exactly one character long"));
                }
                let n = fill_of(s, width)?;
                let left = match name {
                    "ljust" => 0,
                    "rjust" => n,
                    _ => n / 2 + (n & width.max(0) as usize & 1),
                };
                Ok(Value::from(format!("{}{s}{}", fill.repeat(left), fill.repeat(n - left))))
            })
        }
        "expandtabs" => named(args, &["tabsize"]).and_then(|given| {
            let size = given[0].clone().map_or(Ok(8), i64::try_from)?.clamp(0, 256) as usize;
            let mut column = 0;
            let mut out = String::new();
            for c in s.chars() {
                match c {
                    '\t' => {
                        let n = if size == 0 { 0 } else { size - column % size };
                        out.push_str(&" ".repeat(n));
                        column += n;
                    }
                    c => {
                        out.push(c);
                        column = if matches!(c, '\n' | '\r') { 0 } else { column + 1 };
                    }
                }
            }
            Ok(Value::from(out))
        }),
        "swapcase" => from_args::<()>(args).map(|()| {
            let swapped: String = chars()
                .flat_map(|c| match c.is_uppercase() {
                    true => c.to_lowercase().collect::<Vec<_>>(),
                    false => c.to_uppercase().collect(),
                })
                .collect();
            Value::from(swapped)
        }),
        "casefold" => {
            from_args::<()>(args).map(|()| Value::from(s.to_lowercase().replace('ß', "ss")))
        }
        "title" => from_args::<()>(args).map(|()| Value::from(title(s))),
        "capitalize" => from_args::<()>(args).map(|()| {
            let mut rest = chars();
            let first: String = rest.next().map_or(String::new(), |c| c.to_uppercase().collect());
            Value::from(first + &rest.as_str().to_lowercase())
        }),
        "istitle" => from_args::<()>(args).map(|()| {
            let has_case = chars().any(|c| c.is_uppercase() || c.is_lowercase());
            Value::from(has_case && title(s) == s)
        }),
        "isspace" => all(char::is_whitespace),
        "isalpha" => all(char::is_alphabetic),
        "isalnum" => all(char::is_alphanumeric),
        "isdigit" | "isdecimal" | "isnumeric" => all(char::is_numeric),
        "isprintable" => {
            from_args::<()>(args).map(|()| Value::from(!chars().any(char::is_control)))
        }
        "isidentifier" => from_args::<()>(args).map(|()| {
            let is_start = |c: char| c.is_alphabetic() || c == '_';
            Value::from(
                chars().next().is_some_and(is_start)
                    && chars().all(|c| c.is_alphanumeric() || c == '_'),
            )
        }),
        // Letters without case do not count.
        "isupper" | "islower" => from_args::<()>(args).map(|()| {
            let cased = || s.chars().filter(|c| c.is_uppercase() || c.is_lowercase());
            Value::from(
                cased().next().is_some()
                    && cased().all(|c| c.is_uppercase() == (name == "isupper")),
            )
        }),
        "format" => format(s, args),
        _ => return None,
    })
}

/// What is neither text nor number is written as Python writes it.
fn format(s: &str, args: &[Value]) -> Out {
    let args: Result<Vec<Value>, Error> = args
        .iter()
        .map(|v| match v.kind() {
            ValueKind::None
            | ValueKind::Bool
            | ValueKind::Seq
            | ValueKind::Iterable
            | ValueKind::Map
                if !v.is_kwargs() && !s.contains('[') =>
            {
                str_of(v).map(Value::from)
            }
            _ => Ok(v.clone()),
        })
        .collect();
    format_filter(FormatStyle::StrFormat, s, &args?).map(Value::from)
}

fn fill_of(s: &str, width: i64) -> Result<usize, Error> {
    if width > MAX_WIDTH {
        return Err(refuse("the width is too large"));
    }
    Ok((width.max(0) as usize).saturating_sub(s.chars().count()))
}

fn title(s: &str) -> String {
    let mut out = String::new();
    let mut is_inside = false;
    for c in s.chars() {
        match is_inside {
            true => out.extend(c.to_lowercase()),
            false => out.extend(c.to_uppercase()),
        }
        is_inside = c.is_uppercase() || c.is_lowercase();
    }
    out
}

/// The part of a text between two positions, which count characters, and where it begins.
fn part(s: &str, start: Option<i64>, stop: Option<i64>) -> Option<(&str, usize)> {
    let n = s.chars().count() as i64;
    let place = |i: i64| if i < 0 { (i + n).max(0) } else { i };
    let (from, to) = (place(start.unwrap_or(0)), place(stop.unwrap_or(n)).min(n));
    if from > n || from > to {
        return None;
    }
    let at = |i: i64| s.char_indices().map(|(at, _)| at).chain([s.len()]).nth(i as usize);
    Some((&s[at(from)?..at(to)?], from as usize))
}

fn find(s: &str, name: &str, args: &[Value]) -> Out {
    let (what, start, stop): (&str, Option<i64>, Option<i64>) = from_args(args)?;
    let found = part(s, start, stop).and_then(|(part, from)| {
        let at = if name.starts_with('r') { part.rfind(what) } else { part.find(what) };
        at.map(|at| (from + part[..at].chars().count()) as i64)
    });
    match found {
        None if name.ends_with("index") => Err(refuse("substring not found")),
        found => Ok(Value::from(found.unwrap_or(-1))),
    }
}

fn count(s: &str, args: &[Value]) -> Out {
    let (what, start, stop): (&str, Option<i64>, Option<i64>) = from_args(args)?;
    Ok(Value::from(part(s, start, stop).map_or(0, |(part, _)| match what.is_empty() {
        true => part.chars().count() + 1,
        false => part.matches(what).count(),
    })))
}

fn starts(s: &str, name: &str, args: &[Value]) -> Out {
    let (what, start, stop): (&Value, Option<i64>, Option<i64>) = from_args(args)?;
    let Some((part, _)) = part(s, start, stop) else { return Ok(Value::from(false)) };
    let candidates = if what.as_str().is_some() { vec![what.clone()] } else { items_of(what)? };
    Ok(Value::from(candidates.iter().filter_map(Value::as_str).any(|c| match name {
        "startswith" => part.starts_with(c),
        _ => part.ends_with(c),
    })))
}

fn limit(max: Option<i64>) -> usize {
    max.filter(|&n| n >= 0).map_or(usize::MAX, |n| n as usize)
}

fn split(s: &str, sep: Option<&str>, max: Option<i64>) -> Out {
    let max = limit(max);
    let mut parts: Vec<&str> = Vec::new();
    match sep {
        Some("") => return Err(refuse("empty separator")),
        Some(sep) => parts.extend(s.splitn(max.saturating_add(1), sep)),
        None => {
            let mut rest = s.trim_start();
            while !rest.is_empty() && parts.len() < max {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                parts.push(&rest[..end]);
                rest = rest[end..].trim_start();
            }
            if !rest.is_empty() {
                parts.push(rest);
            }
        }
    }
    Ok(parts.into_iter().map(Value::from).collect())
}

fn rsplit(s: &str, sep: Option<&str>, max: Option<i64>) -> Out {
    let max = limit(max);
    let mut parts: Vec<&str> = Vec::new();
    match sep {
        Some("") => return Err(refuse("empty separator")),
        Some(sep) => parts.extend(s.rsplitn(max.saturating_add(1), sep)),
        None => {
            let mut rest = s.trim_end();
            while !rest.is_empty() && parts.len() < max {
                let at = rest.rfind(char::is_whitespace);
                let cut =
                    at.map_or(0, |at| at + rest[at..].chars().next().map_or(0, char::len_utf8));
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

fn split_lines(s: &str, keeps_ends: bool) -> Value {
    let is_end = |c: char| {
        matches!(
            c,
            '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let mut out = Vec::new();
    let mut rest = s;
    while !rest.is_empty() {
        let end = rest.find(is_end).unwrap_or(rest.len());
        let n_end = match rest[end..].chars().next() {
            Some('\r') if rest[end..].starts_with("\r\n") => 2,
            c => c.map_or(0, char::len_utf8),
        };
        out.push(Value::from(&rest[..if keeps_ends { end + n_end } else { end }]));
        rest = &rest[end + n_end..];
    }
    Value::from(out)
}
