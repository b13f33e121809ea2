//! References as RFC 3986 resolves them, as far as schemas use them.

/// Scheme, authority, path; queries stay with the path.
struct Parts<'a> {
    scheme: Option<&'a str>,
    authority: Option<&'a str>,
    path: &'a str,
}

fn parts(uri: &str) -> Parts<'_> {
    let (scheme, rest) = match uri.split_once(':') {
        Some((s, rest)) if !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            (Some(s), rest)
        }
        _ => (None, uri),
    };
    match rest.strip_prefix("//") {
        Some(rest) => {
            let at = rest.find('/').unwrap_or(rest.len());
            Parts { scheme, authority: Some(&rest[..at]), path: &rest[at..] }
        }
        None => Parts { scheme, authority: None, path: rest },
    }
}

fn without_dots(path: &str) -> String {
    let mut out: Vec<&str> = Vec::new();
    let mut segments = path.split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." && out.len() > 1 {
                    out.pop();
                }
                if is_last {
                    out.push("");
                }
            }
            _ => out.push(segment),
        }
    }
    out.join("/")
}

/// The absolute URI of a reference without its fragment, and the fragment.
pub fn resolve(base: &str, reference: &str) -> (String, String) {
    let (reference, fragment) = reference.split_once('#').unwrap_or((reference, ""));
    let of = parts(reference);
    if reference.is_empty() {
        return (base.into(), decoded(fragment));
    }
    let under = parts(base);
    let whole = |scheme: Option<&str>, authority: Option<&str>, path: &str| {
        let scheme = scheme.map_or(String::new(), |s| format!("{s}:"));
        let authority = authority.map_or(String::new(), |a| format!("//{a}"));
        format!("{scheme}{authority}{path}")
    };
    let uri = if of.scheme.is_some() {
        reference.to_string()
    } else if of.authority.is_some() {
        whole(under.scheme, of.authority, &without_dots(of.path))
    } else if of.path.starts_with('/') {
        whole(under.scheme, under.authority, &without_dots(of.path))
    } else {
        let folder = under.path.rfind('/').map_or("", |at| &under.path[..=at]);
        let root = if folder.is_empty() && under.authority.is_some() { "/" } else { "" };
        whole(under.scheme, under.authority, &without_dots(&format!("{root}{folder}{}", of.path)))
    };
    (uri, decoded(fragment))
}

fn decoded(fragment: &str) -> String {
    let mut out = Vec::new();
    let bytes = fragment.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let code = (bytes[at] == b'%')
            .then(|| fragment.get(at + 1..at + 3))
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(code.unwrap_or(bytes[at]));
        at += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn references_resolve_against_their_base() {
        for (base, reference, uri, fragment) in [
            ("", "#/$defs/a%25b", "", "/$defs/a%b"),
            ("http://h/a/b.json", "c.json#x", "http://h/a/c.json", "x"),
            ("http://h/a/b.json", "../c.json", "http://h/c.json", ""),
            ("http://h/a/b.json", "/c.json", "http://h/c.json", ""),
            ("http://h", "c.json", "http://h/c.json", ""),
            ("http://h/a/", "urn:uuid:1#/x", "urn:uuid:1", "/x"),
            ("a/b.json", "c.json", "a/c.json", ""),
            ("http://h/a", "//g/x/./y", "http://g/x/y", ""),
        ] {
            assert_eq!(resolve(base, reference), (uri.into(), fragment.into()), "{reference}");
        }
    }
}
