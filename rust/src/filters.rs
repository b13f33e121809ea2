//! Jinja2's filters where minijinja has none, or another.

use std::cmp::Ordering;

use minijinja::value::{from_args, Kwargs, Rest, ValueKind};
use minijinja::{filters, Environment, Error, State, Value};

use crate::objects::Tuple;
use crate::ops::{self, arithmetic, no_iteration};
use crate::python::{check_bounds, float_text, refuse, str_of};

/// What a filter was called with: positional and named values.
struct Args {
    positional: Vec<Value>,
    named: Kwargs,
}

impl Args {
    fn new(args: &[Value]) -> Result<Args, Error> {
        check_bounds()?;
        let (positional, named): (&[Value], Kwargs) = from_args(args)?;
        Ok(Args { positional: positional.to_vec(), named })
    }

    fn get(&self, at: usize, name: &str) -> Result<Option<Value>, Error> {
        match self.positional.get(at) {
            Some(v) => Ok(Some(v.clone())),
            None => Ok(self.named.get::<Option<Value>>(name).unwrap_or(None)),
        }
    }

    fn text(&self, at: usize, name: &str, otherwise: &str) -> Result<String, Error> {
        self.get(at, name)?.map_or(Ok(otherwise.to_owned()), |v| str_of(&v))
    }

    fn flag(&self, at: usize, name: &str, otherwise: bool) -> Result<bool, Error> {
        Ok(self.get(at, name)?.map_or(otherwise, |v| v.is_true()))
    }

    fn int(&self, at: usize, name: &str, otherwise: i64) -> Result<i64, Error> {
        self.get(at, name)?.map_or(Ok(otherwise), i64::try_from)
    }
}

type Out = Result<Value, Error>;

/// The items of what can be gone through.
pub fn items_of(v: &Value) -> Result<Vec<Value>, Error> {
    match v.kind() {
        ValueKind::String => {
            Ok(v.as_str().unwrap_or("").chars().map(|c| Value::from(c.to_string())).collect())
        }
        ValueKind::Undefined => Ok(vec![]),
        ValueKind::None | ValueKind::Bool | ValueKind::Number | ValueKind::Plain => {
            Err(no_iteration(v))
        }
        _ => Ok(v.try_iter()?.collect()),
    }
}

/// a.b.0 of a value; a number is an index.
fn attribute(of: &Value, path: &Value) -> Value {
    let Some(text) = path.as_str() else {
        return of.get_item(path).unwrap_or(Value::UNDEFINED);
    };
    text.split('.').fold(of.clone(), |v, part| match part.parse::<usize>() {
        Ok(i) => v.get_item(&Value::from(i)).unwrap_or(Value::UNDEFINED),
        Err(_) => v.get_attr(part).unwrap_or(Value::UNDEFINED),
    })
}

/// Case does not count where it is not asked for.
fn folded(v: &Value, is_case_sensitive: bool) -> Value {
    match v.as_str() {
        Some(text) if !is_case_sensitive => Value::from(text.to_lowercase()),
        _ => v.clone(),
    }
}

/// Python's order: there is none between kinds.
fn compared(a: &Value, b: &Value) -> Result<Ordering, Error> {
    let kind = |v: &Value| match v.kind() {
        ValueKind::Bool | ValueKind::Number => 0,
        ValueKind::String => 1,
        ValueKind::Seq | ValueKind::Iterable => 2,
        _ => 3,
    };
    if kind(a) != kind(b) || kind(a) == 3 {
        return Err(refuse(format!("'<' is not supported between {} and {}", a.kind(), b.kind())));
    }
    let number = |v: &Value| match v.kind() {
        ValueKind::Bool => Value::from(i64::from(v.is_true())),
        _ => v.clone(),
    };
    if kind(a) == 2 {
        let (a, b) = (items_of(a)?, items_of(b)?);
        for (x, y) in a.iter().zip(&b) {
            if x != y {
                return compared(x, y);
            }
        }
        return Ok(a.len().cmp(&b.len()));
    }
    Ok(number(a).cmp(&number(b)))
}

fn sort_by(items: &mut [Value], key: impl Fn(&Value) -> Vec<Value>) -> Result<(), Error> {
    let mut failure = None;
    let mut keyed: Vec<(Vec<Value>, Value)> = items.iter().map(|v| (key(v), v.clone())).collect();
    keyed.sort_by(|a, b| {
        for (x, y) in a.0.iter().zip(&b.0) {
            match compared(x, y) {
                Ok(Ordering::Equal) => {}
                Ok(order) => return order,
                Err(e) => {
                    failure.get_or_insert(e);
                    return Ordering::Equal;
                }
            }
        }
        Ordering::Equal
    });
    for (to, (_, v)) in items.iter_mut().zip(keyed) {
        *to = v;
    }
    failure.map_or(Ok(()), Err)
}

// ---- texts -----------------------------------------------------------------------------------

fn title(text: &str) -> String {
    let mut out = String::new();
    let mut starts = true;
    for c in text.chars() {
        match starts {
            true => out.extend(c.to_uppercase()),
            false => out.extend(c.to_lowercase()),
        }
        starts = c.is_whitespace() || matches!(c, '-' | '(' | '{' | '[' | '<');
    }
    out
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn padded(text: &str, width: usize) -> Result<String, Error> {
    let n = text.chars().count();
    if width > 1 << 20 {
        return Err(refuse("the width is too large"));
    }
    let room = width.saturating_sub(n);
    let left = room / 2 + (room & width & 1);
    Ok(format!("{}{text}{}", " ".repeat(left), " ".repeat(room - left)))
}

fn truncate(v: &Value, args: Rest<Value>) -> Out {
    let args = Args::new(&args)?;
    let chars: Vec<char> = str_of(v)?.chars().collect();
    let length = args.int(0, "length", 255)?.max(0) as usize;
    let kill = args.flag(1, "killwords", false)?;
    let end = args.text(2, "end", "...")?;
    let leeway = args.int(3, "leeway", 5)?.max(0) as usize;
    let n_end = end.chars().count();
    if length < n_end {
        return Err(refuse(format!("expected length >= {n_end}, got {length}")));
    }
    if chars.len() <= length + leeway {
        return Ok(Value::from(chars.into_iter().collect::<String>()));
    }
    let mut out: String = chars[..length - n_end].iter().collect();
    if !kill {
        out.truncate(out.rfind(' ').unwrap_or(out.len()));
    }
    Ok(Value::from(out + &end))
}

fn wordwrap(v: &Value, args: Rest<Value>) -> Out {
    let args = Args::new(&args)?;
    let width = args.int(0, "width", 79)?.max(1) as usize;
    let breaks = args.flag(1, "break_long_words", true)?;
    let mark = args.text(2, "wrapstring", "\n")?;
    let mut lines: Vec<String> = Vec::new();
    for line in str_of(v)?.lines() {
        let mut now = String::new();
        let mut n_now = 0;
        let mut any = false;
        for word in line.split_inclusive(' ') {
            let mut word: Vec<char> = word.chars().collect();
            let n_word = word.iter().filter(|c| **c != ' ').count();
            if n_now + n_word > width && n_now > 0 {
                lines.push(now.trim_end().to_owned());
                any = true;
                now.clear();
                n_now = 0;
            }
            while breaks && word.iter().filter(|c| **c != ' ').count() > width {
                lines.push(word.drain(..width).collect());
                any = true;
            }
            n_now += word.len();
            now.extend(word);
        }
        if !now.is_empty() || !any {
            lines.push(now.trim_end().to_owned());
        }
    }
    Ok(Value::from(lines.join(&mark)))
}

fn quoted_for_urls(text: &str, keeps_slash: bool) -> String {
    let mut out = String::new();
    for b in text.bytes() {
        let is_safe =
            b.is_ascii_alphanumeric() || b"_.-~".contains(&b) || (keeps_slash && b == b'/');
        match is_safe {
            true => out.push(b as char),
            false => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

fn urlencode(v: &Value) -> Out {
    if v.kind() == ValueKind::String || !matches!(v.kind(), ValueKind::Map | ValueKind::Seq) {
        return Ok(Value::from(quoted_for_urls(&str_of(v)?, true)));
    }
    let mut out = Vec::new();
    for key in v.try_iter()? {
        let (key, value) = match v.kind() {
            ValueKind::Map => (key.clone(), v.get_item(&key)?),
            _ => (attribute(&key, &Value::from(0)), attribute(&key, &Value::from(1))),
        };
        let quote =
            |v: &Value| Ok::<_, Error>(quoted_for_urls(&str_of(v)?, false).replace("%20", "+"));
        out.push(format!("{}={}", quote(&key)?, quote(&value)?));
    }
    Ok(Value::from(out.join("&")))
}

fn filesizeformat(v: &Value, args: Rest<Value>) -> Out {
    let args = Args::new(&args)?;
    let is_binary = args.flag(0, "binary", false)?;
    let base: f64 = if is_binary { 1024.0 } else { 1000.0 };
    let bytes = f64::try_from(to_float(v, None)?)?;
    if bytes == 1.0 {
        return Ok(Value::from("1 Byte"));
    }
    if bytes < base {
        return Ok(Value::from(format!("{} Bytes", bytes.trunc())));
    }
    let letters = ["k", "M", "G", "T", "P", "E", "Z", "Y"];
    for (i, letter) in letters.iter().enumerate() {
        let unit = base.powi(i as i32 + 2);
        if bytes < unit || i + 1 == letters.len() {
            let name = match is_binary {
                true => format!("{}iB", letter.to_uppercase()),
                false => format!("{letter}B"),
            };
            return Ok(Value::from(format!("{:.1} {name}", base * bytes / unit)));
        }
    }
    Ok(Value::UNDEFINED)
}

fn striptags(v: &Value) -> Out {
    let mut out = String::new();
    let mut depth = false;
    let text = str_of(v)?;
    for c in text.chars() {
        match c {
            '<' => depth = true,
            '>' if depth => depth = false,
            c if !depth => out.push(c),
            _ => {}
        }
    }
    Ok(Value::from(out.split_whitespace().collect::<Vec<_>>().join(" ")))
}

fn xmlattr(v: &Value, args: Rest<Value>) -> Out {
    let with_space = Args::new(&args)?.flag(0, "autospace", true)?;
    let mut out = Vec::new();
    for key in v.try_iter()? {
        let value = v.get_item(&key)?;
        if !value.is_none() && !value.is_undefined() {
            out.push(format!("{}=\"{}\"", escape(&str_of(&key)?), escape(&str_of(&value)?)));
        }
    }
    let space = if with_space && !out.is_empty() { " " } else { "" };
    Ok(Value::from(format!("{space}{}", out.join(" "))))
}

fn replace(v: &Value, from: &Value, to: &Value, count: Option<i64>) -> Out {
    check_bounds()?;
    let (text, from, to) = (str_of(v)?, str_of(from)?, str_of(to)?);
    Ok(Value::from(match count {
        Some(n) if n >= 0 => text.replacen(&from, &to, n as usize),
        _ => text.replace(&from, &to),
    }))
}

fn trim(v: &Value, args: Rest<Value>) -> Out {
    let args = Args::new(&args)?;
    let text = str_of(v)?;
    Ok(Value::from(match args.get(0, "chars")? {
        Some(chars) if !chars.is_none() => {
            let chars: Vec<char> = str_of(&chars)?.chars().collect();
            text.trim_matches(&chars[..]).to_owned()
        }
        _ => text.trim().to_owned(),
    }))
}

// ---- numbers ---------------------------------------------------------------------------------

fn to_int(v: &Value, args: Rest<Value>) -> Out {
    let args = Args::new(&args)?;
    let otherwise = args.get(0, "default")?.unwrap_or_else(|| Value::from(0));
    let base = args.int(1, "base", 10)?;
    if v.kind() == ValueKind::Bool {
        return Ok(Value::from(i64::from(v.is_true())));
    }
    if v.is_integer() {
        return Ok(v.clone());
    }
    if let Some(text) = v.as_str() {
        let text = text.trim().replace('_', "");
        let (sign, digits) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+').unwrap_or(&text)),
        };
        let lower = digits.to_ascii_lowercase();
        let prefix = match base {
            16 => "0x",
            8 => "0o",
            2 => "0b",
            _ => "",
        };
        let digits = lower.strip_prefix(prefix).unwrap_or(&lower);
        if let Ok(n) = i128::from_str_radix(digits, base.clamp(2, 36) as u32) {
            if !digits.starts_with(['+', '-']) {
                return arithmetic("*", &Value::from(sign), &Value::from(n));
            }
        }
    }
    let float = match v.as_str() {
        Some(text) => text.trim().parse::<f64>().ok(),
        None => (v.kind() == ValueKind::Number).then(|| f64::try_from(v.clone()).ok()).flatten(),
    };
    match float {
        Some(x) if x.is_finite() && x.abs() < 1e38 => {
            arithmetic("+", &Value::from(0), &Value::from(x.trunc() as i128))
        }
        _ => Ok(otherwise),
    }
}

fn to_float(v: &Value, otherwise: Option<Value>) -> Out {
    let x = match v.kind() {
        ValueKind::Bool => Some(f64::from(u8::from(v.is_true()))),
        ValueKind::Number if v.is_integer() => i128::try_from(v.clone()).ok().map(|n| n as f64),
        ValueKind::Number => f64::try_from(v.clone()).ok(),
        ValueKind::String => v.as_str().and_then(|t| t.trim().replace('_', "").parse().ok()),
        _ => None,
    };
    Ok(x.map(Value::from).or(otherwise).unwrap_or_else(|| Value::from(0.0)))
}

fn round(v: &Value, args: Rest<Value>) -> Out {
    let args = Args::new(&args)?;
    let digits = args.int(0, "precision", 0)?.clamp(-300, 300);
    let method = args.text(1, "method", "common")?;
    if !matches!(v.kind(), ValueKind::Number | ValueKind::Bool) {
        return Err(refuse(format!("{} value cannot be rounded", v.kind())));
    }
    if method == "common" && (v.is_integer() || v.kind() == ValueKind::Bool) && digits >= 0 {
        return to_int(v, Rest(vec![]));
    }
    let x = f64::try_from(to_float(v, None)?)?;
    let scale = 10f64.powi(digits as i32);
    let rounded = match method.as_str() {
        "ceil" => (x * scale).ceil() / scale,
        "floor" => (x * scale).floor() / scale,
        // Decimal digits of the exact value, half to even, as Python rounds.
        "common" if digits >= 0 => format!("{x:.*}", digits as usize).parse().unwrap_or(x),
        "common" => (x * scale).round_ties_even() / scale,
        _ => return Err(refuse("method must be common, ceil or floor")),
    };
    Ok(Value::from(rounded))
}

// ---- lists -----------------------------------------------------------------------------------

fn join(v: &Value, args: Rest<Value>) -> Out {
    let args = Args::new(&args)?;
    let between = args.text(0, "d", "")?;
    let path = args.get(1, "attribute")?.filter(|p| !p.is_none());
    let mut out = String::new();
    for (i, item) in items_of(v)?.iter().enumerate() {
        check_bounds()?;
        if i > 0 {
            out.push_str(&between);
        }
        out.push_str(&match &path {
            Some(path) => str_of(&attribute(item, path))?,
            None => str_of(item)?,
        });
    }
    Ok(Value::from(out))
}

fn sum(v: &Value, args: Rest<Value>) -> Out {
    let args = Args::new(&args)?;
    let path = args.get(0, "attribute")?.filter(|p| !p.is_none());
    let mut total = args.get(1, "start")?.unwrap_or_else(|| Value::from(0));
    for item in items_of(v)? {
        let item = path.as_ref().map_or_else(|| item.clone(), |path| attribute(&item, path));
        total = match total.kind() {
            ValueKind::Seq => Value::from([items_of(&total)?, items_of(&item)?].concat()),
            _ => arithmetic("+", &total, &item)?,
        };
    }
    Ok(total)
}

fn extreme(v: &Value, args: Rest<Value>, wanted: Ordering) -> Out {
    let args = Args::new(&args)?;
    let case = args.flag(0, "case_sensitive", false)?;
    let path = args.get(1, "attribute")?.filter(|p| !p.is_none());
    let key =
        |v: &Value| folded(&path.as_ref().map_or_else(|| v.clone(), |p| attribute(v, p)), case);
    let mut best: Option<Value> = None;
    for item in items_of(v)? {
        match &best {
            Some(b) if compared(&key(&item), &key(b))? != wanted => {}
            _ => best = Some(item),
        }
    }
    Ok(best.unwrap_or(Value::UNDEFINED))
}

fn sort(v: &Value, args: Rest<Value>) -> Out {
    let args = Args::new(&args)?;
    let reverse = args.flag(0, "reverse", false)?;
    let case = args.flag(1, "case_sensitive", false)?;
    let paths: Vec<Value> = match args.get(2, "attribute")?.filter(|p| !p.is_none()) {
        Some(p) if p.as_str().is_some() => {
            p.as_str().unwrap_or("").split(',').map(Value::from).collect()
        }
        Some(p) => vec![p],
        None => vec![],
    };
    let mut items = items_of(v)?;
    // Equal ones keep their order, backwards too.
    if reverse {
        items.reverse();
    }
    sort_by(&mut items, |v| match paths.is_empty() {
        true => vec![folded(v, case)],
        false => paths.iter().map(|p| folded(&attribute(v, p), case)).collect(),
    })?;
    if reverse {
        items.reverse();
    }
    Ok(Value::from(items))
}

fn dictsort(v: &Value, args: Rest<Value>) -> Out {
    let args = Args::new(&args)?;
    let case = args.flag(0, "case_sensitive", false)?;
    let by = args.text(1, "by", "key")?;
    let reverse = args.flag(2, "reverse", false)?;
    if v.kind() != ValueKind::Map {
        return Err(refuse(format!("{} value has no items", v.kind())));
    }
    let at = match by.as_str() {
        "key" => 0,
        "value" => 1,
        _ => return Err(refuse("dictsort: by is \"key\" or \"value\"")),
    };
    let mut items = pairs(v)?;
    if reverse {
        items.reverse();
    }
    sort_by(&mut items, |pair| vec![folded(&attribute(pair, &Value::from(at)), case)])?;
    if reverse {
        items.reverse();
    }
    Ok(Value::from(items))
}

pub fn pairs(v: &Value) -> Result<Vec<Value>, Error> {
    v.try_iter()?
        .map(|key| {
            let value = v.get_item(&key)?;
            Ok(Tuple::value(vec![key, value]))
        })
        .collect()
}

fn items(v: &Value) -> Out {
    match v.kind() {
        ValueKind::Undefined => Ok(Value::from(Vec::<Value>::new())),
        ValueKind::Map => Ok(Value::from(pairs(v)?)),
        kind => Err(refuse(format!("{kind} value has no items"))),
    }
}

fn reverse(v: &Value) -> Out {
    if let Some(text) = v.as_str() {
        return Ok(Value::from(text.chars().rev().collect::<String>()));
    }
    let mut items = items_of(v)?;
    items.reverse();
    Ok(Value::from(items))
}

fn unique(v: &Value, args: Rest<Value>) -> Out {
    let args = Args::new(&args)?;
    let case = args.flag(0, "case_sensitive", false)?;
    let path = args.get(1, "attribute")?.filter(|p| !p.is_none());
    let mut seen: Vec<Value> = Vec::new();
    let mut out = Vec::new();
    for item in items_of(v)? {
        check_bounds()?;
        let key =
            folded(&path.as_ref().map_or_else(|| item.clone(), |p| attribute(&item, p)), case);
        if !seen.contains(&key) {
            seen.push(key);
            out.push(item);
        }
    }
    Ok(Value::from(out))
}

fn batch(v: &Value, args: Rest<Value>) -> Out {
    let args = Args::new(&args)?;
    let n = args.int(0, "linecount", 0)?.max(1) as usize;
    let fill = args.get(1, "fill_with")?.filter(|f| !f.is_none());
    let mut out = Vec::new();
    for chunk in items_of(v)?.chunks(n) {
        let mut chunk = chunk.to_vec();
        if let Some(fill) = &fill {
            if n > 1 << 20 {
                return Err(refuse("batch: the line is too long"));
            }
            chunk.resize(n, fill.clone());
        }
        out.push(Value::from(chunk));
    }
    Ok(Value::from(out))
}

fn slices(v: &Value, args: Rest<Value>) -> Out {
    let args = Args::new(&args)?;
    let n = args.int(0, "slices", 0)?;
    let fill = args.get(1, "fill_with")?.filter(|f| !f.is_none());
    if !(1..=1 << 20).contains(&n) {
        return Err(refuse("slice: the number of slices is from 1 to 2^20"));
    }
    let items = items_of(v)?;
    let (each, more) = (items.len() / n as usize, items.len() % n as usize);
    let mut at = 0;
    let mut out = Vec::new();
    for i in 0..n as usize {
        let end = at + each + usize::from(i < more);
        let mut part = items[at..end].to_vec();
        if let (Some(fill), true) = (&fill, i >= more && more > 0) {
            part.push(fill.clone());
        }
        out.push(Value::from(part));
        at = end;
    }
    Ok(Value::from(out))
}

fn map(state: &State, v: Value, args: Rest<Value>) -> Out {
    let split = Args::new(&args)?;
    if let Ok(Some(path)) = split.named.get::<Option<Value>>("attribute") {
        let otherwise = split.named.get::<Option<Value>>("default").unwrap_or(None);
        let items = items_of(&v)?.into_iter().map(|item| {
            let found = attribute(&item, &path);
            match &otherwise {
                Some(other) if found.is_undefined() => other.clone(),
                _ => found,
            }
        });
        return Ok(items.collect::<Vec<_>>().into());
    }
    filters::map(state, Value::from(items_of(&v)?), args).map(Value::from)
}

/// A filter of a value's text.
fn text(env: &mut Environment, name: &'static str, f: fn(&str) -> String) {
    env.add_filter(name, move |v: &Value| -> Out {
        check_bounds()?;
        Ok(Value::from(f(&str_of(v)?)))
    });
}

pub fn register(env: &mut Environment) {
    text(env, "upper", |t| t.to_uppercase());
    text(env, "lower", |t| t.to_lowercase());
    text(env, "title", title);
    text(env, "capitalize", |t| {
        let mut chars = t.chars();
        let first: String = chars.next().map_or(String::new(), |c| c.to_uppercase().collect());
        first + &chars.as_str().to_lowercase()
    });
    for name in ["e", "escape", "forceescape"] {
        text(env, name, escape);
    }
    text(env, "safe", |t| t.to_owned());
    env.add_filter("center", |v: &Value, width: Option<usize>| -> Out {
        Ok(Value::from(padded(&str_of(v)?, width.unwrap_or(80))?))
    });
    env.add_filter("wordcount", |v: &Value| -> Out {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        Ok(Value::from(str_of(v)?.split(|c| !is_word(c)).filter(|w| !w.is_empty()).count()))
    });
    env.add_filter("truncate", truncate);
    env.add_filter("wordwrap", wordwrap);
    env.add_filter("urlencode", urlencode);
    env.add_filter("filesizeformat", filesizeformat);
    env.add_filter("striptags", striptags);
    env.add_filter("xmlattr", xmlattr);
    env.add_filter("replace", replace);
    env.add_filter("trim", trim);
    env.add_filter("format", |v: &Value, args: Rest<Value>| ops::percent(&str_of(v)?, &args));
    env.add_filter("int", to_int);
    env.add_filter("float", |v: &Value, args: Rest<Value>| -> Out {
        to_float(v, Args::new(&args)?.get(0, "default")?)
    });
    env.add_filter("round", round);
    env.add_filter("join", join);
    env.add_filter("sum", sum);
    env.add_filter("min", |v: &Value, args: Rest<Value>| extreme(v, args, Ordering::Less));
    env.add_filter("max", |v: &Value, args: Rest<Value>| extreme(v, args, Ordering::Greater));
    env.add_filter("sort", sort);
    env.add_filter("dictsort", dictsort);
    env.add_filter("items", items);
    env.add_filter("reverse", reverse);
    env.add_filter("unique", unique);
    env.add_filter("batch", batch);
    env.add_filter("slice", slices);
    env.add_filter("map", map);
    env.add_filter("list", |v: &Value| items_of(v).map(Value::from));
    env.add_filter("first", |v: &Value| -> Out {
        Ok(items_of(v)?.into_iter().next().unwrap_or(Value::UNDEFINED))
    });
    env.add_filter("last", |v: &Value| -> Out {
        Ok(items_of(v)?.pop().unwrap_or(Value::UNDEFINED))
    });
    env.add_filter("random", |v: &Value| -> Out {
        Ok(items_of(v)?.into_iter().next().unwrap_or(Value::UNDEFINED))
    });
    env.add_filter("pprint", |v: &Value| -> Out {
        Ok(Value::from(match v.kind() {
            ValueKind::Number if !v.is_integer() => {
                float_text(f64::try_from(v.clone()).unwrap_or(f64::NAN))
            }
            _ => crate::python::repr_of(v)?,
        }))
    });
}
