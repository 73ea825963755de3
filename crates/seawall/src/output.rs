//! What a command prints: text for people, JSON for programs, errors for both.

use arrow::array::RecordBatch;
use clap::ValueEnum;
use seawall_base::Error;
use seawall_base::error::Result;
use serde::Serialize;
use serde_json::json;

/// Version of the JSON that commands print.
pub const JSON_VERSION: u32 = 1;

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs: one JSON object.
    Json,
}

/// How a command ended, when it did not fail by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All is well.
    Ok,
    /// An expected failure: a breach, a failed check.
    Breach,
    /// There are changes, and the caller asked to be told.
    Changes,
    /// Somebody must approve first.
    Waiting,
}

impl Exit {
    /// The process's exit code.
    pub fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Breach => 1,
            Exit::Changes => 3,
            Exit::Waiting => 4,
        }
    }
}

/// Prints one JSON object with the format's version first.
pub fn print_json<T: Serialize>(value: &T) -> Result<()> {
    let value =
        serde_json::to_value(value).map_err(|e| Error::internal("SW0893", "cannot encode the answer").because(e))?;
    let mut object = serde_json::Map::new();
    object.insert("version".into(), json!(JSON_VERSION));
    match value {
        serde_json::Value::Object(fields) => object.extend(fields),
        other => {
            object.insert("value".into(), other);
        }
    }
    println!("{}", serde_json::Value::Object(object));
    Ok(())
}

/// Reports an error: to standard error for people, to standard output as JSON for programs.
pub fn report(error: &Error, output: Output) {
    match output {
        Output::Json => println!(
            "{}",
            json!({"version": JSON_VERSION, "error": {
                "code": error.code(),
                "kind": error.kind(),
                "message": error.to_string(),
                "hint": error.remedy(),
            }})
        ),
        Output::Text => {
            eprintln!("error[{}]: {error}", error.code());
            if let Some(hint) = error.remedy() {
                eprintln!("  hint: {hint}");
            }
            eprintln!("  more: seawall explain {}", error.code());
        }
    }
}

/// Rows as a table for people.
pub fn table(batches: &[RecordBatch]) -> Result<String> {
    Ok(arrow::util::pretty::pretty_format_batches(batches)?.to_string())
}

/// A count with thousands separated.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number of bytes, for people.
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = number as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{number} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// The explanation of a number, as the server gives it, for people.
pub fn explanation(view: &str, feature: &str, explained: &serde_json::Value) -> String {
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut lines =
        vec![format!("{view}.{feature} = {}  ({})", text(&explained["value"]), text(&explained["meaning"]))];
    lines.push(format!(
        "window: {} to {}",
        match &explained["from"] {
            serde_json::Value::Null => "the beginning".to_owned(),
            from => text(from),
        },
        text(&explained["until"])
    ));
    for row in explained["rows"].as_array().into_iter().flatten() {
        let mark = if row["included"] == json!(true) { "+" } else { " " };
        lines.push(format!(
            " {mark} {}:{}  event {}  available {}  value {}  {}",
            row["row"]["partition"],
            row["row"]["offset"],
            text(&row["event_time"]),
            text(&row["available_at"]),
            text(&row["value"]),
            text(&row["why"])
        ));
    }
    let left_out = explained["rows_left_out"].as_u64().unwrap_or(0);
    if left_out > 0 {
        lines.push(format!("   {left_out} more rows near the window are not listed"));
    }
    lines.join("\n")
}
