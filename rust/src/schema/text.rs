//! Sets of strings, as regular expressions over what stands between the quotes of JSON: a line
//! break is \n there, and each spelling of it counts.

use llguidance::derivre::{RegexAst, RegexBuilder};

/// One character.
pub const CHAR: &str = r#"(?:[^"\\\x00-\x1f]|\\["\\bfnrt]|\\u00[01][0-9a-fA-F])"#;
/// What an expression may cost that is looked at for being empty.
const FUEL: u64 = 200_000;

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Set {
    /// A regular expression, of which everything matches.
    Of(String),
    And(Vec<Set>),
    Or(Vec<Set>),
    Not(Box<Set>),
}

impl Set {
    pub fn any() -> Set {
        Set::Of(format!("{CHAR}*"))
    }

    pub fn none() -> Set {
        Set::Or(vec![])
    }

    pub fn not(self) -> Set {
        match self {
            Set::Not(inside) => *inside,
            Set::Or(sets) if sets.is_empty() => Set::any(),
            any if any == Set::any() => Set::none(),
            other => Set::Not(Box::new(other)),
        }
    }

    pub fn and(sets: Vec<Set>) -> Set {
        let any = Set::any();
        let mut rest = Vec::new();
        for set in sets {
            match set {
                Set::And(inside) => rest.extend(inside),
                set => rest.push(set),
            }
        }
        rest.retain(|set| *set != any);
        rest.sort();
        rest.dedup();
        match rest.len() {
            _ if rest.contains(&Set::none()) => Set::none(),
            0 => any,
            1 => rest.remove(0),
            _ => Set::And(rest),
        }
    }

    pub fn or(sets: Vec<Set>) -> Set {
        let any = Set::any();
        let mut rest = Vec::new();
        for set in sets {
            match set {
                Set::Or(inside) => rest.extend(inside),
                set if set == any => return any,
                set => rest.push(set),
            }
        }
        match rest.len() {
            1 => rest.remove(0),
            _ => Set::Or(rest),
        }
    }

    pub fn literal(text: &str) -> Set {
        Set::Of(text.chars().map(spelled).collect())
    }

    pub fn lengths(min: u64, max: Option<u64>) -> Set {
        let max = max.map_or(String::new(), |max| max.to_string());
        Set::Of(format!("{CHAR}{{{min},{max}}}"))
    }

    fn has_not(&self) -> bool {
        match self {
            Set::Of(_) => false,
            Set::And(sets) | Set::Or(sets) => sets.iter().any(Set::has_not),
            Set::Not(_) => true,
        }
    }

    /// A complement holds what is no string at all.
    pub fn of_strings(self) -> Set {
        if self.has_not() {
            Set::And(vec![Set::any(), self])
        } else {
            self
        }
    }

    /// As a terminal of Lark.
    pub fn lark(&self) -> String {
        let join = |sets: &[Set], by: &str| {
            let parts: Vec<String> = sets.iter().map(Set::lark).collect();
            format!("({})", parts.join(by))
        };
        match self {
            Set::Of(text) if text.is_empty() => r#""""#.into(),
            Set::Of(text) => format!("/{text}/"),
            Set::And(sets) => join(sets, " & "),
            Set::Or(sets) => join(sets, " | "),
            Set::Not(set) => format!("~({})", set.lark()),
        }
    }

    fn ast(&self) -> RegexAst {
        let all = |sets: &[Set]| sets.iter().map(Set::ast).collect();
        match self {
            Set::Of(text) => RegexAst::Regex(text.clone()),
            Set::And(sets) => RegexAst::And(all(sets)),
            Set::Or(sets) => RegexAst::Or(all(sets)),
            Set::Not(set) => RegexAst::Not(Box::new(set.ast())),
        }
    }

    /// Whether nothing is in it. What costs too much to tell is not.
    pub fn is_empty(&self) -> bool {
        let mut builder = RegexBuilder::new();
        let Ok(id) = builder.mk(&self.ast()) else { return false };
        builder.into_regex_limited(id, FUEL).is_ok_and(|mut regex| regex.always_empty())
    }
}

/// A character outside of classes and inside of them.
pub fn plain(c: char) -> String {
    if c.is_ascii_alphanumeric() {
        return c.into();
    }
    format!("\\x{{{:x}}}", c as u32)
}

/// A character of a string in all spellings that replies may have.
pub fn spelled(c: char) -> String {
    let short = match c {
        '"' => return r#"\\""#.into(),
        '\\' => return r"\\\\".into(),
        '\u{8}' => Some('b'),
        '\u{c}' => Some('f'),
        '\n' => Some('n'),
        '\r' => Some('r'),
        '\t' => Some('t'),
        _ => None,
    };
    let long = || format!(r"\\u00{}(?i:{:x})", c as u32 >> 4, c as u32 & 15);
    match short {
        Some(short) => format!(r"(?:\\{short}|{})", long()),
        None if (c as u32) < 0x20 => long(),
        None => plain(c),
    }
}

/// One of the characters of some ranges.
pub fn spelled_class(ranges: &[(char, char)]) -> String {
    if ranges == [('\0', char::MAX)] {
        return CHAR.into();
    }
    const QUOTED: [(char, char); 3] = [('\0', '\u{1f}'), ('"', '"'), ('\\', '\\')];
    let mut class = String::new();
    let mut other = Vec::new();
    for &(from, to) in ranges {
        let mut from = from;
        for (first, last) in QUOTED {
            let (low, high) = (from.max(first), to.min(last));
            if low > high {
                continue;
            }
            other.extend((low..=high).map(spelled));
            if from < first {
                let before = char::from_u32(first as u32 - 1).unwrap_or(first);
                class += &format!("{}-{}", plain(from), plain(before));
            }
            from = char::from_u32(last as u32 + 1).unwrap_or(last);
        }
        if from <= to {
            class += &format!("{}-{}", plain(from), plain(to));
        }
    }
    if !class.is_empty() {
        other.insert(0, format!("[{class}]"));
    }
    match other.is_empty() {
        true => r"[^\x00-\x{10ffff}]".into(),
        false => format!("(?:{})", other.join("|")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emptiness_is_seen() {
        let a = Set::literal("a");
        assert!(!a.is_empty() && !Set::any().is_empty());
        assert!(Set::none().is_empty());
        assert!(Set::and(vec![a.clone(), Set::literal("b")]).is_empty());
        assert!(Set::and(vec![a.clone(), a.clone().not()]).is_empty());
        assert!(Set::and(vec![a, Set::lengths(2, None)]).is_empty());
        assert!(!Set::and(vec![Set::literal("\n"), Set::lengths(1, Some(1))]).is_empty());
    }

    #[test]
    fn quoted_characters_leave_the_class() {
        assert_eq!(spelled_class(&[('a', 'c')]), "(?:[a-c])");
        assert_eq!(spelled_class(&[('!', '#')]), r#"(?:[\x{21}-\x{21}\x{23}-\x{23}]|\\")"#);
        let whole = Set::Of(spelled_class(&[('\0', char::MAX)]));
        let parts = Set::Of(spelled_class(&[('\0', 'z'), ('{', char::MAX)]));
        assert!(Set::And(vec![whole.clone(), parts.clone().not()]).is_empty());
        assert!(Set::And(vec![parts, whole.not()]).is_empty());
    }
}
