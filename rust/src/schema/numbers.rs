//! Decimal numbers without bounds, and regular expressions for those below and above one.

use std::cmp::Ordering;

use super::text::Set;

const DIGITS: &str = "[0-9]*";
const FRACTION: &str = r"(?:\.[0-9]+)?";
const UNSIGNED: &str = r"(?:0|[1-9][0-9]*)(?:\.[0-9]+)?";
pub const INTEGER: &str = "-?(?:0|[1-9][0-9]*)";
pub const NUMBER: &str = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?";
pub const ANY_NUMBER: &str = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?";
/// Those that are whole numbers, however written.
pub const WHOLE: &str = r"-?(?:0|[1-9][0-9]*)(?:\.0+)?";
const MAX_DIGITS: usize = 400;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Decimal {
    is_negative: bool,
    whole: String,    // no zeros before it, but for 0
    fraction: String, // no zeros behind it
}

impl Decimal {
    /// None: the exponent is too large.
    pub fn parse(text: &str) -> Option<Decimal> {
        let (text, is_negative) = text.strip_prefix('-').map_or((text, false), |rest| (rest, true));
        let (digits, exponent) = match text.split_once(['e', 'E']) {
            Some((digits, exponent)) => {
                (digits, exponent.trim_start_matches('+').parse::<i64>().ok()?)
            }
            None => (text, 0),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all = format!("{whole}{fraction}");
        let point = i64::try_from(whole.len()).ok()? + exponent;
        if point.unsigned_abs() as usize > MAX_DIGITS || all.len() > MAX_DIGITS {
            return None;
        }
        let (whole, fraction) = match point {
            ..=0 => (String::new(), format!("{}{all}", "0".repeat(-point as usize))),
            _ if point as usize >= all.len() => {
                (format!("{all}{}", "0".repeat(point as usize - all.len())), String::new())
            }
            _ => (all[..point as usize].into(), all[point as usize..].into()),
        };
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0').to_string();
        let whole = if whole.is_empty() { "0" } else { whole }.to_string();
        let is_zero = whole == "0" && fraction.is_empty();
        Some(Decimal { is_negative: is_negative && !is_zero, whole, fraction })
    }

    pub fn is_whole(&self) -> bool {
        self.fraction.is_empty()
    }

    fn size(&self) -> (usize, &str, &str) {
        (self.whole.len(), &self.whole, &self.fraction)
    }

    pub fn written(&self) -> String {
        let sign = if self.is_negative { "-" } else { "" };
        let point = if self.fraction.is_empty() { "" } else { "." };
        format!("{sign}{}{point}{}", self.whole, self.fraction)
    }

    /// Whether it is a multiple of another; None: too large to tell.
    pub fn is_multiple_of(&self, of: &Decimal) -> Option<bool> {
        let places = self.fraction.len().max(of.fraction.len());
        let scaled = |d: &Decimal| format!("{}{:0<places$}", d.whole, d.fraction).parse::<u128>();
        let (number, of) = (scaled(self).ok()?, scaled(of).ok()?);
        Some(of != 0 && number % of == 0)
    }
}

/// The whole numbers among the multiples of one are the multiples of this one; None: too large.
pub fn whole_multiple(of: &Decimal) -> Option<Decimal> {
    let places = u32::try_from(of.fraction.len()).ok()?;
    let number: u128 = format!("{}{}", of.whole, of.fraction).parse().ok()?;
    let (mut a, mut b) = (number, 10u128.checked_pow(places)?);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    Decimal::parse(&(number / a.max(1)).to_string())
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Decimal) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Decimal) -> Ordering {
        match (self.is_negative, other.is_negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.size().cmp(&other.size()),
            (true, true) => other.size().cmp(&self.size()),
        }
    }
}

/// Digits after which others may follow: those of text up to one, and there another one of a range.
fn differing(
    text: &str,
    ranges: impl Fn(usize, u8) -> Option<(u8, u8)>,
    after: &str,
) -> Vec<String> {
    text.bytes()
        .enumerate()
        .filter_map(|(i, digit)| {
            let (from, to) = ranges(i, digit - b'0').filter(|(from, to)| from <= to)?;
            let after = after.replace('#', &(text.len() - i - 1).to_string());
            Some(format!("{}[{from}-{to}]{after}", &text[..i]))
        })
        .collect()
}

fn above(_: usize, digit: u8) -> Option<(u8, u8)> {
    Some((digit + 1, 9))
}

/// Of unsigned numbers, those at least as large; larger, where it is strict.
fn at_least(d: &Decimal, is_strict: bool) -> String {
    let n = d.whole.len();
    let mut larger = differing(&d.whole, above, "[0-9]{#}");
    larger.push(format!("[1-9][0-9]{{{n},}}"));
    let mut all: Vec<String> = larger.iter().map(|digits| format!("{digits}{FRACTION}")).collect();
    let f = &d.fraction;
    let mut same = differing(f, above, DIGITS);
    same.push(match is_strict {
        true => format!("{f}{DIGITS}[1-9]{DIGITS}"),
        false => format!("{f}{DIGITS}"),
    });
    all.push(match f.is_empty() && !is_strict {
        true => format!("{}{FRACTION}", d.whole),
        false => format!(r"{}\.(?:{})", d.whole, same.join("|")),
    });
    format!("(?:{})", all.join("|"))
}

fn at_most(d: &Decimal, is_strict: bool) -> String {
    let n = d.whole.len();
    let lead = u8::from(n > 1);
    let below = |from: u8| {
        move |i: usize, digit: u8| {
            let from = if i == 0 { from } else { 0 };
            digit.checked_sub(1).map(|to| (from, to))
        }
    };
    let mut smaller = differing(&d.whole, below(lead), "[0-9]{#}");
    if n > 1 {
        smaller.push(format!("(?:0|[1-9][0-9]{{0,{}}})", n - 2));
    }
    let mut all: Vec<String> = smaller.iter().map(|digits| format!("{digits}{FRACTION}")).collect();
    let f = &d.fraction;
    let mut same = differing(f, below(0), DIGITS);
    same.extend((1..f.len()).map(|i| f[..i].to_string()));
    if !is_strict {
        same.push(if f.is_empty() { "0+".into() } else { format!("{f}0*") });
    }
    if !f.is_empty() || !is_strict {
        all.push(format!(r"{}(?:\.(?:{}))?", d.whole, same.join("|")));
    }
    match all.is_empty() {
        true => r"[^\x00-\x{10ffff}]".into(),
        false => format!("(?:{})", all.join("|")),
    }
}

pub fn not_below(d: &Decimal, is_strict: bool) -> Set {
    Set::Of(match d.is_negative {
        true => format!("(?:{UNSIGNED}|-{})", at_most(d, is_strict)),
        false => at_least(d, is_strict),
    })
}

pub fn not_above(d: &Decimal, is_strict: bool) -> Set {
    let is_zero = *d == Decimal { is_negative: false, whole: "0".into(), fraction: String::new() };
    Set::Of(match d.is_negative {
        true => format!("-{}", at_least(d, is_strict)),
        false if is_zero && is_strict => format!("-{}", at_least(d, true)),
        false => format!("(?:-{UNSIGNED}|{})", at_most(d, is_strict)),
    })
}

/// All that is written of a number.
pub fn spellings(d: &Decimal) -> Set {
    let text = d.written().replace('.', r"\.");
    Set::Of(match d.is_whole() {
        true if text == "0" => r"-?0(?:\.0+)?".into(),
        true => format!(r"{text}(?:\.0+)?"),
        false => format!("{text}0*"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Decimal {
        Decimal::parse(text).expect(text)
    }

    fn has(set: &Set, text: &str) -> bool {
        !Set::And(vec![set.clone(), Set::Of(text.replace('.', r"\."))]).is_empty()
    }

    #[test]
    fn bounds_hold_what_they_say() {
        let numbers = [
            "-120", "-100.01", "-100", "-99.99", "-11", "-10", "-9.5", "-1", "-0.51", "-0.5",
            "-0.05", "-0.001", "0", "0.001", "0.05", "0.5", "0.50", "0.51", "1", "1.0", "1.05",
            "1.5", "2", "9", "9.999", "10", "10.1", "11", "99", "100", "100.0", "100.01", "101",
            "1000",
        ];
        for bound in numbers {
            for number in numbers {
                let order = of(number).cmp(&of(bound));
                for is_strict in [false, true] {
                    let is_equal = order.is_eq() && !is_strict;
                    let low = has(&not_below(&of(bound), is_strict), number);
                    let high = has(&not_above(&of(bound), is_strict), number);
                    assert_eq!(low, order.is_gt() || is_equal, "{number} >= {bound} {is_strict}");
                    assert_eq!(high, order.is_lt() || is_equal, "{number} <= {bound} {is_strict}");
                }
            }
        }
    }

    #[test]
    fn numbers_are_equal_however_written() {
        assert_eq!(of("1e2"), of("100.0"));
        assert_eq!(of("-0.0"), of("0"));
        assert_eq!(of("12.50e-1").written(), "1.25");
        assert!(Decimal::parse("1e999999999").is_none());
        assert_eq!(of("0.0075").is_multiple_of(&of("0.0001")), Some(true));
        assert_eq!(whole_multiple(&of("0.75")), Some(of("3")));
        assert_eq!(whole_multiple(&of("6")), Some(of("6")));
        assert_eq!(of("-7").is_multiple_of(&of("2")), Some(false));
        assert!(has(&spellings(&of("1.5")), "1.500") && !has(&spellings(&of("15")), "150"));
    }
}
