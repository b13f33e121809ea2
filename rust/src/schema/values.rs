//! Values of const and enum: what it means to be one, and lists of all that a schema takes.

use serde_json::Value;

use super::form::{Atom, Form, Id, Type, FALSE, TRUE};
use super::numbers::Decimal;
use super::store::{Node, Store, NONE};
use super::text::Set;

/// Equal texts for equal values, but for the order of members, in which replies have them.
pub fn canonical(value: &Value) -> String {
    match value {
        Value::Number(n) => {
            let text = n.to_string();
            Decimal::parse(&text).map_or(text, |d| d.written())
        }
        Value::Array(items) => {
            let all: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", all.join(","))
        }
        Value::Object(map) => {
            let all: Vec<String> = map
                .iter()
                .map(|(k, v)| format!("{}:{}", Value::from(k.as_str()), canonical(v)))
                .collect();
            format!("{{{}}}", all.join(","))
        }
        _ => value.to_string(),
    }
}

pub fn form(store: &mut Store<'_>, text: &str, of: Type) -> Result<Form, String> {
    let value: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    Ok(match (value, of) {
        (Value::Null, Type::Null) => TRUE,
        (Value::Bool(is), Type::Boolean) => Form::Atom(Atom::Flag(is)),
        (Value::Number(n), Type::Number) => {
            let number = Decimal::parse(&n.to_string());
            let number = number.ok_or_else(|| format!("the number {n} is too large"))?;
            Form::Atom(Atom::Equal(number, true))
        }
        (Value::String(s), Type::String) => Form::Atom(Atom::Text(Set::literal(&s))),
        (Value::Array(items), Type::Array) => {
            let n = items.len() as u64;
            let mut all = vec![Form::Atom(Atom::MinItems(n)), Form::Atom(Atom::MaxItems(n))];
            for (i, item) in items.iter().enumerate() {
                all.push(Form::Atom(Atom::Item(i, store.value(item))));
            }
            Form::And(all)
        }
        (Value::Object(map), Type::Object) => {
            let mut all = Vec::new();
            for (name, value) in &map {
                all.push(Form::Atom(Atom::Member(name.clone(), store.value(value))));
                all.push(Form::Atom(Atom::Has(name.clone())));
            }
            let names = map.keys().map(|name| Set::literal(name)).collect();
            all.push(Form::Atom(Atom::Members(Set::or(names).not(), NONE)));
            Form::And(all)
        }
        _ => FALSE,
    })
}

/// All values that are valid, where the schema lists them.
pub fn all_of(store: &mut Store<'_>, id: Id) -> Option<Vec<Id>> {
    let mut values = candidates(store, id)?;
    values.sort_unstable();
    values.dedup();
    values.retain(|&value| {
        let both = store.and(&[value, id]);
        !store.is_empty(both, 4)
    });
    Some(values)
}

fn candidates(store: &mut Store<'_>, id: Id) -> Option<Vec<Id>> {
    match store.node(id) {
        Node::Value(_) => Some(vec![id]),
        Node::Not(_) => None,
        Node::And(ids) => ids.into_iter().find_map(|id| candidates(store, id)),
        Node::Or(ids) => any(store, ids),
        Node::Schema(place) => {
            let of_values = |store: &mut Store<'_>, values: &[Value]| -> Option<Vec<Id>> {
                Some(values.iter().map(|value| store.value(value)).collect())
            };
            for (key, value) in place.at.as_object()? {
                let found = match (key.as_str(), value) {
                    ("const", value) => of_values(store, std::slice::from_ref(value)),
                    ("enum", Value::Array(values)) => of_values(store, values),
                    ("type", Value::String(name)) => match name.as_str() {
                        "boolean" => of_values(store, &[true.into(), false.into()]),
                        "null" => of_values(store, &[Value::Null]),
                        _ => None,
                    },
                    ("$ref", Value::String(to)) => {
                        let at = store.doc.follow(place.at, to).ok()?;
                        let id = store.schema(at, &place.scope);
                        store.deeper(|store| Ok(candidates(store, id))).ok()?
                    }
                    ("anyOf" | "oneOf", Value::Array(list)) => {
                        let ids = list.iter().map(|at| store.schema(at, &place.scope)).collect();
                        any(store, ids)
                    }
                    ("allOf", Value::Array(list)) => list.iter().find_map(|at| {
                        let id = store.schema(at, &place.scope);
                        candidates(store, id)
                    }),
                    _ => None,
                };
                if found.is_some() {
                    return found;
                }
            }
            None
        }
    }
}

fn any(store: &mut Store<'_>, ids: Vec<Id>) -> Option<Vec<Id>> {
    let mut all = Vec::new();
    for id in ids {
        all.extend(candidates(store, id)?);
    }
    Some(all)
}
