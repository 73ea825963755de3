//! Decision certificates: the records behind one decision, hashed one by one and signed together, so that anybody can
//! check them offline and sees which record was touched.
//!
//! The file is the JSON that [`Catalog::decision_certificate`] gives, compact or indented by two, with at most one line
//! feed at its end, and nothing else: every byte counts. The hash of a record is the BLAKE3 of the canonical JSON of
//! `{"body": BODY, "name": NAME}`: compact, keys sorted by their bytes, numbers as Seawall writes them. `root` is
//! `Hash::of_parts` of those hashes in order. The signature is over [`signed_bytes`]. A signature proves that the holder
//! of the key issued the file; whose key that is, the reader must know, and can name.

use std::ops::Range;

use seawall_base::{Error, Hash, Permit, Result};
use serde_json::{Value, json};

use crate::audit::{self, Draft};
use crate::catalog::Catalog;
use crate::policy::{Action, expect_action};
use crate::signing::{hex, unhex, verify_signature};

#[cfg(test)]
mod tests;

/// What the field `format` of a decision certificate holds.
pub const DECISION_CERTIFICATE_FORMAT: &str = "seawall-decision-certificate-1";
/// Bytes of a file that is read at most.
pub const CERTIFICATE_BYTES_MAX: usize = 16 << 20;
/// Fields of a certificate, in order.
const FIELDS: [&str; 6] = ["format", "records", "root", "public_key", "signature", "issued_at"];
/// Fields of a record, in order.
const RECORD_FIELDS: [&str; 3] = ["name", "body", "hash"];

impl Catalog {
    /// Signs named records together, in their order, and notes in the audit ledger that it did.
    ///
    /// Needs a permit for `verify_skew`, `read_rows`, `read_audit` or `administer`. `Invalid` (SW1134) when there is no
    /// record or the certificate would be too large or too deeply nested to be read.
    pub async fn decision_certificate(&self, permit: &Permit, records: Vec<(String, Value)>) -> Result<Value> {
        expect_action(permit, &[Action::VerifySkew, Action::ReadRows, Action::ReadAudit, Action::Administer])?;
        let names: Vec<String> = records.iter().map(|(name, _)| name.clone()).collect();
        let hashes: Vec<Hash> = records.iter().map(|(name, body)| record_hash(name, body)).collect();
        let root = root_of(&hashes);
        let issued_at = self.now().to_string();
        let signed: Vec<Value> = records
            .into_iter()
            .zip(&hashes)
            .map(|((name, body), hash)| json!({"name": name, "body": body, "hash": hash}))
            .collect();
        let key = self.signing_key()?;
        let certificate = json!({
            "format": DECISION_CERTIFICATE_FORMAT,
            "records": signed,
            "root": root,
            "public_key": hex(key.public_key()),
            "signature": hex(&key.sign(&signed_bytes(root, &issued_at))),
            "issued_at": issued_at,
        });
        let written = serde_json::to_string_pretty(&certificate).map_err(unwritable)?;
        verify_decision_certificate(written.as_bytes()).map_err(|error| {
            Error::invalid("SW1134", "a certificate of these records could not be read again")
                .because(error)
                .hint("give at least one record, none nested deeper than 100 levels, of 16 MiB together")
        })?;
        let mut write = self.begin().await?;
        let detail = json!({"root": root, "records": names});
        audit::append(&mut write, self.now(), Draft::of("decision_certificate", permit, detail)).await?;
        write.commit().await?;
        Ok(certificate)
    }
}

/// The bytes that are signed.
pub fn signed_bytes(root: Hash, issued_at: &str) -> Vec<u8> {
    format!("seawall decision certificate v1\n{root}\n{issued_at}\n").into_bytes()
}

/// Whether `bytes` are a decision certificate by their field `format`, sound or not.
pub fn is_decision_certificate(bytes: &[u8]) -> bool {
    let parsed: Option<Value> = serde_json::from_slice(bytes).ok();
    parsed.is_some_and(|value| value["format"] == DECISION_CERTIFICATE_FORMAT)
}

/// Checks a decision certificate, without any catalog, and gives the names of its records in order.
///
/// `Corrupt` when it is no certificate (SW1130), when a record does not have its hash (SW1131), when the signature does
/// not fit (SW1132), or when bytes were touched that leave the values as they are (SW1133). The message names the record.
/// That the key is the expected one is for [`verify_decision_certificate_of`].
pub fn verify_decision_certificate(bytes: &[u8]) -> Result<Vec<String>> {
    let certificate = parse(bytes)?;
    let records = certificate["records"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut names = Vec::with_capacity(records.len());
    let mut hashes = Vec::with_capacity(records.len());
    for (i, record) in records.iter().enumerate() {
        let (name, hash) = check_record(i, record)?;
        names.push(name);
        hashes.push(hash);
    }
    expect_fields(&certificate, &FIELDS).map_err(|what| unreadable(&format!("it {what}")))?;
    if certificate["format"] != DECISION_CERTIFICATE_FORMAT {
        return Err(unreadable("it has another format"));
    }
    if records.is_empty() {
        return Err(unreadable("it has no records"));
    }
    check_signature(&certificate, root_of(&hashes))?;
    check_bytes(bytes, &certificate, &names)?;
    Ok(names)
}

/// [`verify_decision_certificate`], and that the holder of `public_key` (hexadecimal) signed it; another key is `Corrupt`
/// (SW1132).
pub fn verify_decision_certificate_of(bytes: &[u8], public_key: &str) -> Result<Vec<String>> {
    let names = verify_decision_certificate(bytes)?;
    let certificate = parse(bytes)?;
    let signer = text(&certificate, "public_key")?;
    if signer.eq_ignore_ascii_case(public_key) {
        return Ok(names);
    }
    Err(forged(&format!("key {signer} signed it, not the expected one")))
}

fn parse(bytes: &[u8]) -> Result<Value> {
    if bytes.len() > CERTIFICATE_BYTES_MAX {
        return Err(unreadable(&format!("it is longer than {CERTIFICATE_BYTES_MAX} bytes")));
    }
    serde_json::from_slice(bytes).map_err(|e| unreadable("it is not JSON").because(e))
}

/// Name and hash of a sound record.
fn check_record(i: usize, record: &Value) -> Result<(String, Hash)> {
    let name = record["name"].as_str().unwrap_or("without a name").to_owned();
    let broken = |what: &str| {
        Error::corrupt("SW1131", format!("record {} ({name}) {what}", i + 1))
            .hint("it was changed after it was signed; ask the issuer for the original file")
    };
    expect_fields(record, &RECORD_FIELDS).map_err(|what| broken(&what))?;
    let hash = record_hash(&name, &record["body"]);
    // Compared as text, so that no other spelling of the same hash passes.
    if !record["name"].is_string() || record["hash"] != hash.to_string() {
        return Err(broken("does not have the hash it was signed with"));
    }
    Ok((name, hash))
}

fn check_signature(certificate: &Value, root: Hash) -> Result<()> {
    if certificate["root"] != root.to_string() {
        return Err(forged("its root is not that of its records: one was added, removed or moved"));
    }
    let public_key = bytes_of(certificate, "public_key")?;
    let signature = bytes_of(certificate, "signature")?;
    verify_signature(&public_key, &signed_bytes(root, text(certificate, "issued_at")?), &signature)
        .map_err(|error| forged("its signature does not fit").because(error))
}

/// Whether the file holds nothing but the certificate: what parses to the same values, such as other white space or a
/// digit beyond a number's precision, was touched all the same.
fn check_bytes(bytes: &[u8], certificate: &Value, names: &[String]) -> Result<()> {
    let content = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let forms = [Layout::of(certificate, false)?, Layout::of(certificate, true)?];
    if forms.iter().any(|form| form.text.as_bytes() == content) {
        return Ok(());
    }
    let agreement = |form: &Layout| form.text.bytes().zip(content).take_while(|(one, other)| one == *other).count();
    let [compact, indented] = &forms;
    let form = if agreement(compact) >= agreement(indented) { compact } else { indented };
    let at = agreement(form);
    let place = match form.records.iter().position(|span| span.contains(&at)) {
        Some(i) => format!("record {} ({})", i + 1, names[i]),
        None => "the certificate".to_owned(),
    };
    Err(Error::corrupt("SW1133", format!("{place} is not written as Seawall writes it, from byte {at} on"))
        .hint("it was changed or reformatted after it was signed; ask the issuer for the original file"))
}

/// A certificate as Seawall writes it, and where its records lie in the text.
struct Layout {
    text: String,
    records: Vec<Range<usize>>,
}

impl Layout {
    /// The text is that of serde_json, compact or indented; it is put together here to know where each record lies.
    fn of(certificate: &Value, is_indented: bool) -> Result<Layout> {
        let write = |value: &Value| match is_indented {
            true => serde_json::to_string_pretty(value).map_err(unwritable),
            false => serde_json::to_string(value).map_err(unwritable),
        };
        let (before, between, after) = if is_indented { ("\n    ", ",\n    ", "\n  ") } else { ("", ",", "") };
        let mut frame = certificate.clone();
        frame["records"] = json!([]);
        let frame = write(&frame)?;
        // The only field before the records is the format, which holds no bracket.
        let (head, tail) = frame.split_once("[]").ok_or_else(|| unreadable("it has no records"))?;
        let mut text = format!("{head}[{before}");
        let mut records = Vec::new();
        for (i, record) in certificate["records"].as_array().into_iter().flatten().enumerate() {
            if i > 0 {
                text.push_str(between);
            }
            let start = text.len();
            // Line feeds within strings are escaped: these are indentation.
            text.push_str(&write(record)?.replace('\n', "\n    "));
            records.push(start..text.len());
        }
        text.push_str(after);
        text.push(']');
        text.push_str(tail);
        Ok(Layout { text, records })
    }
}

/// Hash of one record.
fn record_hash(name: &str, body: &Value) -> Hash {
    let mut text = String::new();
    write_canonical(&json!({"body": body, "name": name}), &mut text);
    Hash::of(text.as_bytes())
}

fn root_of(hashes: &[Hash]) -> Hash {
    Hash::of_parts(hashes.iter().map(|hash| hash.0.as_slice()))
}

/// Compact JSON with sorted keys.
fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<(&String, &Value)> = fields.iter().collect();
            sorted.sort_unstable_by_key(|(key, _)| key.as_bytes());
            text.push('{');
            for (i, (key, field)) in sorted.into_iter().enumerate() {
                text.push_str(if i > 0 { "," } else { "" });
                text.push_str(&Value::String(key.clone()).to_string());
                text.push(':');
                write_canonical(field, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (i, item) in items.iter().enumerate() {
                text.push_str(if i > 0 { "," } else { "" });
                write_canonical(item, text);
            }
            text.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => text.push_str(&value.to_string()),
    }
}

/// Says what is wrong unless `value` is an object of exactly these fields in this order.
fn expect_fields(value: &Value, fields: &[&str]) -> std::result::Result<(), String> {
    let found: Option<Vec<&str>> = value.as_object().map(|object| object.keys().map(String::as_str).collect());
    match found {
        Some(found) if found == fields => Ok(()),
        _ => Err(format!("does not have the fields {}, in this order", fields.join(", "))),
    }
}

fn text<'a>(certificate: &'a Value, field: &str) -> Result<&'a str> {
    certificate[field].as_str().ok_or_else(|| unreadable(&format!("its field {field} is no text")))
}

/// The bytes of a hexadecimal field in the one spelling that Seawall writes.
fn bytes_of(certificate: &Value, field: &str) -> Result<Vec<u8>> {
    let spelled = text(certificate, field)?;
    let bytes = unhex(spelled).map_err(|e| forged(&format!("its field {field} was changed")).because(e))?;
    match hex(&bytes) == spelled {
        true => Ok(bytes),
        false => Err(forged(&format!("its field {field} is spelled otherwise"))),
    }
}

fn unreadable(what: &str) -> Error {
    Error::corrupt("SW1130", format!("this is no decision certificate: {what}"))
        .hint("give the file as it was issued; ask the issuer for the original")
}

fn forged(what: &str) -> Error {
    Error::corrupt("SW1132", format!("the certificate does not verify: {what}"))
        .hint("ask the issuer for the original file and for the installation's public key")
}

fn unwritable(cause: serde_json::Error) -> Error {
    Error::internal("SW0606", "writing a certificate as JSON failed").because(cause)
}
