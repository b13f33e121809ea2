//! Schemas and what is made of them, each kept once: all of some, one of some, not one. A schema
//! within itself is the same number again, so that work ends.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use serde_json::Value;

use super::document::{Document, Scope};
use super::form::{cases, positive, Atom, Case, Form, Id, Type, TYPES};
use super::text::Set;
use super::{feasible, keywords, values};

pub const ANY: Id = 0;
pub const NONE: Id = 1;
const MAX_NODES: usize = 50_000;
const MAX_DEPTH: usize = 100;
/// How far down it is looked for that nothing is valid; the rest is found when rules are made.
const MAX_LOOK: u8 = 3;

/// A schema of the document, and where it was reached from.
#[derive(Clone)]
pub struct Place<'a> {
    pub at: &'a Value,
    pub scope: Scope<'a>,
}

impl PartialEq for Place<'_> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.at, other.at)
            && self.scope.len() == other.scope.len()
            && self.scope.iter().zip(other.scope.iter()).all(|(a, b)| std::ptr::eq(a.1, b.1))
    }
}

impl Eq for Place<'_> {}

impl Hash for Place<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::ptr::hash(self.at, state);
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Node<'a> {
    Schema(Place<'a>),
    /// This value alone, as JSON that values::canonical wrote.
    Value(String),
    And(Vec<Id>),
    Or(Vec<Id>),
    Not(Id),
}

pub struct Store<'a> {
    pub doc: &'a Document<'a>,
    /// What is not supported is passed over.
    pub is_lenient: bool,
    nodes: Vec<Node<'a>>,
    ids: HashMap<Node<'a>, Id>,
    forms: HashMap<(Id, Type), Rc<Form>>,
    empty: HashMap<(Id, u8), bool>,
    empty_sets: HashMap<Set, bool>,
    /// Schemas under way that ask of the same value: one that is its own part has no meaning.
    depth: usize,
}

impl<'a> Store<'a> {
    pub fn new(doc: &'a Document<'a>, is_lenient: bool) -> Store<'a> {
        let mut store = Store {
            doc,
            is_lenient,
            nodes: Vec::new(),
            ids: HashMap::new(),
            forms: HashMap::new(),
            empty: HashMap::new(),
            empty_sets: HashMap::new(),
            depth: 0,
        };
        store.insert(Node::And(vec![]));
        store.insert(Node::Or(vec![]));
        store
    }

    fn insert(&mut self, node: Node<'a>) -> Id {
        if let Some(&id) = self.ids.get(&node) {
            return id;
        }
        let id = self.nodes.len() as Id;
        self.nodes.push(node.clone());
        self.ids.insert(node, id);
        id
    }

    pub fn node(&self, id: Id) -> Node<'a> {
        self.nodes[id as usize].clone()
    }

    pub fn is_full(&self) -> bool {
        self.nodes.len() > MAX_NODES
    }

    pub fn schema(&mut self, at: &'a Value, scope: &Scope<'a>) -> Id {
        match at {
            Value::Bool(true) => ANY,
            Value::Bool(false) => NONE,
            _ => {
                let scope = self.doc.enter(at, scope);
                self.insert(Node::Schema(Place { at, scope }))
            }
        }
    }

    pub fn value(&mut self, value: &Value) -> Id {
        self.insert(Node::Value(values::canonical(value)))
    }

    pub fn not(&mut self, id: Id) -> Id {
        match &self.nodes[id as usize] {
            Node::Not(of) => *of,
            _ if id == ANY => NONE,
            _ if id == NONE => ANY,
            _ => self.insert(Node::Not(id)),
        }
    }

    fn flat(&self, ids: &[Id], is_and: bool) -> Vec<Id> {
        let mut out = Vec::new();
        for &id in ids {
            match &self.nodes[id as usize] {
                Node::And(of) if is_and => out.extend(of),
                Node::Or(of) if !is_and => out.extend(of),
                _ => out.push(id),
            }
        }
        out.sort_unstable();
        out.dedup();
        out
    }

    fn joined(&mut self, ids: &[Id], is_and: bool) -> Id {
        let all = self.flat(ids, is_and);
        let (nothing, everything) = if is_and { (NONE, ANY) } else { (ANY, NONE) };
        let clashes = |&id: &Id| match self.nodes[id as usize] {
            Node::Not(of) => all.binary_search(&of).is_ok(),
            _ => false,
        };
        if all.contains(&nothing) || all.iter().any(clashes) {
            return nothing;
        }
        match all[..] {
            [] => everything,
            [one] => one,
            _ => self.insert(if is_and { Node::And(all) } else { Node::Or(all) }),
        }
    }

    pub fn and(&mut self, ids: &[Id]) -> Id {
        self.joined(ids, true)
    }

    pub fn or(&mut self, ids: &[Id]) -> Id {
        self.joined(ids, false)
    }

    /// Looks into a schema that asks of the same value.
    pub fn deeper<T>(
        &mut self,
        look: impl FnOnce(&mut Self) -> Result<T, String>,
    ) -> Result<T, String> {
        if self.depth == MAX_DEPTH {
            return Err("references lead in a circle".into());
        }
        self.depth += 1;
        let found = look(self);
        self.depth -= 1;
        found
    }

    /// What it asks of values of a type.
    pub fn form(&mut self, id: Id, of: Type) -> Result<Rc<Form>, String> {
        if let Some(form) = self.forms.get(&(id, of)) {
            return Ok(form.clone());
        }
        let all = |store: &mut Self, ids: Vec<Id>| -> Result<Vec<Form>, String> {
            ids.into_iter().map(|id| Ok((*store.form(id, of)?).clone())).collect()
        };
        let form = match self.node(id) {
            Node::Schema(place) => self.deeper(|store| keywords::form(store, &place, of))?,
            Node::Value(text) => values::form(self, &text, of)?,
            Node::And(ids) => Form::And(all(self, ids)?),
            Node::Or(ids) => Form::Or(all(self, ids)?),
            Node::Not(id) => (*self.form(id, of)?).clone().not(),
        };
        let form = Rc::new(form);
        self.forms.insert((id, of), form.clone());
        Ok(form)
    }

    /// The cases of a formula, looking that far down for what can never be.
    pub fn cases_of(&mut self, form: &Form, look: u8) -> Result<Vec<Case>, String> {
        let form = positive(form.clone(), false, &mut |id| self.not(id));
        cases(&form, &mut |case: &[Atom]| feasible::can_be(self, case, look))
            .map(|all| all.into_iter().filter(|case| feasible::can_be(self, case, look)).collect())
    }

    pub fn cases(&mut self, id: Id, of: Type) -> Result<Vec<Case>, String> {
        let form = self.form(id, of)?;
        self.cases_of(&form, MAX_LOOK)
    }

    /// Whether surely no value is valid.
    pub fn is_empty(&mut self, id: Id, look: u8) -> bool {
        if id == NONE {
            return true;
        }
        if id == ANY || look == 0 {
            return false;
        }
        if let Some(&known) = self.empty.get(&(id, look)) {
            return known;
        }
        self.empty.insert((id, look), false);
        let is_empty = TYPES.iter().all(|&of| {
            self.form(id, of)
                .and_then(|form| self.cases_of(&form, look - 1))
                .is_ok_and(|cases| cases.is_empty())
        });
        self.empty.insert((id, look), is_empty);
        is_empty
    }

    pub fn is_empty_set(&mut self, set: &Set) -> bool {
        if let Some(&known) = self.empty_sets.get(set) {
            return known;
        }
        let is_empty = set.is_empty();
        self.empty_sets.insert(set.clone(), is_empty);
        is_empty
    }
}
