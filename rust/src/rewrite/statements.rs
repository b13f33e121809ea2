//! What stands between {% and %}.

use super::parser::{Parser, Part};
use crate::lexer::Token;

impl Parser<'_> {
    pub(super) fn statement(&mut self) -> Part {
        let word = self.name()?;
        let rest = match word.as_str() {
            "for" => self.for_loop()?,
            "if" | "elif" => self.tuple(true)?,
            "set" => self.set()?,
            "with" => self.with()?,
            "macro" => self.macro_head()?,
            "call" => {
                let params = if self.is_op("(") { self.signature("")? } else { String::new() };
                format!("{params} {}", self.expression()?)
            }
            "filter" => self.filter_chain()?,
            "generation" => return Some("with".into()),
            "endgeneration" => return Some("endwith".into()),
            _ => return self.rest(word),
        };
        Some(format!("{word} {rest}"))
    }

    /// Words and what little else stands in other statements; expressions there are left alone.
    pub(super) fn rest(&mut self, word: String) -> Part {
        if self.is_at_end() {
            return Some(word);
        }
        None
    }

    pub(super) fn target(&mut self) -> Part {
        let mut out = String::new();
        loop {
            match self.peek()? {
                Token::Name(name) if name != "in" => out.push_str(name),
                Token::Op(op @ ("," | "." | "(" | ")")) => {
                    out.push_str(op);
                    if *op == "," {
                        out.push(' ');
                    }
                }
                _ => return Some(out),
            }
            self.at += 1;
            if self.is_at_end() {
                return Some(out);
            }
        }
    }

    pub(super) fn for_loop(&mut self) -> Part {
        let target = self.target()?;
        if !self.skip_name("in") {
            return None;
        }
        let mut out = format!("{target} in __iter({})", self.tuple(false)?);
        if self.skip_name("if") {
            out += &format!(" if {}", self.expression()?);
        }
        if self.skip_name("recursive") {
            out += " recursive";
        }
        Some(out)
    }

    pub(super) fn set(&mut self) -> Part {
        let target = self.target()?;
        if self.skip_op("=") {
            return Some(format!("{target} = {}", self.tuple(true)?));
        }
        if self.skip_op("|") {
            return Some(format!("{target} | {}", self.filter_chain()?));
        }
        Some(target)
    }

    pub(super) fn with(&mut self) -> Part {
        let mut parts = Vec::new();
        while !self.is_at_end() {
            if !parts.is_empty() {
                self.expect(",")?;
            }
            let name = self.name()?;
            self.expect("=")?;
            parts.push(format!("{name} = {}", self.expression()?));
        }
        Some(parts.join(", "))
    }

    pub(super) fn macro_head(&mut self) -> Part {
        let name = self.name()?;
        let mut more = String::new();
        if let Some(one) = self.macros.get(&name) {
            if one.uses_varargs {
                more += ", varargs=__tuple()";
            }
            if one.uses_kwargs {
                more += ", kwargs={}";
            }
        }
        Some(format!("{name}{}", self.signature(&more)?))
    }

    pub(super) fn signature(&mut self, more: &str) -> Part {
        self.expect("(")?;
        let mut params = Vec::new();
        while !self.skip_op(")") {
            if !params.is_empty() {
                self.expect(",")?;
                if self.skip_op(")") {
                    break;
                }
            }
            let name = self.name()?;
            params.push(match self.skip_op("=") {
                true => format!("{name}={}", self.expression()?),
                false => name,
            });
        }
        let mut out = params.join(", ");
        // A default ends the parameters without one, so what is added needs them all to have one.
        out.push_str(if params.is_empty() { more.trim_start_matches(", ") } else { more });
        Some(format!("({out})"))
    }
}
