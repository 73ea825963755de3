//! Signals, incidents and positions, twice where a step may run twice.

use seawall_base::ErrorKind;
use seawall_base::watch::{Advice, Blast, CauseKind, Remedy, Signal};

use super::*;
use crate::fixtures::{Fixture, on_both};
use crate::models::fixtures::{hour, signal};

fn incident(opened: i64, evidence: Vec<Signal>) -> Incident {
    Incident {
        id: String::new(),
        key: "unit_change/payments/amount/".to_owned(),
        cause: CauseKind::UnitChange,
        summary: format!("amount is 100 times too large, seen at hour {opened}"),
        subject: "payments".to_owned(),
        source: Some("payments".to_owned()),
        column: Some("amount".to_owned()),
        slice: None,
        factor: Some(100.0),
        first_bad: None,
        first_bad_at: hour(opened - 1),
        opened_at: hour(opened),
        closed: None,
        evidence,
        excluded: Vec::new(),
        blast: Blast::default(),
        remedy: Remedy {
            action: "correct".to_owned(),
            text: "divide by 100".to_owned(),
            command: None,
            retrain: Advice::DoNotRetrain,
        },
    }
}

fn closed(at: i64) -> Closed {
    Closed { at: hour(at), by: "seawall".to_owned(), reason: "values recovered".to_owned() }
}

#[tokio::test]
async fn an_open_incident_takes_evidence_instead_of_a_second_one() {
    on_both(async |fixture: Fixture| {
        let permit = fixture.permit(Action::ManageIncidents);
        let catalog = &fixture.catalog;
        let open = async |incident: &Incident| catalog.open_incident(&permit, incident).await.unwrap();
        let (first, is_new) = open(&incident(1, vec![signal(1, 0.5)])).await;
        assert_eq!((first.id.as_str(), is_new), ("INC-1", true));
        // The step runs again.
        assert_eq!(open(&incident(1, vec![signal(1, 0.5)])).await, (first.clone(), false));
        assert_eq!(fixture.events().await, ["incident_opened"]);

        let later = Incident { factor: Some(1000.0), ..incident(2, vec![signal(1, 0.5), signal(2, 0.6)]) };
        let (grown, is_new) = open(&later).await;
        assert_eq!((grown.id.as_str(), grown.opened_at, is_new), ("INC-1", hour(1), false));
        assert_eq!((grown.factor, grown.summary.as_str()), (Some(1000.0), later.summary.as_str()));
        assert_eq!(grown.evidence, [signal(1, 0.5), signal(2, 0.6)]);
        assert_eq!(open(&later).await, (grown, false));
        let other = Incident { key: "freshness/payments//".to_owned(), ..incident(2, Vec::new()) };
        assert_eq!(open(&other).await.0.id, "INC-2");
        assert_eq!(fixture.events().await, ["incident_opened", "incident_updated", "incident_opened"]);

        for hours in 3..60 {
            open(&incident(hours, vec![signal(hours, 0.5)])).await;
        }
        let kept = catalog.incident("INC-1").await.unwrap();
        let hours: Vec<Instant> = kept.evidence.iter().map(|one| one.at).collect();
        assert_eq!(hours, (28..60).map(hour).collect::<Vec<_>>());
        assert_eq!(catalog.incidents(true).await.unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_closed_incident_does_not_reopen_when_a_step_runs_again() {
    on_both(async |fixture: Fixture| {
        let permit = fixture.permit(Action::ManageIncidents);
        let catalog = &fixture.catalog;
        let open = async |opened: i64| catalog.open_incident(&permit, &incident(opened, Vec::new())).await.unwrap();
        open(1).await;
        open(3).await;
        let early = catalog.close_incident(&permit, "INC-1", closed(0)).await.unwrap_err();
        assert_eq!((early.kind(), early.code()), (ErrorKind::Invalid, "SW1121"));
        let over = catalog.close_incident(&permit, "INC-1", closed(5)).await.unwrap();
        assert_eq!(over.closed, Some(closed(5)));
        assert_eq!(catalog.close_incident(&permit, "INC-1", closed(9)).await.unwrap(), over);
        // Every report from within it belongs to it: the first, the one that only added to it, the last step's.
        for opened in [1, 3, 4, 5] {
            assert_eq!(open(opened).await, (over.clone(), false), "{opened}");
        }
        assert!(catalog.incidents(true).await.unwrap().is_empty());
        let (second, is_new) = open(6).await;
        assert_eq!((second.id.as_str(), is_new), ("INC-2", true));
        assert_eq!(open(3).await.0, over);
        assert_eq!(catalog.incidents(false).await.unwrap(), [over, second.clone()]);
        assert_eq!(catalog.incidents(true).await.unwrap(), [second]);
        let events = ["incident_opened", "incident_updated", "incident_closed", "incident_opened"];
        assert_eq!(fixture.events().await, events);
        for unknown in ["INC-3", "INC-01", "INC-", "1"] {
            assert_eq!(catalog.incident(unknown).await.unwrap_err().code(), "SW1120", "{unknown}");
        }
    })
    .await;
}

#[tokio::test]
async fn two_reports_at_once_open_one_incident() {
    let fixture = Fixture::on_disk().await;
    let other = fixture.second().await;
    let mut tasks = Vec::new();
    for (hours, catalog) in [(1, fixture.catalog.clone()), (2, other)] {
        tasks.push(tokio::spawn(async move {
            let permit = catalog.system_permit(Action::ManageIncidents, "tests");
            catalog.open_incident(&permit, &incident(hours, vec![signal(hours, 0.5)])).await.unwrap().1
        }));
    }
    let mut opened = 0;
    for task in tasks {
        opened += u32::from(task.await.unwrap());
    }
    assert_eq!(opened, 1);
    let incidents = fixture.catalog.incidents(false).await.unwrap();
    assert_eq!((incidents.len(), incidents[0].evidence.len()), (1, 2));
}

#[tokio::test]
async fn signals_are_kept_once_each() {
    on_both(async |fixture: Fixture| {
        let permit = fixture.permit(Action::ManageIncidents);
        let catalog = &fixture.catalog;
        let sliced = Signal { slice: Some("country=DE".to_owned()), ..signal(1, 0.1) };
        let other = Signal { subject: "payments".to_owned(), ..signal(2, 0.3) };
        let batch = [signal(1, 0.1), sliced.clone(), signal(2, 0.3), other.clone()];
        catalog.record_signals(&permit, &batch).await.unwrap();
        catalog.record_signals(&permit, &batch).await.unwrap();
        // A measurement is what it was first.
        catalog.record_signals(&permit, &[signal(2, 0.9)]).await.unwrap();
        catalog.record_signals(&permit, &[]).await.unwrap();
        assert_eq!(fixture.events().await, ["signals"]);
        assert_eq!(catalog.signals(Some("fraud"), 10).await.unwrap(), [signal(1, 0.1), sliced, signal(2, 0.3)]);
        assert_eq!(catalog.signals(Some("fraud"), 1).await.unwrap(), [signal(2, 0.3)]);
        assert_eq!(catalog.signals(None, 2).await.unwrap(), [signal(2, 0.3), other]);
        assert!(catalog.signals(Some("nothing"), 10).await.unwrap().is_empty());

        let endless = catalog.record_signals(&permit, &[signal(3, 0.1), signal(4, f64::NAN)]).await.unwrap_err();
        assert_eq!((endless.kind(), endless.code()), (ErrorKind::Invalid, "SW1101"));
        assert_eq!(catalog.signals(None, 10).await.unwrap().len(), 4);
        let refused = catalog.record_signals(&fixture.permit(Action::Ingest), &batch).await.unwrap_err();
        assert_eq!(refused.code(), "SW0611");
    })
    .await;
}

#[tokio::test]
async fn a_position_only_moves_forward() {
    on_both(async |fixture: Fixture| {
        let permit = fixture.permit(Action::ManageIncidents);
        let catalog = &fixture.catalog;
        assert_eq!(catalog.control_position("monitor").await.unwrap(), None);
        for (at, expected) in [(3, 3), (3, 3), (2, 3), (4, 4)] {
            catalog.set_control_position(&permit, "monitor", hour(at)).await.unwrap();
            assert_eq!(catalog.control_position("monitor").await.unwrap(), Some(hour(expected)));
        }
        assert_eq!(catalog.control_position("retrainer").await.unwrap(), None);
    })
    .await;
}
