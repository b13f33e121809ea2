//! Breaks what looks like a control token inside the caller's strings.
//!
//! A guard character goes in after the first character of every occurrence of a control token's
//! name. At the edges of a string the rest of a name may be written by the template or stand in the
//! neighbouring string, so what a name could still grow out of is broken too: a proper prefix of a
//! name at the end, a proper suffix of one at the beginning. White space at the edges does not
//! count, because templates trim.
//!
//! Not broken is a string that stands in the middle of a name, such as `user` of `<|user|>`:
//! templates build role headers that way, and what stands beside it is the template's own. A name
//! of one character has no inside and cannot be broken.

use serde_json::Value;

/// The names in both directions, sorted, so that a text is matched by narrowing a range.
pub struct Names {
    forward: Vec<Vec<u8>>,
    backward: Vec<Vec<u8>>,
    is_first: [bool; 256],
    is_last: [bool; 256],
    max_bytes: usize,
}

#[derive(PartialEq, Eq)]
enum Match {
    None,
    /// A whole name stands there.
    Whole,
    /// The text ended inside a name.
    Partial,
}

impl Names {
    pub fn new<'a>(names: impl Iterator<Item = &'a [u8]>) -> Names {
        let mut forward: Vec<Vec<u8>> = names
            .filter(|n| std::str::from_utf8(n).is_ok_and(|s| s.chars().nth(1).is_some()))
            .map(<[u8]>::to_vec)
            .collect();
        let mut backward: Vec<Vec<u8>> =
            forward.iter().map(|n| n.iter().rev().copied().collect()).collect();
        forward.sort_unstable();
        backward.sort_unstable();
        let mut is_first = [false; 256];
        let mut is_last = [false; 256];
        for n in &forward {
            is_first[n[0] as usize] = true;
            is_last[n[n.len() - 1] as usize] = true;
        }
        let max_bytes = forward.iter().map(Vec::len).max().unwrap_or(0);
        Names { forward, backward, is_first, is_last, max_bytes }
    }

    /// Where the guard has to go, ascending byte offsets.
    fn cuts(&self, text: &str) -> Vec<usize> {
        let mut cuts = Vec::new();
        let bytes = text.as_bytes();
        for at in 0..bytes.len() {
            if self.is_first[bytes[at] as usize]
                && walk(&self.forward, bytes[at..].iter()) != Match::None
            {
                cuts.push(after_char(text, at));
            }
        }
        self.cut_start(text, 0, &mut cuts);
        let trimmed = text.trim();
        if trimmed.len() < text.len() && !trimmed.is_empty() {
            let start = text.len() - text.trim_start().len();
            let end = start + trimmed.len();
            for at in end.saturating_sub(self.max_bytes).max(start)..end {
                if self.is_first[bytes[at] as usize]
                    && walk(&self.forward, bytes[at..end].iter()) == Match::Partial
                {
                    cuts.push(after_char(text, at));
                }
            }
            self.cut_start(text, start, &mut cuts);
        }
        cuts.sort_unstable();
        cuts.dedup();
        cuts
    }

    /// One cut breaks every name that could end in text[start..]: behind the first character, or
    /// before it if that character alone ends a name.
    fn cut_start(&self, text: &str, start: usize, cuts: &mut Vec<usize>) {
        let bytes = &text.as_bytes()[start..];
        if bytes.is_empty() {
            return;
        }
        let behind = after_char(text, start);
        let mut found = false;
        for n in 1..=bytes.len().min(self.max_bytes) {
            if self.is_last[bytes[n - 1] as usize]
                && walk(&self.backward, bytes[..n].iter().rev()) == Match::Partial
            {
                if start + n <= behind {
                    cuts.push(start);
                    return;
                }
                found = true;
            }
        }
        if found {
            cuts.push(behind);
        }
    }

    fn guard_text(&self, text: &mut String, guard: char) -> bool {
        let cuts = self.cuts(text);
        if cuts.is_empty() {
            return false;
        }
        let mut out = String::with_capacity(text.len() + cuts.len() * guard.len_utf8());
        let mut from = 0;
        for cut in cuts {
            out.push_str(&text[from..cut]);
            out.push(guard);
            from = cut;
        }
        out.push_str(&text[from..]);
        *text = out;
        true
    }

    /// Guards every string and object key in the value; says whether any needed it. The members of
    /// the outermost object keep their names: they are the template's variables.
    pub fn guard_value(&self, value: &mut Value, guard: char, is_outermost: bool) -> bool {
        match value {
            Value::String(s) => self.guard_text(s, guard),
            Value::Array(items) => {
                items.iter_mut().fold(false, |any, item| self.guard_value(item, guard, false) | any)
            }
            Value::Object(members) => {
                let mut any = false;
                for (_, member) in members.iter_mut() {
                    any |= self.guard_value(member, guard, false);
                }
                if !is_outermost && members.keys().any(|k| !self.cuts(k).is_empty()) {
                    any = true;
                    *members = std::mem::take(members)
                        .into_iter()
                        .map(|(mut k, v)| {
                            self.guard_text(&mut k, guard);
                            (k, v)
                        })
                        .collect();
                }
                any
            }
            _ => false,
        }
    }
}

fn after_char(text: &str, at: usize) -> usize {
    let mut end = at + 1;
    while !text.is_char_boundary(end) {
        end += 1;
    }
    end
}

/// Narrows the range of names that begin as the text does.
fn walk<'a>(names: &[Vec<u8>], text: impl Iterator<Item = &'a u8>) -> Match {
    let mut range = names;
    for (depth, &byte) in text.enumerate() {
        // All of the range agree on the first `depth` bytes, so those that end here come first.
        let low = range.partition_point(|n| n.len() <= depth || n[depth] < byte);
        let high = range.partition_point(|n| n.len() <= depth || n[depth] <= byte);
        range = &range[low..high];
        match range.first() {
            None => return Match::None,
            Some(n) if n.len() == depth + 1 => return Match::Whole,
            Some(_) => {}
        }
    }
    if range.is_empty() {
        Match::None
    } else {
        Match::Partial
    }
}

/// The first of the noncharacters U+FDD0..U+FDEF that none of the texts holds.
pub fn choose_guard(value: &Value, texts: &[&str]) -> Option<char> {
    let mut used = 0u32;
    for text in texts {
        used |= guards_in(text);
    }
    used |= guards_in_value(value);
    (0..32).find(|i| used & (1 << i) == 0).and_then(|i| char::from_u32(0xfdd0 + i))
}

fn guards_in(text: &str) -> u32 {
    text.chars()
        .filter(|c| ('\u{fdd0}'..='\u{fdef}').contains(c))
        .fold(0, |used, c| used | 1 << (c as u32 - 0xfdd0))
}

fn guards_in_value(value: &Value) -> u32 {
    match value {
        Value::String(s) => guards_in(s),
        Value::Array(items) => items.iter().fold(0, |used, v| used | guards_in_value(v)),
        Value::Object(members) => {
            members.iter().fold(0, |used, (k, v)| used | guards_in(k) | guards_in_value(v))
        }
        _ => 0,
    }
}
