//! Patterns of schemas, ECMA's, as sets of strings of JSON (text.rs). A pattern is searched for;
//! one with ^ and $ is anchored there.

use regex_syntax::hir::{Class, Hir, HirKind, Look};
use regex_syntax::ParserBuilder;

use super::text::{plain, spelled, spelled_class, Set, CHAR};

pub fn set_of(pattern: &str) -> Result<Set, String> {
    let hir = ParserBuilder::new()
        .build()
        .parse(&as_rust(pattern))
        .map_err(|_| format!("the pattern {pattern:?} is none, or has what is not supported"))?;
    let text = searched(&hir)
        .ok_or_else(|| format!("the pattern {pattern:?} has an anchor that is not supported"))?;
    Ok(Set::Of(text))
}

/// A pattern as Rust reads it: classes are ASCII's, and a bracket inside of a class is one.
fn as_rust(pattern: &str) -> String {
    const SPACE: &str = r"\t\n\x0B\x0C\r \xA0\u{FEFF}\u{2028}\u{2029}\p{Zs}";
    let mut out = String::new();
    let mut is_class = false;
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('d') => out += "[0-9]",
                Some('D') => out += "[^0-9]",
                Some('w') => out += "[A-Za-z0-9_]",
                Some('W') => out += "[^A-Za-z0-9_]",
                Some('s') => out += &format!("[{SPACE}]"),
                Some('S') => out += &format!("[^{SPACE}]"),
                Some('c') => {
                    let control = chars.next().map_or(0, |c| c as u32 & 31);
                    out += &format!("\\x{control:02x}");
                }
                Some(c) if !c.is_ascii_alphanumeric() => out += &plain(c),
                Some(c) => out.extend(['\\', c]),
                None => out.push('\\'),
            },
            '[' if !is_class => {
                is_class = true;
                out.push(c);
            }
            '[' | '&' | '~' if is_class => out.extend(['\\', c]),
            ']' if is_class => {
                is_class = false;
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}

/// None: it has an anchor where none can be honoured.
fn searched(hir: &Hir) -> Option<String> {
    if hir.properties().look_set().is_empty() {
        return Some(format!("{CHAR}*(?:{}){CHAR}*", written(hir)?));
    }
    match hir.kind() {
        HirKind::Look(Look::Start | Look::End) => Some(format!("{CHAR}*")),
        HirKind::Capture(capture) => searched(&capture.sub),
        HirKind::Alternation(branches) => {
            let all: Option<Vec<String>> = branches.iter().map(searched).collect();
            Some(format!("(?:{})", all?.join("|")))
        }
        HirKind::Concat(parts) => {
            let is = |part: Option<&Hir>, look| {
                part.is_some_and(|part| *part.kind() == HirKind::Look(look))
            };
            let (from_start, to_end) =
                (is(parts.first(), Look::Start), is(parts.last(), Look::End));
            let middle = &parts[usize::from(from_start)..parts.len() - usize::from(to_end)];
            let body: Option<String> = middle.iter().map(written).collect();
            let around = |is_anchored: bool| match is_anchored {
                true => String::new(),
                false => format!("{CHAR}*"),
            };
            Some(format!("{}(?:{}){}", around(from_start), body?, around(to_end)))
        }
        _ => None,
    }
}

fn written(hir: &Hir) -> Option<String> {
    Some(match hir.kind() {
        HirKind::Empty => String::new(),
        HirKind::Look(_) => return None,
        HirKind::Literal(literal) => {
            std::str::from_utf8(&literal.0).ok()?.chars().map(spelled).collect()
        }
        HirKind::Class(Class::Unicode(class)) => {
            let ranges: Vec<_> = class.ranges().iter().map(|r| (r.start(), r.end())).collect();
            // . is everything but line ends for ECMA, too
            spelled_class(&ranges)
        }
        HirKind::Class(Class::Bytes(class)) => {
            let ranges: Vec<_> =
                class.ranges().iter().map(|r| (r.start() as char, r.end() as char)).collect();
            spelled_class(&ranges)
        }
        HirKind::Repetition(of) => {
            let max = of.max.map_or(String::new(), |max| max.to_string());
            format!("(?:{}){{{},{max}}}", written(&of.sub)?, of.min)
        }
        HirKind::Capture(capture) => format!("(?:{})", written(&capture.sub)?),
        HirKind::Concat(parts) => {
            let all: Option<Vec<String>> =
                parts.iter().map(|part| Some(format!("(?:{})", written(part)?))).collect();
            all?.concat()
        }
        HirKind::Alternation(branches) => {
            let all: Option<Vec<String>> = branches.iter().map(written).collect();
            format!("(?:{})", all?.join("|"))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(pattern: &str, text: &str) -> bool {
        let set = set_of(pattern).expect(pattern);
        !Set::And(vec![set, Set::literal(text)]).is_empty()
    }

    #[test]
    fn patterns_are_searched_for() {
        assert!(has("b", "abc") && !has("^b", "abc") && has("^a|c$", "xc") && !has("c$", "ca"));
        assert!(has("^(foo|bar)$", "bar") && !has("^(foo|bar)$", "barx"));
        assert!(has(r"^\d+$", "12") && !has(r"^\d+$", "١٢"));
        assert!(has(r"^[\w\-]+$", "a-b") && has(r"[[]", "[") && has(r"^\/$", "/"));
        assert!(has("^a\"b\n$", "a\"b\n") && has(r"^\S$", "x") && !has(r"^\S$", "\t"));
        assert!(has("", "anything") && has("^", "x") && has("$", ""));
    }

    #[test]
    fn what_is_not_supported_is_said() {
        assert!(set_of("(?=a)b").is_err_and(|why| why.contains("(?=a)b")));
        assert!(set_of(r"a\bb").is_err_and(|why| why.contains("anchor")));
        assert!(set_of("(").is_err());
    }
}
