//! Forms of dates and times as `DateTimeFormatter` of the JDK writes them: `dd/MM/yyyy HH:mm:ss.SSSXXX`.
//!
//! The letters of dates, times, fractions, offsets and zones are read, with quoted literals and optional sections in
//! brackets; texts of months are English. Three departures make the standard's own examples readable: a bare `T` is a
//! literal, `Z` reads any offset (`Z`, `+0200`, `+02:00`), and `YYYY` beside a month or a day is the year, not the
//! week-based year.

use jiff::tz::TimeZone;

use super::text::{self, Fault};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
/// Optional sections within one form; each doubles the ways to read a text.
const SECTIONS_MAX: usize = 6;

/// A compiled form.
#[derive(Debug, Clone)]
pub(super) struct Form {
    written: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Literal(char),
    /// A number of `least` to `most` digits.
    Number(Unit, usize, usize),
    /// Two digits of a year from 2000.
    ShortYear,
    /// Digits of a fraction of a second, exactly so many.
    Fraction(usize),
    Month {
        full: bool,
    },
    DayName {
        full: bool,
    },
    HalfDay,
    /// `+02`, `+0200` or `+02:00`, or `Z` where `zulu` allows it.
    Offset {
        zulu: bool,
    },
    /// An id of the IANA database.
    ZoneId,
    Optional(Vec<Part>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Year,
    Month,
    Day,
    DayOfYear,
    Hour,
    /// 1 to 24, where 24 is midnight.
    HourFrom1,
    HalfHour,
    /// 1 to 12, where 12 is midnight or noon.
    HalfHourFrom1,
    Minute,
    Second,
    MilliOfDay,
    Nano,
    NanoOfDay,
}

/// What a text in some form says.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields {
    year: Option<u32>,
    month: Option<u32>,
    day: Option<u32>,
    day_of_year: Option<u32>,
    hour: Option<u32>,
    half_hour: Option<u32>,
    afternoon: Option<bool>,
    minute: u32,
    second: u32,
    nanos: u32,
    nano_of_day: Option<i64>,
    /// Seconds east of UTC.
    pub offset_s: Option<i64>,
    pub zone: Option<TimeZone>,
}

impl Fields {
    /// Days since 1970-01-01.
    pub(super) fn days(&self) -> Result<i32, Fault> {
        let year = self.year.ok_or(Fault::Form)?;
        if let Some(day_of_year) = self.day_of_year {
            let first = text::days(year, 1, 1).ok_or(Fault::Form)?;
            let next = text::days(year + 1, 1, 1).ok_or(Fault::Form)?;
            let day = first + i32::try_from(day_of_year).map_err(|_| Fault::Form)? - 1;
            return if day >= first && day < next { Ok(day) } else { Err(Fault::Form) };
        }
        text::days(year, self.month.unwrap_or(1), self.day.unwrap_or(1)).ok_or(Fault::Form)
    }

    /// Nanoseconds since midnight.
    pub(super) fn nanos_of_day(&self) -> Result<i64, Fault> {
        if let Some(nanos) = self.nano_of_day {
            return if (0..86_400_000_000_000).contains(&nanos) { Ok(nanos) } else { Err(Fault::Form) };
        }
        let hour = match (self.hour, self.half_hour) {
            (Some(hour), _) => hour,
            (None, Some(half)) if half < 12 => half + if self.afternoon == Some(true) { 12 } else { 0 },
            (None, Some(_)) => return Err(Fault::Form),
            (None, None) => 0,
        };
        if hour > 23 || self.minute > 59 || self.second > 59 {
            return Err(Fault::Form);
        }
        Ok(i64::from(hour * 3600 + self.minute * 60 + self.second) * 1_000_000_000 + i64::from(self.nanos))
    }
}

impl Form {
    /// Compiles a form; the error says what is wrong with it.
    pub(super) fn compile(written: &str) -> Result<Form, String> {
        let mut compiler = Compiler { rest: written.chars().collect(), at: 0, sections: 0 };
        let mut parts = compiler.parts(false)?;
        let is_dated = |part: &Part| matches!(part, Part::Number(Unit::Month | Unit::Day, ..) | Part::Month { .. });
        if any(&parts, &is_dated) {
            // `DD` beside a month is a slip for `dd`; the standard's own default has it.
            day_of_month(&mut parts);
        }
        Ok(Form { written: written.to_owned(), parts })
    }

    /// The form as it was written.
    pub(super) fn written(&self) -> &str {
        &self.written
    }

    /// Whether texts in this form tell a time of day.
    pub(super) fn tells_time(&self) -> bool {
        let is_time = |part: &Part| {
            use Unit::{HalfHour, HalfHourFrom1, Hour, HourFrom1, MilliOfDay, NanoOfDay};
            let hours = [Hour, HourFrom1, HalfHour, HalfHourFrom1, MilliOfDay, NanoOfDay];
            matches!(part, Part::Number(unit, ..) if hours.contains(unit))
        };
        any(&self.parts, &is_time)
    }

    /// Whether texts in this form tell a date.
    pub(super) fn tells_date(&self) -> bool {
        any(&self.parts, &|part| matches!(part, Part::ShortYear | Part::Number(Unit::Year, ..)))
    }

    /// Reads the whole of `text`.
    pub(super) fn read(&self, text: &str) -> Result<Fields, Fault> {
        let bytes = text.as_bytes();
        let parts: Vec<&Part> = self.parts.iter().collect();
        read_parts(&parts, bytes, Fields::default()).ok_or(Fault::Form)
    }
}

fn any(parts: &[Part], holds: &dyn Fn(&Part) -> bool) -> bool {
    parts.iter().any(|part| holds(part) || matches!(part, Part::Optional(inner) if any(inner, holds)))
}

fn day_of_month(parts: &mut [Part]) {
    for part in parts {
        match part {
            Part::Number(unit @ Unit::DayOfYear, _, most) => {
                *unit = Unit::Day;
                *most = 2;
            }
            Part::Optional(inner) => day_of_month(inner),
            _ => {}
        }
    }
}

struct Compiler {
    rest: Vec<char>,
    at: usize,
    sections: usize,
}

impl Compiler {
    fn parts(&mut self, inside: bool) -> Result<Vec<Part>, String> {
        let mut parts = Vec::new();
        while let Some(&c) = self.rest.get(self.at) {
            self.at += 1;
            match c {
                '\'' => self.quoted(&mut parts)?,
                '[' => {
                    self.sections += 1;
                    if self.sections > SECTIONS_MAX {
                        return Err(format!("it has more than {SECTIONS_MAX} optional sections"));
                    }
                    parts.push(Part::Optional(self.parts(true)?));
                }
                ']' if inside => return Ok(parts),
                ']' => return Err("a bracket closes nothing".to_owned()),
                '{' | '}' | '#' => return Err(format!("{c:?} is reserved")),
                'T' => parts.push(Part::Literal('T')),
                c if c.is_ascii_alphabetic() => {
                    let mut count = 1;
                    while self.rest.get(self.at) == Some(&c) {
                        count += 1;
                        self.at += 1;
                    }
                    parts.push(letter(c, count)?);
                }
                c => parts.push(Part::Literal(c)),
            }
        }
        if inside { Err("a bracket is not closed".to_owned()) } else { Ok(parts) }
    }

    fn quoted(&mut self, parts: &mut Vec<Part>) -> Result<(), String> {
        if self.rest.get(self.at) == Some(&'\'') {
            self.at += 1;
            parts.push(Part::Literal('\''));
            return Ok(());
        }
        loop {
            let c = *self.rest.get(self.at).ok_or("a quote is not closed")?;
            self.at += 1;
            match (c, self.rest.get(self.at)) {
                ('\'', Some('\'')) => {
                    self.at += 1;
                    parts.push(Part::Literal('\''));
                }
                ('\'', _) => return Ok(()),
                (c, _) => parts.push(Part::Literal(c)),
            }
        }
    }
}

/// What `count` times the letter `c` stands for.
fn letter(c: char, count: usize) -> Result<Part, String> {
    // One letter takes as many digits as there are, up to what the unit can have; two or more take exactly as many.
    let number = |unit, most: usize| {
        let (least, most) = if count == 1 { (1, most) } else { (count, count) };
        Ok(Part::Number(unit, least, most))
    };
    match c {
        'y' | 'u' | 'Y' if count == 2 => Ok(Part::ShortYear),
        'y' | 'u' | 'Y' if count <= 9 => number(Unit::Year, 4),
        'M' | 'L' if count <= 2 => number(Unit::Month, 2),
        'M' | 'L' if count <= 4 => Ok(Part::Month { full: count == 4 }),
        'd' if count <= 2 => number(Unit::Day, 2),
        'D' if count <= 3 => Ok(Part::Number(Unit::DayOfYear, count, 3)),
        'E' if count <= 4 => Ok(Part::DayName { full: count == 4 }),
        'a' if count == 1 => Ok(Part::HalfDay),
        'H' if count <= 2 => number(Unit::Hour, 2),
        'k' if count <= 2 => number(Unit::HourFrom1, 2),
        'K' if count <= 2 => number(Unit::HalfHour, 2),
        'h' if count <= 2 => number(Unit::HalfHourFrom1, 2),
        'm' if count <= 2 => number(Unit::Minute, 2),
        's' if count <= 2 => number(Unit::Second, 2),
        'S' if count <= 9 => Ok(Part::Fraction(count)),
        'A' => number(Unit::MilliOfDay, 8),
        'n' => number(Unit::Nano, 9),
        'N' => number(Unit::NanoOfDay, 14),
        'X' | 'Z' if count <= 5 => Ok(Part::Offset { zulu: true }),
        'x' if count <= 5 => Ok(Part::Offset { zulu: false }),
        'V' if count == 2 => Ok(Part::ZoneId),
        'z' if count <= 4 => Ok(Part::ZoneId),
        _ => Err(format!("{:?} has no meaning that can be read", c.to_string().repeat(count))),
    }
}

/// Reads `parts` from the whole of `bytes`; an optional section is tried first and left out second.
fn read_parts(parts: &[&Part], mut bytes: &[u8], mut fields: Fields) -> Option<Fields> {
    for (i, part) in parts.iter().enumerate() {
        if let Part::Optional(inner) = part {
            let mut with: Vec<&Part> = inner.iter().collect();
            with.extend(&parts[i + 1..]);
            return read_parts(&with, bytes, fields.clone()).or_else(|| read_parts(&parts[i + 1..], bytes, fields));
        }
        bytes = read_part(part, bytes, &mut fields)?;
    }
    bytes.is_empty().then_some(fields)
}

/// Reads one part; the bytes after it.
fn read_part<'b>(part: &Part, bytes: &'b [u8], fields: &mut Fields) -> Option<&'b [u8]> {
    match part {
        Part::Literal(c) => bytes.strip_prefix(c.encode_utf8(&mut [0; 4]).as_bytes()),
        Part::Number(unit, least, most) => {
            let (value, rest) = digits(bytes, *least, *most)?;
            set(fields, *unit, value).then_some(rest)
        }
        Part::ShortYear => {
            let (value, rest) = digits(bytes, 2, 2)?;
            fields.year = Some(2000 + u32::try_from(value).ok()?);
            Some(rest)
        }
        Part::Fraction(count) => {
            let (value, rest) = digits(bytes, *count, *count)?;
            fields.nanos = u32::try_from(value).ok()? * 10u32.pow(9 - u32::try_from(*count).ok()?);
            Some(rest)
        }
        Part::Month { full } => {
            let (index, rest) = name(bytes, &MONTHS, *full)?;
            fields.month = Some(u32::try_from(index).ok()? + 1);
            Some(rest)
        }
        Part::DayName { full } => name(bytes, &DAYS, *full).map(|(_, rest)| rest),
        Part::HalfDay => {
            let (half, rest) = bytes.split_at_checked(2)?;
            fields.afternoon = Some(half.eq_ignore_ascii_case(b"pm"));
            (half.eq_ignore_ascii_case(b"am") || half.eq_ignore_ascii_case(b"pm")).then_some(rest)
        }
        Part::Offset { zulu } => offset(bytes, *zulu, fields),
        Part::ZoneId => {
            let length = bytes.iter().take_while(|b| b.is_ascii_alphanumeric() || b"/_+-".contains(b)).count();
            let (id, rest) = bytes.split_at(length);
            fields.zone = Some(TimeZone::get(std::str::from_utf8(id).ok()?).ok()?);
            Some(rest)
        }
        Part::Optional(_) => None,
    }
}

fn set(fields: &mut Fields, unit: Unit, value: u64) -> bool {
    let Ok(small) = u32::try_from(value) else {
        fields.nano_of_day = i64::try_from(value).ok();
        return unit == Unit::NanoOfDay && fields.nano_of_day.is_some();
    };
    match unit {
        Unit::Year => fields.year = Some(small),
        Unit::Month => fields.month = Some(small),
        Unit::Day => fields.day = Some(small),
        Unit::DayOfYear => fields.day_of_year = Some(small),
        Unit::Hour => fields.hour = Some(small),
        Unit::HourFrom1 => fields.hour = Some(small % 24),
        Unit::HalfHour => fields.half_hour = Some(small),
        Unit::HalfHourFrom1 => fields.half_hour = Some(small % 12),
        Unit::Minute => fields.minute = small,
        Unit::Second => fields.second = small,
        Unit::Nano => fields.nanos = small,
        Unit::MilliOfDay => fields.nano_of_day = Some(i64::from(small) * 1_000_000),
        Unit::NanoOfDay => fields.nano_of_day = Some(i64::from(small)),
    }
    match unit {
        Unit::HourFrom1 => (1..=24).contains(&small),
        Unit::HalfHourFrom1 => (1..=12).contains(&small),
        Unit::HalfHour => small < 12,
        Unit::Nano => small < 1_000_000_000,
        _ => true,
    }
}

/// A number of `least` to `most` digits and what follows it.
fn digits(bytes: &[u8], least: usize, most: usize) -> Option<(u64, &[u8])> {
    let count = bytes.iter().take(most).take_while(|b| b.is_ascii_digit()).count();
    if count < least {
        return None;
    }
    let mut value = 0u64;
    for byte in &bytes[..count] {
        value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
    }
    Some((value, &bytes[count..]))
}

/// One of `names`, whole or by its first three letters.
fn name<'b>(bytes: &'b [u8], names: &[&str], full: bool) -> Option<(usize, &'b [u8])> {
    for (index, name) in names.iter().enumerate() {
        let wanted = if full { name } else { &name[..3] };
        if let Some((head, rest)) = bytes.split_at_checked(wanted.len())
            && head.eq_ignore_ascii_case(wanted.as_bytes())
        {
            return Some((index, rest));
        }
    }
    None
}

fn offset<'b>(bytes: &'b [u8], zulu: bool, fields: &mut Fields) -> Option<&'b [u8]> {
    if let Some(rest) = bytes.strip_prefix(b"Z").filter(|_| zulu) {
        fields.offset_s = Some(0);
        return Some(rest);
    }
    let (sign, rest) = match bytes.split_first()? {
        (b'+', rest) => (1, rest),
        (b'-', rest) => (-1, rest),
        _ => return None,
    };
    let (hour, rest) = digits(rest, 2, 2)?;
    let after = rest.strip_prefix(b":").unwrap_or(rest);
    let (minute, rest) = digits(after, 2, 2).unwrap_or((0, rest));
    if hour > 18 || minute > 59 {
        return None;
    }
    fields.offset_s = Some(sign * (i64::try_from(hour).ok()? * 3600 + i64::try_from(minute).ok()? * 60));
    Some(rest)
}
