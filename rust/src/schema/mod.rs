//! JSON Schema as a grammar for llguidance.
//!
//! A schema asks something of values of each type. That is a formula over small conditions (atoms),
//! which `not`, `oneOf`, `if` and the others are built into as the logic that they are; it comes to
//! cases, each a list of atoms; and a case is a few rules of a grammar, in which the schemas of
//! items and members are rules again. So the way is: document (where references lead), store (what
//! is a schema, all of some, one of some, not one), keywords and choices (schemas to formulas),
//! form (formulas to cases), feasible (cases that can be), emit with arrays and objects (cases to
//! rules), rules (to Lark). Strings and numbers need no cases: they are regular sets (text,
//! numbers), which are closed under all of it.

mod arrays;
mod choices;
mod document;
mod emit;
mod evaluated;
mod feasible;
mod form;
mod formats;
mod keywords;
mod numbers;
mod objects;
mod pattern;
mod rules;
mod store;
#[cfg(test)]
mod tests;
mod text;
mod uri;
mod values;

use serde_json::Value;

use document::Document;
use emit::Emitter;
use store::Store;

/// The grammar of the documents that are valid. is_lenient: what is not supported is passed over.
pub fn to_lark(schema: &Value, whitespace: &str, is_lenient: bool) -> Result<String, String> {
    let doc = Document::new(schema);
    let mut store = Store::new(&doc, is_lenient);
    let root = store.schema(schema, &Default::default());
    let mut emitter = Emitter::new(&mut store);
    let start = emitter.rule(root);
    emitter.finish()?;
    let head = format!("%llguidance {{\"ignore_once\": true}}\n%ignore /{whitespace}/\n");
    let lark = emitter.rules.lark(start, &head);
    lark.ok_or_else(|| "Unsatisfiable schema: no document is valid under it".into())
}
