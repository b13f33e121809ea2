//! Prompts that end inside the last message, so that the model goes on with it: the member
//! `continue_final_message`, as Hugging Face's library and vLLM have it. The message gets a mark at
//! its end, and the rendered prompt is cut there: a template that trims cannot eat spaces before
//! it.

use serde_json::Value;

/// Whether it is asked for; the member itself is no variable of the template.
pub fn take_wish(variables: &mut Value) -> bool {
    let members = variables.as_object_mut();
    members.and_then(|m| m.remove("continue_final_message")) == Some(Value::Bool(true))
}

/// Puts the mark behind the last message's text. None: it has no text.
pub fn put_mark(variables: &mut Value, mark: char) -> Option<()> {
    let messages = variables.get_mut("messages")?.as_array_mut()?;
    let text = match messages.last_mut()?.get_mut("content")? {
        Value::String(text) => text,
        Value::Array(parts) => match parts.last_mut()?.get_mut("text")? {
            Value::String(text) => text,
            _ => return None,
        },
        _ => return None,
    };
    text.push(mark);
    Some(())
}

/// The prompt up to the mark. None: the template did not print it.
pub fn cut(prompt: &str, mark: char) -> Option<String> {
    prompt.rfind(mark).map(|at| prompt[..at].replace(mark, ""))
}
