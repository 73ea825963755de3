//! Decisions, approvals and promotions, twice where a step may run twice.

use proptest::prelude::*;
use seawall_base::{Hash, Instant};

use super::*;
use crate::fixtures::{Fixture, START, on_both};
use crate::models::Aliases;
use crate::models::fixtures::{binds, decision, hour, period, person, trigger};
use crate::policy::Role;

fn groups(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

impl Fixture {
    /// Approves as `principal`; `Ok` is what is still missing.
    async fn approve(&self, who: &Principal, member_of: &[&str], id: &str, hash: Hash) -> Result<Vec<String>> {
        let permit = self.permit_of(who, Action::ApproveDecision);
        let state = self.catalog.approve(&permit, who, &groups(member_of), id, hash, "seen").await?;
        assert_eq!(state.complete, state.proposal.missing.is_empty());
        Ok(state.proposal.missing)
    }
}

#[tokio::test]
async fn a_decision_is_recorded_once_and_read_back() {
    on_both(async |fixture: Fixture| {
        fixture.train(1).await;
        let catalog = &fixture.catalog;
        let permit = fixture.permit(Action::TrainModel);
        let mut postponed = decision(DecisionKind::Postpone, None, None, hour(1));
        postponed.rejected =
            vec![seawall_base::watch::Alternative { what: "train".to_owned(), why: "INC-1".to_owned() }];
        let held = decision(DecisionKind::HoldBack, Some(1), None, hour(1));
        let first = catalog.record_decision(&permit, &postponed).await.unwrap();
        let second = catalog.record_decision(&permit, &held).await.unwrap();
        assert_eq!((first.id.as_str(), second.id.as_str()), ("DEC-1", "DEC-2"));
        assert_eq!(catalog.record_decision(&permit, &postponed).await.unwrap(), first);
        assert_eq!(catalog.record_decision(&permit, &held).await.unwrap(), second);
        assert_eq!(catalog.decision("DEC-1").await.unwrap(), Decision { id: "DEC-1".to_owned(), ..postponed });
        assert_eq!(catalog.decisions(Some("fraud")).await.unwrap(), [first.clone(), second.clone()]);
        assert_eq!(catalog.decisions(None).await.unwrap(), [first, second]);
        assert!(catalog.decisions(Some("delay")).await.unwrap().is_empty());
        assert_eq!(fixture.events().await, ["model_version", "postponed", "held_back"]);
        for unknown in ["DEC-3", "DEC-01", "DEC-", "DEC--1", "1", "DEC-99999999999999999999"] {
            assert_eq!(catalog.decision(unknown).await.unwrap_err().code(), "SW1103", "{unknown}");
        }
    })
    .await;
}

#[tokio::test]
async fn decisions_that_move_aliases_need_their_own_verbs() {
    let fixture = Fixture::in_memory().await;
    fixture.train(1).await;
    let permit = fixture.permit(Action::PromoteModel);
    for kind in [DecisionKind::Propose, DecisionKind::Promote, DecisionKind::RollBack, DecisionKind::Reject] {
        let refused = fixture.catalog.record_decision(&permit, &decision(kind, Some(1), None, hour(1))).await;
        assert_eq!(refused.unwrap_err().code(), "SW1104", "{kind:?}");
    }
    let record = async |proposal: Decision| fixture.catalog.record_proposal(&permit, &proposal, &[]).await;
    let nothing = record(decision(DecisionKind::Propose, None, None, hour(1))).await;
    assert_eq!(nothing.unwrap_err().code(), "SW1104");
    let unknown = record(decision(DecisionKind::Propose, Some(2), None, hour(1))).await;
    assert_eq!(unknown.unwrap_err().code(), "SW1102");
    let held = decision(DecisionKind::HoldBack, Some(2), None, hour(1));
    assert_eq!(fixture.catalog.record_decision(&permit, &held).await.unwrap_err().code(), "SW1102");
    assert_eq!(fixture.events().await, ["model_version"]);
}

#[tokio::test]
async fn a_proposal_waits_for_every_place_to_be_filled() {
    on_both(async |fixture: Fixture| {
        fixture.train(1).await;
        let catalog = &fixture.catalog;
        let id = fixture.propose(1, None, 5, &["owner", "risk"]).await;
        assert_eq!(fixture.propose(1, None, 5, &["owner", "risk"]).await, id);
        let open = catalog.open_proposals().await.unwrap();
        assert_eq!((open.len(), &open[0].missing), (1, &groups(&["owner", "risk"])));
        let promote = async || catalog.promote(&fixture.permit(Action::PromoteModel), &id, hour(6)).await;

        let denied = promote().await.unwrap_err();
        assert_eq!((denied.kind(), denied.code()), (ErrorKind::Denied, "SW1109"));
        assert_eq!(denied.message(), "DEC-1 lacks the approval of owner and risk");
        let (ada, bob) = (person("ada", Role::Owner), person("bob", Role::Analyst));
        assert_eq!(fixture.approve(&ada, &[], &id, binds(1)).await.unwrap(), ["risk"]);
        let denied = promote().await.unwrap_err();
        assert_eq!(
            denied.remedy(),
            Some("missing: a member of group risk; seawall, who requested it, cannot approve it; ada approved already")
        );
        assert!(fixture.approve(&bob, &["risk"], &id, binds(1)).await.unwrap().is_empty());
        assert_eq!(catalog.aliases("fraud").await.unwrap(), Aliases::default());

        let promoted = promote().await.unwrap();
        assert_eq!((promoted.kind, promoted.of.as_deref()), (DecisionKind::Promote, Some("DEC-1")));
        assert_eq!(
            promoted.reason,
            "as proposed in DEC-1 and approved by ada (owner), bob (risk): better on every slice"
        );
        assert!(catalog.open_proposals().await.unwrap().is_empty());
        // The step that promoted runs again, and so does who approved.
        assert_eq!(promote().await.unwrap(), promoted);
        assert!(fixture.approve(&bob, &["risk"], &id, binds(1)).await.unwrap().is_empty());
        assert_eq!(fixture.events().await, ["model_version", "proposed", "approved", "approved", "promoted"]);
        assert_eq!(catalog.reigns("fraud").await.unwrap().len(), 1);
        let given = catalog.proposal(&id).await.unwrap().given;
        assert_eq!(given.iter().map(|one| one.fills.as_str()).collect::<Vec<_>>(), ["owner", "risk"]);
        assert_eq!((given[0].at, given[0].binds, given[0].role), (START, binds(1), Role::Owner));
    })
    .await;
}

#[tokio::test]
async fn nobody_approves_their_own_proposal_or_twice() {
    let fixture = Fixture::in_memory().await;
    fixture.train(1).await;
    let catalog = &fixture.catalog;
    let (ada, eve) = (person("ada", Role::Owner), person("eve", Role::Engineer));
    let mut proposal = decision(DecisionKind::Propose, Some(1), None, hour(1));
    proposal.by = "eve".to_owned();
    let required = groups(&["engineer", "risk", "owner"]);
    let id = catalog.record_proposal(&fixture.permit(Action::TrainModel), &proposal, &required).await.unwrap().id;
    let own = fixture.approve(&eve, &["risk"], &id, binds(1)).await.unwrap_err();
    assert_eq!((own.kind(), own.code()), (ErrorKind::Denied, "SW1107"));

    // One person, however many places they could fill, fills one.
    for _ in 0..2 {
        assert_eq!(fixture.approve(&ada, &["risk"], &id, binds(1)).await.unwrap(), ["engineer", "owner"]);
    }
    // Somebody else who can only fill that one makes the first move along.
    let rio = person("rio", Role::Analyst);
    assert_eq!(fixture.approve(&rio, &["risk"], &id, binds(1)).await.unwrap(), ["engineer"]);
    // A group that is named like a role is not the role.
    let mal = person("mal", Role::Analyst);
    let refused = fixture.approve(&mal, &["engineer"], &id, binds(1)).await.unwrap_err();
    assert_eq!((refused.kind(), refused.code()), (ErrorKind::Denied, "SW1108"));
    assert_eq!(refused.remedy(), Some("missing: somebody with role engineer"));
    let events = fixture.events().await;
    assert_eq!(
        events[1..],
        ["proposed", "approval_denied", "approved", "approved", "approval_denied"].map(str::to_owned)
    );
}

#[tokio::test]
async fn an_approval_is_given_with_the_permit_of_who_gives_it() {
    let fixture = Fixture::in_memory().await;
    fixture.train(1).await;
    let id = fixture.propose(1, None, 1, &["owner"]).await;
    let (ada, bob) = (person("ada", Role::Owner), person("bob", Role::Analyst));
    let of_bob = fixture.permit_of(&bob, Action::ApproveDecision);
    let refused = fixture.catalog.approve(&of_bob, &ada, &[], &id, binds(1), "yes").await.unwrap_err();
    assert_eq!((refused.kind(), refused.code()), (ErrorKind::Denied, "SW1114"));
    let refused = fixture.catalog.reject(&of_bob, &ada, &id, "no").await.unwrap_err();
    assert_eq!(refused.code(), "SW1114");
    let other = fixture.permit_of(&ada, Action::TrainModel);
    let refused = fixture.catalog.approve(&other, &ada, &[], &id, binds(1), "yes").await.unwrap_err();
    assert_eq!(refused.code(), "SW0611");
}

#[tokio::test]
async fn an_approval_of_something_else_says_what_changed() {
    let fixture = Fixture::in_memory().await;
    fixture.train(2).await;
    fixture.propose(1, None, 1, &["owner"]).await;
    let id = fixture.propose(2, None, 2, &["owner"]).await;
    let ada = person("ada", Role::Owner);
    let stale = fixture.approve(&ada, &[], &id, binds(1)).await.unwrap_err();
    assert_eq!((stale.kind(), stale.code()), (ErrorKind::Conflict, "SW1106"));
    assert!(stale.message().ends_with("that is the hash of DEC-1, which has another version"), "{stale}");
    let wrong = fixture.approve(&ada, &[], &id, binds(9)).await.unwrap_err();
    assert!(wrong.message().contains("artifact, fingerprint, comparison or policy"), "{wrong}");
    assert!(fixture.catalog.proposal(&id).await.unwrap().given.is_empty());
}

#[tokio::test]
async fn two_approvals_at_once_fill_two_places() {
    let fixture = Fixture::on_disk().await;
    fixture.train(1).await;
    let id = fixture.propose(1, None, 1, &["owner", "owner"]).await;
    let other = fixture.second().await;
    let people: Vec<Principal> = ["ada", "bob", "cat"].map(|name| person(name, Role::Owner)).to_vec();
    let mut tasks = Vec::new();
    for (i, who) in people.into_iter().enumerate() {
        let catalog = if i == 1 { other.clone() } else { fixture.catalog.clone() };
        let id = id.clone();
        tasks.push(tokio::spawn(async move {
            let permit = catalog.policy().authorize(&who, Action::ApproveDecision, "fraud").unwrap();
            catalog.approve(&permit, &who, &[], &id, binds(1), "seen").await.map(|state| state.complete)
        }));
    }
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap().map_err(|error| error.code()));
    }
    outcomes.sort();
    assert_eq!(outcomes, [Ok(false), Ok(true), Err("SW1105")]);
    let given = fixture.catalog.proposal(&id).await.unwrap().given;
    assert_eq!(given.len(), 2);
    assert_ne!(given[0].principal, given[1].principal);
    fixture.catalog.verify_audit().await.unwrap();
}

#[tokio::test]
async fn a_rejected_proposal_stays_rejected() {
    on_both(async |fixture: Fixture| {
        fixture.train(2).await;
        let catalog = &fixture.catalog;
        let id = fixture.propose(1, None, 1, &["owner"]).await;
        let ada = person("ada", Role::Owner);
        let permit = fixture.permit_of(&ada, Action::ApproveDecision);
        let rejected = catalog.reject(&permit, &ada, &id, "not on holidays").await.unwrap();
        assert_eq!(
            (rejected.kind, rejected.by.as_str(), rejected.of.as_deref()),
            (DecisionKind::Reject, "ada", Some("DEC-1"))
        );
        assert_eq!(catalog.reject(&permit, &ada, &id, "again").await.unwrap(), rejected);
        assert!(catalog.open_proposals().await.unwrap().is_empty());
        assert_eq!(fixture.approve(&ada, &[], &id, binds(1)).await.unwrap_err().code(), "SW1105");
        let promote = catalog.promote(&fixture.permit(Action::PromoteModel), &id, hour(2)).await.unwrap_err();
        assert_eq!((promote.kind(), promote.code()), (ErrorKind::Conflict, "SW1105"));
        assert!(promote.message().contains("rejected by ada in DEC-2: not on holidays"), "{promote}");

        // A lapse is recorded by the system, once; a promoted proposal cannot be rejected.
        let lapsing = fixture.propose(2, None, 3, &["owner"]).await;
        let mut lapse = decision(DecisionKind::Reject, Some(2), None, hour(4));
        lapse.of = Some(lapsing);
        let system = fixture.permit(Action::TrainModel);
        let lapsed = catalog.record_decision(&system, &lapse).await.unwrap();
        assert_eq!(catalog.record_decision(&system, &lapse).await.unwrap(), lapsed);
        lapse.at = hour(5);
        assert_eq!(catalog.record_decision(&system, &lapse).await.unwrap_err().code(), "SW1105");
        let promoted = fixture.reign(2, None, 6).await;
        let late = catalog.reject(&permit, &ada, promoted.of.as_deref().unwrap(), "too late").await.unwrap_err();
        assert_eq!(late.code(), "SW1105");
        assert_eq!(catalog.reject(&permit, &ada, &promoted.id, "no").await.unwrap_err().code(), "SW1104");
    })
    .await;
}

#[tokio::test]
async fn a_promotion_holds_only_against_the_champion_it_was_compared_with() {
    let fixture = Fixture::in_memory().await;
    fixture.train(3).await;
    let catalog = &fixture.catalog;
    let permit = fixture.permit(Action::PromoteModel);
    fixture.reign(1, None, 10).await;
    let second = fixture.propose(2, Some(1), 11, &[]).await;
    let again = fixture.propose(2, Some(1), 12, &[]).await;
    let third = fixture.propose(3, Some(1), 12, &[]).await;
    for early in [hour(9), hour(10)] {
        let refused = catalog.promote(&permit, &second, early).await.unwrap_err();
        assert_eq!((refused.kind(), refused.code()), (ErrorKind::Conflict, "SW1111"), "{early}");
    }
    catalog.promote(&permit, &second, hour(13)).await.unwrap();
    let refused = catalog.promote(&permit, &third, hour(14)).await.unwrap_err();
    assert_eq!((refused.kind(), refused.code()), (ErrorKind::Conflict, "SW1110"));
    assert_eq!(refused.message(), "the champion of fraud is version 2, but DEC-5 was compared with version 1");
    assert_eq!(catalog.promote(&permit, &again, hour(14)).await.unwrap_err().code(), "SW1113");
    let champion = decision(DecisionKind::Propose, Some(2), Some(2), hour(14));
    assert_eq!(catalog.record_proposal(&permit, &champion, &[]).await.unwrap_err().code(), "SW1113");
    assert_eq!(catalog.aliases("fraud").await.unwrap().champion, Some(2));
    assert_eq!(catalog.reigns("fraud").await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_rollback_brings_a_former_champion_back() {
    on_both(async |fixture: Fixture| {
        fixture.train(4).await;
        let catalog = &fixture.catalog;
        for (version, at) in [(1, 10), (2, 20), (3, 30)] {
            fixture.reign(version, (version > 1).then(|| version - 1), at).await;
        }
        let permit = fixture.permit(Action::RollBack);
        let back = async |to: u32, at: i64| {
            catalog.roll_back_model(&permit, "fraud", to, trigger(), "worse than before", hour(at)).await
        };
        assert_eq!(back(4, 40).await.unwrap_err().code(), "SW1112");
        assert_eq!(back(5, 40).await.unwrap_err().code(), "SW1102");
        assert_eq!(back(3, 40).await.unwrap_err().code(), "SW1113");
        assert_eq!(back(2, 29).await.unwrap_err().code(), "SW1111");
        let events = fixture.events().await.len();

        let decided = back(2, 40).await.unwrap();
        assert_eq!((decided.version, decided.champion, decided.binds), (Some(2), Some(3), binds(2)));
        assert_eq!(decided.trigger, Some(trigger()));
        let aliases = catalog.aliases("fraud").await.unwrap();
        // What a second rollback brings back is not the version that just failed.
        let expected = Aliases { champion: Some(2), challenger: None, former: Some(1), champion_since: Some(hour(40)) };
        assert_eq!(aliases, expected);
        assert_eq!(back(2, 40).await.unwrap(), decided);
        assert_eq!(fixture.events().await.len(), events + 1);
        back(1, 41).await.unwrap();
        assert_eq!(catalog.aliases("fraud").await.unwrap().former, None);
        // The step that rolled back first runs again, later.
        assert_eq!(back(2, 40).await.unwrap(), decided);
        assert_eq!(catalog.aliases("fraud").await.unwrap().champion, Some(1));
    })
    .await;
}

#[tokio::test]
async fn only_the_champion_is_confirmed() {
    let fixture = Fixture::in_memory().await;
    fixture.train(2).await;
    let catalog = &fixture.catalog;
    let permit = fixture.permit(Action::PromoteModel);
    let confirm = async |version: u32| catalog.confirm(&permit, "fraud", version, "passed", hour(20)).await;
    assert_eq!(confirm(1).await.unwrap_err().code(), "SW1113");
    fixture.reign(1, None, 10).await;
    let confirmed = confirm(1).await.unwrap();
    assert_eq!((confirmed.kind, confirmed.version, confirmed.champion), (DecisionKind::Confirm, Some(1), Some(1)));
    assert_eq!((confirmed.of, confirmed.trigger), (None, None));
    assert_eq!(confirm(1).await.unwrap().id, confirmed.id);
    fixture.reign(2, Some(1), 30).await;
    assert_eq!(confirm(1).await.unwrap().id, confirmed.id);
    let late = catalog.confirm(&permit, "fraud", 1, "passed", hour(31)).await.unwrap_err();
    assert_eq!((late.code(), late.remedy()), ("SW1113", Some("its champion is version 2")));
}

#[tokio::test]
async fn a_change_that_is_dropped_midway_leaves_nothing() {
    let fixture = Fixture::on_disk().await;
    fixture.train(1).await;
    let id = fixture.propose(1, None, 1, &[]).await;
    let permit = fixture.permit(Action::PromoteModel);
    // Polled a growing number of times, then dropped, as when the process dies.
    for polls in 0..40 {
        let mut promotion = Box::pin(fixture.catalog.promote(&permit, &id, hour(2)));
        let mut left = polls;
        let outcome = std::future::poll_fn(|context| {
            if left == 0 {
                return std::task::Poll::Ready(None);
            }
            left -= 1;
            promotion.as_mut().poll(context).map(Some)
        })
        .await;
        drop(promotion);
        // A commit that was on its way when it was dropped is over when the next change begins.
        drop(fixture.catalog.begin().await.unwrap());
        let champion = fixture.catalog.aliases("fraud").await.unwrap().champion;
        let reigns = fixture.catalog.reigns("fraud").await.unwrap().len();
        let promoted = fixture.catalog.decisions(None).await.unwrap().len() - 1;
        assert!([(None, 0, 0), (Some(1), 1, 1)].contains(&(champion, reigns, promoted)), "{polls}");
        if let Some(outcome) = outcome {
            outcome.unwrap();
            assert_eq!(champion, Some(1));
        }
    }
    let outcome = fixture.catalog.promote(&permit, &id, hour(2)).await.unwrap();
    assert_eq!((outcome.id.as_str(), fixture.catalog.decisions(None).await.unwrap().len()), ("DEC-2", 2));
    fixture.second().await.verify_audit().await.unwrap();
}

/// The most persons that can be seated, by trying everything.
fn most_seated(required: &[String], persons: &[Vec<&str>], taken: &mut Vec<bool>) -> usize {
    let Some((person, others)) = persons.split_first() else { return 0 };
    let mut most = most_seated(required, others, taken);
    for place in 0..required.len() {
        if !taken[place] && person.contains(&required[place].as_str()) {
            taken[place] = true;
            most = most.max(1 + most_seated(required, others, taken));
            taken[place] = false;
        }
    }
    most
}

proptest! {
    #[test]
    fn as_many_persons_as_possible_are_seated_and_none_twice(
        required in prop::collection::vec("[a-d]", 0..5),
        persons in prop::collection::vec(prop::collection::vec("[a-d]", 0..3), 0..6),
    ) {
        let persons: Vec<Vec<&str>> = persons.iter().map(|one| one.iter().map(String::as_str).collect()).collect();
        let seats = approval::seat_all(&required, &persons);
        let mut seated: Vec<usize> = seats.iter().copied().flatten().collect();
        for (place, person) in seats.iter().enumerate() {
            prop_assert!(person.is_none_or(|person| persons[person].contains(&required[place].as_str())));
        }
        let count = seated.len();
        seated.sort_unstable();
        seated.dedup();
        prop_assert_eq!(seated.len(), count);
        prop_assert_eq!(count, most_seated(&required, &persons, &mut vec![false; required.len()]));
    }
}

#[tokio::test]
async fn comparisons_come_back_as_they_were() {
    let fixture = Fixture::in_memory().await;
    fixture.train(1).await;
    let mut held = decision(DecisionKind::HoldBack, Some(1), Some(1), hour(1));
    let evaluation = crate::models::fixtures::evaluation(0.1 + 0.2);
    let gain = seawall_base::watch::Estimate { value: -1e-17, low: f64::MIN_POSITIVE, high: 1.0 / 3.0 };
    held.comparison = Some(seawall_base::watch::Comparison {
        window: period(0, 5),
        champion: evaluation.clone(),
        challenger: evaluation,
        auc_gain: Some(gain),
        slices: vec![("country=DE".to_owned(), gain)],
    });
    let kept = fixture.catalog.record_decision(&fixture.permit(Action::TrainModel), &held).await.unwrap();
    assert_eq!(fixture.catalog.decision(&kept.id).await.unwrap().comparison, held.comparison);
    let late = Decision { at: Instant::MAX, ..held };
    let refused = fixture.catalog.record_decision(&fixture.permit(Action::TrainModel), &late).await.unwrap_err();
    assert_eq!(refused.code(), "SW1101");
    assert_eq!(fixture.catalog.decisions(None).await.unwrap().len(), 1);
}
