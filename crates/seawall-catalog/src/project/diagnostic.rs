//! What is wrong with a project, where, and what to do about it; as text for people and as JSON for tools.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::ops::Range;
use std::path::PathBuf;

use annotate_snippets::{AnnotationKind, Element, Level, Origin, Renderer, Snippet};
use serde::Serialize;
use serde::ser::SerializeStruct;

use super::source::{Place, SourceFile, floor_char};

/// Version of the JSON that [`Diagnostics`] serializes to.
const JSON_VERSION: u32 = 1;
/// Lines shown around a marked place, so that a short declaration is seen whole.
const CONTEXT_LINES: usize = 1;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The project cannot be applied.
    Error,
    /// It can, but it is probably not what was meant.
    Warning,
}

/// One problem at one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The code that `seawall explain` knows.
    pub code: Cow<'static, str>,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, lower case.
    pub message: String,
    /// File, relative to the project's folder.
    pub file: PathBuf,
    /// Line of the first character, from 1.
    pub line: usize,
    /// Column of the first character, from 1, in characters.
    pub column: usize,
    /// Line of the place after the last character.
    pub end_line: usize,
    /// Column after the last character.
    pub end_column: usize,
    /// The same range in bytes of the file; empty when the problem has no extent.
    pub span: Range<usize>,
    /// Text for the place itself, when the message does not say it all.
    pub label: Option<String>,
    /// Other places that belong to the problem.
    pub labels: Vec<Label>,
    /// What to do about it.
    pub help: Option<String>,
}

/// Another place that belongs to a problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Label {
    /// File, relative to the project's folder.
    pub file: PathBuf,
    /// Line of the first character, from 1.
    pub line: usize,
    /// Column of the first character, from 1, in characters.
    pub column: usize,
    /// The range in bytes of that file.
    pub span: Range<usize>,
    /// What this place has to do with it.
    pub text: String,
}

/// Everything found in one go, with the texts it points into.
///
/// Displays as plain text; [`Diagnostics::render`] can colour it; serializes as
/// `{"version": 1, "errors": n, "warnings": n, "diagnostics": [...]}`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    files: Vec<SourceFile>,
}

impl Diagnostics {
    /// The problems, ordered by file and place.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// How many of them are errors.
    pub fn error_count(&self) -> usize {
        self.list.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count()
    }

    /// Each problem with the lines it is about, then a line that counts them. Colours are ANSI sequences.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let mut text = String::new();
        for diagnostic in &self.list {
            text.push_str(&self.render_one(diagnostic, &renderer));
            text.push_str("\n\n");
        }
        text.push_str(&self.summary());
        text
    }

    /// The same as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("diagnostics are plain data with text keys")
    }

    /// `2 errors, 1 warning`.
    fn summary(&self) -> String {
        if self.list.is_empty() {
            return "no problems".to_owned();
        }
        let errors = self.error_count();
        let warnings = self.list.len() - errors;
        let count = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
        let mut text = count(errors, "error");
        if warnings > 0 {
            let _ = write!(text, ", {}", count(warnings, "warning"));
        }
        text
    }

    fn render_one(&self, diagnostic: &Diagnostic, renderer: &Renderer) -> String {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group =
            level.primary_title(diagnostic.message.as_str()).id(diagnostic.code.as_ref()).elements([] as [Element; 0]);
        for element in self.snippets(diagnostic) {
            group = group.element(element);
        }
        if let Some(help) = &diagnostic.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        renderer.render(&[group])
    }

    /// One excerpt per file that the problem touches, the problem's own file first.
    fn snippets<'a>(&'a self, diagnostic: &'a Diagnostic) -> Vec<Element<'a>> {
        let mut by_file: Vec<(&PathBuf, Vec<Mark<'a>>)> = vec![(
            &diagnostic.file,
            vec![Mark {
                kind: AnnotationKind::Primary,
                span: diagnostic.span.clone(),
                text: diagnostic.label.as_deref(),
            }],
        )];
        for label in &diagnostic.labels {
            let mark =
                Mark { kind: AnnotationKind::Context, span: label.span.clone(), text: Some(label.text.as_str()) };
            match by_file.iter_mut().find(|(path, _)| **path == label.file) {
                Some((_, marks)) => marks.push(mark),
                None => by_file.push((&label.file, vec![mark])),
            }
        }
        by_file.into_iter().map(|(path, marks)| self.excerpt(path, marks)).collect()
    }

    fn excerpt<'a>(&'a self, path: &PathBuf, marks: Vec<Mark<'a>>) -> Element<'a> {
        let shown = path.to_string_lossy().into_owned();
        let file = self.files.iter().find(|file| file.path == *path).filter(|file| !file.text.is_empty());
        let Some(file) = file else {
            return Origin::path(shown).into();
        };
        let region = lines_around(&file.text, &marks);
        let (line_start, _) = file.position(region.start);
        let snippet = Snippet::source(&file.text[region.clone()]).line_start(line_start).path(shown);
        let annotations = marks.into_iter().map(|mark| {
            let start = floor_char(&file.text, mark.span.start) - region.start;
            let end =
                floor_char(&file.text, first_line_end(&file.text, &mark.span)).max(mark.span.start) - region.start;
            mark.kind.span(start..end.max(start)).label(mark.text)
        });
        snippet.annotations(annotations).into()
    }
}

/// A place to be marked in an excerpt.
struct Mark<'a> {
    kind: AnnotationKind,
    span: Range<usize>,
    text: Option<&'a str>,
}

/// The end of `span`, or of its first line: marks that run over many lines hide what they point at.
fn first_line_end(text: &str, span: &Range<usize>) -> usize {
    let start = floor_char(text, span.start);
    let end = floor_char(text, span.end).max(start);
    text[start..end].find('\n').map_or(end, |newline| start + newline)
}

/// The whole lines that hold every mark, with a little around them.
fn lines_around(text: &str, marks: &[Mark<'_>]) -> Range<usize> {
    let first = marks.iter().map(|mark| mark.span.start).min().unwrap_or(0);
    let last = marks.iter().map(|mark| first_line_end(text, &mark.span)).max().unwrap_or(0);
    let mut start = floor_char(text, first);
    let mut end = floor_char(text, last);
    for _ in 0..=CONTEXT_LINES {
        start = text[..start].trim_end_matches(|c| c != '\n').len();
        start = start.saturating_sub(usize::from(start > 0));
        end = text[end..].find('\n').map_or(text.len(), |newline| (end + newline + 1).min(text.len()));
    }
    if start > 0 {
        start += 1;
    }
    start..end.max(start)
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

impl Serialize for Diagnostics {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Diagnostics", 4)?;
        fields.serialize_field("version", &JSON_VERSION)?;
        fields.serialize_field("errors", &self.error_count())?;
        fields.serialize_field("warnings", &(self.list.len() - self.error_count()))?;
        fields.serialize_field("diagnostics", &self.list)?;
        fields.end()
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}

/// Problems while they are being found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    drafts: Vec<Draft>,
}

/// A problem whose place is not yet turned into lines and columns.
#[derive(Debug)]
pub(crate) struct Draft {
    code: Cow<'static, str>,
    severity: Severity,
    message: String,
    place: Place,
    label: Option<String>,
    labels: Vec<(Place, String)>,
    help: Option<String>,
}

impl Draft {
    /// Says something about the place itself.
    pub fn here(&mut self, text: impl Into<String>) -> &mut Self {
        self.label = Some(text.into());
        self
    }

    /// Points at another place.
    pub fn label(&mut self, place: Place, text: impl Into<String>) -> &mut Self {
        self.labels.push((place, text.into()));
        self
    }

    /// Says what to do.
    pub fn help(&mut self, text: impl Into<String>) -> &mut Self {
        self.help = Some(text.into());
        self
    }
}

impl Report {
    /// Adds an error.
    pub fn error(
        &mut self,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
        place: Place,
    ) -> &mut Draft {
        self.push(code.into(), Severity::Error, message.into(), place)
    }

    /// Adds a warning.
    pub fn warning(
        &mut self,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
        place: Place,
    ) -> &mut Draft {
        self.push(code.into(), Severity::Warning, message.into(), place)
    }

    /// Adds an error of another crate.
    pub fn adopt_error(&mut self, error: &seawall_base::Error, place: Place) -> &mut Draft {
        let draft = self.error(error.code(), error.to_string(), place);
        draft.help = error.remedy().map(str::to_owned);
        draft
    }

    /// Errors so far.
    pub fn error_count(&self) -> usize {
        self.drafts.iter().filter(|draft| draft.severity == Severity::Error).count()
    }

    /// Whether there is an error at exactly this place.
    pub fn has_error_at(&self, place: Place) -> bool {
        self.drafts.iter().any(|draft| draft.severity == Severity::Error && draft.place == place)
    }

    /// Whether there is an error at or within this place.
    pub fn has_error_within(&self, place: Place) -> bool {
        let is_within = |inner: Place| inner.file == place.file && inner.start >= place.start && inner.end <= place.end;
        self.drafts.iter().any(|draft| draft.severity == Severity::Error && is_within(draft.place))
    }

    /// Whether there is an error in the file with this index.
    pub fn has_error_in(&self, file: usize) -> bool {
        self.drafts.iter().any(|draft| draft.severity == Severity::Error && draft.place.file == file)
    }

    fn push(&mut self, code: Cow<'static, str>, severity: Severity, message: String, place: Place) -> &mut Draft {
        self.drafts.push(Draft { code, severity, message, place, label: None, labels: Vec::new(), help: None });
        self.drafts.last_mut().expect("a draft was pushed just above")
    }

    /// Gives every problem its line and column; keeps the texts that are pointed into.
    pub fn finish(mut self, files: &[SourceFile]) -> Diagnostics {
        self.drafts.sort_by_key(|draft| draft.place);
        let list: Vec<Diagnostic> = self.drafts.into_iter().map(|draft| draft.finish(files)).collect();
        let is_shown = |file: &&SourceFile| {
            list.iter().any(|d| d.file == file.path || d.labels.iter().any(|label| label.file == file.path))
        };
        let files = files.iter().filter(is_shown).cloned().collect();
        Diagnostics { list, files }
    }
}

impl Draft {
    fn finish(self, files: &[SourceFile]) -> Diagnostic {
        let file = &files[self.place.file];
        let (line, column) = file.position(self.place.start);
        let (end_line, end_column) = file.position(self.place.end);
        let labels = self.labels.into_iter().map(|(place, text)| {
            let file = &files[place.file];
            let (line, column) = file.position(place.start);
            Label { file: file.path.clone(), line, column, span: place.range(), text }
        });
        Diagnostic {
            code: self.code,
            severity: self.severity,
            message: self.message,
            file: file.path.clone(),
            line,
            column,
            end_line,
            end_column,
            span: self.place.range(),
            label: self.label,
            labels: labels.collect(),
            help: self.help,
        }
    }
}
