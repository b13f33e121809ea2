//! Formats that replies are held to. Others are notes, as the standard has it.

/// A day that its month has, the 29th of February in leap years.
const DATE: &str = concat!(
    r"(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])",
    r"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))",
    r"|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)",
);
const TIME: &str = concat!(
    r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?",
    r"(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])",
);
const LABEL: &str = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
const OCTET: &str = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
const GROUP: &str = r"[0-9A-Fa-f]{1,4}";
const URI_CHAR: &str = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})";

/// A pattern of all of a string.
pub fn pattern(name: &str) -> Option<String> {
    let body = match name {
        "date" => DATE.into(),
        "time" => TIME.into(),
        "date-time" => format!("{DATE}T{TIME}"),
        "duration" => duration(),
        "email" => format!(r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*@{LABEL}(?:\.{LABEL})*"),
        "hostname" => format!(r"{LABEL}(?:\.{LABEL})*"),
        "ipv4" => format!(r"{OCTET}(?:\.{OCTET}){{3}}"),
        "ipv6" => ipv6(),
        "uuid" => {
            r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}".into()
        }
        "uri" => {
            let more = format!("(?:{URI_CHAR}|[/?])*");
            let place = format!(r"(?://(?:{URI_CHAR}|[\[\]])*)?(?:/|{URI_CHAR})*");
            format!(r"[A-Za-z][A-Za-z0-9+.-]*:{place}(?:\?{more})?(?:#{more})?")
        }
        "json-pointer" => r"(?:/(?:[^~/]|~[01])*)*".into(),
        _ => return None,
    };
    Some(format!("^(?:{body})$"))
}

fn duration() -> String {
    let date = r"(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)";
    let time = r"T(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S)";
    format!("P(?:{date}(?:{time})?|{time}|[0-9]+W)")
}

/// Eight groups, or fewer with :: for the others.
fn ipv6() -> String {
    let mut all = vec![format!("(?:{GROUP}:){{7}}{GROUP}")];
    for n_before in 0..=7 {
        let before = match n_before {
            0 => String::new(),
            _ => format!("{GROUP}(?::{GROUP}){{{}}}", n_before - 1),
        };
        let after = match 7 - n_before {
            0 => String::new(),
            n => format!("(?:{GROUP}(?::{GROUP}){{0,{}}})?", n - 1),
        };
        all.push(format!("{before}::{after}"));
    }
    all.join("|")
}

#[cfg(test)]
mod tests {
    use super::super::pattern::set_of;
    use super::super::text::Set;
    use super::pattern;

    #[test]
    fn formats_hold_what_they_say() {
        for (name, good, bad) in [
            ("date", "2024-02-29", "2023-02-29"),
            ("time", "23:59:59Z", "24:00:00Z"),
            ("date-time", "2024-12-31T23:59:59.5+01:00", "2024-12-31 23:59:59Z"),
            ("duration", "P1Y2M3DT4H", "P1D2Y"),
            ("email", "a.b@example.org", "a@@b"),
            ("hostname", "a-b.example", "-a.example"),
            ("ipv4", "192.168.0.255", "192.168.0.256"),
            ("ipv6", "fe80::1", "1::2::3"),
            ("ipv6", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8:9"),
            ("uuid", "2eb8aa08-aa98-11ea-b4aa-73b441d16380", "2eb8aa08"),
            ("uri", "https://example.org/a?b=c#d", "no uri"),
            ("json-pointer", "/a/b~1", "a"),
        ] {
            let set = set_of(&pattern(name).expect(name)).expect(name);
            let has = |text| !Set::And(vec![set.clone(), Set::literal(text)]).is_empty();
            assert!(has(good), "{name} {good}");
            assert!(!has(bad), "{name} {bad}");
        }
        assert!(pattern("regex").is_none());
    }
}
