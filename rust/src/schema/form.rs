//! What a schema asks of values of one type, as a formula, and the cases that it comes to.

use super::numbers::Decimal;
use super::text::Set;

/// A schema, or several and their opposites: see store.rs.
pub type Id = u32;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Type {
    Null,
    Boolean,
    Number,
    String,
    Array,
    Object,
}

pub const TYPES: [Type; 6] =
    [Type::Null, Type::Boolean, Type::Number, Type::String, Type::Array, Type::Object];

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Atom {
    Flag(bool),
    Text(Set),
    Whole(bool),
    Min(Decimal, bool),
    Max(Decimal, bool),
    Multiple(Decimal, bool),
    Equal(Decimal, bool),
    MinItems(u64),
    MaxItems(u64),
    /// The item there, if there is one.
    Item(usize, Id),
    /// The items from there on.
    Items(usize, Id),
    /// How many of the items from there on are.
    Count {
        from: usize,
        of: Id,
        min: u64,
        max: Option<u64>,
    },
    Unique(bool),
    Has(String),
    /// The member, if there is one.
    Member(String, Id),
    /// The members whose names are in the set.
    Members(Set, Id),
    /// Some member of such a name.
    Some(Set, Id),
    MinMembers(u64),
    MaxMembers(u64),
}

#[derive(Clone, PartialEq, Debug)]
pub enum Form {
    Atom(Atom),
    /// True where there is none.
    And(Vec<Form>),
    /// False where there is none.
    Or(Vec<Form>),
    Not(Box<Form>),
}

pub const TRUE: Form = Form::And(vec![]);
pub const FALSE: Form = Form::Or(vec![]);

impl Form {
    pub fn not(self) -> Form {
        Form::Not(Box::new(self))
    }
}

pub type Case = Vec<Atom>;
pub const MAX_CASES: usize = 2000;

/// The atom's opposite. opposite: of the schemas in it.
fn negated(atom: Atom, opposite: &mut dyn FnMut(Id) -> Id) -> Form {
    let one = Form::Atom;
    let fewer = |n: u64, atom: fn(u64) -> Atom| match n {
        0 => FALSE,
        n => Form::Atom(atom(n - 1)),
    };
    match atom {
        Atom::Flag(is) => one(Atom::Flag(!is)),
        Atom::Text(set) => one(Atom::Text(set.not())),
        Atom::Whole(is) => one(Atom::Whole(!is)),
        Atom::Min(d, is_strict) => one(Atom::Max(d, !is_strict)),
        Atom::Max(d, is_strict) => one(Atom::Min(d, !is_strict)),
        Atom::Multiple(d, is) => one(Atom::Multiple(d, !is)),
        Atom::Equal(d, is) => one(Atom::Equal(d, !is)),
        Atom::MinItems(n) => fewer(n, Atom::MaxItems),
        Atom::MaxItems(n) => one(Atom::MinItems(n.saturating_add(1))),
        Atom::Item(at, of) => {
            Form::And(vec![one(Atom::MinItems(at as u64 + 1)), one(Atom::Item(at, opposite(of)))])
        }
        Atom::Items(from, of) => one(Atom::Count { from, of: opposite(of), min: 1, max: None }),
        Atom::Count { from, of, min, max } => {
            let mut cases = Vec::new();
            if min > 0 {
                cases.push(one(Atom::Count { from, of, min: 0, max: Some(min - 1) }));
            }
            if let Some(max) = max {
                cases.push(one(Atom::Count { from, of, min: max + 1, max: None }));
            }
            Form::Or(cases)
        }
        Atom::Unique(is) => one(Atom::Unique(!is)),
        Atom::Has(name) => one(Atom::Member(name, opposite(super::store::ANY))),
        Atom::Member(name, of) => {
            let of = opposite(of);
            Form::And(vec![one(Atom::Has(name.clone())), one(Atom::Member(name, of))])
        }
        Atom::Members(names, of) => one(Atom::Some(names, opposite(of))),
        Atom::Some(names, of) => one(Atom::Members(names, opposite(of))),
        Atom::MinMembers(n) => fewer(n, Atom::MaxMembers),
        Atom::MaxMembers(n) => one(Atom::MinMembers(n.saturating_add(1))),
    }
}

/// The formula without Not.
pub fn positive(form: Form, is_negated: bool, opposite: &mut dyn FnMut(Id) -> Id) -> Form {
    let all = |forms: Vec<Form>, opposite: &mut dyn FnMut(Id) -> Id| {
        forms.into_iter().map(|form| positive(form, is_negated, opposite)).collect()
    };
    match form {
        Form::Atom(atom) if is_negated => negated(atom, opposite),
        Form::Atom(_) => form,
        Form::Not(inside) => positive(*inside, !is_negated, opposite),
        Form::And(forms) if is_negated => Form::Or(all(forms, opposite)),
        Form::Or(forms) if is_negated => Form::And(all(forms, opposite)),
        Form::And(forms) => Form::And(all(forms, opposite)),
        Form::Or(forms) => Form::Or(all(forms, opposite)),
    }
}

fn insert(cases: &mut Vec<Case>, case: Case) {
    if !cases.contains(&case) {
        cases.push(case);
    }
}

/// The cases of a formula without Not, but those that can never be.
pub fn cases(form: &Form, can_be: &mut dyn FnMut(&[Atom]) -> bool) -> Result<Vec<Case>, String> {
    let out = match form {
        Form::Atom(atom) => vec![vec![atom.clone()]],
        Form::Or(forms) => {
            let mut out = Vec::new();
            for form in forms {
                for case in cases(form, can_be)? {
                    insert(&mut out, case);
                }
            }
            out
        }
        Form::And(forms) => {
            let mut out: Vec<Case> = vec![vec![]];
            for form in forms {
                let more = cases(form, can_be)?;
                let mut next = Vec::new();
                for case in &out {
                    for other in &more {
                        let mut both = case.clone();
                        both.extend(other.iter().filter(|a| !case.contains(a)).cloned());
                        let is_new = both.len() > case.len() && more.len() * out.len() > 1;
                        if !is_new || can_be(&both) {
                            insert(&mut next, both);
                        }
                    }
                    if next.len() > MAX_CASES {
                        return Err(format!("it comes to more than {MAX_CASES} cases"));
                    }
                }
                out = next;
            }
            out
        }
        Form::Not(_) => return Err("a formula was not made positive".into()),
    };
    match out.len() > MAX_CASES {
        true => Err(format!("it comes to more than {MAX_CASES} cases")),
        false => Ok(out),
    }
}
