//! Rules for one case of arrays. The first items are told apart, up to the last that is spoken of;
//! those behind are alike. What is counted (contains) is a part of where the array stands.

use std::collections::HashMap;

use super::emit::{text, Emitter};
use super::feasible::{item_at, min_items};
use super::form::{Atom, Id};
use super::rules::{Sequence, Symbol};
use super::store::ANY;
use super::values;

const MAX_STATES: usize = 4000;

#[derive(Clone, Copy)]
struct Counter {
    from: usize,
    of: Id,
    min: u64,
    max: Option<u64>,
}

impl Counter {
    /// From here on nothing more is told apart.
    fn cap(&self) -> u64 {
        self.max.map_or(self.min, |max| self.min.max(max + 1))
    }

    fn is_met(&self, n: u64) -> bool {
        n >= self.min && self.max.is_none_or(|max| n <= max)
    }
}

struct Shape {
    case: Vec<Atom>,
    counters: Vec<Counter>,
    min: u64,
    max: Option<u64>,
    /// Items that are told apart.
    n_first: usize,
}

type State = (u64, Vec<u64>);

pub fn rule(e: &mut Emitter<'_, '_>, case: &[Atom]) -> Result<usize, String> {
    let mut shape = Shape {
        case: case.to_vec(),
        counters: Vec::new(),
        min: min_items(case),
        max: None,
        n_first: 1,
    };
    for atom in case {
        match atom {
            Atom::MaxItems(n) => shape.max = Some(shape.max.map_or(*n, |max| max.min(*n))),
            Atom::Item(at, _) => shape.n_first = shape.n_first.max(at + 1),
            Atom::Items(from, _) if *from < usize::MAX => {
                shape.n_first = shape.n_first.max(*from);
            }
            Atom::Count { from, of, min, max } => {
                shape.n_first = shape.n_first.max(*from);
                shape.counters.push(Counter { from: *from, of: *of, min: *min, max: *max });
            }
            _ => {}
        }
    }
    if shape.n_first > MAX_STATES {
        return Err(format!("an array speaks of more than {MAX_STATES} items"));
    }
    let may_be_equal = e.store.is_lenient || shape.max.is_some_and(|max| max <= 1);
    if case.contains(&Atom::Unique(false)) {
        return Err("not uniqueItems is not supported".into());
    }
    if case.contains(&Atom::Unique(true)) && !may_be_equal {
        return unique(e, &shape);
    }
    let first = ruled(e, &shape)?;
    Ok(e.rules.add(vec![vec![text("["), Symbol::Rule(first), text("]")]]))
}

fn ruled(e: &mut Emitter<'_, '_>, shape: &Shape) -> Result<usize, String> {
    let mut made: HashMap<State, usize> = HashMap::new();
    let start = (0, vec![0; shape.counters.len()]);
    let mut pending = vec![start.clone()];
    made.insert(start.clone(), e.rules.reserve());
    while let Some(state) = pending.pop() {
        let mut choices: Vec<Sequence> = Vec::new();
        if shape.may_end(&state) {
            choices.push(vec![]);
        }
        let is_tail = state.0 >= shape.n_first as u64;
        if is_tail && shape.counters.is_empty() {
            choices = vec![shape.tail(e, state.0)];
        } else if shape.max.is_none_or(|max| state.0 < max) {
            for (item, next) in shape.steps(e, &state) {
                let mut choice = item;
                if next == state {
                    continue; // repeated below
                }
                let rule = *made.entry(next.clone()).or_insert_with(|| {
                    pending.push(next.clone());
                    e.rules.reserve()
                });
                choice.push(Symbol::Rule(rule));
                choices.push(choice);
            }
            let again: Vec<Sequence> = shape
                .steps(e, &state)
                .into_iter()
                .filter(|(_, next)| *next == state)
                .map(|(item, _)| item)
                .collect();
            if !again.is_empty() {
                let again = Symbol::Repeat(e.rules.add(again), 0, None);
                choices.iter_mut().for_each(|choice| choice.insert(0, again.clone()));
            }
        }
        e.rules.set(made[&state], choices);
        if made.len() > MAX_STATES {
            return Err("counting the items of an array takes too many rules".into());
        }
    }
    Ok(made[&start])
}

impl Shape {
    fn may_end(&self, (n, counts): &State) -> bool {
        let mut all = self.counters.iter().zip(counts);
        *n >= self.min && all.all(|(counter, n)| counter.is_met(*n))
    }

    /// An array with so many items looks like one with this many.
    fn alike(&self, n: u64) -> u64 {
        let bound = self.max.unwrap_or(0).max(self.min).max(self.n_first as u64);
        n.min(bound)
    }

    fn tail(&self, e: &mut Emitter<'_, '_>, n: u64) -> Sequence {
        let value = e.value(&item_at(&self.case, self.n_first));
        let rule = e.rules.add(vec![vec![text(","), value]]);
        let max = self.max.map(|max| max.saturating_sub(n));
        vec![Symbol::Repeat(rule, self.min.saturating_sub(n), max)]
    }

    /// What may come next, and where the array stands then: each counter counts it or does not.
    fn steps(&self, e: &mut Emitter<'_, '_>, (n, counts): &State) -> Vec<(Sequence, State)> {
        let at = usize::try_from(*n).unwrap_or(usize::MAX).min(self.n_first);
        let mut ways = vec![(item_at(&self.case, at), counts.clone())];
        for (i, counter) in self.counters.iter().enumerate().filter(|(_, c)| c.from <= at) {
            let opposite = e.store.not(counter.of);
            let mut next = Vec::new();
            for (ids, counts) in ways {
                let without = counter.max.map_or(ANY, |_| opposite);
                let mut more = counts.clone();
                more[i] = (more[i] + 1).min(counter.cap());
                if counter.max.is_none_or(|max| more[i] <= max) {
                    next.push(([&ids[..], &[counter.of]].concat(), more));
                }
                next.push(([&ids[..], &[without]].concat(), counts));
            }
            ways = next;
        }
        let after = self.alike(n + 1);
        ways.into_iter()
            .map(|(ids, counts)| {
                let mut item = if *n == 0 { vec![] } else { vec![text(",")] };
                item.push(e.value(&ids));
                (item, (after, counts))
            })
            .collect()
    }
}

/// Items of finite lists, none of them twice.
fn unique(e: &mut Emitter<'_, '_>, shape: &Shape) -> Result<usize, String> {
    const WHY: &str = "uniqueItems is supported where the schema lists what items may be: use enum";
    if !shape.counters.is_empty() {
        return Err("uniqueItems beside contains is not supported".into());
    }
    let mut lists: Vec<Vec<Id>> = Vec::new();
    for at in 0..=shape.n_first {
        let id = {
            let ids = item_at(&shape.case, at);
            e.store.and(&ids)
        };
        lists.push(values::all_of(e.store, id).ok_or(WHY)?);
    }
    let mut made: HashMap<(u64, Vec<Id>), usize> = HashMap::new();
    let start = (0, vec![]);
    let mut pending = vec![start.clone()];
    made.insert(start.clone(), e.rules.reserve());
    while let Some(state) = pending.pop() {
        let (n, used) = &state;
        let mut choices: Vec<Sequence> = Vec::new();
        if *n >= shape.min {
            choices.push(vec![]);
        }
        let list = &lists[usize::try_from(*n).unwrap_or(usize::MAX).min(shape.n_first)];
        let may_more = shape.max.is_none_or(|max| *n < max);
        for &value in list.iter().filter(|value| may_more && !used.contains(value)) {
            let mut next = used.clone();
            next.push(value);
            next.sort_unstable();
            let next = (n + 1, next);
            let rule = *made.entry(next.clone()).or_insert_with(|| {
                pending.push(next.clone());
                e.rules.reserve()
            });
            let mut choice = if *n == 0 { vec![] } else { vec![text(",")] };
            choice.push(e.value(&[value]));
            choice.push(Symbol::Rule(rule));
            choices.push(choice);
        }
        e.rules.set(made[&state], choices);
        if made.len() > MAX_STATES {
            return Err("uniqueItems of so many values is not supported".into());
        }
    }
    Ok(e.rules.add(vec![vec![text("["), Symbol::Rule(made[&start]), text("]")]]))
}
