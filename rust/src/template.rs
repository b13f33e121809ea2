//! A model's templates, compiled and probed, and the rendering of a conversation within its bounds.

use std::collections::HashMap;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use minijinja::Environment;
use serde_json::Value;

use crate::bounds::{self, Bounds, Broken};
use crate::guard::{self, Names};
use crate::probe::{self, Fate, Habits};
use crate::shape::{self, Arguments};
use crate::{continuation, environment, values};

// Bounds of one rendering; each message of n bytes adds to what a conversation may use.
const FUEL: u64 = 1 << 20;
const FUEL_PER_BYTE: u64 = 4;
const MAX_FUEL: u64 = 1 << 21;
const MEMORY_BYTES: i64 = 64 << 20;
const MEMORY_PER_BYTE: i64 = 16;
const RECURSION: usize = 200;
const SOFT_TIME: Duration = Duration::from_secs(10);
const HARD_TIME: Duration = Duration::from_secs(30);
/// Address space, not memory. A template can nest a value one level deeper with one step, and such
/// a value is written and freed recursively: 310 bytes a level were measured.
const STACK_PER_FUEL: usize = 512;
/// Of each of the conversations that a template is probed with.
const PROBE_FUEL: u64 = 1 << 17;
/// Roles whose fate is remembered; a client that makes up more has each probed anew.
const MAX_ROLES: usize = 64;

#[derive(Debug)]
pub enum Failure {
    /// The caller's JSON.
    Input(String),
    /// The template does not compile, raised an error, or broke its bounds.
    Template(String),
    NoThread,
}

impl Failure {
    fn of_bound(broken: Broken) -> Failure {
        Failure::Template(
            match broken {
                Broken::Memory => "the template needs too much memory",
                Broken::Time => "the template takes too long",
                Broken::NoThread => return Failure::NoThread,
                // A fault of ours or of minijinja's.
                Broken::Panic => "the template engine failed on these messages",
            }
            .into(),
        )
    }
}

fn bounds_for(n_bytes: usize) -> Bounds {
    let soft_bytes = MEMORY_BYTES + MEMORY_PER_BYTE * n_bytes as i64;
    Bounds {
        stack_bytes: STACK_PER_FUEL * fuel_for(n_bytes) as usize,
        soft_bytes,
        hard_bytes: 4 * soft_bytes,
        soft_time: SOFT_TIME,
        hard_time: HARD_TIME,
    }
}

fn fuel_for(n_bytes: usize) -> u64 {
    (FUEL + FUEL_PER_BYTE * n_bytes as u64).min(MAX_FUEL)
}

/// One compiled source.
struct Variant {
    env: Environment<'static>,
    source: String,
    bos: String,
    eos: String,
    /// Set once it is probed.
    habits: OnceLock<Habits>,
    /// Filters and tests that there are none of.
    unknown: Vec<String>,
    fates: Mutex<HashMap<String, Fate>>,
    /// The hard bound that it broke once; it is not run again.
    banned: OnceLock<&'static str>,
}

pub struct Template {
    chat: Arc<Variant>,
    /// Runs where a request has tools.
    tool_use: Option<Arc<Variant>>,
    has_said_that_tools_are_lost: AtomicBool,
}

pub struct Source<'a> {
    pub chat: &'a str,
    pub tool_use: Option<&'a str>,
    pub bos: &'a str,
    pub eos: &'a str,
}

pub struct Prompt {
    pub text: String,
    pub guard: Option<char>,
    /// A line for the log, or none.
    pub note: String,
}

impl Variant {
    fn open(
        source: &str,
        bos: &str,
        eos: &str,
        strftime: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Result<Arc<Variant>, Failure> {
        let copy = source.to_owned();
        let (mut env, unknown) = bounds::run(&bounds_for(16 * source.len()), move || {
            environment::build(&copy, strftime)
                .map_err(|e| Failure::Template(environment::describe(&e)))
        })
        .map_err(Failure::of_bound)??;
        env.set_recursion_limit(RECURSION);
        let variant = Arc::new(Variant {
            env,
            unknown,
            source: source.to_owned(),
            bos: bos.to_owned(),
            eos: eos.to_owned(),
            habits: OnceLock::new(),
            fates: Mutex::default(),
            banned: OnceLock::new(),
        });
        _ = variant.habits.set(variant.probe(probe::probe).unwrap_or(Habits::UNKNOWN));
        Ok(variant)
    }

    fn habits(&self) -> &Habits {
        self.habits.get().unwrap_or(&Habits::UNKNOWN)
    }

    /// Runs a probe on a thread of its own. None: it broke a bound.
    fn probe<T: Send + 'static>(
        self: &Arc<Self>,
        what: impl FnOnce(probe::Render) -> T + Send + 'static,
    ) -> Option<T> {
        if self.banned.get().is_some() {
            return None;
        }
        let of_worker = self.clone();
        let result = bounds::run(&bounds_for(0), move || {
            let render = |mut chat: Value| {
                of_worker.add_defaults(&mut chat);
                let variables = values::from_json(&chat);
                catch_unwind(AssertUnwindSafe(|| of_worker.run(variables, PROBE_FUEL)))
                    .ok()
                    .and_then(Result::ok)
            };
            what(&render)
        });
        if let Err(broken) = &result {
            self.ban(broken);
        }
        result.ok()
    }

    fn ban(&self, broken: &Broken) {
        match broken {
            Broken::Memory => _ = self.banned.set("needs too much memory"),
            Broken::Time => _ = self.banned.set("takes too long"),
            _ => {}
        }
    }

    fn add_defaults(&self, variables: &mut Value) {
        let Some(members) = variables.as_object_mut() else { return };
        for (name, default) in [
            ("tools", Value::Null),
            ("documents", Value::Null),
            ("add_generation_prompt", false.into()),
            ("bos_token", self.bos.as_str().into()),
            ("eos_token", self.eos.as_str().into()),
        ] {
            members.entry(name).or_insert(default);
        }
    }

    fn run(&self, variables: minijinja::Value, fuel: u64) -> Result<String, Failure> {
        // An environment is cheap to copy: what it holds is shared.
        let mut env = self.env.clone();
        env.set_fuel(Some(fuel));
        env.get_template(environment::NAME)
            .and_then(|template| template.render(variables))
            .map_err(|e| Failure::Template(environment::describe(&e)))
    }

    fn render(self: &Arc<Self>, variables: &Value, n_json: usize) -> Result<String, Failure> {
        if let Some(why) = self.banned.get() {
            let why = format!("the template {why}: it broke its bounds and is not run again");
            return Err(Failure::Template(why));
        }
        let variables = values::from_json(variables);
        let of_worker = self.clone();
        let result =
            bounds::run(&bounds_for(n_json), move || of_worker.run(variables, fuel_for(n_json)));
        result.map_err(|broken| {
            self.ban(&broken);
            Failure::of_bound(broken)
        })?
    }

    fn fate_of(self: &Arc<Self>, role: &str) -> Fate {
        match role {
            "system" => return self.habits().system.text_or_parts(),
            "user" => return self.habits().user.text_or_parts(),
            "assistant" => return self.habits().assistant.text_or_parts(),
            "tool" => return self.habits().tool.text_or_parts(),
            "developer" => return self.habits().developer,
            _ => {}
        }
        let mut fates = self.fates.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(fate) = fates.get(role) {
            return *fate;
        }
        let name = role.to_owned();
        let fate =
            self.probe(move |render| probe::unknown_role(render, &name)).unwrap_or(Fate::Printed);
        if fates.len() < MAX_ROLES {
            fates.insert(role.to_owned(), fate);
        }
        fate
    }

    /// The request, shaped and guarded, and the guard character if one was needed.
    fn variables(
        self: &Arc<Self>,
        request: &Value,
        names: &Names,
        arguments: Arguments,
    ) -> Result<(Value, Option<char>), Failure> {
        let mut variables = request.clone();
        if let Some(Value::Array(messages)) = variables.get_mut("messages") {
            shape::shape(messages, self.habits(), arguments, &|role| self.fate_of(role));
        }
        let guard = guard::choose_guard(&variables, &[&self.source, &self.bos, &self.eos])
            .ok_or_else(|| Failure::Input("all of U+FDD0..U+FDEF occur in the messages".into()))?;
        let is_guarded = names.guard_value(&mut variables, guard, true);
        self.add_defaults(&mut variables);
        Ok((variables, is_guarded.then_some(guard)))
    }

    /// Where the last message is to be continued, the mark that its text ends with now.
    fn mark_end(&self, variables: &mut Value) -> Result<Option<char>, Failure> {
        if !continuation::take_wish(variables) {
            return Ok(None);
        }
        let mark = guard::choose_guard(variables, &[&self.source, &self.bos, &self.eos])
            .ok_or_else(|| Failure::Input("all of U+FDD0..U+FDEF occur in the messages".into()))?;
        continuation::put_mark(variables, mark)
            .ok_or_else(|| Failure::Input("the last message has no text to continue".into()))?;
        Ok(Some(mark))
    }

    /// A message whose role the template does not print, and whose text is not in the prompt.
    fn check_nothing_is_lost(
        self: &Arc<Self>,
        variables: &Value,
        text: &str,
    ) -> Result<(), Failure> {
        if !self.habits().is_judged {
            return Ok(());
        }
        let messages = variables.get("messages").and_then(Value::as_array);
        for (i, message) in messages.into_iter().flatten().enumerate() {
            let role = message.get("role").and_then(Value::as_str).unwrap_or("");
            if matches!(role, "user" | "assistant") || is_in(message.get("content"), text) {
                continue;
            }
            if self.fate_of(role) == Fate::Lost {
                let role: String = role.chars().take(40).collect();
                return Err(Failure::Input(format!(
                    "messages[{i}]: the model's chat template does not know the role \"{role}\" \
                     (its text does not reach the prompt)"
                )));
            }
        }
        Ok(())
    }
}

/// Whether the prompt holds a message's text; some templates trim it.
fn is_in(content: Option<&Value>, prompt: &str) -> bool {
    match content {
        Some(Value::String(text)) => prompt.contains(text.trim()),
        Some(Value::Array(parts)) => parts.iter().all(|part| {
            part.get("text").and_then(Value::as_str).is_none_or(|text| prompt.contains(text.trim()))
        }),
        _ => true,
    }
}

impl Template {
    /// The template, and lines for the log about what it does not do.
    pub fn open(
        source: &Source,
        strftime: impl Fn(&str) -> Option<String> + Clone + Send + Sync + 'static,
    ) -> Result<(Template, Vec<String>), Failure> {
        let chat = Variant::open(source.chat, source.bos, source.eos, strftime.clone())?;
        let tool_use = match source.tool_use {
            Some(text) => Some(Variant::open(text, source.bos, source.eos, strftime)?),
            None => None,
        };
        let mut notes = chat.habits().notes();
        if let Some(variant) = &tool_use {
            // Tools never reach the first.
            notes.retain(|line| !line.contains("tool"));
            for line in variant.habits().notes() {
                if !notes.contains(&line) {
                    notes.push(line.replace("chat template", "template for tool use"));
                }
            }
        }
        let has_said_that_tools_are_lost = AtomicBool::new(false);
        for variant in [Some(&chat), tool_use.as_ref()].into_iter().flatten() {
            notes.extend(variant.unknown.iter().map(|line| format!("!{line}")));
        }
        Ok((Template { chat, tool_use, has_said_that_tools_are_lost }, notes))
    }

    pub fn render(&self, json: &str, names: &Names) -> Result<Prompt, Failure> {
        let request = read_request(json)?;
        let has_tools =
            request.get("tools").and_then(Value::as_array).is_some_and(|t| !t.is_empty());
        let variant = match &self.tool_use {
            Some(tool_use) if has_tools => tool_use,
            _ => &self.chat,
        };
        let mut result =
            render_as(variant, &request, names, variant.habits().arguments, json.len());
        let messages = request.get("messages").and_then(Value::as_array);
        if matches!(result, Err(Failure::Template(_)))
            && messages.is_some_and(|m| shape::has_calls(m))
        {
            let other = variant.habits().arguments.other();
            if let Ok(prompt) = render_as(variant, &request, names, other, json.len()) {
                result = Ok(prompt);
            }
        }
        let mut prompt = result?;
        let is_lost = has_tools && !variant.habits().prints_tools;
        if is_lost && !self.has_said_that_tools_are_lost.swap(true, Ordering::Relaxed) {
            prompt.note =
                "the chat template does not print the tools of a conversation (said once)".into();
        }
        Ok(prompt)
    }
}

fn render_as(
    variant: &Arc<Variant>,
    request: &Value,
    names: &Names,
    arguments: Arguments,
    n_json: usize,
) -> Result<Prompt, Failure> {
    let (mut variables, guard) = variant.variables(request, names, arguments)?;
    let mark = variant.mark_end(&mut variables)?;
    let mut text = variant.render(&variables, n_json)?;
    variant.check_nothing_is_lost(&variables, &text)?;
    if let Some(mark) = mark {
        text = continuation::cut(&text, mark).ok_or_else(|| {
            Failure::Template("the last message is not printed: it cannot be continued".into())
        })?;
    }
    Ok(Prompt { text, guard, note: String::new() })
}

fn read_request(json: &str) -> Result<Value, Failure> {
    let bad = |what: String| Failure::Input(what);
    let value: Value =
        serde_json::from_str(json).map_err(|e| bad(format!("malformed JSON: {e}")))?;
    let members = value.as_object().ok_or_else(|| bad("expected a JSON object".into()))?;
    match members.get("messages") {
        Some(Value::Array(_)) => Ok(value),
        Some(_) => Err(bad("\"messages\" is not an array".into())),
        None => Err(bad("\"messages\" is missing".into())),
    }
}
