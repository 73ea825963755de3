//! Strict reading of one cell of text: no trimming, no silent casts, nothing rounded to fit.
//!
//! Every function says why a text does not fit by a [`Fault`]; messages are made from faults only for the rows that
//! fail. Timestamps are in [`super::instant`].

/// Why one cell does not fit the contract's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Another type altogether.
    NotA(&'static str),
    /// A number that the type cannot hold.
    OutOfRange(&'static str),
    /// NaN or an infinity, spelled out or by overflow.
    NotFinite,
    /// Converting would lose digits.
    Lossy(&'static str),
    /// A local time that clocks skipped.
    Gap,
    /// A fraction of a second below a microsecond.
    Nanoseconds,
    /// JSON inside a cell that does not parse.
    Json,
    /// Not in the form that the contract gives.
    Form,
    /// No zone where the contract wants one.
    ZoneMissing,
    /// A zone where the contract wants none.
    ZoneGiven,
}

impl Fault {
    /// The rule that the reason names.
    pub(super) fn rule(self) -> &'static str {
        match self {
            Fault::NotFinite => "not_finite",
            Fault::Gap => "local_time_gap",
            Fault::Nanoseconds => "precision",
            Fault::Lossy(_) => "precision",
            Fault::ZoneMissing | Fault::ZoneGiven => "timezone",
            Fault::NotA(_) | Fault::OutOfRange(_) | Fault::Json | Fault::Form => "type",
        }
    }

    /// What follows "COLUMN is VALUE" in the message.
    pub(super) fn message(self) -> String {
        match self {
            Fault::NotA(what) => format!("which is not {what}"),
            Fault::OutOfRange(what) => format!("which is beyond the range of {what}"),
            Fault::NotFinite => "which is not a finite 64-bit number".to_owned(),
            Fault::Lossy(what) => format!("which {what} cannot hold exactly"),
            Fault::Gap => "a local time that the zone's clocks skipped".to_owned(),
            Fault::Nanoseconds => "which is finer than a microsecond".to_owned(),
            Fault::Json => "which is not valid JSON".to_owned(),
            Fault::Form => "which does not have the form that the contract gives".to_owned(),
            Fault::ZoneMissing => "which names no zone".to_owned(),
            Fault::ZoneGiven => "which names a zone, where local times are wanted".to_owned(),
        }
    }
}

const INTEGER: Fault = Fault::NotA("an integer");
const NUMBER: Fault = Fault::NotA("a number");
const DATE: Fault = Fault::NotA("a date like 2014-01-31");
pub(super) const TIME: Fault = Fault::NotA("a time like 08:05:00");

/// `-?[0-9]+` within i64.
pub(super) fn integer(text: &str) -> Result<i64, Fault> {
    let bytes = text.as_bytes();
    let (negative, digits) = match bytes.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, bytes),
    };
    if digits.is_empty() {
        return Err(INTEGER);
    }
    let mut value: i64 = 0;
    let mut overflow = false;
    for &byte in digits {
        if !byte.is_ascii_digit() {
            return Err(INTEGER);
        }
        let digit = i64::from(byte - b'0');
        let next =
            value.checked_mul(10).and_then(|v| if negative { v.checked_sub(digit) } else { v.checked_add(digit) });
        match next {
            Some(next) => value = next,
            None => overflow = true,
        }
    }
    if overflow { Err(Fault::OutOfRange("a 64-bit integer")) } else { Ok(value) }
}

/// A decimal number, optionally with an exponent; its nearest f64, which must be finite.
pub(super) fn number(text: &str) -> Result<f64, Fault> {
    if spells_not_finite(text) {
        return Err(Fault::NotFinite);
    }
    let reads_well = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'));
    if !reads_well || text.starts_with('+') {
        return Err(NUMBER);
    }
    let value: f64 = text.parse().map_err(|_| NUMBER)?;
    if value.is_finite() { Ok(value) } else { Err(Fault::NotFinite) }
}

fn spells_not_finite(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    ["nan", "inf", "infinity"].iter().any(|word| unsigned.eq_ignore_ascii_case(word))
}

/// A decimal number as `(digits, scale)` with value `digits / 10^scale`, exact; at most 38 significant digits.
pub(super) fn decimal_parts(text: &str) -> Result<(i128, i32), Fault> {
    if spells_not_finite(text) {
        return Err(Fault::NotFinite);
    }
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].strip_prefix('+').unwrap_or(&text[at + 1..])),
        None => (text, "0"),
    };
    let exponent: i32 = match integer(exponent) {
        Ok(value) => i32::try_from(value.clamp(-1_000_000, 1_000_000)).map_err(|_| NUMBER)?,
        Err(Fault::OutOfRange(_)) => return Err(Fault::OutOfRange("the decimal")),
        Err(_) => return Err(NUMBER),
    };
    let (negative, unsigned) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return Err(NUMBER);
    }
    // Zeros at the end of the fraction say nothing about the value and must not use up the digits.
    let fraction = fraction.trim_end_matches('0');
    let mut digits: i128 = 0;
    for byte in whole.bytes().chain(fraction.bytes()) {
        let digit = i128::from(byte - b'0');
        digits = digits
            .checked_mul(10)
            .and_then(|value| value.checked_add(digit))
            .ok_or(Fault::OutOfRange("the decimal"))?;
    }
    let scale = i32::try_from(fraction.len()).map_err(|_| NUMBER)? - exponent;
    Ok((if negative { -digits } else { digits }, scale))
}

/// A decimal of `precision` digits, `scale` of them after the point; digits beyond the scale must be zero.
pub(super) fn decimal(text: &str, precision: u8, scale: i8) -> Result<i128, Fault> {
    let (digits, from) = decimal_parts(text)?;
    rescale(digits, from, precision, scale)
}

/// `digits / 10^from` as a decimal of `precision` and `scale`, exact or not at all.
pub(super) fn rescale(digits: i128, from: i32, precision: u8, scale: i8) -> Result<i128, Fault> {
    let too_big = Fault::OutOfRange("the decimal");
    let shift = i32::from(scale) - from;
    let value = if digits == 0 {
        0
    } else if shift >= 0 {
        let factor = power_of_ten(shift).ok_or(too_big)?;
        digits.checked_mul(factor).ok_or(too_big)?
    } else {
        let divisor = power_of_ten(-shift).ok_or(Fault::Lossy("the decimal"))?;
        if digits % divisor != 0 {
            return Err(Fault::Lossy("the decimal"));
        }
        digits / divisor
    };
    let limit = power_of_ten(i32::from(precision)).ok_or(too_big)?;
    if value.abs() < limit { Ok(value) } else { Err(too_big) }
}

/// `10^exponent` for exponents of 0 to 38.
pub(super) fn power_of_ten(exponent: i32) -> Option<i128> {
    10i128.checked_pow(u32::try_from(exponent).ok()?)
}

/// `true` or `false`, in lower case, upper case or capitalised.
pub(super) fn boolean(text: &str) -> Result<bool, Fault> {
    match text {
        "true" | "True" | "TRUE" => Ok(true),
        "false" | "False" | "FALSE" => Ok(false),
        _ => Err(Fault::NotA("true or false")),
    }
}

/// `YYYY-MM-DD` as days since 1970-01-01.
pub(super) fn date(text: &str) -> Result<i32, Fault> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return Err(DATE);
    }
    let year = digits(&bytes[0..4]).ok_or(DATE)?;
    let month = digits(&bytes[5..7]).ok_or(DATE)?;
    let day = digits(&bytes[8..10]).ok_or(DATE)?;
    days(year, month, day).ok_or(DATE)
}

/// Days since 1970-01-01 of a proleptic Gregorian date; `None` when there is no such day.
pub(super) fn days(year: u32, month: u32, day: u32) -> Option<i32> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if day == 0 || day > length {
        return None;
    }
    // Years begin in March, so that the leap day is the last day of its year.
    let shifted = i64::from(year) - i64::from(month <= 2);
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let month_from_march = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    i32::try_from(era * 146_097 + day_of_era - 719_468).ok()
}

/// `HH:MM`, `HH:MM:SS` or `HH:MM:SS.fraction` (1 to 9 digits) as nanoseconds since midnight.
pub(super) fn time_of_day(text: &str) -> Result<i64, Fault> {
    let bytes = text.as_bytes();
    if bytes.len() < 5 || bytes[2] != b':' {
        return Err(TIME);
    }
    let hour = digits(&bytes[0..2]).filter(|h| *h < 24).ok_or(TIME)?;
    let minute = digits(&bytes[3..5]).filter(|m| *m < 60).ok_or(TIME)?;
    let (second, nanos) = match &bytes[5..] {
        [] => (0, 0),
        [b':', rest @ ..] if rest.len() >= 2 => {
            let second = digits(&rest[..2]).filter(|s| *s < 60).ok_or(TIME)?;
            (second, fraction(&rest[2..]).ok_or(TIME)?)
        }
        _ => return Err(TIME),
    };
    Ok(i64::from(hour * 3600 + minute * 60 + second) * 1_000_000_000 + i64::from(nanos))
}

/// Nanoseconds since midnight as `HH:MM:SS`, with as many digits of a fraction as are needed.
pub(super) fn time_text(nanos: i64) -> String {
    let (seconds, fraction) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction == 0 { text } else { format!("{text}.{fraction:09}").trim_end_matches('0').to_owned() }
}

/// `.` and 1 to 9 digits as nanoseconds; nothing at all is 0.
fn fraction(bytes: &[u8]) -> Option<u32> {
    match bytes {
        [] => Some(0),
        [b'.' | b',', rest @ ..] if !rest.is_empty() && rest.len() <= 9 => {
            let value = digits(rest)?;
            Some(value * 10u32.pow(9 - u32::try_from(rest.len()).ok()?))
        }
        _ => None,
    }
}

/// A number of up to nine ASCII digits.
pub(super) fn digits(bytes: &[u8]) -> Option<u32> {
    let mut value = 0u32;
    for &byte in bytes {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u32::from(byte - b'0'))?;
    }
    (!bytes.is_empty()).then_some(value)
}
