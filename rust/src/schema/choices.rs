//! Schemas that are made of others: all, any or one of them, none, and one if another.

use serde_json::Value;

use super::form::{Form, Type, FALSE, TRUE};
use super::keywords::{list, Schema};
use super::store::{Place, Store};

pub fn form<'a>(
    store: &mut Store<'a>,
    place: &Place<'a>,
    schema: &'a Schema,
    key: &str,
    of: Type,
) -> Result<Form, String> {
    let value = &schema[key];
    let one = |store: &mut Store<'a>, at: &'a Value| -> Result<Form, String> {
        let id = store.schema(at, &place.scope);
        Ok((*store.form(id, of)?).clone())
    };
    let mut all = Vec::new();
    if matches!(key, "allOf" | "anyOf" | "oneOf") {
        for at in list(key, value)? {
            all.push(one(store, at)?);
        }
    }
    Ok(match key {
        "allOf" => Form::And(all),
        "anyOf" => any(all),
        "oneOf" => exactly_one(store, all),
        "not" => one(store, value)?.not(),
        _ => {
            let branch = |store: &mut Store<'a>, key| match schema.get(key) {
                Some(at) => one(store, at),
                None => Ok(TRUE),
            };
            let (then, otherwise) = (branch(store, "then")?, branch(store, "else")?);
            if then == TRUE && otherwise == TRUE {
                return Ok(TRUE);
            }
            let condition = one(store, value)?;
            Form::Or(vec![
                Form::And(vec![condition.clone(), then]),
                Form::And(vec![condition.not(), otherwise]),
            ])
        }
    })
}

fn any(mut forms: Vec<Form>) -> Form {
    if forms.contains(&TRUE) {
        return TRUE;
    }
    forms.retain(|form| *form != FALSE);
    Form::Or(forms)
}

/// One of the formulas and none of the others. Those that never go with it need no mention.
pub fn exactly_one(store: &mut Store<'_>, mut forms: Vec<Form>) -> Form {
    forms.retain(|form| *form != FALSE);
    let n = forms.len();
    let mut meets = vec![vec![true; n]; n];
    for i in 0..n {
        for j in 0..i {
            let both = Form::And(vec![forms[i].clone(), forms[j].clone()]);
            let is_empty = store.cases_of(&both, 2).is_ok_and(|cases| cases.is_empty());
            meets[i][j] = !is_empty;
            meets[j][i] = !is_empty;
        }
    }
    let alone = |i: usize| {
        let mut all = vec![forms[i].clone()];
        for j in (0..n).filter(|&j| j != i && meets[i][j]) {
            all.push(forms[j].clone().not());
        }
        if all.len() == 1 {
            all.remove(0)
        } else {
            Form::And(all)
        }
    };
    Form::Or((0..n).map(alone).collect())
}
