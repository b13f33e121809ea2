//! What is done to a grammar in Lark before llguidance reads it: its depth is bounded, and the
//! schemas in it (%json) become grammars of their own.

use llguidance::api::{GrammarWithLexer, TopLevelGrammar};
use serde_json::{json, Value};

use crate::schema;

/// Of groups and of JSON within each other; what parses them calls itself.
const MAX_DEPTH: usize = 200;
const JSON: &str = "%json";

/// Calls visit with the characters outside of literals. What a regular expression holds is bounded
/// by who reads it.
fn outside_of_literals<'s>(lark: &'s str, mut visit: impl FnMut(&'s str, char)) {
    let (mut quote, mut is_escaped) = (None, false);
    for (at, c) in lark.char_indices() {
        match quote {
            Some(_) if is_escaped => is_escaped = false,
            Some(_) if c == '\\' => is_escaped = true,
            Some(end) if c == end || c == '\n' => quote = None,
            Some(_) => {}
            None if c == '"' || c == '/' => quote = Some(c),
            None => visit(&lark[at..], c),
        }
    }
}

fn check_depth(lark: &str) -> Result<(), String> {
    let (mut depth, mut most) = (0usize, 0);
    outside_of_literals(lark, |_, c| {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        most = most.max(depth);
    });
    match most > MAX_DEPTH {
        true => Err(format!("more than {MAX_DEPTH} brackets stand within each other")),
        false => Ok(()),
    }
}

/// The grammar, and one for each schema in it.
pub fn with_schemas(lark: &str, whitespace: &str) -> Result<TopLevelGrammar, String> {
    check_depth(lark)?;
    let mut places = Vec::new();
    outside_of_literals(lark, |rest, _| {
        if rest.starts_with(JSON) {
            places.push(lark.len() - rest.len());
        }
    });
    let (mut text, mut done) = (String::new(), 0);
    let mut grammars = Vec::new();
    for at in places {
        if at < done {
            continue; // within a schema
        }
        let mut reader = serde_json::Deserializer::from_str(&lark[at + JSON.len()..]).into_iter();
        let schema: Value = match reader.next() {
            Some(Ok(schema)) => schema,
            _ => return Err(format!("behind {JSON} stands no schema")),
        };
        let name = format!("schema_{}", grammars.len());
        text += &format!("{}@{name}", &lark[done..at]);
        done = at + JSON.len() + reader.byte_offset();
        let grammar = GrammarWithLexer {
            name: Some(name),
            ..GrammarWithLexer::from_lark(of_schema(&schema, whitespace)?)
        };
        grammars.push(grammar);
    }
    text += &lark[done..];
    grammars.insert(0, GrammarWithLexer::from_lark(text));
    Ok(TopLevelGrammar { grammars, max_tokens: None })
}

/// A schema that says so is lenient: what cannot be had of it is passed over.
fn of_schema(schema: &Value, whitespace: &str) -> Result<String, String> {
    if schema["x-guidance"]["lenient"] != true {
        return schema::to_lark(schema, whitespace, false);
    }
    schema::to_lark(schema, whitespace, true).or_else(|_| {
        let of_type = match schema.get("type") {
            Some(of_type) => json!({ "type": of_type }),
            None => json!(true),
        };
        schema::to_lark(&of_type, whitespace, true)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_become_grammars() {
        let lark = "start: \"%json\" /\\/%json/ %json {\"const\": \"%json {\"} | %json true\n";
        let all = with_schemas(lark, " ").unwrap().grammars;
        assert_eq!(all.len(), 3);
        let text = all[0].lark_grammar.as_deref();
        assert_eq!(text, Some("start: \"%json\" /\\/%json/ @schema_0 | @schema_1\n"));
        assert!(with_schemas("start: %json {", " ").is_err());
        assert!(with_schemas("start: %json {\"not\": {}}", " ").is_err());
    }

    #[test]
    fn lenient_schemas_are_had_in_part() {
        let schema = json!({
            "x-guidance": {"lenient": true}, "type": "array", "uniqueItems": true, "maxItems": 3
        });
        assert!(
            of_schema(&schema, " ").unwrap().contains("{0,2}"),
            "{:?}",
            of_schema(&schema, " ")
        );
        let never = json!({"x-guidance": {"lenient": true}, "type": "object", "not": {}});
        assert!(of_schema(&never, " ").is_ok());
    }

    #[test]
    fn depth_is_bounded() {
        assert!(check_depth(&format!("start: {}\"a\"", "(".repeat(201))).is_err());
        assert!(check_depth(&format!("start: \"{}\"", "(".repeat(300))).is_ok());
    }
}
