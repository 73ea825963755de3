//! The body of a request about contracts: one text or one set of rows, or several as `multipart/form-data`.

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use seawall_base::error::Result;
use seawall_base::{Error, Permit};
use seawall_catalog::policy::Action;

use super::super::body::{self, Patience};
use super::asked::Asked;
use crate::App;
use crate::ingest::{self, BODY_BYTES_MAX, Encoding, Taken, too_large};

/// Parts that a body may have.
const PARTS_MAX: usize = 8;
/// Bytes that the headers of a part may have.
const PART_HEADERS_BYTES_MAX: usize = 8 << 10;
/// The media type of a body with parts.
const MULTIPART: &str = "multipart/form-data";

/// A request whose caller may ask it, with its body in memory.
pub(super) struct Posted {
    /// What its address asks for.
    pub asked: Asked,
    /// Its headers.
    pub headers: HeaderMap,
    content_type: String,
    encoding: Encoding,
    packed: Bytes,
    room: Taken,
}

/// One part of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Its name; empty for the only part of a body without parts.
    pub name: String,
    /// The name of the file that it was.
    pub file: Option<String>,
    /// Its media type, lower case, without parameters; empty when nothing says it.
    pub media: String,
    /// What is in it.
    pub bytes: Bytes,
}

impl Posted {
    /// Reads the body of a request of which the caller may read the metadata of `resource`.
    ///
    /// # Errors
    /// Callers that may not, and bodies beyond the limits.
    pub async fn read(app: &App, resource: &str, request: Request) -> Result<Posted> {
        let (parts, body) = request.into_parts();
        let stated = body::stated_length(&parts.headers);
        let admitted = admit(app, resource, &parts.headers, stated).await;
        let (encoding, mut room) = match admitted {
            Ok(admitted) => admitted,
            Err(error) => {
                body::drain(body, stated).await;
                return Err(error);
            }
        };
        let jobs = &app.contracts;
        let packed = body::read(body, stated, Patience::default(), &mut room, &jobs.counters).await?;
        Ok(Posted {
            asked: Asked::of(&parts.uri)?,
            content_type: text(&parts.headers, header::CONTENT_TYPE).to_owned(),
            headers: parts.headers,
            encoding,
            packed,
            room,
        })
    }

    /// Whether the body has parts.
    pub fn has_parts(&self) -> bool {
        media_of(&self.content_type) == MULTIPART
    }

    /// The parts of the body; a body without parts is one without a name. Unpacks, so it belongs on the blocking pool.
    ///
    /// # Errors
    /// Bodies that cannot be unpacked or taken apart.
    pub fn parts(&mut self) -> Result<Vec<Part>> {
        let bytes = ingest::decompress(self.encoding, self.packed.clone(), &mut self.room)?;
        if self.has_parts() {
            return take_apart(&bytes, &self.content_type);
        }
        Ok(vec![Part { name: String::new(), file: None, media: media_of(&self.content_type), bytes }])
    }

    /// The only part of a body without parts.
    ///
    /// # Errors
    /// SW0256 when it has parts.
    pub fn whole(&mut self) -> Result<Part> {
        if self.has_parts() {
            return Err(Error::invalid("SW0256", "the body has parts, where one text is wanted")
                .hint("send it by itself, for example with `curl --data-binary @FILE`"));
        }
        let mut parts = self.parts()?;
        parts.pop().ok_or_else(|| Error::internal("SW0256", "a body without parts is one part"))
    }
}

impl Part {
    /// The part as text.
    ///
    /// # Errors
    /// SW0256 when it is not UTF-8.
    pub fn text(&self) -> Result<&str> {
        std::str::from_utf8(&self.bytes).map_err(|_| {
            Error::invalid("SW0256", format!("{} is not UTF-8 text", self.words())).hint("send it as UTF-8")
        })
    }

    fn words(&self) -> String {
        if self.name.is_empty() { "the body".to_owned() } else { format!("the part {:?}", self.name) }
    }
}

/// The part called `name`.
///
/// # Errors
/// SW0256 when there is none, or more than one.
pub(super) fn part(parts: &mut Vec<Part>, name: &str) -> Result<Part> {
    let wrong = |what: &str| {
        Error::invalid("SW0256", format!("the body has {what} part {name:?}"))
            .hint(format!("send it as {MULTIPART}, for example with `curl -F {name}=@FILE`"))
    };
    let at = parts.iter().position(|part| part.name == name).ok_or_else(|| wrong("no"))?;
    let found = parts.swap_remove(at);
    if parts.iter().any(|part| part.name == name) {
        return Err(wrong("more than one"));
    }
    Ok(found)
}

/// Everything that is decided before the body is read.
async fn admit(app: &App, resource: &str, headers: &HeaderMap, stated: Option<u64>) -> Result<(Encoding, Taken)> {
    let catalog = &app.pipeline.parts().catalog;
    let permit: Permit = app.access.permit(catalog, headers, Action::ReadMetadata, resource).await?;
    let encoding = Encoding::parse(text(headers, header::CONTENT_ENCODING))?;
    let length = usize::try_from(stated.unwrap_or(0)).unwrap_or(usize::MAX);
    if length > BODY_BYTES_MAX {
        return Err(too_large());
    }
    Ok((encoding, app.contracts.room.take(permit.principal(), length)?))
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn media_of(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Takes a `multipart/form-data` body apart (RFC 7578). The parts are slices of the body.
pub(super) fn take_apart(body: &Bytes, content_type: &str) -> Result<Vec<Part>> {
    let broken = |what: &str| {
        Error::invalid("SW0256", format!("the parts of the body cannot be read: {what}"))
            .hint("send it as curl does with `-F contract=@FILE -F rows=@FILE`")
    };
    let boundary = parameter(content_type, "boundary").filter(|text| !text.is_empty() && text.len() <= 70);
    let boundary = boundary.ok_or_else(|| broken("its type names no boundary"))?;
    let between = format!("\r\n--{boundary}");
    let first = between.trim_start();
    // Whatever stands before the first boundary is for nobody.
    let mut at = match body.starts_with(first.as_bytes()) {
        true => first.len(),
        false => find(body, between.as_bytes()).ok_or_else(|| broken("its boundary is nowhere"))? + between.len(),
    };
    let mut parts = Vec::new();
    loop {
        let rest = &body[at..];
        if rest.starts_with(b"--") {
            return Ok(parts);
        }
        if parts.len() == PARTS_MAX {
            return Err(broken("there are too many"));
        }
        let line_end = find(rest, b"\r\n").ok_or_else(|| broken("it ends too early"))?;
        if !rest[..line_end].trim_ascii().is_empty() {
            return Err(broken("its boundary stands within a part"));
        }
        let headers_at = at + line_end;
        let head = &body[headers_at..body.len().min(headers_at + PART_HEADERS_BYTES_MAX)];
        let head_end = find(head, b"\r\n\r\n").ok_or_else(|| broken("the headers of a part do not end"))?;
        let content_at = headers_at + head_end + 4;
        let length = find(&body[content_at..], between.as_bytes()).ok_or_else(|| broken("it ends too early"))?;
        let head = std::str::from_utf8(&head[..head_end]).map_err(|_| broken("the headers of a part are not UTF-8"))?;
        parts.push(
            described(head, body.slice(content_at..content_at + length)).ok_or_else(|| broken("a part has no name"))?,
        );
        at = content_at + length + between.len();
    }
}

/// A part by its headers.
fn described(head: &str, bytes: Bytes) -> Option<Part> {
    let value = |name: &str| {
        let mut lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let disposition = value("content-disposition")?;
    Some(Part {
        name: parameter(disposition, "name")?,
        file: parameter(disposition, "filename"),
        media: media_of(value("content-type").unwrap_or_default()),
        bytes,
    })
}

/// A parameter of a header such as `form-data; name="rows"`; in quotes, a backslash takes the next character as it is.
fn parameter(header: &str, name: &str) -> Option<String> {
    let mut rest = header.split_once(';')?.1;
    loop {
        let (key, after) = rest.split_once('=')?;
        let (value, next) = value_of(after)?;
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = next;
    }
}

/// The value that `text` begins with, and what stands behind the next semicolon.
fn value_of(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.trim_start().strip_prefix('"') else {
        let (value, rest) = text.split_once(';').unwrap_or((text, ""));
        return Some((value.trim().to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => {
                let rest = &quoted[at + 1..];
                return Some((value, rest.split_once(';').map_or("", |(_, rest)| rest)));
            }
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

/// Where `wanted` begins in `bytes`.
fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut at = 0;
    loop {
        at += bytes.get(at..)?.iter().position(|byte| *byte == first)?;
        if bytes[at..].starts_with(wanted) {
            return Some(at);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests;
