//! What follows a value: members, subscripts, calls, filters and tests.

use super::literals::{number, quote};
use super::parser::{Expr, Parser, Part};
use crate::lexer::Token;

const DICT_METHODS: [&str; 11] = [
    "items",
    "keys",
    "values",
    "get",
    "copy",
    "pop",
    "popitem",
    "clear",
    "update",
    "setdefault",
    "fromkeys",
];

impl Parser<'_> {
    pub(super) fn postfix(&mut self, mut node: Expr) -> Option<Expr> {
        loop {
            let text = if self.skip_op(".") {
                match self.peek()?.clone() {
                    Token::Name(name) => {
                        self.at += 1;
                        if DICT_METHODS.contains(&name.as_str()) && !self.is_op("(") {
                            format!("__method({}, {})", node.0, quote(&name))
                        } else {
                            format!("{}.{name}", node.0)
                        }
                    }
                    Token::Number(digits) => {
                        self.at += 1;
                        format!("{}[{}]", node.0, number(&digits)?)
                    }
                    _ => return None,
                }
            } else if self.skip_op("[") {
                self.subscript(&node.0)?
            } else if self.is_op("(") {
                let arguments = self.arguments()?;
                match self.macros.get(&node.0) {
                    Some(one) => format!("{}{}", node.0, arguments.for_macro(one)),
                    None if node.0 == "loop" => format!("loop{}", arguments.iterated()),
                    None => format!("{}{}", node.0, arguments.written()),
                }
            } else {
                return Some(node);
            };
            node = Expr(text, false);
        }
    }

    pub(super) fn subscript(&mut self, of: &str) -> Part {
        let mut bounds: Vec<Option<String>> = vec![None];
        loop {
            if self.skip_op("]") {
                break;
            }
            if self.skip_op(":") {
                bounds.push(None);
                continue;
            }
            let last = bounds.last_mut()?;
            if last.is_some() {
                return None;
            }
            *last = Some(self.expression()?);
        }
        if bounds.len() == 1 {
            return Some(format!("{of}[{}]", bounds[0].take()?));
        }
        bounds.resize(3, None);
        let bounds: Vec<String> =
            bounds.into_iter().map(|b| b.unwrap_or_else(|| "none".into())).collect();
        Some(format!("__slice({of}, {})", bounds.join(", ")))
    }

    pub(super) fn filters(&mut self, mut node: Expr) -> Option<Expr> {
        loop {
            if self.skip_op("|") {
                node = Expr(format!("({}|{})", node.0, self.filter_call()?), false);
            } else if self.skip_name("is") {
                node = self.test(node)?;
            } else if self.is_op("(") {
                node = self.postfix(node)?;
            } else {
                return Some(node);
            }
        }
    }

    pub(super) fn test(&mut self, of: Expr) -> Option<Expr> {
        let not = if self.skip_name("not") { "not " } else { "" };
        let mut name = self.name()?;
        while self.skip_op(".") {
            name = format!("{name}.{}", self.name()?);
        }
        self.tests.push(name.clone());
        let is_argument = match self.peek() {
            Some(Token::Name(word)) => {
                !matches!(word.as_str(), "else" | "or" | "and" | "is" | "if")
            }
            Some(Token::Text(_) | Token::Number(_) | Token::Op("[" | "{")) => true,
            _ => false,
        };
        let arguments = if self.is_op("(") {
            self.arguments()?.written()
        } else if is_argument {
            let argument = self.primary()?;
            format!("({})", self.postfix(argument)?.0)
        } else {
            String::new()
        };
        // The name of a test may be a word of the grammar.
        Some(Expr(format!("({} is {not}{name}{arguments})", of.0), false))
    }

    pub(super) fn filter_chain(&mut self) -> Part {
        let mut out = self.filter_call()?;
        while self.skip_op("|") {
            out = format!("{out} | {}", self.filter_call()?);
        }
        Some(out)
    }

    pub(super) fn filter_call(&mut self) -> Part {
        let mut name = self.name()?;
        while self.skip_op(".") {
            name = format!("{name}.{}", self.name()?);
        }
        self.filters.push(name.clone());
        match self.is_op("(") {
            true => Some(format!("{name}{}", self.arguments()?.written())),
            false => Some(name),
        }
    }
}
