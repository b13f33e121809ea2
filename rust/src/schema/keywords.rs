//! What each keyword asks of values of one type.

use serde_json::{Map, Value};

use super::form::{Atom, Form, Id, Type, FALSE, TRUE};
use super::numbers::Decimal;
use super::store::{Place, Store, ANY};
use super::text::Set;
use super::{choices, evaluated, formats, pattern};

pub type Schema = Map<String, Value>;

/// All that a schema asks.
pub fn form<'a>(store: &mut Store<'a>, place: &Place<'a>, of: Type) -> Result<Form, String> {
    let schema = schema_of(place)?;
    let mut all = Vec::new();
    for key in schema.keys() {
        if is_silent(store, schema, key) {
            continue;
        }
        match keyword(store, place, schema, key, of) {
            Ok(form) if form == TRUE => {}
            Ok(form) => all.push(form),
            Err(_) if store.is_lenient && !store.is_full() => {}
            Err(why) => return Err(why),
        }
    }
    Ok(Form::And(all))
}

pub fn schema_of<'a>(place: &Place<'a>) -> Result<&'a Schema, String> {
    place.at.as_object().ok_or_else(|| format!("a schema is {}, which is none", place.at))
}

/// Beside a reference nothing else counts in older drafts.
pub fn is_silent(store: &Store<'_>, schema: &Schema, key: &str) -> bool {
    store.doc.is_old && schema.contains_key("$ref") && key != "$ref"
}

/// What one keyword asks.
pub fn keyword<'a>(
    store: &mut Store<'a>,
    place: &Place<'a>,
    schema: &'a Schema,
    key: &str,
    of: Type,
) -> Result<Form, String> {
    let value = &schema[key];
    let child = |store: &mut Store<'a>, at: &'a Value| store.schema(at, &place.scope);
    match key {
        "type" => return types(value, of),
        "const" => {
            let id = store.value(value);
            return Ok((*store.form(id, of)?).clone());
        }
        "enum" => {
            let mut all = Vec::new();
            for value in list(key, value)? {
                let id = store.value(value);
                all.push((*store.form(id, of)?).clone());
            }
            all.retain(|form| *form != FALSE);
            return Ok(Form::Or(all));
        }
        "$ref" | "$dynamicRef" | "$recursiveRef" => {
            let at = target(store, place, key, value)?;
            let id = child(store, at);
            return Ok((*store.form(id, of)?).clone());
        }
        "allOf" | "anyOf" | "oneOf" | "not" | "if" => {
            return choices::form(store, place, schema, key, of);
        }
        _ => {}
    }
    match of {
        Type::Number => number(schema, key, value),
        Type::String => string(key, value),
        Type::Array => array(store, place, schema, key, of),
        Type::Object => object(store, place, schema, key, of),
        Type::Null | Type::Boolean => Ok(TRUE),
    }
}

pub fn target<'a>(
    store: &Store<'a>,
    place: &Place<'a>,
    key: &str,
    value: &'a Value,
) -> Result<&'a Value, String> {
    let to = value.as_str().ok_or_else(|| format!("{key} is {value}; a string is wanted"))?;
    match key {
        "$dynamicRef" => store.doc.follow_dynamic(place.at, to, &place.scope),
        _ => store.doc.follow(place.at, to),
    }
}

pub fn list<'v>(key: &str, value: &'v Value) -> Result<&'v Vec<Value>, String> {
    value.as_array().ok_or_else(|| format!("{key} is {value}; an array is wanted"))
}

pub fn map<'v>(key: &str, value: &'v Value) -> Result<&'v Schema, String> {
    value.as_object().ok_or_else(|| format!("{key} is {value}; an object is wanted"))
}

pub fn names<'v>(key: &str, value: &'v Value) -> Result<Vec<&'v str>, String> {
    list(key, value)?
        .iter()
        .map(|name| name.as_str().ok_or_else(|| format!("{key} names {name}, no string")))
        .collect()
}

/// A count, which may be written 2.0.
fn count(key: &str, value: &Value) -> Result<u64, String> {
    let number = Decimal::parse(&value.to_string()).filter(|d| value.is_number() && d.is_whole());
    number
        .and_then(|d| d.written().parse().ok())
        .ok_or_else(|| format!("{key} is {value}; a number from 0 is wanted"))
}

fn decimal(key: &str, value: &Value) -> Result<Decimal, String> {
    Decimal::parse(&value.to_string())
        .filter(|_| value.is_number())
        .ok_or_else(|| format!("{key} is {value}; a number of a sensible size is wanted"))
}

fn types(value: &Value, of: Type) -> Result<Form, String> {
    let one = |value: &Value| -> Result<Form, String> {
        let name = value.as_str().unwrap_or("");
        let is = match name {
            "null" => of == Type::Null,
            "boolean" => of == Type::Boolean,
            "number" => of == Type::Number,
            "integer" if of == Type::Number => return Ok(Form::Atom(Atom::Whole(true))),
            "integer" => false,
            "string" => of == Type::String,
            "array" => of == Type::Array,
            "object" => of == Type::Object,
            _ => return Err(format!("the type {value} is none of JSON Schema's")),
        };
        Ok(if is { TRUE } else { FALSE })
    };
    match value {
        Value::Array(all) => {
            let forms: Vec<Form> = all.iter().map(one).collect::<Result<_, _>>()?;
            if forms.contains(&TRUE) {
                return Ok(TRUE);
            }
            Ok(Form::Or(forms.into_iter().filter(|form| *form != FALSE).collect()))
        }
        _ => one(value),
    }
}

fn number(schema: &Schema, key: &str, value: &Value) -> Result<Form, String> {
    // draft 4: whether the bound beside it is one
    let is_strict = |key: &str| schema.get(key) == Some(&Value::Bool(true));
    Ok(Form::Atom(match (key, value) {
        (_, Value::Bool(_)) if key.starts_with("exclusive") => return Ok(TRUE),
        ("minimum", _) => Atom::Min(decimal(key, value)?, is_strict("exclusiveMinimum")),
        ("maximum", _) => Atom::Max(decimal(key, value)?, is_strict("exclusiveMaximum")),
        ("exclusiveMinimum", _) => Atom::Min(decimal(key, value)?, true),
        ("exclusiveMaximum", _) => Atom::Max(decimal(key, value)?, true),
        ("multipleOf", _) => Atom::Multiple(decimal(key, value)?, true),
        _ => return Ok(TRUE),
    }))
}

fn string(key: &str, value: &Value) -> Result<Form, String> {
    let text = || value.as_str().ok_or_else(|| format!("{key} is {value}; a string is wanted"));
    Ok(Form::Atom(Atom::Text(match key {
        "minLength" => Set::lengths(count(key, value)?, None),
        "maxLength" => Set::lengths(0, Some(count(key, value)?)),
        "pattern" => pattern::set_of(text()?)?,
        "format" => match formats::pattern(text()?) {
            Some(pattern) => pattern::set_of(&pattern)?,
            None => return Ok(TRUE),
        },
        _ => return Ok(TRUE),
    })))
}

fn number_of_first(schema: &Schema) -> usize {
    let first = schema.get("prefixItems").or_else(|| schema.get("items"));
    first.and_then(Value::as_array).map_or(0, Vec::len)
}

fn array<'a>(
    store: &mut Store<'a>,
    place: &Place<'a>,
    schema: &'a Schema,
    key: &str,
    of: Type,
) -> Result<Form, String> {
    let value = &schema[key];
    let one = |atom| Ok(Form::Atom(atom));
    match key {
        "minItems" => one(Atom::MinItems(count(key, value)?)),
        "maxItems" => one(Atom::MaxItems(count(key, value)?)),
        "uniqueItems" if *value == Value::Bool(true) => one(Atom::Unique(true)),
        "prefixItems" | "items" if value.is_array() => {
            let mut all = Vec::new();
            for (i, item) in list(key, value)?.iter().enumerate() {
                all.push(Form::Atom(Atom::Item(i, store.schema(item, &place.scope))));
            }
            Ok(Form::And(all))
        }
        "items" => one(Atom::Items(number_of_first(schema), store.schema(value, &place.scope))),
        "additionalItems" if schema.get("items").is_some_and(Value::is_array) => {
            one(Atom::Items(number_of_first(schema), store.schema(value, &place.scope)))
        }
        "contains" => {
            let bound = |key: &str| schema.get(key).map(|value| count(key, value)).transpose();
            let min = bound("minContains")?.unwrap_or(1);
            let max = bound("maxContains")?;
            if min == 0 && max.is_none() {
                return Ok(TRUE);
            }
            one(Atom::Count { from: 0, of: store.schema(value, &place.scope), min, max })
        }
        "unevaluatedItems" => evaluated::form(store, place, key, of),
        _ => Ok(TRUE),
    }
}

/// The names that properties and patternProperties of a schema speak of.
pub fn named(schema: &Schema) -> Result<Vec<Set>, String> {
    let mut all = Vec::new();
    if let Some(properties) = schema.get("properties") {
        all.extend(map("properties", properties)?.keys().map(|name| Set::literal(name)));
    }
    if let Some(patterns) = schema.get("patternProperties") {
        for name in map("patternProperties", patterns)?.keys() {
            all.push(pattern::set_of(name)?);
        }
    }
    Ok(all)
}

fn object<'a>(
    store: &mut Store<'a>,
    place: &Place<'a>,
    schema: &'a Schema,
    key: &str,
    of: Type,
) -> Result<Form, String> {
    let value = &schema[key];
    let one = |atom| Ok(Form::Atom(atom));
    match key {
        "minProperties" => one(Atom::MinMembers(count(key, value)?)),
        "maxProperties" => one(Atom::MaxMembers(count(key, value)?)),
        "required" if value.is_array() => Ok(has_all(&names(key, value)?)),
        "properties" => {
            let mut all = Vec::new();
            for (name, at) in map(key, value)? {
                all.push(Form::Atom(Atom::Member(name.clone(), store.schema(at, &place.scope))));
            }
            Ok(Form::And(all))
        }
        "patternProperties" => {
            let mut all = Vec::new();
            for (name, at) in map(key, value)? {
                let id = store.schema(at, &place.scope);
                all.push(Form::Atom(Atom::Members(pattern::set_of(name)?, id)));
            }
            all.retain(|form| !matches!(form, Form::Atom(Atom::Members(_, ANY))));
            Ok(Form::And(all))
        }
        "additionalProperties" => match store.schema(value, &place.scope) {
            ANY => Ok(TRUE),
            id => one(Atom::Members(Set::or(named(schema)?).not(), id)),
        },
        "propertyNames" => {
            let id = store.schema(value, &place.scope);
            let names = strings_of(store, id)?;
            one(Atom::Members(names.not(), super::store::NONE))
        }
        "dependentRequired" | "dependentSchemas" | "dependencies" => {
            let mut all = Vec::new();
            for (name, then) in map(key, value)? {
                let then = match then {
                    Value::Array(_) => has_all(&names(key, then)?),
                    _ => {
                        let id = store.schema(then, &place.scope);
                        (*store.form(id, of)?).clone()
                    }
                };
                all.push(Form::Or(vec![Form::Atom(Atom::Has(name.clone())).not(), then]));
            }
            Ok(Form::And(all))
        }
        "unevaluatedProperties" => evaluated::form(store, place, key, of),
        _ => Ok(TRUE),
    }
}

fn has_all(names: &[&str]) -> Form {
    Form::And(names.iter().map(|&name| Form::Atom(Atom::Has(name.into()))).collect())
}

/// The strings that are valid.
pub fn strings_of(store: &mut Store<'_>, id: Id) -> Result<Set, String> {
    fn set(form: &Form) -> Set {
        match form {
            Form::Atom(Atom::Text(set)) => set.clone(),
            Form::Atom(_) => Set::any(),
            Form::And(forms) => Set::and(forms.iter().map(set).collect()),
            Form::Or(forms) => Set::or(forms.iter().map(set).collect()),
            Form::Not(form) => set(form).not(),
        }
    }
    let form = store.form(id, Type::String)?;
    Ok(set(&form))
}
