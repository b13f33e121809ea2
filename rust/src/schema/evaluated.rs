//! unevaluatedProperties and unevaluatedItems: what a schema and those within it have looked at
//! depends on which of them are valid, so each way of being valid is a case with its own list.

use serde_json::Value;

use super::choices::exactly_one;
use super::form::{Atom, Form, Id, Type, MAX_CASES, TRUE};
use super::keywords::{self, is_silent, list, map, schema_of, Schema};
use super::store::{Place, Store, ANY};
use super::text::Set;

/// What has been looked at.
#[derive(Clone, Default, PartialEq)]
struct Seen {
    names: Vec<Set>,
    n_items: usize,
    /// Items that are valid under one of these.
    items: Vec<Id>,
}

impl Seen {
    fn with(&self, other: &Seen) -> Seen {
        let mut both = self.clone();
        both.names.extend(other.names.iter().filter(|set| !self.names.contains(set)).cloned());
        both.items.extend(other.items.iter().filter(|id| !self.items.contains(id)));
        both.n_items = both.n_items.max(other.n_items);
        both
    }
}

/// A way of being valid.
type Way = (Form, Seen);

pub fn form<'a>(
    store: &mut Store<'a>,
    place: &Place<'a>,
    key: &str,
    of: Type,
) -> Result<Form, String> {
    let schema = schema_of(place)?;
    let rest = store.schema(&schema[key], &place.scope);
    if rest == ANY {
        return Ok(TRUE);
    }
    let mut all = Vec::new();
    for (form, seen) in ways(store, place, of, Some(key))? {
        let atom = match key {
            "unevaluatedItems" => {
                let mut ids = seen.items.clone();
                ids.push(rest);
                Atom::Items(seen.n_items, store.or(&ids))
            }
            _ => Atom::Members(Set::or(seen.names).not(), rest),
        };
        all.push(Form::And(vec![form, Form::Atom(atom)]));
    }
    Ok(Form::Or(all))
}

/// Each of the ones with each of the others.
fn product(ways: Vec<Way>, others: Vec<Way>) -> Result<Vec<Way>, String> {
    if ways.len() * others.len() > MAX_CASES {
        return Err(format!("unevaluated members come to more than {MAX_CASES} cases"));
    }
    let mut out = Vec::new();
    for (form, seen) in &ways {
        for (other, more) in &others {
            let both = match (form == &TRUE, other == &TRUE) {
                (true, _) => other.clone(),
                (_, true) => form.clone(),
                _ => Form::And(vec![form.clone(), other.clone()]),
            };
            out.push((both, seen.with(more)));
        }
    }
    Ok(out)
}

/// Ways that have looked at the same are one.
fn merged(ways: Vec<Way>) -> Vec<Way> {
    let mut out: Vec<(Vec<Form>, Seen)> = Vec::new();
    for (form, seen) in ways {
        match out.iter_mut().find(|(_, known)| *known == seen) {
            Some((forms, _)) => forms.push(form),
            None => out.push((vec![form], seen)),
        }
    }
    out.into_iter()
        .map(|(mut forms, seen)| match forms.len() {
            1 => (forms.remove(0), seen),
            _ => (Form::Or(forms), seen),
        })
        .collect()
}

/// The ways of a schema, without the keyword that asks for them.
fn ways<'a>(
    store: &mut Store<'a>,
    place: &Place<'a>,
    of: Type,
    without: Option<&str>,
) -> Result<Vec<Way>, String> {
    let Value::Object(schema) = place.at else {
        let id = store.schema(place.at, &place.scope);
        return Ok(vec![((*store.form(id, of)?).clone(), Seen::default())]);
    };
    let mut out = vec![(TRUE, Seen::default())];
    for key in schema.keys() {
        if without == Some(key) || is_silent(store, schema, key) {
            continue;
        }
        out = product(out, keyword(store, place, schema, key, of)?)?;
    }
    Ok(out)
}

fn child<'a>(
    store: &mut Store<'a>,
    place: &Place<'a>,
    at: &'a Value,
    of: Type,
) -> Result<Vec<Way>, String> {
    let scope = store.doc.enter(at, &place.scope);
    store.deeper(|store| ways(store, &Place { at, scope }, of, None))
}

fn or(ways: &[Way]) -> Form {
    Form::Or(ways.iter().map(|(form, _)| form.clone()).collect())
}

fn keyword<'a>(
    store: &mut Store<'a>,
    place: &Place<'a>,
    schema: &'a Schema,
    key: &str,
    of: Type,
) -> Result<Vec<Way>, String> {
    let value = &schema[key];
    let way = |store: &mut Store<'a>, seen| -> Result<Vec<Way>, String> {
        Ok(vec![(keywords::keyword(store, place, schema, key, of)?, seen)])
    };
    let all_names = Seen { names: vec![Set::any()], ..Seen::default() };
    let all_items = Seen { n_items: usize::MAX, ..Seen::default() };
    match (key, of) {
        ("properties", Type::Object) => {
            let names = map(key, value)?.keys().map(|name| Set::literal(name)).collect();
            way(store, Seen { names, ..Seen::default() })
        }
        ("patternProperties", Type::Object) => {
            let only = Schema::from_iter([(key.to_string(), value.clone())]);
            let names = keywords::named(&only)?;
            way(store, Seen { names, ..Seen::default() })
        }
        ("additionalProperties" | "unevaluatedProperties", Type::Object) => way(store, all_names),
        ("prefixItems", Type::Array) => {
            let n_items = list(key, value)?.len();
            way(store, Seen { n_items, ..Seen::default() })
        }
        ("items", Type::Array) if value.is_array() => {
            let n_items = list(key, value)?.len();
            way(store, Seen { n_items, ..Seen::default() })
        }
        ("items" | "additionalItems" | "unevaluatedItems", Type::Array) => way(store, all_items),
        ("contains", Type::Array) => {
            let items = vec![store.schema(value, &place.scope)];
            way(store, Seen { items, ..Seen::default() })
        }
        ("$ref" | "$dynamicRef" | "$recursiveRef", _) => {
            let at = keywords::target(store, place, key, value)?;
            child(store, place, at, of)
        }
        ("allOf", _) => {
            let mut out = vec![(TRUE, Seen::default())];
            for at in list(key, value)? {
                out = product(out, child(store, place, at, of)?)?;
            }
            Ok(out)
        }
        ("anyOf" | "oneOf", _) => one_of_many(store, place, schema, key, of),
        ("if", _) => condition(store, place, schema, of),
        ("dependentSchemas", Type::Object) => {
            let mut out = vec![(TRUE, Seen::default())];
            for (name, at) in map(key, value)? {
                let has = Form::Atom(Atom::Has(name.clone()));
                let mut both =
                    product(vec![(has.clone(), Seen::default())], child(store, place, at, of)?)?;
                both.push((has.not(), Seen::default()));
                out = product(out, both)?;
            }
            Ok(out)
        }
        ("then" | "else", _) => Ok(vec![(TRUE, Seen::default())]),
        _ => way(store, Seen::default()),
    }
}

fn one_of_many<'a>(
    store: &mut Store<'a>,
    place: &Place<'a>,
    schema: &'a Schema,
    key: &str,
    of: Type,
) -> Result<Vec<Way>, String> {
    let mut branches = Vec::new();
    for at in list(key, &schema[key])? {
        branches.push(child(store, place, at, of)?);
    }
    let sees_nothing = |ways: &Vec<Way>| ways.iter().all(|(_, seen)| *seen == Seen::default());
    if branches.iter().all(sees_nothing) {
        let form = keywords::keyword(store, place, schema, key, of)?;
        return Ok(vec![(form, Seen::default())]);
    }
    if key == "oneOf" {
        let Form::Or(alone) = exactly_one_of(store, &branches) else { return Ok(vec![]) };
        let mut out = Vec::new();
        for (branch, alone) in branches.into_iter().zip(alone) {
            out.extend(product(vec![(alone, Seen::default())], branch)?);
        }
        return Ok(merged(out));
    }
    // each is valid or not, and at least one is
    let any = Form::Or(branches.iter().map(|ways| or(ways)).collect());
    let mut out = vec![(any, Seen::default())];
    for branch in branches {
        let mut with_it = branch.clone();
        with_it.push((or(&branch).not(), Seen::default()));
        out = merged(product(out, with_it)?);
    }
    Ok(out)
}

/// As exactly_one, but with a formula for each branch, impossible ones too.
fn exactly_one_of(store: &mut Store<'_>, branches: &[Vec<Way>]) -> Form {
    let forms: Vec<Form> = branches.iter().map(|ways| or(ways)).collect();
    let n = forms.len();
    let with_all = exactly_one(store, forms.clone());
    match with_all {
        Form::Or(alone) if alone.len() == n => Form::Or(alone),
        _ => Form::Or(
            (0..n)
                .map(|i| {
                    let others = (0..n).filter(|&j| j != i).map(|j| forms[j].clone().not());
                    Form::And(std::iter::once(forms[i].clone()).chain(others).collect())
                })
                .collect(),
        ),
    }
}

fn condition<'a>(
    store: &mut Store<'a>,
    place: &Place<'a>,
    schema: &'a Schema,
    of: Type,
) -> Result<Vec<Way>, String> {
    let branch = |store: &mut Store<'a>, key| match schema.get(key) {
        Some(at) => child(store, place, at, of),
        None => Ok(vec![(TRUE, Seen::default())]),
    };
    let condition = child(store, place, &schema["if"], of)?;
    let is_not = vec![(or(&condition).not(), Seen::default())];
    let mut out = product(condition, branch(store, "then")?)?;
    out.extend(product(is_not, branch(store, "else")?)?);
    Ok(merged(out))
}
