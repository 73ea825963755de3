//! Names and the words of messages: what can be a name, what was probably meant, and lists in prose.

use std::str::FromStr;

use seawall_base::Span;

/// Why `text` cannot name something, if it cannot: names become tables, folders and columns everywhere.
pub(crate) fn name_problem(text: &str) -> Option<&'static str> {
    let reads_well = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !reads_well {
        return Some("a name has lower-case letters, digits and underscores");
    }
    if !text.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Some("a name begins with a letter");
    }
    if text.contains("__") || text.ends_with('_') {
        return Some("two underscores separate a view from its feature and a table from its kind");
    }
    (text.len() > NAME_BYTES_MAX).then_some("a name is at most 80 bytes long")
}

/// Longest name; with the endings that Seawall adds it still names a table.
pub(crate) const NAME_BYTES_MAX: usize = 80;

/// A valid name that resembles `text`.
pub fn identifier(text: &str) -> String {
    let mut name = String::new();
    let mut before = ' ';
    for c in text.trim().chars() {
        let starts_word = c.is_ascii_uppercase() && (before.is_ascii_lowercase() || before.is_ascii_digit());
        let wants_gap = starts_word || !c.is_ascii_alphanumeric();
        if wants_gap && !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
        if c.is_ascii_alphanumeric() {
            name.push(c.to_ascii_lowercase());
        }
        before = c;
    }
    name.truncate(NAME_BYTES_MAX - 2);
    let name = name.trim_end_matches('_');
    match name.chars().next() {
        None => "name".to_owned(),
        Some(first) if first.is_ascii_digit() => format!("n_{name}"),
        Some(_) => name.to_owned(),
    }
}

/// The candidate that `word` was probably meant to be.
pub(crate) fn suggest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let folded = fold(word);
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    let mut best: Option<(usize, &str)> = None;
    for candidate in &candidates {
        let plain = fold(candidate);
        let distance = strsim::osa_distance(&folded, &plain);
        let is_better = best.is_none_or(|(least, _)| distance < least);
        if distance <= allowed && distance < plain.chars().count() && is_better {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate).or_else(|| only_extension(&folded, &candidates))
}

/// The one candidate that begins with `word`, such as `amount_eur` for `amount`.
fn only_extension<'c>(word: &str, candidates: &[&'c str]) -> Option<&'c str> {
    let is_telling = word.chars().count() >= 3;
    let mut extensions = candidates.iter().filter(|candidate| is_telling && fold(candidate).starts_with(word));
    let only = extensions.next().copied();
    if extensions.next().is_none() { only } else { None }
}

/// `name` without what authors mix up: case, hyphens, blanks and underscores.
fn fold(name: &str) -> String {
    name.to_lowercase().replace(['-', ' ', '_'], "")
}

/// `a`, `b` and `c`.
pub(crate) fn listed<'c>(words: impl IntoIterator<Item = &'c str>, last: &str) -> String {
    let quoted: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match quoted.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [first @ .., end] => format!("{} {last} {end}", first.join(", ")),
    }
}

/// `24h` for "24 hours", "24 H" and the like.
pub(crate) fn nearest_span(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (count, rest) = text.split_at(digits);
    if count.is_empty() {
        return None;
    }
    let unit = match rest.trim() {
        "us" | "microseconds" | "microsecond" => "us",
        "ms" | "milliseconds" | "millisecond" | "millis" => "ms",
        "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "m" | "min" | "mins" | "minute" | "minutes" => "m",
        "h" | "hr" | "hrs" | "hour" | "hours" => "h",
        "d" | "day" | "days" => "d",
        "w" | "week" | "weeks" => "w",
        _ => return None,
    };
    let span = format!("{count}{unit}");
    Span::from_str(&span).is_ok().then_some(span)
}

/// [`name_problem`] as a pattern, but for the length.
pub(crate) const NAME_PATTERN: &str = "^[a-z][a-z0-9]*(_[a-z0-9]+)*$";

/// Bytes of a size such as `512MiB` or `2GiB`; the unit is always told, as a bare number leaves it open.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (count, unit) = text.split_at(digits);
    let shift = match unit {
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return None,
    };
    let is_plain = (1..=SIZE_DIGITS_MAX).contains(&count.len()) && !count.starts_with('0');
    let count: u64 = count.parse().ok().filter(|_| is_plain)?;
    count.checked_mul(1 << shift)
}

/// Digits of a size; with the largest unit it still fits 64 bits.
const SIZE_DIGITS_MAX: usize = 7;

/// [`bytes`] as a pattern.
pub(crate) const SIZE_PATTERN: &str = "^[1-9][0-9]{0,6}(KiB|MiB|GiB|TiB)$";

/// `all`, `none`, or a percentage, in millionths: four digits behind the point are told apart.
pub(crate) fn share(text: &str) -> Option<u32> {
    let percent = match text {
        "all" => return Some(1_000_000),
        "none" => return Some(0),
        text => text.strip_suffix('%')?,
    };
    let (whole, part) = percent.split_once('.').unwrap_or((percent, "0"));
    let reads = |digits: &str, most: usize| {
        (1..=most).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !reads(whole, 3) || !reads(part, 4) {
        return None;
    }
    let millionths: u32 = format!("{whole}{part:0<4}").parse().ok()?;
    (1..=1_000_000).contains(&millionths).then_some(millionths)
}

/// [`share`] as a pattern, but for its bounds.
pub(crate) const SHARE_PATTERN: &str = r"^(all|none|[0-9]{1,3}(\.[0-9]{1,4})?%)$";
