//! Rules for one case of objects. Members that are named come in the schema's order, each at most
//! once, and then those of other names.

use std::collections::HashMap;

use super::emit::{text, Emitter};
use super::feasible::{can_be, is_among, member_of};
use super::form::{Atom, Case, Id, MAX_CASES};
use super::rules::{Sequence, Symbol};
use super::store::NONE;
use super::text::Set;

const MAX_STATES: usize = 20_000;
/// Conditions on members of any name that are told apart.
const MAX_SETS: usize = 7;
const MAX_WANTED: usize = 4;

/// A case has one rule, or several where some member has to be found among the named ones.
pub fn rules(e: &mut Emitter<'_, '_>, case: Case) -> Result<Vec<usize>, String> {
    let mut out = Vec::new();
    for case in placed(e, case)? {
        let shape = Shape::new(e, case)?;
        out.push(shape.rule(e)?);
    }
    Ok(out)
}

/// The names that a case speaks of, in its order.
fn names_of(case: &[Atom]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for atom in case {
        if let Atom::Member(name, _) | Atom::Has(name) = atom {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
    }
    names
}

/// Some member that is wanted is one of the named, or else one of the others: a case for each.
fn placed(e: &mut Emitter<'_, '_>, case: Case) -> Result<Vec<Case>, String> {
    let names = names_of(&case);
    let (wanted, rest): (Vec<Atom>, Vec<Atom>) =
        case.into_iter().partition(|atom| matches!(atom, Atom::Some(..)));
    let named = Set::or(names.iter().map(|name| Set::literal(name)).collect());
    let mut out = vec![rest];
    for atom in wanted {
        let Atom::Some(set, id) = atom else { continue };
        let mut next = Vec::new();
        for case in out {
            for name in &names {
                if is_among(e.store, &Set::literal(name), &set) {
                    let mut with = case.clone();
                    with.push(Atom::Has(name.clone()));
                    with.push(Atom::Member(name.clone(), id));
                    next.push(with);
                }
            }
            let other = Set::and(vec![set.clone(), named.clone().not()]).of_strings();
            if !e.store.is_empty_set(&other) {
                let mut with = case;
                with.push(Atom::Some(other, id));
                next.push(with);
            }
        }
        next.retain(|case| can_be(e.store, case, 2));
        if next.len() > MAX_CASES {
            return Err(format!("it comes to more than {MAX_CASES} cases"));
        }
        out = next;
    }
    Ok(out)
}

struct Named {
    name: String,
    ids: Vec<Id>,
    is_required: bool,
}

struct Shape {
    named: Vec<Named>,
    /// Disjoint sets of other names, and what is asked of their values.
    others: Vec<(Set, Vec<Id>)>,
    /// Members that must be among the others.
    wanted: Vec<(Set, Id)>,
    min: u64,
    max: Option<u64>,
}

impl Shape {
    fn new(e: &mut Emitter<'_, '_>, case: Case) -> Result<Shape, String> {
        let mut shape = Shape { named: vec![], others: vec![], wanted: vec![], min: 0, max: None };
        for name in names_of(&case) {
            let is_required = case.contains(&Atom::Has(name.clone()));
            let ids = member_of(e.store, &case, &name);
            shape.named.push(Named { name, ids, is_required });
        }
        for atom in &case {
            match atom {
                Atom::MinMembers(n) => shape.min = shape.min.max(*n),
                Atom::MaxMembers(n) => {
                    shape.max = Some(shape.max.map_or(*n, |max| max.min(*n)));
                }
                Atom::Some(set, id) => shape.wanted.push((set.clone(), *id)),
                _ => {}
            }
        }
        let n_required = shape.named.iter().filter(|named| named.is_required).count() as u64;
        if shape.min <= n_required {
            shape.min = 0;
        }
        if shape.wanted.len() > MAX_WANTED {
            return Err(format!("more than {MAX_WANTED} conditions ask for some member each"));
        }
        shape.others = others(e, &case, &shape.named)?;
        if shape.others.is_empty() && shape.max.is_some_and(|m| m >= shape.named.len() as u64) {
            shape.max = None;
        }
        Ok(shape)
    }

    /// Members are counted up to here.
    fn cap(&self) -> u64 {
        self.max.map_or(self.min, |max| self.min.max(max)).max(1)
    }

    fn rule(&self, e: &mut Emitter<'_, '_>) -> Result<usize, String> {
        let mut made: HashMap<(usize, u64), usize> = HashMap::new();
        let cap = self.cap();
        if cap.saturating_mul(self.named.len() as u64) > MAX_STATES as u64 {
            return Err("counting the members of an object takes too many rules".into());
        }
        let mut pending = vec![(0, 0)];
        made.insert((0, 0), e.rules.reserve());
        while let Some((at, n)) = pending.pop() {
            let mut choices: Vec<Sequence> = Vec::new();
            let mut go = |e: &mut Emitter<'_, '_>, state: (usize, u64)| {
                Symbol::Rule(*made.entry(state).or_insert_with(|| {
                    pending.push(state);
                    e.rules.reserve()
                }))
            };
            if let Some(named) = self.named.get(at) {
                let value = e.value(&named.ids);
                let key = serde_json::Value::from(named.name.as_str()).to_string();
                if self.max.is_none_or(|max| n < max) {
                    let mut choice = if n == 0 { vec![] } else { vec![text(",")] };
                    choice.extend([text(&key), text(":"), value]);
                    choice.push(go(e, (at + 1, (n + 1).min(cap))));
                    choices.push(choice);
                }
                if !named.is_required {
                    choices.push(vec![go(e, (at + 1, n))]);
                }
            } else {
                choices = self.rest(e, n)?;
            }
            let rule = made[&(at, n)];
            e.rules.set(rule, choices);
        }
        let first = Symbol::Rule(made[&(0, 0)]);
        Ok(e.rules.add(vec![vec![text("{"), first, text("}")]]))
    }

    /// Members of other names, where there are n of the named ones.
    fn rest(&self, e: &mut Emitter<'_, '_>, n: u64) -> Result<Vec<Sequence>, String> {
        let (min, max) = (self.min.saturating_sub(n), self.max.map(|max| max.saturating_sub(n)));
        if !self.wanted.is_empty() {
            return self.wanted(e, n, min, max);
        }
        let empty: Vec<Sequence> = if min == 0 { vec![vec![]] } else { vec![] };
        if self.others.is_empty() || max == Some(0) {
            return Ok(empty);
        }
        let member = self.member(e, &[]);
        let after = e.rules.add(vec![vec![text(","), Symbol::Rule(member)]]);
        if n > 0 {
            return Ok(vec![vec![Symbol::Repeat(after, min, max)]]);
        }
        let more = Symbol::Repeat(after, min.saturating_sub(1), max.map(|max| max - 1));
        let mut choices = vec![vec![Symbol::Rule(member), more]];
        choices.extend(empty);
        Ok(choices)
    }

    /// A member of another name that is one of the wanted, too.
    fn member(&self, e: &mut Emitter<'_, '_>, of: &[usize]) -> usize {
        let mut choices = Vec::new();
        for (set, ids) in &self.others {
            let mut sets = vec![set.clone()];
            let mut all = ids.clone();
            for &i in of {
                sets.push(self.wanted[i].0.clone());
                all.push(self.wanted[i].1);
            }
            let set = Set::and(sets).of_strings();
            if e.store.is_empty_set(&set) {
                continue;
            }
            let value = e.value(&all);
            choices.push(vec![Symbol::Quoted(set), text(":"), value]);
        }
        e.rules.add(choices)
    }

    /// Other members with all of the wanted among them: which are still to come is what tells
    /// places apart, and how many there are.
    fn wanted(
        &self,
        e: &mut Emitter<'_, '_>,
        n_before: u64,
        min: u64,
        max: Option<u64>,
    ) -> Result<Vec<Sequence>, String> {
        let n_all = self.wanted.len();
        let cap = max.unwrap_or(0).max(min).max(1);
        if cap > 64 {
            return Err("minProperties and maxProperties beyond 64 are not supported here".into());
        }
        let members: Vec<usize> = (0..1usize << n_all)
            .map(|bits| {
                let of: Vec<usize> = (0..n_all).filter(|i| bits >> i & 1 == 1).collect();
                self.member(e, &of)
            })
            .collect();
        let rules: Vec<Vec<usize>> =
            (0..=cap).map(|_| (0..1usize << n_all).map(|_| e.rules.reserve()).collect()).collect();
        for n in 0..=cap {
            for left in 0..1usize << n_all {
                let mut choices: Vec<Sequence> = Vec::new();
                if left == 0 && n >= min {
                    choices.push(vec![]);
                }
                let next = (n + 1).min(cap) as usize;
                for found in (0..1usize << n_all).filter(|found| found & !left == 0) {
                    if max.is_some_and(|max| n >= max) {
                        break;
                    }
                    let is_first = n == 0 && n_before == 0;
                    let mut choice = if is_first { vec![] } else { vec![text(",")] };
                    choice.push(Symbol::Rule(members[found]));
                    choice.push(Symbol::Rule(rules[next][left & !found]));
                    choices.push(choice);
                }
                e.rules.set(rules[n as usize][left], choices);
            }
        }
        Ok(vec![vec![Symbol::Rule(rules[0][(1 << n_all) - 1])]])
    }
}

/// The names that no member is called by, cut into sets of which the same is asked.
fn others(
    e: &mut Emitter<'_, '_>,
    case: &[Atom],
    named: &[Named],
) -> Result<Vec<(Set, Vec<Id>)>, String> {
    let literals = named.iter().map(|named| Set::literal(&named.name)).collect();
    let mut out = vec![(vec![Set::or(literals).not()], Vec::new())];
    let mut n_sets = 0;
    for atom in case {
        let Atom::Members(set, id) = atom else { continue };
        n_sets += 1;
        if n_sets > MAX_SETS && out.len() > 1 << MAX_SETS {
            return Err(format!("more than {MAX_SETS} patterns of names may overlap"));
        }
        let mut next: Vec<(Vec<Set>, Vec<Id>)> = Vec::new();
        for (sets, ids) in out {
            let inside: Vec<Set> = [&sets[..], std::slice::from_ref(set)].concat();
            let outside: Vec<Set> = [&sets[..], &[set.clone().not()]].concat();
            let has = |e: &mut Emitter<'_, '_>, sets: &Vec<Set>| {
                let set = Set::and(sets.clone()).of_strings();
                !e.store.is_empty_set(&set)
            };
            if has(e, &outside) {
                // where all are outside, the condition adds nothing
                let sets = if has(e, &inside) { outside } else { sets.clone() };
                next.push((sets, ids.clone()));
            }
            if has(e, &inside) {
                next.push((inside, [&ids[..], &[*id]].concat()));
            }
        }
        next.retain(|(_, ids)| {
            let both = e.store.and(ids);
            both != NONE
        });
        out = next;
    }
    Ok(out.into_iter().map(|(sets, ids)| (Set::and(sets).of_strings(), ids)).collect())
}
