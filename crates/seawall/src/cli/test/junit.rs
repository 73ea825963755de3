//! Results as JUnit XML, which every build server reads.

use super::Ended;

/// The report.
pub(super) fn report(project: &str, ended: &[Ended]) -> String {
    let failed = ended.iter().filter(|case| !case.differences.is_empty()).count();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    xml.push_str(&format!(
        "<testsuites>\n  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failed}\">\n",
        escaped(project),
        ended.len()
    ));
    for case in ended {
        let name = escaped(&case.name);
        match case.differences.first() {
            None => xml.push_str(&format!("    <testcase classname=\"seawall\" name=\"{name}\"/>\n")),
            Some(first) => xml.push_str(&format!(
                "    <testcase classname=\"seawall\" name=\"{name}\">\n      <failure message=\"{}\">{}</failure>\n    </testcase>\n",
                escaped(first),
                escaped(&case.differences.join("\n"))
            )),
        }
    }
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
}

/// Text without markup, and without the control characters that XML has no way to write.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() && !matches!(c, '\n' | '\t') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
