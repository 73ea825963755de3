//! `report.html`: the story as one page that needs nothing else, for people who were not there.

use std::fmt::Write as _;
use std::path::Path;

use seawall_base::error::Result;
use seawall_base::watch::{Advice, Decision, DecisionKind, Incident, Signal};
use seawall_base::{Instant, Span};
use seawall_pipeline::source::simulator::Truth;

use super::story::Story;
use super::{day, minute};
use crate::assemble::Installation;
use crate::output::count;

/// Signals drawn at most.
const SIGNALS_MAX: u32 = 100_000;
const STYLE: &str = include_str!("report.css");

/// Writes the report.
pub(super) async fn write(file: &Path, story: &Story, truth: &Truth, installation: &Installation) -> Result<()> {
    let signals = installation.catalog.signals(Some("fraud"), SIGNALS_MAX).await?;
    let certificates = installation.catalog.certificates().await?;
    let certificate = certificates.last().map(|one| one.hash.to_string());
    let page = page(story, truth, &signals, certificate.as_deref());
    std::fs::write(file, page)?;
    Ok(())
}

fn page(story: &Story, truth: &Truth, signals: &[Signal], certificate: Option<&str>) -> String {
    let mut out = String::with_capacity(64 << 10);
    let mut put = |html: String| out.push_str(&html);
    put(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Seawall: what happened to the fraud model</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
    ));
    put(headline(story));
    put(ingest(story));
    put(faults(story));
    put(model(story, truth, signals));
    put(incidents(story));
    put(proof(story, certificate));
    put("</main>\n</body>\n</html>\n".to_owned());
    out
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn headline(story: &Story) -> String {
    let incidents = story.alarms.incidents;
    let tile =
        |number: String, label: &str| format!("<li><b>{}</b><span>{}</span></li>", escape(&number), escape(label));
    let found = story.faults.iter().filter(|fault| fault.detected).count();
    let tiles = [
        tile(count(story.ingest.received), "rows received, every one accounted for"),
        tile(format!("{found} of {}", story.faults.len()), "faults upstream noticed"),
        tile(incidents.to_string(), &format!("incidents, {} about nothing", story.alarms.unfounded)),
        tile(story.models.promoted.to_string(), &format!("promotions, {} held back", story.models.held_back)),
        tile(count(story.skew.replayed), &format!("served vectors recomputed, {} differ", story.skew.mismatched)),
    ];
    format!(
        "<header>\n<p class=\"kicker\">Seawall &middot; simulated card payments</p>\n\
         <h1>What came in, what was wrong with it, and why this model decides</h1>\n\
         <p>{} to {}. Everything on this page is simulated: no person, card or merchant exists. The simulator keeps its own \
         record of what it broke; nothing that detects or decides can read it, and this page compares the two.</p>\n\
         <ul class=\"tiles\">{}</ul>\n</header>\n",
        escape(&story.period.0.chars().take(10).collect::<String>()),
        escape(&story.period.1.chars().take(10).collect::<String>()),
        tiles.concat()
    )
}

fn ingest(story: &Story) -> String {
    let i = &story.ingest;
    let parts = [
        ("accepted", i.accepted, "ok"),
        ("quarantined", i.quarantined, "warn"),
        ("deduplicated", i.deduplicated, "calm"),
        ("rejected", i.rejected, "bad"),
    ];
    let mut html = String::from("<section>\n<h2>What came in, and what was stopped</h2>\n");
    let verdict = match story.ingest == story.truth {
        true => "exactly what the simulator sent, kind by kind",
        false => "NOT what the simulator sent",
    };
    let _ = write!(
        html,
        "<p>{} rows: {verdict}.</p>\n<table><tr><th>fate</th><th>rows</th><th></th></tr>",
        count(i.received)
    );
    for (name, rows, class) in parts {
        let share = rows as f64 / i.received.max(1) as f64 * 100.0;
        let _ = write!(
            html,
            "<tr><td>{name}</td><td class=\"n\">{}</td><td class=\"track\"><div class=\"bar {class}\" style=\"width:{:.2}%\"></div></td></tr>",
            count(rows),
            share.max(0.3)
        );
    }
    html.push_str("</table>\n<h3>Stopped at the door, by reason</h3>\n<table><tr><th>reason</th><th>stopped</th><th>broken by the simulator</th></tr>");
    for (reason, rows) in &story.quarantined_by_reason {
        let known = story.truth_by_reason.get(reason).copied().unwrap_or(0);
        let _ = write!(
            html,
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            escape(reason),
            count(*rows),
            count(known)
        );
    }
    html.push_str("</table>\n</section>\n");
    html
}

fn faults(story: &Story) -> String {
    let mut html = String::from(
        "<section>\n<h2>What was noticed, and how fast</h2>\n<table><tr><th>began</th><th>fault</th><th>rows</th>\
         <th>noticed</th><th>after</th><th>what Seawall says</th><th>what to do</th></tr>",
    );
    for fault in &story.faults {
        let kind =
            serde_json::to_value(fault.kind).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
        let noticed = fault.incident.clone().unwrap_or_else(|| fault.outcome.to_owned());
        let after = match fault.delay_s {
            None => "-".to_owned(),
            Some(0.0) => "at the door".to_owned(),
            Some(s) if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
            Some(s) => format!("{:.0} days", s / 86_400.0),
        };
        let retrain = match fault.retrain {
            Some(Advice::DoNotRetrain) => " <em>Do not retrain.</em>",
            Some(Advice::Retrain) => " <em>Retrain.</em>",
            Some(Advice::NoMatter) | None => "",
        };
        let _ = write!(
            html,
            "<tr><td>{}</td><td>{}</td><td class=\"n\">{}</td><td><span class=\"{}\">{}</span></td><td class=\"n\">{after}</td>\
             <td>{}</td><td>{}.{retrain}</td></tr>",
            escape(&fault.start.chars().take(16).collect::<String>().replace('T', " ")),
            escape(&kind.replace('_', " ")),
            count(fault.rows),
            if fault.detected { "ok" } else { "bad" },
            escape(&noticed),
            escape(&fault.cause),
            escape(&fault.remedy)
        );
    }
    let _ = write!(
        html,
        "</table>\n<p>{} incidents in all; {} about nothing. Labels of fraud become final 45 days after a payment, so a change of \
         fraud cannot show in outcomes earlier than that.</p>\n</section>\n",
        story.alarms.incidents, story.alarms.unfounded
    );
    html
}

fn model(story: &Story, truth: &Truth, signals: &[Signal]) -> String {
    let mut html = String::from("<section>\n<h2>Which model decides, and why</h2>\n");
    html.push_str(&performance_chart(story, truth, signals));
    html.push_str("<ol class=\"decisions\">");
    for decision in &story.models.told {
        html.push_str(&decision_item(decision, story));
    }
    html.push_str("</ol>\n</section>\n");
    html
}

fn decision_item(decision: &Decision, story: &Story) -> String {
    let version = decision.version.map_or(String::new(), |version| format!(" {}@{version}", decision.model));
    let mut html = format!(
        "<li><b>{} {}{}</b> <time>{}</time><p>{}</p>",
        escape(&decision.id),
        escape(&decision.kind.as_str().replace('_', " ")),
        escape(&version),
        minute(decision.at).replace('T', " "),
        escape(&decision.reason)
    );
    if let Some(comparison) = &decision.comparison {
        let auc = |evaluation: &seawall_base::watch::Evaluation| {
            evaluation
                .auc()
                .map_or("-".to_owned(), |auc| format!("{:.3} ({:.3} to {:.3})", auc.value, auc.low, auc.high))
        };
        let _ = write!(
            html,
            "<table><tr><th></th><th>AUC on the same {} decisions</th></tr><tr><td>champion</td><td>{}</td></tr>\
             <tr><td>challenger</td><td>{}</td></tr></table>",
            count(comparison.challenger.rows),
            auc(&comparison.champion),
            auc(&comparison.challenger)
        );
    }
    if decision.kind == DecisionKind::Promote {
        let value = story.models.decisions.iter().find(|one| one["id"] == decision.id.as_str());
        let people = value.and_then(|one| one["approved_by"].as_array().cloned()).unwrap_or_default();
        let names: Vec<&str> = people.iter().filter_map(|name| name.as_str()).collect();
        if !names.is_empty() {
            let _ = write!(html, "<p>Approved by {}.</p>", escape(&names.join(" and ")));
        }
    }
    if !decision.rejected.is_empty() {
        html.push_str("<ul>");
        for other in &decision.rejected {
            let _ = write!(html, "<li>not <b>{}</b>: {}</li>", escape(&other.what), escape(&other.why));
        }
        html.push_str("</ul>");
    }
    html.push_str("</li>");
    html
}

/// Loss of AUC over time, with the moments of decisions and the change of fraud.
fn performance_chart(story: &Story, truth: &Truth, signals: &[Signal]) -> String {
    let drops: Vec<&Signal> = signals.iter().filter(|signal| signal.metric == "auc_drop").collect();
    let (Some(first), Some(last)) = (drops.first(), drops.last()) else {
        return "<p>No outcome of a served prediction was final yet.</p>".to_owned();
    };
    let (from, to) = (first.at.min(truth.start), last.at.max(truth.end));
    let span = (to - from).0.max(1) as f64;
    let x = |at: Instant| 40.0 + 640.0 * (at - from).0 as f64 / span;
    let top = drops.iter().map(|signal| signal.value.abs()).fold(0.1, f64::max) * 1.1;
    let y = |drop: f64| 20.0 + 140.0 * (drop / top).clamp(-0.1, 1.0);
    let mut svg = String::from(
        "<figure><svg viewBox=\"0 0 700 220\" role=\"img\" aria-label=\"Loss of AUC of the champion over time\">",
    );
    let _ = write!(svg, "<line class=\"axis\" x1=\"40\" y1=\"{0:.1}\" x2=\"680\" y2=\"{0:.1}\"/>", y(0.0));
    let limit = first.limit;
    let _ = write!(
        svg,
        "<line class=\"limit\" x1=\"40\" y1=\"{0:.1}\" x2=\"680\" y2=\"{0:.1}\"/><text x=\"44\" y=\"{1:.1}\">limit {limit}</text>",
        y(limit),
        y(limit) - 4.0
    );
    for fault in
        truth.faults.iter().filter(|fault| fault.fault == seawall_pipeline::source::simulator::Fault::FraudChange)
    {
        let at = x(fault.start);
        let _ = write!(
            svg,
            "<line class=\"fault\" x1=\"{at:.1}\" y1=\"10\" x2=\"{at:.1}\" y2=\"170\"/><text x=\"{:.1}\" y=\"182\">fraud changes</text>",
            at - 30.0
        );
    }
    let points: Vec<String> =
        drops.iter().map(|signal| format!("{:.1},{:.1}", x(signal.at), y(signal.value))).collect();
    let _ = write!(svg, "<polyline class=\"line\" points=\"{}\"/>", points.join(" "));
    for decision in story.models.told.iter().filter(|decision| decision.kind == DecisionKind::Promote) {
        let at = x(decision.at);
        let _ = write!(
            svg,
            "<line class=\"promote\" x1=\"{at:.1}\" y1=\"10\" x2=\"{at:.1}\" y2=\"170\"/><text x=\"{:.1}\" y=\"196\">@{} promoted</text>",
            at - 30.0,
            decision.version.unwrap_or(0)
        );
    }
    let weeks = (to - from).0 / (30 * Span::DAY.0);
    for month in 0..=weeks {
        let at = from + Span(month * 30 * Span::DAY.0);
        let _ = write!(svg, "<text class=\"tick\" x=\"{:.1}\" y=\"214\">{}</text>", x(at) - 20.0, day(at));
    }
    svg.push_str("</svg><figcaption>AUC that the champion has lost against what it claimed, on decisions whose outcome is final; downwards is worse.</figcaption></figure>\n");
    svg
}

fn incidents(story: &Story) -> String {
    let mut html = String::from("<section>\n<h2>The incidents</h2>\n");
    for incident in &story.incidents {
        html.push_str(&incident_item(incident));
    }
    html.push_str("</section>\n");
    html
}

fn incident_item(incident: &Incident) -> String {
    let closed = match &incident.closed {
        Some(closed) => format!("closed {}: {}", minute(closed.at).replace('T', " "), closed.reason),
        None => "open".to_owned(),
    };
    let row = incident.first_bad.map_or(String::new(), |row| format!(", offset {}", row.offset.0));
    let listed = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    format!(
        "<details><summary><b>{}</b> {}</summary><dl><dt>first bad row</dt><dd>{}{row}</dd><dt>noticed</dt><dd>{}</dd>\
         <dt>reaches</dt><dd>{}</dd><dt>models</dt><dd>{}</dd><dt>owners</dt><dd>{}</dd><dt>remedy</dt><dd>{}</dd>\
         <dt>state</dt><dd>{}</dd></dl></details>\n",
        escape(&incident.id),
        escape(&incident.summary),
        minute(incident.first_bad_at).replace('T', " "),
        minute(incident.opened_at).replace('T', " "),
        escape(&listed(&incident.blast.features)),
        escape(&listed(&incident.blast.models)),
        escape(&listed(&incident.blast.owners)),
        escape(&incident.remedy.text),
        escape(&closed)
    )
}

fn proof(story: &Story, certificate: Option<&str>) -> String {
    let s = &story.skew;
    let mut html = format!(
        "<section>\n<h2>Did training and serving agree?</h2>\n<p>{} vectors that were served were computed again from the tables, \
         with what was known at their moment: <b>{} differ</b> in any bit. {} of them were compared with the rows that a training \
         set built today holds: <b>{} differ</b>.</p>\n",
        count(s.replayed),
        count(s.mismatched),
        count(s.parity_compared),
        count(s.parity_differing)
    );
    if let Some(hash) = certificate {
        let _ = writeln!(
            html,
            "<p>Signed certificate <code>{}</code>. <code>seawall verify skew fraud --certificate FILE</code> writes it, \
             <code>seawall verify certificate FILE</code> checks it offline.</p>",
            escape(hash)
        );
    }
    let _ =
        writeln!(html, "<p class=\"small\">Seed {}; the same seed gives the same page.</p>\n</section>", story.seed);
    html
}
