//! Rules of a grammar for each schema: one choice for each case of each type.

use std::collections::HashMap;

use super::feasible::{numbers_of, only};
use super::form::{Atom, Id, Type, TYPES};
use super::numbers::whole_multiple;
use super::rules::{Rules, Sequence, Symbol};
use super::store::Store;
use super::{arrays, keywords, objects};

pub struct Emitter<'s, 'a> {
    pub store: &'s mut Store<'a>,
    pub rules: Rules,
    known: HashMap<Id, usize>,
    pending: Vec<(Id, usize)>,
}

pub fn text(text: &str) -> Symbol {
    Symbol::Text(text.into())
}

impl<'s, 'a> Emitter<'s, 'a> {
    pub fn new(store: &'s mut Store<'a>) -> Emitter<'s, 'a> {
        Emitter { store, rules: Rules::default(), known: HashMap::new(), pending: Vec::new() }
    }

    /// The rule of a schema, which is made later.
    pub fn rule(&mut self, id: Id) -> usize {
        if let Some(&rule) = self.known.get(&id) {
            return rule;
        }
        let rule = self.rules.reserve();
        self.known.insert(id, rule);
        self.pending.push((id, rule));
        rule
    }

    pub fn value(&mut self, ids: &[Id]) -> Symbol {
        let id = self.store.and(ids);
        Symbol::Rule(self.rule(id))
    }

    /// Makes all rules that are wanted.
    pub fn finish(&mut self) -> Result<(), String> {
        while let Some((id, rule)) = self.pending.pop() {
            let mut choices = Vec::new();
            for of in TYPES {
                self.add(id, of, &mut choices)?;
            }
            self.rules.set(rule, choices);
            if self.rules.is_full() || self.store.is_full() {
                return Err("it comes to too many rules".into());
            }
        }
        Ok(())
    }

    fn add(&mut self, id: Id, of: Type, choices: &mut Vec<Sequence>) -> Result<(), String> {
        if of == Type::String {
            let set = keywords::strings_of(self.store, id)?.of_strings();
            if !self.store.is_empty_set(&set) {
                choices.push(vec![Symbol::Quoted(set)]);
            }
            return Ok(());
        }
        for case in self.store.cases(id, of)? {
            choices.push(match of {
                Type::Null => vec![text("null")],
                Type::Boolean => {
                    for is in [false, true] {
                        if !case.contains(&Atom::Flag(!is)) {
                            choices.push(vec![text(if is { "true" } else { "false" })]);
                        }
                    }
                    continue;
                }
                Type::Number => {
                    choices.extend(number(&case)?);
                    continue;
                }
                Type::Array => vec![Symbol::Rule(arrays::rule(self, &case)?)],
                _ => {
                    for rule in objects::rules(self, case)? {
                        choices.push(vec![Symbol::Rule(rule)]);
                    }
                    continue;
                }
            });
        }
        Ok(())
    }
}

/// Numbers of a case. Multiples are llguidance's, which knows nothing of exceptions.
fn number(case: &[Atom]) -> Result<Vec<Sequence>, String> {
    let has_multiple = case.iter().any(|atom| matches!(atom, Atom::Multiple(..)));
    if only(case).is_some() || !has_multiple {
        return Ok(vec![vec![Symbol::Number(numbers_of(case))]]);
    }
    let mut all = Vec::new();
    for atom in case {
        all.push(match atom {
            Atom::Whole(true) => r#"{"type":"integer"}"#.into(),
            Atom::Min(d, false) => format!(r#"{{"minimum":{}}}"#, d.written()),
            Atom::Min(d, true) => format!(r#"{{"exclusiveMinimum":{}}}"#, d.written()),
            Atom::Max(d, false) => format!(r#"{{"maximum":{}}}"#, d.written()),
            Atom::Max(d, true) => format!(r#"{{"exclusiveMaximum":{}}}"#, d.written()),
            Atom::Multiple(d, true) => {
                let is_whole = case.contains(&Atom::Whole(true));
                let whole = if is_whole { whole_multiple(d) } else { None };
                format!(r#"{{"multipleOf":{}}}"#, whole.as_ref().unwrap_or(d).written())
            }
            Atom::Equal(except, false) => {
                let side = |atom| {
                    let rest = case.iter().filter(|a| *a != &Atom::Equal(except.clone(), false));
                    let case: Vec<Atom> = rest.cloned().chain([atom]).collect();
                    number(&case)
                };
                let mut both = side(Atom::Max(except.clone(), true))?;
                both.extend(side(Atom::Min(except.clone(), true))?);
                return Ok(both);
            }
            _ => {
                return Err("not multipleOf, or multipleOf of no whole number, is not \
                             supported"
                    .into())
            }
        });
    }
    let schema = format!(r#"{{"type":"number","allOf":[{}]}}"#, all.join(","));
    Ok(vec![vec![Symbol::Json(schema)]])
}
