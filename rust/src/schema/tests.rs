//! What grammars of schemas take and refuse, keyword by keyword.

use crate::grammar::{Kind, Next, Vocabulary};

fn bytes() -> Vocabulary {
    let tokens: Vec<[u8; 1]> = (0..=255u8).map(|b| [b]).collect();
    let tokens: Vec<(&[u8], u8)> = tokens.iter().map(|t| (&t[..], 0)).collect();
    Vocabulary::open(&tokens).ok().expect("a vocabulary")
}

fn takes(vocabulary: &Vocabulary, schema: &str, text: &str) -> bool {
    let Ok(mut reply) = vocabulary.matcher(Kind::JsonSchema, schema) else {
        panic!("refused: {schema}");
    };
    if !reply.push_text(text.as_bytes()).expect("a push") {
        return false;
    }
    let mut mask = [0u32; 9];
    matches!(reply.mask(&mut mask), Ok(Next::Complete | Next::Tokens { may_end: true }))
}

/// Rows of a schema, documents that are valid and documents that are not, each after a blank.
fn check(rows: &[(&str, &[&str], &[&str])]) {
    let vocabulary = bytes();
    for (schema, good, bad) in rows {
        for text in *good {
            assert!(takes(&vocabulary, schema, text), "{schema} takes {text}");
        }
        for text in *bad {
            assert!(!takes(&vocabulary, schema, text), "{schema} refuses {text}");
        }
    }
}

fn refusal(schema: &str) -> String {
    let schema = serde_json::from_str(schema).expect(schema);
    super::to_lark(&schema, " ", false).expect_err("a refusal")
}

#[test]
fn types_and_values() {
    check(&[
        ("true", &["1", "null", "[{}]"], &[]),
        (r#"{"type":["integer","null"]}"#, &["-3", "null"], &["1.5", "\"a\""]),
        (r#"{"minLength":2}"#, &["\"ab\"", "1", "[]"], &["\"a\""]),
        (
            r#"{"const":{"a":[1,"x"]}}"#,
            &[r#"{"a":[1,"x"]}"#],
            &[r#"{"a":[1]}"#, r#"{"a":[1,"x"],"b":1}"#],
        ),
        (
            r#"{"enum":[1,"a",null,[2]],"type":["number","array"]}"#,
            &["1", "[2]"],
            &["\"a\"", "null", "2"],
        ),
        (r#"{"const":"\u0000\n\""}"#, &["\"\\u0000\\n\\\"\""], &["\"\""]),
        (r#"{"enum":[1,2,3],"minimum":2}"#, &["2", "3"], &["1"]),
    ]);
}

#[test]
fn numbers() {
    check(&[
        (
            r#"{"type":"integer","minimum":-5,"exclusiveMaximum":12}"#,
            &["-5", "0", "11"],
            &["-6", "12", "1.5"],
        ),
        (
            r#"{"type":"number","exclusiveMinimum":0.5,"maximum":2.25}"#,
            &["0.51", "2.25", "1"],
            &["0.5", "2.26", "0"],
        ),
        (r#"{"multipleOf":3,"maximum":10}"#, &["9", "-3"], &["4", "12"]),
        (r#"{"type":"integer","multipleOf":0.75}"#, &["3", "6"], &["1", "4"]),
        (r#"{"type":"integer","not":{"const":5},"minimum":4,"maximum":6}"#, &["4", "6"], &["5"]),
        (r#"{"multipleOf":5,"not":{"const":10}}"#, &["5", "15"], &["10", "3"]),
        (r#"{"type":"number","not":{"type":"integer"}}"#, &["1.5"], &["1", "1.0"]),
    ]);
}

#[test]
fn strings() {
    check(&[
        (
            r#"{"type":"string","minLength":2,"maxLength":3}"#,
            &["\"ab\"", "\"\\n\\n\""],
            &["\"a\"", "\"abcd\""],
        ),
        (
            r#"{"type":"string","pattern":"^a","not":{"pattern":"z$"}}"#,
            &["\"ab\""],
            &["\"az\"", "\"b\""],
        ),
        (r#"{"type":"string","allOf":[{"pattern":"a"},{"pattern":"b"}]}"#, &["\"ba\""], &["\"a\""]),
        (r#"{"type":"string","format":"date"}"#, &["\"2024-02-29\""], &["\"2024-02-30\""]),
        (r#"{"type":"string","format":"of my own"}"#, &["\"x\""], &["1"]),
    ]);
}

#[test]
fn arrays() {
    check(&[
        (
            r#"{"type":"array","prefixItems":[{"type":"integer"}],"items":{"type":"string"},
            "minItems":2}"#,
            &["[1,\"a\"]", "[1,\"a\",\"b\"]"],
            &["[1]", "[1,2]", "[\"a\",\"b\"]"],
        ),
        (r#"{"type":"array","items":false}"#, &["[]"], &["[1]"]),
        (r#"{"type":"array","prefixItems":[true,false]}"#, &["[]", "[1]"], &["[1,2]"]),
        (
            r#"{"type":"array","items":{"type":"integer"},"contains":{"minimum":5}}"#,
            &["[5]", "[1,7,2]"],
            &["[]", "[1,2]"],
        ),
        (
            r#"{"type":"array","items":{"type":"integer"},"contains":{"minimum":5},
            "minContains":2,"maxContains":3}"#,
            &["[5,1,6]", "[9,9,9]"],
            &["[5]", "[9,9,9,9]"],
        ),
        (
            r#"{"type":"array","contains":{"const":1},"minContains":0,"maxContains":1}"#,
            &["[]", "[1]", "[2,1]"],
            &["[1,1]"],
        ),
        (
            r#"{"type":"array","items":{"enum":["a","b","c"]},"uniqueItems":true,
            "minItems":2}"#,
            &["[\"c\",\"a\"]"],
            &["[\"a\"]", "[\"a\",\"a\"]", "[\"a\",\"b\",\"a\"]"],
        ),
        (r#"{"type":"array","maxItems":30000,"not":{"maxItems":1}}"#, &["[1,2]"], &["[1]"]),
        (r#"{"type":"array","not":{"items":{"type":"integer"}}}"#, &["[1,null]"], &["[]", "[1]"]),
    ]);
}

#[test]
fn objects() {
    check(&[
        (
            r#"{"type":"object","properties":{"a":{"type":"integer"},"b":true},"required":[
            "b"]}"#,
            &[r#"{"a":1,"b":2}"#, r#"{"b":2,"c":3}"#],
            &["{}", r#"{"a":"x","b":1}"#, r#"{"b":1,"a":"x"}"#],
        ),
        (
            r#"{"type":"object","patternProperties":{"^i":{"type":"integer"},"x$":{
            "maximum":5}},"additionalProperties":false}"#,
            &[r#"{"i":9,"x":1}"#, r#"{"ix":5}"#],
            &[r#"{"ix":6}"#, r#"{"a":1}"#],
        ),
        (
            r#"{"type":"object","properties":{"a":true,"b":true},"minProperties":1,
            "maxProperties":1,"additionalProperties":false}"#,
            &[r#"{"a":1}"#, r#"{"b":1}"#],
            &["{}", r#"{"a":1,"b":1}"#],
        ),
        (
            r#"{"type":"object","propertyNames":{"pattern":"^[a-z]$"}}"#,
            &[r#"{"a":1}"#, "{}"],
            &[r#"{"ab":1}"#],
        ),
        (
            r#"{"type":"object","properties":{"a":true,"b":true,"c":true},
            "dependentRequired":{"a":["b"]},"additionalProperties":false}"#,
            &[r#"{"a":1,"b":2}"#, r#"{"c":1}"#],
            &[r#"{"a":1}"#],
        ),
        (
            r#"{"type":"object","properties":{"a":true,"n":true},"dependentSchemas":{"a":{
            "properties":{"n":{"type":"null"}}}}}"#,
            &[r#"{"a":1,"n":null}"#, r#"{"n":1}"#],
            &[r#"{"a":1,"n":1}"#],
        ),
        (
            r#"{"type":"object","required":["a"],"not":{"required":["b"]}}"#,
            &[r#"{"a":1}"#],
            &[r#"{"a":1,"b":1}"#, r#"{"b":1}"#],
        ),
        (
            r#"{"type":"object","not":{"additionalProperties":{"type":"integer"}}}"#,
            &[r#"{"a":null}"#, r#"{"a":1,"b":null}"#],
            &["{}", r#"{"a":1}"#],
        ),
        (
            r#"{"type":"object","properties":{"a":false},"additionalProperties":true}"#,
            &["{}", r#"{"b":1}"#],
            &[r#"{"a":1}"#],
        ),
    ]);
}

#[test]
fn choices() {
    check(&[
        (r#"{"oneOf":[{"type":"integer"},{"minimum":2}]}"#, &["1", "2.5"], &["3", "1.5"]),
        (r#"{"anyOf":[{"type":"integer"},{"minimum":2}]}"#, &["1", "2.5", "3"], &["1.5"]),
        (
            r#"{"allOf":[{"properties":{"a":{"type":"integer"}}},{"required":["a"]}],
            "type":"object"}"#,
            &[r#"{"a":1}"#],
            &["{}", r#"{"a":null}"#],
        ),
        (
            r#"{"if":{"properties":{"k":{"const":1}},"required":["k"]},"then":{"required":[
            "v"]},"else":{"properties":{"w":{"type":"null"}}},"type":"object"}"#,
            &[r#"{"k":1,"v":2}"#, r#"{"k":2,"w":null}"#, "{}"],
            &[r#"{"k":1}"#, r#"{"k":2,"w":1}"#],
        ),
        (r#"{"not":{"type":["string","array"]}}"#, &["1", "{}", "null"], &["\"a\"", "[]"]),
        (
            r#"{"type":"object","oneOf":[{"properties":{"t":{"const":"a"},"x":{
            "type":"integer"}},"required":["t","x"],"additionalProperties":false},{
            "properties":{"t":{"const":"b"},"y":true},"required":["t"],
            "additionalProperties":false}]}"#,
            &[r#"{"t":"a","x":1}"#, r#"{"t":"b"}"#],
            &[r#"{"t":"a"}"#, r#"{"t":"b","x":1}"#],
        ),
        (
            r#"{"type":"object","allOf":[{"if":{"properties":{"t":{"const":"a"}}},"then":{
            "required":["x"]}},{"if":{"properties":{"t":{"const":"b"}}},"then":{"required":[
            "y"]}}],"required":["t"],"properties":{"t":{"enum":["a","b"]},"x":true,"y":true}}"#,
            &[r#"{"t":"a","x":1}"#, r#"{"t":"b","y":1}"#],
            &[r#"{"t":"a","y":1}"#, r#"{"t":"b"}"#],
        ),
    ]);
}

#[test]
fn references() {
    check(&[
        (
            r##"{"$defs":{"n":{"type":["object","null"],"properties":{"next":{
            "$ref":"#/$defs/n"}},"additionalProperties":false}},"$ref":"#/$defs/n"}"##,
            &[r#"{"next":{"next":null}}"#],
            &[r#"{"next":1}"#],
        ),
        (
            r##"{"$id":"http://h/a.json","$defs":{"x":{"$id":"b.json","type":"integer"},"y":{
            "$anchor":"why","type":"null"}},"anyOf":[{"$ref":"b.json"},{"$ref":"#why"}]}"##,
            &["1", "null"],
            &["true"],
        ),
        (
            r##"{"$schema":"http://json-schema.org/draft-07/schema#","definitions":{"a":{
            "type":"integer"}},"$ref":"#/definitions/a","minimum":5}"##,
            &["1"],
            &["\"a\""],
        ),
        (
            r##"{"$id":"r","$dynamicAnchor":"T","properties":{"c":{"$dynamicRef":"#T"}},
            "type":"object","additionalProperties":false}"##,
            &[r#"{"c":{"c":{}}}"#],
            &[r#"{"c":1}"#],
        ),
    ]);
    assert!(refusal(r##"{"$ref":"http://other/x"}"##).contains("http://other/x"));
    assert!(refusal(r##"{"$ref":"#/nowhere"}"##).contains("#/nowhere"));
    assert!(refusal(r##"{"$ref":"#"}"##).contains("circle"));
}

#[test]
fn unevaluated() {
    check(&[
        (
            r#"{"type":"object","properties":{"a":true},"anyOf":[{"properties":{"b":{
            "type":"integer"}}},{"required":["c"],"properties":{"c":true}}],
            "unevaluatedProperties":false}"#,
            &[r#"{"a":1,"b":2}"#, r#"{"a":1,"c":2}"#],
            &[r#"{"a":1,"d":2}"#, r#"{"b":"x"}"#],
        ),
        (
            r#"{"type":"array","prefixItems":[true],"contains":{"type":"string"},
            "unevaluatedItems":{"type":"null"}}"#,
            &["[1,\"a\",null]"],
            &["[1,2,\"a\"]", "[1]"],
        ),
        (
            r##"{"$ref":"#/$defs/base","type":"object","properties":{"b":true},
            "unevaluatedProperties":false,"$defs":{"base":{"properties":{"a":{
            "type":"null"}}}}}"##,
            &[r#"{"a":null,"b":1}"#],
            &[r#"{"a":null,"c":1}"#],
        ),
    ]);
}

#[test]
fn what_is_not_supported_is_named() {
    for (schema, word) in [
        (r#"{"type":"array","uniqueItems":true}"#, "uniqueItems"),
        (r#"{"type":"number","not":{"multipleOf":2}}"#, "multipleOf"),
        (r#"{"type":"string","pattern":"(?=a)"}"#, "(?=a)"),
        (r#"{"type":"strange"}"#, "strange"),
        (r#"{"required":"a"}"#, "{}"),
        (r#"{"minLength":-1}"#, "minLength"),
        (r#"{"properties":{"a":1}}"#, "a schema is 1"),
        (r#"{"allOf":[{"type":"null"},{"type":"integer"}]}"#, "Unsatisfiable"),
        (r#"{"type":"object","properties":{"a":false},"required":["a"]}"#, "Unsatisfiable"),
        ("false", "Unsatisfiable"),
    ] {
        if word != "{}" {
            assert!(refusal(schema).contains(word), "{schema}: {}", refusal(schema));
        }
    }
}

#[test]
fn what_grows_is_bounded() {
    let many: Vec<String> = (0..16)
        .map(|i| format!(r#"{{"anyOf":[{{"required":["a{i}"]}},{{"required":["b{i}"]}}]}}"#))
        .collect();
    let why = refusal(&format!(r#"{{"type":"object","allOf":[{}]}}"#, many.join(",")));
    assert!(why.contains("cases"), "{why}");
    let why = refusal(r#"{"type":"array","contains":{"const":1},"maxContains":5000}"#);
    assert!(why.contains("array"), "{why}");
}
