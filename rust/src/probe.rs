//! What a template does with messages, found by rendering small conversations when it is opened and
//! looking for their words in the prompt.

use serde_json::{json, Value};

use crate::shape::Arguments;

/// What became of a text that was handed to the template.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    Printed,
    /// The template took it and the prompt does not hold it.
    Lost,
    /// The template raised an error.
    Refused,
}

/// How many typed parts of a content the template prints itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parts {
    None,
    First,
    All,
}

#[derive(Clone, Copy, Debug)]
pub struct Role {
    /// Of content that is one text.
    pub text: Fate,
    pub parts: Parts,
}

impl Role {
    const PLAIN: Role = Role { text: Fate::Printed, parts: Parts::None };

    pub fn text_or_parts(self) -> Fate {
        match self.parts {
            Parts::None => self.text,
            _ => Fate::Printed,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// The template printed what a user says. Without that the rest tells nothing.
    pub is_judged: bool,
    pub user: Role,
    pub assistant: Role,
    pub system: Role,
    pub tool: Role,
    pub developer: Fate,
    /// Of a system message right behind another, and of one between turns.
    pub second_system: Fate,
    pub later_system: Fate,
    pub arguments: Arguments,
    pub prints_calls: bool,
    pub prints_tools: bool,
}

impl Habits {
    /// What is assumed of a template that cannot be judged: plain texts, printed.
    pub const UNKNOWN: Habits = Habits {
        is_judged: false,
        user: Role::PLAIN,
        assistant: Role::PLAIN,
        system: Role::PLAIN,
        tool: Role::PLAIN,
        developer: Fate::Printed,
        second_system: Fate::Printed,
        later_system: Fate::Printed,
        arguments: Arguments::Object,
        prints_calls: true,
        prints_tools: true,
    };

    pub fn of(&self, role: &str) -> Role {
        match role {
            "assistant" => self.assistant,
            "system" | "developer" => self.system,
            "tool" | "function" => self.tool,
            _ => self.user,
        }
    }

    /// A line for the log about each thing that requests may say and the prompt will not hold.
    pub fn notes(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut warn = |is_so: bool, line: &str| {
            if is_so {
                lines.push(line.to_owned());
            }
        };
        if !self.is_judged {
            return vec!["the chat template does not print what a user says, or refuses a plain \
                         question"
                .into()];
        }
        warn(
            self.system.text_or_parts() != Fate::Printed,
            "the chat template knows no system messages: they go before the next user's text",
        );
        warn(
            self.assistant.text_or_parts() == Fate::Lost,
            "the chat template does not print what the assistant said",
        );
        warn(
            !self.prints_tools,
            "the chat template does not print tools: a system message will tell those of a request",
        );
        warn(
            self.prints_tools && !self.prints_calls,
            "the chat template does not print the assistant's earlier tool calls",
        );
        lines
    }
}

pub type Render<'a> = &'a dyn Fn(Value) -> Option<String>;

const WORD: &str = "prb7qword";
const OTHER: &str = "prb7qother";
const TOOL: &str = "prb7qtool";
const KEY: &str = "prb7qkey";

fn says(role: &str, content: impl Into<Value>) -> Value {
    let content: Value = content.into();
    json!({"role": role, "content": content})
}

fn part() -> Value {
    json!([{"type": "text", "text": WORD}])
}

fn parts() -> Value {
    json!([{"type": "text", "text": WORD}, {"type": "text", "text": OTHER}])
}

/// Nine letters and digits: some templates want just that.
fn call(arguments: Value) -> Value {
    json!({"role": "assistant", "content": "", "tool_calls": [{
        "id": "prb7qcall", "type": "function",
        "function": {"name": TOOL, "arguments": arguments}}]})
}

fn result(content: Value) -> Value {
    json!({"role": "tool", "tool_call_id": "prb7qcall", "name": TOOL, "content": content})
}

fn tools() -> Value {
    json!([{"type": "function", "function": {
        "name": TOOL, "description": "Looks up a word.",
        "parameters": {"type": "object", "required": [KEY],
            "properties": {KEY: {"type": "string", "description": "The word."}}}}}])
}

fn chat(messages: Vec<Value>) -> Value {
    json!({"messages": messages, "add_generation_prompt": true})
}

fn chat_with_tools(messages: Vec<Value>) -> Value {
    json!({"messages": messages, "tools": tools(), "add_generation_prompt": true})
}

fn fate(out: Option<String>, is_there: impl Fn(&str) -> bool) -> Fate {
    match out {
        None => Fate::Refused,
        Some(text) if is_there(&text) => Fate::Printed,
        Some(_) => Fate::Lost,
    }
}

fn holds_word(text: &str) -> bool {
    text.contains(WORD)
}

/// Not in quotes, as in the list that it came in.
fn holds_one_part(text: &str) -> bool {
    text.contains(WORD) && !text.contains("prb7qword'") && !text.contains("prb7qword\"")
}

fn holds_parts(text: &str) -> bool {
    holds_one_part(text) && text.contains(OTHER)
}

/// The first of several conversations in which the content is printed counts.
fn best(render: Render, is_there: fn(&str) -> bool, chats: Vec<Value>) -> Fate {
    let mut best = Fate::Refused;
    for one in chats {
        match fate(render(one), is_there) {
            Fate::Printed => return Fate::Printed,
            Fate::Lost => best = Fate::Lost,
            Fate::Refused => {}
        }
    }
    best
}

fn role(render: Render, chats: &dyn Fn(Value) -> Vec<Value>) -> Role {
    let text = best(render, holds_word, chats(WORD.into()));
    let parts = if best(render, holds_parts, chats(parts())) == Fate::Printed {
        Parts::All
    } else if best(render, holds_one_part, chats(part())) == Fate::Printed {
        Parts::First
    } else {
        Parts::None
    };
    Role { text, parts }
}

/// Of a role that none of the models' templates is known to have.
pub fn unknown_role(render: Render, name: &str) -> Fate {
    best(
        render,
        holds_word,
        vec![
            chat(vec![says("user", OTHER), says(name, WORD)]),
            chat(vec![says(name, WORD), says("user", OTHER)]),
            chat(vec![says("user", OTHER), says("assistant", OTHER), says(name, WORD)]),
        ],
    )
}

pub fn probe(render: Render) -> Habits {
    let user = role(render, &|content| {
        vec![
            chat(vec![says("user", content.clone())]),
            chat(vec![says("system", "s"), says("user", content)]),
        ]
    });
    if user.text_or_parts() != Fate::Printed {
        return Habits::UNKNOWN;
    }
    // Where only parts are printed, all that is said to this template is said in parts.
    let only_parts = user.text != Fate::Printed;
    let text = |s: &str| -> Value {
        if only_parts {
            json!([{"type": "text", "text": s}])
        } else {
            s.into()
        }
    };
    let as_text = |content: Value| {
        if only_parts && content.is_string() {
            text(content.as_str().unwrap_or(""))
        } else {
            content
        }
    };
    let question = || says("user", text("a"));
    let answer = || says("assistant", text("b"));
    let system =
        |r: &str| best(render, holds_word, vec![chat(vec![says(r, text(WORD)), question()])]);
    let (arguments, prints_calls) = arguments(render, &question);
    let call_before = || call(if arguments == Arguments::Text { "{}".into() } else { json!({}) });
    Habits {
        is_judged: true,
        user,
        assistant: role(render, &|content| {
            vec![
                chat(vec![question(), says("assistant", content.clone()), question()]),
                chat(vec![question(), says("assistant", content)]),
            ]
        }),
        system: role(render, &|content| vec![chat(vec![says("system", content), question()])]),
        tool: role(render, &|content| {
            vec![
                chat_with_tools(vec![question(), call_before(), result(content.clone())]),
                chat_with_tools(vec![question(), call_before(), result(content), answer()]),
            ]
        }),
        developer: system("developer"),
        second_system: fate(
            render(chat(vec![says("system", text("s")), says("system", text(WORD)), question()])),
            holds_word,
        ),
        later_system: fate(
            render(chat(vec![question(), answer(), says("system", text(WORD)), question()])),
            holds_word,
        ),
        arguments,
        prints_calls,
        prints_tools: best(
            render,
            |t| t.contains(TOOL),
            vec![
                chat_with_tools(vec![question()]),
                chat_with_tools(vec![says("system", as_text("s".into())), question()]),
            ],
        ) != Fate::Lost,
    }
}

/// An object is what most templates want; one that writes Python's words for it, or stumbles, and
/// takes a text, wants the text.
fn arguments(render: Render, question: &dyn Fn() -> Value) -> (Arguments, bool) {
    let chats = |arguments: Value| {
        vec![
            chat_with_tools(vec![question(), call(arguments.clone())]),
            chat_with_tools(vec![question(), call(arguments.clone()), result("r".into())]),
            chat(vec![question(), call(arguments)]),
        ]
    };
    let object = best(
        render,
        |t| holds_word(t) && (!t.contains("'prb7qkey'") || t.contains("'arguments': {")),
        chats(json!({KEY: WORD})),
    );
    if object == Fate::Printed {
        return (Arguments::Object, true);
    }
    let text = best(
        render,
        |t| t.contains("\"prb7qkey\"") && holds_word(t),
        chats(format!("{{\"{KEY}\": \"{WORD}\"}}").into()),
    );
    match text {
        Fate::Printed => (Arguments::Text, true),
        _ => (Arguments::Object, object == Fate::Refused || text == Fate::Refused),
    }
}
