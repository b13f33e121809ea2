//! What all parts of the parser work on: the tokens of a tag, one after the other. None, from any
//! of them: the tag is not understood.

use std::collections::HashMap;

use super::Macro;
use crate::lexer::Token;

/// Deeper expressions are not understood.
pub const MAX_DEPTH: usize = 100;

pub struct Parser<'a> {
    pub(super) tokens: &'a [Token],
    pub(super) at: usize,
    pub(super) depth: usize,
    pub(super) macros: &'a HashMap<String, Macro>,
    pub(super) filters: Vec<String>,
    pub(super) tests: Vec<String>,
}

/// Written again, and whether minijinja would take it for a constant.
pub struct Expr(pub String, pub bool);

pub type Part = Option<String>;

impl<'a> Parser<'a> {
    pub(super) fn new(tokens: &'a [Token], macros: &'a HashMap<String, Macro>) -> Self {
        Parser { tokens, at: 0, depth: 0, macros, filters: vec![], tests: vec![] }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.tokens.len()
    }

    pub(super) fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    pub(super) fn is_op(&self, op: &str) -> bool {
        matches!(self.peek(), Some(Token::Op(o)) if *o == op)
    }

    pub(super) fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Some(Token::Name(n)) if n == name)
    }

    pub(super) fn skip_op(&mut self, op: &str) -> bool {
        let found = self.is_op(op);
        self.at += usize::from(found);
        found
    }

    pub(super) fn skip_name(&mut self, name: &str) -> bool {
        let found = self.is_name(name);
        self.at += usize::from(found);
        found
    }

    pub(super) fn name(&mut self) -> Part {
        let Some(Token::Name(name)) = self.peek() else { return None };
        let name = name.clone();
        self.at += 1;
        Some(name)
    }

    pub(super) fn expect(&mut self, op: &str) -> Option<()> {
        self.skip_op(op).then_some(())
    }
}
