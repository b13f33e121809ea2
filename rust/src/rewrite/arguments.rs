//! The arguments of a call, as they are written again.

use super::literals::quote;
use super::parser::Parser;
use super::Macro;
use crate::lexer::Token;

#[derive(Default)]
pub struct Arguments {
    positional: Vec<String>,
    named: Vec<(String, String)>,
    splats: Vec<String>,
}

impl Arguments {
    pub(super) fn written(&self) -> String {
        let named = self.named.iter().map(|(k, v)| format!("{k}={v}"));
        let (lists, maps): (Vec<_>, Vec<_>) =
            self.splats.iter().cloned().partition(|s| !s.starts_with("**"));
        let all: Vec<String> =
            self.positional.iter().cloned().chain(lists).chain(named).chain(maps).collect();
        format!("({})", all.join(", "))
    }

    pub(super) fn iterated(&self) -> String {
        let all: Vec<String> = self.positional.iter().map(|a| format!("__iter({a})")).collect();
        format!("({})", all.join(", "))
    }

    pub(super) fn for_macro(mut self, one: &Macro) -> String {
        if !self.splats.is_empty() {
            return self.written();
        }
        if one.uses_varargs && self.positional.len() > one.params.len() {
            let more = self.positional.split_off(one.params.len()).join(", ");
            self.named.push(("varargs".into(), format!("__tuple({more})")));
        }
        if one.uses_kwargs {
            let (known, other): (Vec<_>, Vec<_>) = self
                .named
                .into_iter()
                .partition(|(k, _)| k == "varargs" || k == "caller" || one.params.contains(k));
            self.named = known;
            let other: Vec<String> =
                other.iter().map(|(k, v)| format!("{}: {v}", quote(k))).collect();
            self.named.push(("kwargs".into(), format!("{{{} }}", other.join(", "))));
        }
        self.written()
    }
}

impl Parser<'_> {
    pub(super) fn arguments(&mut self) -> Option<Arguments> {
        self.expect("(")?;
        let mut out = Arguments::default();
        let mut is_first = true;
        while !self.skip_op(")") {
            if !is_first {
                self.expect(",")?;
                if self.skip_op(")") {
                    break;
                }
            }
            is_first = false;
            if self.skip_op("**") {
                out.splats.push(format!("**{}", self.expression()?));
            } else if self.skip_op("*") {
                out.splats.push(format!("*{}", self.expression()?));
            } else if matches!(self.peek(), Some(Token::Name(_)))
                && self.tokens.get(self.at + 1) == Some(&Token::Op("="))
            {
                let name = self.name()?;
                self.at += 1;
                out.named.push((name, self.expression()?));
            } else {
                out.positional.push(self.expression()?);
            }
        }
        Some(out)
    }
}
