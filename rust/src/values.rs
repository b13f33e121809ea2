//! The template's variables out of JSON. Integers are exact up to 128 bits; larger ones become
//! floats, and a float that no double holds becomes infinite, as in Python.

use minijinja::Value;
use serde_json::Number;

pub fn from_json(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::from(()),
        serde_json::Value::Bool(b) => Value::from(*b),
        serde_json::Value::Number(n) => number(n),
        serde_json::Value::String(s) => Value::from(s.as_str()),
        serde_json::Value::Array(items) => items.iter().map(from_json).collect(),
        serde_json::Value::Object(members) => {
            members.iter().map(|(k, v)| (k.as_str(), from_json(v))).collect()
        }
    }
}

fn number(n: &Number) -> Value {
    let text = n.as_str();
    if let Ok(small) = text.parse::<i64>() {
        return Value::from(small);
    }
    match text.parse::<i128>() {
        Ok(large) => Value::from(large),
        Err(_) => Value::from(text.parse::<f64>().unwrap_or(f64::NAN)),
    }
}
