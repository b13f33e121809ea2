//! Where minijinja's core differs from Jinja2 no filter or function can help, so the source is
//! rewritten: expressions are parsed as Jinja2 parses them and written again with calls to
//! functions (ops.rs) and full parentheses. What is rewritten:
//!   * line ends: \r\n and \r are \n; escapes in strings are Python's
//!   * -a.b, +a, a % b, a // b, a / b, a ** b, a ~ b, a[b:c:d], tuples, the constant `1 and 0`
//!   * what loops go through (a text is a sequence of characters, none is not iterable)
//!   * varargs and kwargs in macros; methods of dictionaries that are named and not called
//!   * {% generation %} becomes a scope
//!
//! A tag that is not understood goes on as it stands.

use std::collections::{BTreeSet, HashMap};

use crate::lexer::{pieces, Piece, Tag, Token};
use parser::Parser;

mod arguments;
mod expressions;
mod literals;
mod parser;
mod postfix;
mod statements;

#[derive(Default)]
pub struct Rewritten {
    pub source: String,
    pub filters: BTreeSet<String>,
    pub tests: BTreeSet<String>,
}

/// A macro that takes more than it names.
struct Macro {
    params: Vec<String>,
    uses_varargs: bool,
    uses_kwargs: bool,
}

pub fn rewrite(source: &str) -> Rewritten {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let pieces = pieces(&source);
    let macros = macros_of(&pieces);
    let mut out = Rewritten::default();
    for piece in &pieces {
        match piece {
            Piece::Plain(text) => out.source.push_str(text),
            Piece::Tag(tag) => rewrite_tag(tag, &macros, &mut out),
        }
    }
    out
}

fn macros_of(pieces: &[Piece]) -> HashMap<String, Macro> {
    let mut macros = HashMap::new();
    let mut open: Vec<(String, Macro)> = Vec::new();
    for piece in pieces {
        let Piece::Tag(tag) = piece else { continue };
        let Some(tokens) = &tag.tokens else { continue };
        match (tag.word(), tokens.get(1)) {
            ("macro", Some(Token::Name(name))) => {
                let params = parameters(tokens);
                let one = Macro { params, uses_varargs: false, uses_kwargs: false };
                open.push((name.clone(), one));
            }
            ("endmacro", _) => {
                let Some((name, one)) = open.pop() else { continue };
                if one.uses_varargs || one.uses_kwargs {
                    macros.insert(name, one);
                }
            }
            _ => {
                let Some((_, one)) = open.last_mut() else { continue };
                let uses = |name: &str| tokens.iter().any(|t| *t == Token::Name(name.into()));
                one.uses_varargs |= uses("varargs");
                one.uses_kwargs |= uses("kwargs");
            }
        }
    }
    macros
}

/// The names before a comma, an equals sign or the end, at the first level of parentheses.
fn parameters(tokens: &[Token]) -> Vec<String> {
    let mut depth = 0;
    let mut names = Vec::new();
    let mut is_next = false;
    for token in tokens {
        match token {
            Token::Op("(" | "[" | "{") => {
                depth += 1;
                is_next = depth == 1;
            }
            Token::Op(")" | "]" | "}") => depth -= 1,
            Token::Op(",") if depth == 1 => is_next = true,
            Token::Name(name) if is_next => {
                names.push(name.clone());
                is_next = false;
            }
            _ => is_next = false,
        }
    }
    names
}

fn rewrite_tag(tag: &Tag, macros: &HashMap<String, Macro>, out: &mut Rewritten) {
    let Some(tokens) = &tag.tokens else { return out.source.push_str(tag.whole) };
    let mut parser = Parser::new(tokens, macros);
    let inside = match tag.is_statement() {
        true => parser.statement(),
        false => parser.tuple(true),
    };
    match inside.filter(|_| parser.is_at_end()) {
        Some(inside) => {
            out.filters.extend(parser.filters);
            out.tests.extend(parser.tests);
            // Lines are kept, for errors name them.
            let n_lines = tag.whole.matches('\n').count();
            out.source.push_str(tag.open);
            out.source.push(' ');
            out.source.push_str(&inside);
            out.source.push_str(&"\n".repeat(n_lines));
            out.source.push(' ');
            out.source.push_str(tag.close);
        }
        None => out.source.push_str(tag.whole),
    }
}
