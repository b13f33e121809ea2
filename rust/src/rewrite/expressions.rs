//! Expressions, from those that bind least to names and constants.

use super::literals::{number, quote};
use super::parser::{Expr, Parser, Part, MAX_DEPTH};
use crate::lexer::Token;

impl Parser<'_> {
    /// Expressions side by side are a tuple.
    pub(super) fn tuple(&mut self, with_condition: bool) -> Part {
        let mut items = Vec::new();
        let mut is_tuple = false;
        loop {
            let item = if with_condition { self.expression()? } else { self.or()?.0 };
            items.push(item);
            if !self.skip_op(",") {
                break;
            }
            is_tuple = true;
            if self.is_at_end() || self.is_op(")") {
                break;
            }
        }
        Some(if is_tuple { format!("__tuple({})", items.join(", ")) } else { items.remove(0) })
    }

    pub(super) fn expression(&mut self) -> Part {
        self.condition().map(|e| e.0)
    }

    pub(super) fn condition(&mut self) -> Option<Expr> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        let mut value = self.or()?;
        while self.skip_name("if") {
            let test = self.or()?.0;
            value = match self.skip_name("else") {
                true => {
                    let other = self.condition()?.0;
                    Expr(format!("({} if {test} else {other})", value.0), false)
                }
                false => Expr(format!("({} if {test})", value.0), false),
            };
        }
        self.depth -= 1;
        Some(value)
    }

    /// Constants would be folded to true and false.
    pub(super) fn logical(left: Expr, word: &str, right: Expr) -> Expr {
        let left = if left.1 { format!("__id({})", left.0) } else { left.0 };
        Expr(format!("({left} {word} {})", right.0), false)
    }

    pub(super) fn or(&mut self) -> Option<Expr> {
        let mut left = self.and()?;
        while self.skip_name("or") {
            left = Self::logical(left, "or", self.and()?);
        }
        Some(left)
    }

    pub(super) fn and(&mut self) -> Option<Expr> {
        let mut left = self.not()?;
        while self.skip_name("and") {
            left = Self::logical(left, "and", self.not()?);
        }
        Some(left)
    }

    pub(super) fn not(&mut self) -> Option<Expr> {
        if !self.skip_name("not") {
            return self.compare();
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        let inner = self.not()?;
        self.depth -= 1;
        Some(Expr(format!("(not {})", inner.0), inner.1))
    }

    pub(super) fn compare(&mut self) -> Option<Expr> {
        let left = self.sum()?;
        let mut out = left.0;
        let mut n = 0;
        loop {
            let op = match self.peek() {
                Some(Token::Op(op @ ("==" | "!=" | "<" | "<=" | ">" | ">="))) => {
                    let op = *op;
                    self.at += 1;
                    op
                }
                Some(Token::Name(word)) if word == "in" => {
                    self.at += 1;
                    "in"
                }
                Some(Token::Name(word))
                    if word == "not"
                        && self.tokens.get(self.at + 1) == Some(&Token::Name("in".into())) =>
                {
                    self.at += 2;
                    "not in"
                }
                _ => break,
            };
            out = format!("{out} {op} {}", self.sum()?.0);
            n += 1;
        }
        Some(if n == 0 { Expr(out, left.1) } else { Expr(format!("({out})"), false) })
    }

    pub(super) fn sum(&mut self) -> Option<Expr> {
        let mut left = self.concat()?;
        loop {
            let name = match self.peek() {
                Some(Token::Op("+")) => "__add",
                Some(Token::Op("-")) => "__sub",
                _ => return Some(left),
            };
            self.at += 1;
            left = Expr(format!("{name}({}, {})", left.0, self.concat()?.0), false);
        }
    }

    pub(super) fn concat(&mut self) -> Option<Expr> {
        let left = self.product()?;
        if !self.is_op("~") {
            return Some(left);
        }
        let mut parts = vec![left.0];
        while self.skip_op("~") {
            parts.push(self.product()?.0);
        }
        Some(Expr(format!("__cat({})", parts.join(", ")), false))
    }

    pub(super) fn product(&mut self) -> Option<Expr> {
        let mut left = self.power()?;
        loop {
            let name = match self.peek() {
                Some(Token::Op("*")) => "__mul",
                Some(Token::Op("/")) => "__div",
                Some(Token::Op("//")) => "__floordiv",
                Some(Token::Op("%")) => "__mod",
                _ => return Some(left),
            };
            self.at += 1;
            left = Expr(format!("{name}({}, {})", left.0, self.power()?.0), false);
        }
    }

    pub(super) fn power(&mut self) -> Option<Expr> {
        let mut left = self.unary(true)?;
        while self.skip_op("**") {
            left = Expr(format!("__pow({}, {})", left.0, self.unary(true)?.0), false);
        }
        Some(left)
    }

    pub(super) fn unary(&mut self, with_filters: bool) -> Option<Expr> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        let mut node = if self.skip_op("-") {
            Expr(format!("__neg({})", self.unary(false)?.0), false)
        } else if self.skip_op("+") {
            Expr(format!("__pos({})", self.unary(false)?.0), false)
        } else {
            self.primary()?
        };
        node = self.postfix(node)?;
        if with_filters {
            node = self.filters(node)?;
        }
        self.depth -= 1;
        Some(node)
    }

    pub(super) fn primary(&mut self) -> Option<Expr> {
        let token = self.peek()?.clone();
        self.at += 1;
        Some(match token {
            Token::Name(name) => match name.as_str() {
                "true" | "True" => Expr("true".into(), true),
                "false" | "False" => Expr("false".into(), true),
                "none" | "None" => Expr("none".into(), true),
                // Words of the grammar are no values.
                "in" | "is" | "and" | "or" | "not" | "if" | "else" => return None,
                _ => Expr(name, false),
            },
            Token::Text(mut text) => {
                while let Some(Token::Text(more)) = self.peek() {
                    text.push_str(more);
                    self.at += 1;
                }
                Expr(quote(&text), true)
            }
            Token::Number(digits) => Expr(number(&digits)?, true),
            Token::Op("(") => {
                if self.skip_op(")") {
                    return Some(Expr("__tuple()".into(), false));
                }
                let inside = self.tuple(true)?;
                self.expect(")")?;
                Expr(format!("({inside})"), true)
            }
            Token::Op("[") => Expr(format!("[{}]", self.items("]")?), true),
            Token::Op("{") => {
                let mut pairs = Vec::new();
                while !self.skip_op("}") {
                    if !pairs.is_empty() {
                        self.expect(",")?;
                        if self.skip_op("}") {
                            break;
                        }
                    }
                    let key = self.expression()?;
                    self.expect(":")?;
                    pairs.push(format!("{key}: {}", self.expression()?));
                }
                Expr(format!("{{{} }}", pairs.join(", ")), true)
            }
            _ => return None,
        })
    }

    pub(super) fn items(&mut self, end: &str) -> Part {
        let mut items = Vec::new();
        while !self.skip_op(end) {
            if !items.is_empty() {
                self.expect(",")?;
                if self.skip_op(end) {
                    break;
                }
            }
            items.push(self.expression()?);
        }
        Some(items.join(", "))
    }
}
