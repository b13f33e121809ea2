//! Whether a case can be at all: atoms of one type that contradict each other make it go.

use super::form::{Atom, Id};
use super::numbers::{self, Decimal};
use super::store::Store;
use super::text::Set;

pub fn can_be(store: &mut Store<'_>, case: &[Atom], look: u8) -> bool {
    match case.first() {
        None => true,
        Some(Atom::Flag(is)) => !case.contains(&Atom::Flag(!is)),
        Some(Atom::Text(_)) => !store.is_empty_set(&text(case)),
        Some(
            Atom::Whole(_) | Atom::Min(..) | Atom::Max(..) | Atom::Multiple(..) | Atom::Equal(..),
        ) => number(store, case),
        Some(
            Atom::MinItems(_)
            | Atom::MaxItems(_)
            | Atom::Item(..)
            | Atom::Items(..)
            | Atom::Count { .. }
            | Atom::Unique(_),
        ) => array(store, case, look),
        Some(_) => object(store, case, look),
    }
}

/// The strings of a case.
pub fn text(case: &[Atom]) -> Set {
    let sets = case.iter().filter_map(|atom| match atom {
        Atom::Text(set) => Some(set.clone()),
        _ => None,
    });
    Set::and(sets.collect()).of_strings()
}

/// Whether a number fulfils all; what cannot be told, it does.
pub fn fulfils(number: &Decimal, case: &[Atom]) -> bool {
    case.iter().all(|atom| match atom {
        Atom::Whole(is) => number.is_whole() == *is,
        Atom::Min(d, is_strict) => number > d || (!is_strict && number == d),
        Atom::Max(d, is_strict) => number < d || (!is_strict && number == d),
        Atom::Multiple(d, is) => number.is_multiple_of(d).is_none_or(|it_is| it_is == *is),
        Atom::Equal(d, is) => (number == d) == *is,
        _ => true,
    })
}

/// The one number of a case that names one.
pub fn only(case: &[Atom]) -> Option<&Decimal> {
    case.iter().find_map(|atom| match atom {
        Atom::Equal(d, true) => Some(d),
        _ => None,
    })
}

/// The numbers of a case but for what it says of multiples.
pub fn numbers_of(case: &[Atom]) -> Set {
    if let Some(number) = only(case) {
        return match fulfils(number, case) {
            true => Set::Of(number.written().replace('.', r"\.")),
            false => Set::none(),
        };
    }
    let is_whole = case.contains(&Atom::Whole(true));
    let mut sets = vec![Set::Of(match is_whole {
        true => numbers::INTEGER.into(),
        false if case.is_empty() => numbers::ANY_NUMBER.into(),
        false => numbers::NUMBER.into(),
    })];
    for atom in case {
        sets.push(match atom {
            Atom::Whole(false) => Set::Of(numbers::WHOLE.into()).not(),
            Atom::Min(d, is_strict) => numbers::not_below(d, *is_strict),
            Atom::Max(d, is_strict) => numbers::not_above(d, *is_strict),
            Atom::Equal(d, false) => numbers::spellings(d).not(),
            _ => continue,
        });
    }
    match sets.len() {
        1 => sets.remove(0),
        _ => Set::And(sets),
    }
}

fn number(store: &mut Store<'_>, case: &[Atom]) -> bool {
    if let Some(number) = only(case) {
        return fulfils(number, case);
    }
    if case.contains(&Atom::Whole(true)) && case.contains(&Atom::Whole(false)) {
        return false;
    }
    let clashes = case.iter().any(|a| match a {
        Atom::Multiple(d, is) => case.contains(&Atom::Multiple(d.clone(), !is)),
        _ => false,
    });
    !clashes && !store.is_empty_set(&numbers_of(case))
}

fn array(store: &mut Store<'_>, case: &[Atom], look: u8) -> bool {
    let min = min_items(case);
    let max = case.iter().filter_map(|a| if let Atom::MaxItems(n) = a { Some(*n) } else { None });
    if max.min().is_some_and(|max| max < min) {
        return false;
    }
    let is_both = case.contains(&Atom::Unique(true)) && case.contains(&Atom::Unique(false));
    let n = usize::try_from(min).unwrap_or(0).min(64);
    !is_both
        && (0..n).all(|i| {
            let ids = item_at(case, i);
            let both = store.and(&ids);
            !store.is_empty(both, look)
        })
}

/// The least number of items.
pub fn min_items(case: &[Atom]) -> u64 {
    let all = case.iter().filter_map(|atom| match atom {
        Atom::MinItems(n) => Some(*n),
        Atom::Count { from, min, .. } if *min > 0 => Some(*from as u64 + min),
        _ => None,
    });
    all.max().unwrap_or(0)
}

/// What is asked of an item.
pub fn item_at(case: &[Atom], at: usize) -> Vec<Id> {
    let of = |atom: &Atom| match atom {
        Atom::Item(i, of) if *i == at => Some(*of),
        Atom::Items(from, of) if *from <= at => Some(*of),
        _ => None,
    };
    case.iter().filter_map(of).collect()
}

fn object(store: &mut Store<'_>, case: &[Atom], look: u8) -> bool {
    let min = case.iter().filter_map(|a| if let Atom::MinMembers(n) = a { Some(*n) } else { None });
    let max = case.iter().filter_map(|a| if let Atom::MaxMembers(n) = a { Some(*n) } else { None });
    let n_required = case.iter().filter(|atom| matches!(atom, Atom::Has(_))).count() as u64;
    let max = max.min().unwrap_or(u64::MAX);
    if max < min.max().unwrap_or(0) || max < n_required {
        return false;
    }
    case.iter().all(|atom| match atom {
        Atom::Has(name) => {
            let ids = member_of(store, case, name);
            let both = store.and(&ids);
            !store.is_empty(both, look)
        }
        _ => true,
    })
}

/// What is asked of a member's value.
pub fn member_of(store: &mut Store<'_>, case: &[Atom], name: &str) -> Vec<Id> {
    let literal = Set::literal(name);
    let mut ids = Vec::new();
    for atom in case {
        match atom {
            Atom::Member(of, id) if of == name => ids.push(*id),
            Atom::Members(names, id) if is_among(store, &literal, names) => ids.push(*id),
            _ => {}
        }
    }
    ids
}

pub fn is_among(store: &mut Store<'_>, literal: &Set, names: &Set) -> bool {
    !store.is_empty_set(&Set::And(vec![literal.clone(), names.clone()]))
}
