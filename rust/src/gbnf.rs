//! GBNF, the grammars that llama-server takes, as llguidance's Lark.
//!
//! A rule that never comes back to itself is a terminal, so that a grammar without recursion is one
//! regular expression and nothing of it is ambiguous. In the others a repeated class of characters
//! is one terminal, and so is each literal: what is read as one of them is read as far as it goes.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

/// Of groups within groups.
const MAX_DEPTH: usize = 100;
/// Of one repetition: a number beyond is a mistake, or meant to do harm.
const MAX_TIMES: usize = 10_000;

#[derive(Debug)]
enum Expr {
    Literal(String),
    /// What stands between the brackets, as a regular expression has it.
    Class(String),
    Rule(String),
    Sequence(Vec<Expr>),
    Choice(Vec<Expr>),
    Times(Box<Expr>, usize, Option<usize>),
}

struct Parser<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    line: usize,
    depth: usize,
}

type Parsed<T> = Result<T, String>;

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

impl Parser<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.next();
        self.line += usize::from(c == Some('\n'));
        c
    }

    fn fail<T>(&self, what: &str) -> Parsed<T> {
        Err(format!("line {}: {what}", self.line))
    }

    /// Spaces and comments; line breaks too where they end nothing.
    fn skip(&mut self, lines: bool) {
        while let Some(&c) = self.rest.peek() {
            match c {
                '#' => {
                    while self.rest.peek().is_some_and(|&c| c != '\n') {
                        self.next();
                    }
                }
                '\n' if !lines => return,
                c if c.is_whitespace() => {
                    self.next();
                }
                _ => return,
            }
        }
    }

    fn name(&mut self) -> Parsed<String> {
        let mut name = String::new();
        while let Some(c) = self.rest.next_if(|&c| is_name(c)) {
            name.push(c);
        }
        if name.is_empty() {
            return self.fail("a rule's name is wanted");
        }
        Ok(name)
    }

    fn hex(&mut self, n: usize) -> Parsed<char> {
        let mut code = 0;
        for _ in 0..n {
            match self.next().and_then(|c| c.to_digit(16)) {
                Some(digit) => code = code * 16 + digit,
                None => return self.fail("an escape lacks hexadecimal digits"),
            }
        }
        char::from_u32(code).map_or_else(|| self.fail("an escape is no character"), Ok)
    }

    /// One character of a literal or a class, after its backslash was looked at.
    fn character(&mut self) -> Parsed<char> {
        match self.next() {
            Some('\\') => match self.next() {
                Some('n') => Ok('\n'),
                Some('r') => Ok('\r'),
                Some('t') => Ok('\t'),
                Some('x') => self.hex(2),
                Some('u') => self.hex(4),
                Some('U') => self.hex(8),
                Some(c @ ('\\' | '"' | '[' | ']' | '-' | '^' | '/' | '\'' | '.')) => Ok(c),
                _ => self.fail("an unknown escape"),
            },
            Some(c) => Ok(c),
            None => self.fail("the grammar ends within a literal"),
        }
    }

    fn literal(&mut self) -> Parsed<Expr> {
        let mut text = String::new();
        self.next();
        while self.rest.peek() != Some(&'"') {
            text.push(self.character()?);
        }
        self.next();
        Ok(Expr::Literal(text))
    }

    fn class(&mut self) -> Parsed<Expr> {
        let mut text = String::new();
        self.next();
        if self.rest.next_if_eq(&'^').is_some() {
            text.push('^');
        }
        while self.rest.peek() != Some(&']') {
            let first = self.character()?;
            let mut last = first;
            let mut ahead = self.rest.clone();
            if ahead.next() == Some('-') && ahead.next().is_some_and(|c| c != ']') {
                self.next();
                last = self.character()?;
            }
            if last < first {
                return self.fail("a class has a range that runs backwards");
            }
            let _ = write!(text, "\\x{{{:x}}}-\\x{{{:x}}}", first as u32, last as u32);
        }
        self.next();
        if text.is_empty() || text == "^" {
            return self.fail("a class is empty");
        }
        Ok(Expr::Class(text))
    }

    fn number(&mut self) -> Parsed<Option<usize>> {
        let mut digits = String::new();
        self.skip(false);
        while let Some(c) = self.rest.next_if(char::is_ascii_digit) {
            digits.push(c);
        }
        self.skip(false);
        match digits.parse() {
            _ if digits.is_empty() => Ok(None),
            Ok(n) if n <= MAX_TIMES => Ok(Some(n)),
            _ => self.fail("a repetition counts too far"),
        }
    }

    /// {m}, {m,}, {m,n} or {,n}.
    fn times(&mut self, of: Expr) -> Parsed<Expr> {
        self.next();
        let least = self.number()?;
        let mut most = least;
        if self.rest.next_if_eq(&',').is_some() {
            most = self.number()?;
        } else if least.is_none() {
            return self.fail("a repetition lacks its number");
        }
        let least = least.unwrap_or(0);
        if self.next() != Some('}') || most.is_some_and(|most| most < least) {
            return self.fail("a repetition is none");
        }
        Ok(Expr::Times(Box::new(of), least, most))
    }

    /// A literal, a class, a name or a group, and what says how often.
    fn item(&mut self, c: char) -> Parsed<Expr> {
        let mut item = match c {
            '"' => self.literal()?,
            '[' => self.class()?,
            '.' => {
                self.next();
                Expr::Class("^\\x{10ffff}".into())
            }
            '(' => {
                self.next();
                let group = self.choice(true)?;
                if self.next() != Some(')') {
                    return self.fail("a group is not closed");
                }
                group
            }
            _ => Expr::Rule(self.name()?),
        };
        loop {
            item = match self.rest.peek() {
                Some('*') => Expr::Times(Box::new(item), 0, None),
                Some('+') => Expr::Times(Box::new(item), 1, None),
                Some('?') => Expr::Times(Box::new(item), 0, Some(1)),
                Some('{') => {
                    item = self.times(item)?;
                    continue;
                }
                _ => return Ok(item),
            };
            self.next();
        }
    }

    fn sequence(&mut self, is_group: bool) -> Parsed<Expr> {
        let mut items = Vec::new();
        loop {
            self.skip(is_group);
            match self.rest.peek() {
                Some(&c) if matches!(c, '"' | '[' | '(' | '.') || is_name(c) => {
                    items.push(self.item(c)?)
                }
                _ => return Ok(Expr::Sequence(items)),
            }
        }
    }

    /// Whether a bar comes next, on this line or the one after: the choice goes on.
    fn takes_bar(&mut self, is_group: bool) -> bool {
        self.skip(is_group);
        let mut ahead = self.rest.clone();
        while ahead.peek().is_some_and(|c| c.is_whitespace()) {
            ahead.next();
        }
        if ahead.peek() != Some(&'|') {
            return false;
        }
        self.skip(true);
        self.next();
        self.skip(true);
        true
    }

    fn choice(&mut self, is_group: bool) -> Parsed<Expr> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.fail("groups stand too deep within each other");
        }
        self.skip(true);
        let mut choices = vec![self.sequence(is_group)?];
        while self.takes_bar(is_group) {
            choices.push(self.sequence(is_group)?);
        }
        self.depth -= 1;
        Ok(Expr::Choice(choices))
    }

    fn rules(&mut self) -> Parsed<Vec<(String, Expr)>> {
        let mut rules = Vec::new();
        loop {
            self.skip(true);
            if self.rest.peek().is_none() {
                return Ok(rules);
            }
            let name = self.name()?;
            self.skip(true);
            if [self.next(), self.next(), self.next()] != [Some(':'), Some(':'), Some('=')] {
                return self.fail(&format!("\"{name}\" lacks its ::="));
            }
            rules.push((name, self.choice(false)?));
            if self.rest.peek().is_some_and(|&c| c != '\n') {
                return self.fail("something stands here that no rule has");
            }
        }
    }
}

fn each_name<'a>(e: &'a Expr, f: &mut impl FnMut(&'a str)) {
    match e {
        Expr::Rule(name) => f(name),
        Expr::Sequence(parts) | Expr::Choice(parts) => parts.iter().for_each(|p| each_name(p, f)),
        Expr::Times(of, ..) => each_name(of, f),
        Expr::Literal(_) | Expr::Class(_) => {}
    }
}

/// The rules from which one comes to itself, or to one that does.
fn recursive<'a>(rules: &'a [(String, Expr)]) -> HashSet<&'a str> {
    let mut names: HashMap<&str, HashSet<&str>> = HashMap::new();
    for (name, e) in rules {
        each_name(e, &mut |other| {
            names.entry(name).or_default().insert(other);
        });
    }
    // Rules that have nothing recursive are taken away until none is left of them.
    let mut left: HashSet<&'a str> = rules.iter().map(|(name, _)| name.as_str()).collect();
    loop {
        let ready: Vec<&str> = left
            .iter()
            .filter(|&name| names.get(name).is_none_or(|of| of.is_disjoint(&left)))
            .copied()
            .collect();
        if ready.is_empty() {
            return left;
        }
        ready.iter().for_each(|name| {
            left.remove(name);
        });
    }
}

struct Writer<'a> {
    number: HashMap<&'a str, usize>,
    recursive: HashSet<&'a str>,
    terminals: String,
    n_terminals: usize,
}

impl Writer<'_> {
    fn name(&self, name: &str) -> String {
        let kind = if self.recursive.contains(name) { "rule_" } else { "TERMINAL_" };
        format!("{kind}{}", self.number[name])
    }

    /// In a rule, a class with its repetition is a terminal of its own.
    fn hoist(&mut self, text: String) -> String {
        let name = format!("CLASS_{}", self.n_terminals);
        self.n_terminals += 1;
        let _ = writeln!(self.terminals, "{name}: {text}");
        name
    }

    fn write(&mut self, e: &Expr, is_rule: bool) -> String {
        match e {
            Expr::Literal(text) => serde_json::Value::from(text.as_str()).to_string(),
            Expr::Class(text) => format!("/[{text}]/"),
            Expr::Rule(name) => self.name(name),
            Expr::Sequence(parts) if parts.is_empty() => "\"\"".into(),
            Expr::Sequence(parts) => self.join(parts, " ", is_rule),
            Expr::Choice(parts) if parts.len() == 1 => self.write(&parts[0], is_rule),
            Expr::Choice(parts) => format!("({})", self.join(parts, " | ", is_rule)),
            Expr::Times(of, least, most) => {
                let is_class = is_rule && matches!(**of, Expr::Class(_));
                let least_of_terminal = if is_class { (*least).max(1) } else { *least };
                let inner = self.write(of, is_rule && !is_class);
                let times = match most {
                    Some(0) => return "\"\"".into(),
                    Some(most) => format!("({inner}){{{least_of_terminal},{most}}}"),
                    None if least_of_terminal == 0 => format!("({inner})*"),
                    None if least_of_terminal == 1 => format!("({inner})+"),
                    None => format!("({inner}){{{least_of_terminal},}}"),
                };
                match is_class {
                    true if *least == 0 => format!("({})?", self.hoist(times)),
                    true => self.hoist(times),
                    false => times,
                }
            }
        }
    }

    fn join(&mut self, parts: &[Expr], between: &str, is_rule: bool) -> String {
        let parts: Vec<String> = parts.iter().map(|p| self.write(p, is_rule)).collect();
        parts.join(between)
    }
}

/// The grammar that begins with the rule "root".
pub fn to_lark(gbnf: &str) -> Result<String, String> {
    let mut parser = Parser { rest: gbnf.chars().peekable(), line: 1, depth: 0 };
    let rules = parser.rules()?;
    let number: HashMap<&str, usize> =
        rules.iter().enumerate().map(|(i, (name, _))| (name.as_str(), i)).collect();
    let mut unknown = None;
    for (_, e) in &rules {
        each_name(e, &mut |name| {
            if !number.contains_key(name) {
                unknown = Some(name);
            }
        });
    }
    if let Some(name) = unknown {
        return Err(format!("there is no rule \"{name}\""));
    }
    if !number.contains_key("root") {
        return Err("there is no rule \"root\"".into());
    }
    let recursive = recursive(&rules);
    let mut w = Writer { number, recursive, terminals: String::new(), n_terminals: 0 };
    let mut lark = format!("start: {}\n", w.name("root"));
    for (i, (name, e)) in rules.iter().enumerate() {
        if w.number[name.as_str()] != i {
            continue; // a later rule of the same name counts
        }
        let is_rule = w.recursive.contains(name.as_str());
        let text = w.write(e, is_rule);
        let _ = writeln!(lark, "{}: {text}", w.name(name));
    }
    lark.push_str(&w.terminals);
    Ok(lark)
}
