//! OpenAI's messages as the templates expect them. Templates are written for what Hugging Face's
//! library hands over: calls whose arguments are objects, content that is text (or typed parts
//! where they go through parts themselves), roles the model was trained with. What a template does
//! with each is found by probing it (probe.rs); nothing a message says is dropped in silence.

use serde_json::{Map, Value};

use crate::probe::{Fate, Habits, Parts, Role};

/// How the arguments of calls are handed over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arguments {
    Object,
    Text,
}

impl Arguments {
    pub fn other(self) -> Arguments {
        match self {
            Arguments::Object => Arguments::Text,
            Arguments::Text => Arguments::Object,
        }
    }
}

/// Text parts stand on lines of their own where they become one text.
const BETWEEN_PARTS: &str = "\n";
const BETWEEN_SYSTEM_AND_USER: &str = "\n";

pub fn has_calls(messages: &[Value]) -> bool {
    messages.iter().any(|m| m.get("tool_calls").is_some() || m.get("function_call").is_some())
}

/// The role a message is given to the template under. `fate_of` tells of roles that are not probed
/// beforehand.
fn role_for(name: &str, habits: &Habits, fate_of: &dyn Fn(&str) -> Fate) -> String {
    match name {
        "developer" if habits.is_judged && habits.developer != Fate::Printed => "system",
        "function" if habits.is_judged && fate_of(name) != Fate::Printed => "tool",
        other => other,
    }
    .to_owned()
}

pub fn shape(
    messages: &mut Vec<Value>,
    habits: &Habits,
    arguments: Arguments,
    fate_of: &dyn Fn(&str) -> Fate,
) {
    for message in messages.iter_mut() {
        let Some(role) = role_of(message) else { continue };
        let role_now = role_for(role, habits, fate_of);
        if let Some(members) = message.as_object_mut() {
            members.insert("role".into(), role_now.into());
            shape_calls(members, arguments);
        }
    }
    if habits.is_judged {
        merge_system(messages, habits);
    }
    for message in messages.iter_mut() {
        let Some(role) = role_of(message).map(|name| habits.of(name)) else { continue };
        if let Some(members) = message.as_object_mut() {
            shape_content(members, role);
            // Absent and null are the same to OpenAI's clients, not to `is defined`.
            members.retain(|_, v| !v.is_null());
        }
    }
}

fn role_of(message: &Value) -> Option<&str> {
    message.get("role").and_then(Value::as_str)
}

// ---- calls -----------------------------------------------------------------------------------

fn shape_calls(message: &mut Map<String, Value>, arguments: Arguments) {
    if let Some(call) = message.get("function_call").filter(|c| c.is_object()).cloned() {
        let call = serde_json::json!([{"type": "function", "function": call}]);
        if !message.get("tool_calls").is_some_and(Value::is_array) {
            message.insert("tool_calls".into(), call);
        }
        message.shift_remove("function_call");
    }
    let calls = match message.get_mut("tool_calls") {
        Some(Value::Array(calls)) if !calls.is_empty() => calls,
        Some(Value::Array(_)) => {
            message.shift_remove("tool_calls");
            return;
        }
        _ => return,
    };
    for call in calls {
        let function = match call.get_mut("function") {
            Some(function) => function,
            None => call,
        };
        if let Some(value) = function.get_mut("arguments") {
            shape_arguments(value, arguments);
        }
    }
}

/// A text that is no JSON object is left as it is, in both forms.
fn shape_arguments(value: &mut Value, wanted: Arguments) {
    match (wanted, &*value) {
        (Arguments::Object, Value::String(text)) if text.trim().is_empty() => {
            *value = Value::Object(Map::new());
        }
        (Arguments::Object, Value::String(text)) => {
            if let Ok(object @ Value::Object(_)) = serde_json::from_str(text) {
                *value = object;
            }
        }
        (Arguments::Object, Value::Null) => *value = Value::Object(Map::new()),
        (Arguments::Text, Value::Null) => *value = "{}".into(),
        (Arguments::Text, Value::String(text)) if text.trim().is_empty() => *value = "{}".into(),
        (Arguments::Text, Value::Object(_)) => *value = json_text(value).into(),
        _ => {}
    }
}

/// JSON with the white space that templates' `tojson` writes.
fn json_text(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(json_text).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(members) => {
            let members: Vec<String> = members
                .iter()
                .map(|(k, v)| format!("{}: {}", Value::from(k.as_str()), json_text(v)))
                .collect();
            format!("{{{}}}", members.join(", "))
        }
        other => other.to_string(),
    }
}

// ---- content ---------------------------------------------------------------------------------

fn text_part(text: &str) -> Value {
    serde_json::json!({"type": "text", "text": text})
}

fn shape_content(message: &mut Map<String, Value>, role: Role) {
    let refusal = message.get("refusal").and_then(Value::as_str).unwrap_or("").to_owned();
    let content = message.entry("content").or_insert(Value::Null);
    match content {
        Value::Null => *content = refusal.into(),
        Value::Array(parts) => {
            for part in parts.iter_mut() {
                if part.get("type").and_then(Value::as_str) == Some("refusal") {
                    *part = text_part(part.get("refusal").and_then(Value::as_str).unwrap_or(""));
                }
            }
        }
        _ => {}
    }
    if role.parts == Parts::All && content.is_array() {
        return;
    }
    if let Some(text) = joined(content) {
        *content = text.into();
    }
    if role.parts != Parts::None && role.text != Fate::Printed {
        if let Some(text) = content.as_str() {
            *content = if text.is_empty() { vec![] } else { vec![text_part(text)] }.into();
        }
    }
}

/// The text of parts; None: there is something else among them.
fn joined(content: &Value) -> Option<String> {
    let texts: Option<Vec<&str>> =
        content.as_array()?.iter().map(|part| part.get("text").and_then(Value::as_str)).collect();
    Some(texts?.join(BETWEEN_PARTS))
}

// ---- system messages -------------------------------------------------------------------------

/// A system message that the template refuses or loses goes before the text of the next user turn,
/// or becomes a user turn where there is none.
fn merge_system(messages: &mut Vec<Value>, habits: &Habits) {
    let n_leading = messages.iter().take_while(|m| is_role(m, "system")).count();
    let mut pending: Vec<Value> = Vec::new();
    let mut out: Vec<Value> = Vec::with_capacity(messages.len());
    for (i, mut message) in std::mem::take(messages).into_iter().enumerate() {
        let fate = match i {
            0 => habits.system.text_or_parts(),
            i if i < n_leading => habits.second_system,
            _ => habits.later_system,
        };
        let is_lost = fate == Fate::Lost
            || (fate == Fate::Refused && i == 0)
            || (fate == Fate::Refused && habits.system.text_or_parts() != Fate::Printed);
        if is_role(&message, "system") && is_lost {
            pending.push(message);
            continue;
        }
        if is_role(&message, "user") {
            for system in pending.drain(..).rev() {
                put_before(&mut message, &system);
            }
        }
        out.push(message);
    }
    if let Some(mut last) = pending.pop() {
        for system in pending.drain(..).rev() {
            put_before(&mut last, &system);
        }
        if let Some(members) = last.as_object_mut() {
            members.insert("role".into(), "user".into());
        }
        out.push(last);
    }
    *messages = out;
}

fn is_role(message: &Value, role: &str) -> bool {
    role_of(message) == Some(role)
}

fn put_before(message: &mut Value, system: &Value) {
    let first = system.get("content").cloned().unwrap_or_default();
    let Some(members) = message.as_object_mut() else { return };
    let content = members.entry("content").or_insert(Value::Null);
    *content = match (first, content.take()) {
        (first, Value::Null) => first,
        (Value::String(a), Value::String(b)) => format!("{a}{BETWEEN_SYSTEM_AND_USER}{b}").into(),
        (a, b) => [as_parts(a), as_parts(b)].concat().into(),
    };
}

fn as_parts(content: Value) -> Vec<Value> {
    match content {
        Value::Array(parts) => parts,
        Value::String(text) => vec![text_part(&text)],
        _ => vec![],
    }
}
