//! A Jinja source cut into text and tags, and the inside of a tag into tokens, as Jinja2 cuts them.

#[derive(Clone, PartialEq, Debug)]
pub enum Token {
    Name(String),
    /// Its value: escapes are resolved as Python resolves them.
    Text(String),
    Number(String),
    Op(&'static str),
}

pub enum Piece<'a> {
    /// Text, comments and raw blocks, as they stand.
    Plain(&'a str),
    Tag(Tag<'a>),
}

pub struct Tag<'a> {
    /// With its sign: "{{", "{%-" ...
    pub open: &'a str,
    pub close: &'a str,
    pub whole: &'a str,
    /// None: it holds what Jinja does not.
    pub tokens: Option<Vec<Token>>,
}

impl Tag<'_> {
    pub fn is_statement(&self) -> bool {
        self.open.starts_with("{%")
    }

    /// The statement's word.
    pub fn word(&self) -> &str {
        match self.tokens.as_deref() {
            Some([Token::Name(name), ..]) if self.is_statement() => name,
            _ => "",
        }
    }
}

const OPERATORS: [&str; 26] = [
    "**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "(", ")", "[", "]",
    "{", "}", ",", ".", ":", "|", "=", ";",
];

pub fn pieces(source: &str) -> Vec<Piece<'_>> {
    let mut out = Vec::new();
    let mut from = 0;
    let mut at = 0;
    while let Some(found) = source[at..].find('{') {
        let start = at + found;
        let rest = &source[start..];
        if rest.starts_with("{#") {
            at = rest.find("#}").map_or(source.len(), |n| start + n + 2);
            continue;
        }
        if !rest.starts_with("{{") && !rest.starts_with("{%") {
            at = start + 1;
            continue;
        }
        let Some(tag) = tag(rest) else { break };
        let end = start + tag.whole.len();
        if tag.word() == "raw" {
            at = end_of_raw(source, end);
            continue;
        }
        out.push(Piece::Plain(&source[from..start]));
        out.push(Piece::Tag(tag));
        from = end;
        at = end;
    }
    out.push(Piece::Plain(&source[from..]));
    out
}

fn end_of_raw(source: &str, from: usize) -> usize {
    let mut at = from;
    while let Some(found) = source[at..].find("{%") {
        let start = at + found;
        let inside = source[start + 2..].trim_start_matches(['-', '+']).trim_start();
        if inside.starts_with("endraw") {
            return source[start..].find("%}").map_or(source.len(), |n| start + n + 2);
        }
        at = start + 2;
    }
    source.len()
}

/// The tag at the beginning of the text; None: it has no end.
fn tag(text: &str) -> Option<Tag<'_>> {
    let end_mark = if text.starts_with("{{") { "}}" } else { "%}" };
    let n_open = if matches!(text.as_bytes().get(2), Some(b'-' | b'+')) { 3 } else { 2 };
    let mut at = n_open;
    let mut depth = 0;
    let mut tokens = Some(Vec::new());
    loop {
        at = text.len() - text[at..].trim_start().len();
        let rest = &text[at..];
        if rest.is_empty() {
            return None;
        }
        if depth == 0 {
            let sign = usize::from(rest.starts_with(['-', '+']));
            if rest[sign..].starts_with(end_mark) {
                let end = at + sign + 2;
                return Some(Tag {
                    open: &text[..n_open],
                    close: &text[at..end],
                    whole: &text[..end],
                    tokens,
                });
            }
        }
        let (token, n) = match next(rest) {
            Some(found) => found,
            None => {
                tokens = None;
                at += rest.chars().next().map_or(1, char::len_utf8);
                continue;
            }
        };
        match token {
            Token::Op("(" | "[" | "{") => depth += 1,
            Token::Op(")" | "]" | "}") => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            tokens = None;
            depth = 0;
        }
        if let Some(list) = &mut tokens {
            list.push(token);
        }
        at += n;
    }
}

fn next(text: &str) -> Option<(Token, usize)> {
    let first = text.chars().next()?;
    if first == '"' || first == '\'' {
        return quoted(text, first);
    }
    if first.is_ascii_digit() {
        let n = number_bytes(text);
        return Some((Token::Number(text[..n].replace('_', "")), n));
    }
    if first.is_alphabetic() || first == '_' {
        let n = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        return Some((Token::Name(text[..n].to_owned()), n));
    }
    OPERATORS.iter().find(|op| text.starts_with(**op)).map(|op| (Token::Op(op), op.len()))
}

fn number_bytes(text: &str) -> usize {
    let digits = |from: usize, is_digit: fn(char) -> bool| {
        from + text[from..].find(|c: char| !is_digit(c) && c != '_').unwrap_or(text.len() - from)
    };
    let lower = text.get(..2).unwrap_or("").to_ascii_lowercase();
    if matches!(lower.as_str(), "0x" | "0o" | "0b") {
        return digits(2, |c| c.is_ascii_hexdigit());
    }
    let decimal: fn(char) -> bool = |c| c.is_ascii_digit();
    let mut n = digits(0, decimal);
    let is_digit_at = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    if text[n..].starts_with('.') && is_digit_at(n + 1) {
        n = digits(n + 1, decimal);
    }
    if text[n..].starts_with(['e', 'E']) {
        let sign = usize::from(text[n + 1..].starts_with(['+', '-']));
        if is_digit_at(n + 1 + sign) {
            n = digits(n + 1 + sign, decimal);
        }
    }
    n
}

fn quoted(text: &str, quote: char) -> Option<(Token, usize)> {
    let mut out = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return Some((Token::Text(out), at + 1));
        }
        if c != '\\' {
            out.push(c);
            continue;
        }
        let (_, escape) = chars.next()?;
        let n_hex = match escape {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        if n_hex > 0 {
            let digits: String = (0..n_hex).filter_map(|_| chars.next().map(|(_, c)| c)).collect();
            let code = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == n_hex)?;
            out.push(char::from_u32(code)?);
            continue;
        }
        match escape {
            '\n' => {}
            'a' => out.push('\x07'),
            'b' => out.push('\x08'),
            'f' => out.push('\x0c'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'v' => out.push('\x0b'),
            '\\' | '\'' | '"' => out.push(escape),
            '0'..='7' => {
                let mut code = escape as u32 - '0' as u32;
                for _ in 0..2 {
                    match chars.peek() {
                        Some(&(_, digit @ '0'..='7')) => {
                            code = code * 8 + (digit as u32 - '0' as u32);
                            chars.next();
                        }
                        _ => break,
                    }
                }
                out.push(char::from_u32(code)?);
            }
            other => {
                out.push('\\');
                out.push(other);
            }
        }
    }
    None
}
