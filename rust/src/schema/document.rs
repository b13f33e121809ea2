//! A schema document: which URI each of its schemas has, and what references lead to.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::uri;

/// Keywords whose value is a schema, a map of schemas, an array of schemas.
const ONE: [&str; 13] = [
    "additionalProperties",
    "additionalItems",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
    "extends",
];
const MAPS: [&str; 6] =
    ["$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"];
const LISTS: [&str; 5] = ["allOf", "anyOf", "items", "oneOf", "prefixItems"];

type Address = *const Value;
/// Outermost first: what each dynamic anchor means where a schema is reached.
pub type Scope<'a> = Rc<Vec<(&'a str, &'a Value)>>;

#[derive(Default)]
struct Resource<'a> {
    anchors: HashMap<&'a str, &'a Value>,
    dynamic: Vec<(&'a str, &'a Value)>,
}

pub struct Document<'a> {
    /// Drafts 4 to 7: what stands beside `$ref` says nothing.
    pub is_old: bool,
    roots: HashMap<String, &'a Value>,
    resources: HashMap<String, Resource<'a>>,
    bases: RefCell<HashMap<Address, Rc<str>>>,
}

fn text<'a>(schema: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    schema.get(key).and_then(Value::as_str)
}

impl<'a> Document<'a> {
    pub fn new(root: &'a Value) -> Document<'a> {
        let draft = root.get("$schema").and_then(Value::as_str).unwrap_or("");
        let mut doc = Document {
            is_old: draft.contains("draft-0"),
            roots: HashMap::new(),
            resources: HashMap::new(),
            bases: RefCell::default(),
        };
        doc.roots.insert(String::new(), root);
        doc.visit(root, "");
        doc
    }

    /// Calls visit for the schemas that a schema holds.
    fn children(schema: &'a Map<String, Value>, mut visit: impl FnMut(&'a Value)) {
        for (key, value) in schema {
            let key = key.as_str();
            match value {
                Value::Object(map) if MAPS.contains(&key) => map.values().for_each(&mut visit),
                Value::Array(list) if LISTS.contains(&key) => list.iter().for_each(&mut visit),
                Value::Object(_) | Value::Bool(_) if ONE.contains(&key) => visit(value),
                _ => {}
            }
        }
    }

    fn visit(&mut self, value: &'a Value, base: &str) {
        let Some(schema) = value.as_object() else { return };
        let mut base = base.to_string();
        let has_ref = self.is_old && schema.contains_key("$ref");
        if let Some(id) = text(schema, "$id").filter(|id| !id.starts_with('#') && !has_ref) {
            base = uri::resolve(&base, id).0;
            self.roots.insert(base.clone(), value);
        }
        let of = self.resources.entry(base.clone()).or_default();
        for key in ["$anchor", "$dynamicAnchor"] {
            if let Some(name) = text(schema, key) {
                of.anchors.insert(name, value);
            }
        }
        if let Some(name) = text(schema, "$id").and_then(|id| id.strip_prefix('#')) {
            of.anchors.insert(name, value);
        }
        if let Some(name) = text(schema, "$dynamicAnchor") {
            of.dynamic.push((name, value));
        }
        self.bases.borrow_mut().insert(value, base.as_str().into());
        Self::children(schema, |child| self.visit(child, &base));
    }

    /// What lies where no keyword leads gets the base of who refers to it.
    fn adopt(&self, value: &'a Value, base: &str) {
        let Some(schema) = value.as_object() else { return };
        if self.bases.borrow().contains_key(&(value as Address)) {
            return;
        }
        self.bases.borrow_mut().insert(value, base.into());
        Self::children(schema, |child| self.adopt(child, base));
    }

    fn base(&self, value: &Value) -> Rc<str> {
        self.bases.borrow().get(&(value as Address)).cloned().unwrap_or_else(|| "".into())
    }

    /// The scope inside a schema that is reached with scope.
    pub fn enter(&self, value: &Value, scope: &Scope<'a>) -> Scope<'a> {
        let base = self.base(value);
        let Some(of) = self.resources.get(&*base) else { return scope.clone() };
        let is_new = |name: &str| !scope.iter().any(|(known, _)| *known == name);
        let more: Vec<_> = of.dynamic.iter().filter(|(name, _)| is_new(name)).copied().collect();
        if more.is_empty() {
            return scope.clone();
        }
        Rc::new(scope.iter().copied().chain(more).collect())
    }

    pub fn follow(&self, from: &Value, reference: &str) -> Result<&'a Value, String> {
        let (uri, fragment) = uri::resolve(&self.base(from), reference);
        let none = || format!("the reference {reference:?} leads to nothing in the schema");
        let root = *self.roots.get(&uri).ok_or_else(|| {
            format!("the reference {reference:?} to another document is not supported")
        })?;
        let base = self.base(root);
        if fragment.is_empty() {
            return Ok(root);
        }
        if !fragment.starts_with('/') {
            let of = self.resources.get(&*base);
            return of.and_then(|of| of.anchors.get(&*fragment)).copied().ok_or_else(none);
        }
        let mut at = root;
        let mut base = base;
        for step in fragment[1..].split('/') {
            let step = step.replace("~1", "/").replace("~0", "~");
            at = match at {
                Value::Array(list) => step.parse().ok().and_then(|i: usize| list.get(i)),
                Value::Object(map) => map.get(&step),
                _ => None,
            }
            .ok_or_else(none)?;
            if let Some(known) = self.bases.borrow().get(&(at as Address)) {
                base = known.clone();
            }
        }
        self.adopt(at, &base);
        Ok(at)
    }

    pub fn follow_dynamic(
        &self,
        from: &Value,
        reference: &str,
        scope: &Scope<'a>,
    ) -> Result<&'a Value, String> {
        let found = self.follow(from, reference)?;
        let name = reference.rsplit('#').next().unwrap_or("");
        let is_dynamic = found.get("$dynamicAnchor").and_then(Value::as_str) == Some(name);
        let outermost = scope.iter().find(|(known, _)| is_dynamic && *known == name);
        Ok(outermost.map_or(found, |&(_, value)| value))
    }
}
