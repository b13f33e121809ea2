//! Rules of a grammar: made, freed of what leads nowhere, and written as Lark.

use std::collections::HashMap;

use super::text::Set;

pub const MAX_RULES: usize = 20_000;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Symbol {
    /// This text.
    Text(String),
    /// A string of the set, in quotes.
    Quoted(Set),
    /// A number of the set.
    Number(Set),
    /// What llguidance makes of a schema.
    Json(String),
    Rule(usize),
    Repeat(usize, u64, Option<u64>),
}

pub type Sequence = Vec<Symbol>;

#[derive(Default)]
pub struct Rules {
    all: Vec<Vec<Sequence>>,
}

/// Beyond these llguidance counts no further.
const MAX_REPEAT: u64 = 1_000_000;

impl Rules {
    pub fn reserve(&mut self) -> usize {
        self.all.push(Vec::new());
        self.all.len() - 1
    }

    pub fn set(&mut self, rule: usize, choices: Vec<Sequence>) {
        self.all[rule] = choices;
    }

    pub fn add(&mut self, choices: Vec<Sequence>) -> usize {
        let rule = self.reserve();
        self.set(rule, choices);
        rule
    }

    pub fn is_full(&self) -> bool {
        self.all.len() > MAX_RULES
    }

    /// Which rules have an end. What has none could be begun and never finished.
    fn ending(&self) -> Vec<bool> {
        let mut ends = vec![false; self.all.len()];
        loop {
            let mut has_changed = false;
            for (i, choices) in self.all.iter().enumerate() {
                if !ends[i] && choices.iter().any(|choice| Self::ends(choice, &ends)) {
                    ends[i] = true;
                    has_changed = true;
                }
            }
            if !has_changed {
                return ends;
            }
        }
    }

    fn ends(choice: &Sequence, ends: &[bool]) -> bool {
        choice.iter().all(|symbol| match symbol {
            Symbol::Rule(rule) => ends[*rule],
            Symbol::Repeat(rule, min, _) => *min == 0 || ends[*rule],
            _ => true,
        })
    }

    fn clean(&mut self) -> Vec<bool> {
        let ends = self.ending();
        for choices in &mut self.all {
            choices.retain(|choice| Self::ends(choice, &ends));
            for choice in choices.iter_mut() {
                choice.retain(|symbol| match symbol {
                    Symbol::Repeat(rule, _, max) => ends[*rule] && *max != Some(0),
                    _ => true,
                });
            }
            let mut seen = std::collections::HashSet::new();
            choices.retain(|choice| seen.insert(choice.clone()));
        }
        ends
    }

    /// A grammar whose start is the rule; None: nothing is valid.
    pub fn lark(mut self, start: usize, head: &str) -> Option<String> {
        if !self.clean()[start] {
            return None;
        }
        let mut out = Writer { lark: format!("{head}start: r{start}\n"), ..Writer::default() };
        let mut wanted = vec![start];
        let mut is_wanted = vec![false; self.all.len()];
        is_wanted[start] = true;
        while let Some(rule) = wanted.pop() {
            let choices: Vec<String> =
                self.all[rule].iter().map(|choice| out.sequence(choice)).collect();
            out.lark += &format!("r{rule}: {}\n", choices.join(" | "));
            for symbol in self.all[rule].iter().flatten() {
                if let Symbol::Rule(other) | Symbol::Repeat(other, ..) = symbol {
                    if !std::mem::replace(&mut is_wanted[*other], true) {
                        wanted.push(*other);
                    }
                }
            }
        }
        Some(out.lark + &out.terminals)
    }
}

#[derive(Default)]
struct Writer {
    lark: String,
    terminals: String,
    names: HashMap<String, String>,
}

impl Writer {
    fn terminal(&mut self, body: String) -> String {
        if let Some(name) = self.names.get(&body) {
            return name.clone();
        }
        let name = format!("T{}", self.names.len());
        self.terminals += &format!("{name}: {body}\n");
        self.names.insert(body, name.clone());
        name
    }

    fn symbol(&mut self, symbol: &Symbol) -> String {
        match symbol {
            Symbol::Text(text) => text_of_lark(text),
            Symbol::Quoted(set) => {
                let set = set.clone().of_strings();
                self.terminal(format!(r#""\"" {} "\"""#, set.lark()))
            }
            Symbol::Number(set) => self.terminal(set.lark()),
            Symbol::Json(schema) => format!("%json {schema}"),
            Symbol::Rule(rule) => format!("r{rule}"),
            Symbol::Repeat(rule, 0, None) => format!("r{rule}*"),
            Symbol::Repeat(rule, min, max) => {
                let min = *min.min(&MAX_REPEAT);
                match max {
                    Some(max) => format!("r{rule}{{{min},{}}}", max.min(&MAX_REPEAT)),
                    None => format!("r{rule}{{{min},}}"),
                }
            }
        }
    }

    fn sequence(&mut self, choice: &Sequence) -> String {
        let parts: Vec<String> = choice.iter().map(|symbol| self.symbol(symbol)).collect();
        if parts.is_empty() {
            r#""""#.into()
        } else {
            parts.join(" ")
        }
    }
}

/// A literal of Lark.
fn text_of_lark(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\x7f")
}
