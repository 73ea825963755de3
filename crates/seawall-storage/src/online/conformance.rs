//! What every online store must do, as one suite that runs on each implementation.
//!
//! The oracle is the kernel itself: a fresh state that keeps everything, given exactly the rows within C, advanced to K.

use std::sync::Arc;

use seawall_base::{
    Cut, ErrorKind, FeatureRequest, Instant, Offset, OnlineStore, Partition, Span, VersionedName, ViewRequest,
};

mod fixture;

pub use fixture::{FIXTURE_START, Fixture, Row};

use self::fixture::FIXTURE_START as T0;

/// Checks the contract of [`OnlineStore`] on empty stores that `make` provides; `reopen` gives up a store and opens it
/// again as after a restart (a store that lives in memory is handed back as it is). Panics with the promise that was
/// broken. Needs a tokio runtime.
pub async fn conformance(
    make: impl AsyncFn() -> Arc<dyn OnlineStore>,
    reopen: impl AsyncFn(Arc<dyn OnlineStore>) -> Arc<dyn OnlineStore>,
) {
    an_empty_store_knows_nobody(make().await).await;
    values_are_those_of_the_kernel(make().await).await;
    rows_within_the_cut_change_nothing(make().await).await;
    driven_decisions_answer_as_if_asked_one_by_one(make().await, make().await).await;
    known_never_goes_back(make().await).await;
    advancing_shows_what_is_available_and_nothing_else(make().await).await;
    a_late_view_is_served_after_its_backfill(make().await).await;
    wrong_requests_are_refused(make().await).await;
    a_restart_changes_no_bit(make().await, &reopen).await;
}

fn after(span: Span) -> Instant {
    T0 + span
}

async fn an_empty_store_knows_nobody(store: Arc<dyn OnlineStore>) {
    let fixture = Fixture::new();
    fixture.define(store.as_ref()).await;
    fixture.define(store.as_ref()).await;
    assert_eq!(store.views(), fixture.view_ids(), "views are listed in order, once");
    assert_eq!(store.store_cut(), Cut::empty(), "nothing was received");
    let served = store.serve(&fixture.request(&[(T0, T0)])).await.expect("an empty store serves");
    fixture.check(&[], &[(T0, T0)], &served);
}

async fn values_are_those_of_the_kernel(store: Arc<dyn OnlineStore>) {
    let fixture = Fixture::new();
    fixture.define(store.as_ref()).await;
    let rows = fixture.rows(400);
    let mut received = 0;
    for (step, size) in [1, 7, 0, 60, 2, 130, 100, 100].into_iter().enumerate() {
        let until = received + size;
        fixture.receive(store.as_ref(), &rows[received..until], until).await;
        received = until;
        assert_eq!(store.store_cut(), fixture.cut(received), "the store's cut is what it was last told");
        for view in store.views() {
            assert_eq!(store.cut(&view).expect("the view is kept"), fixture.cut(received), "every view's cut moves");
        }
        let now = after(Span(Span::MINUTE.0 * 10 * step as i64));
        let decisions = [(now - Span::MINUTE, now), (now, now), (now + Span::SECOND, now + Span::SECOND)];
        let served = store.serve(&fixture.request(&decisions)).await.expect("the present is served");
        fixture.check(&rows[..received], &decisions, &served);
    }
}

async fn rows_within_the_cut_change_nothing(store: Arc<dyn OnlineStore>) {
    let fixture = Fixture::new();
    fixture.define(store.as_ref()).await;
    let rows = fixture.rows(120);
    let mut received = 0;
    for (from, until) in [(0, 50), (0, 50), (20, 70), (10, 30), (70, 120), (0, 120)] {
        fixture.receive(store.as_ref(), &rows[from..until], until).await;
        received = received.max(until);
        let decisions = [(after(Span::HOUR), after(Span::HOUR))];
        let served = store.serve(&fixture.request(&decisions)).await.expect("the present is served");
        assert_eq!(served.cut, fixture.cut(received), "an older cut moves nothing back");
        fixture.check(&rows[..received], &decisions, &served);
    }
}

async fn driven_decisions_answer_as_if_asked_one_by_one(together: Arc<dyn OnlineStore>, single: Arc<dyn OnlineStore>) {
    let fixture = Fixture::new();
    let rows = fixture.rows(300);
    for store in [&together, &single] {
        fixture.define(store.as_ref()).await;
        fixture.receive(store.as_ref(), &rows, rows.len()).await;
    }
    let decisions: Vec<(Instant, Instant)> = (0..200)
        .map(|i| after(Span(Span::MINUTE.0 * i)))
        .flat_map(|now| [(now, now), (now - Span::SECOND, now), (now, now)])
        .collect();
    let request = fixture.request(&decisions);
    let served = together.serve(&request).await.expect("driven decisions are served");
    fixture.check(&rows, &decisions, &served);
    for i in 0..decisions.len() {
        let one = single.serve(&only(&request, i)).await.expect("one decision is served");
        assert_eq!(one.known_at[0], served.known_at[i], "K does not depend on the batching of decisions");
        for (one, all) in one.views.iter().zip(&served.views) {
            assert_eq!(one.values, all.values.slice(i, 1), "values do not depend on the batching of decisions");
            assert_eq!(one.status[0], all.status[i], "nor does their status");
        }
    }
}

/// The request's decision `i` alone.
fn only(request: &FeatureRequest, i: usize) -> FeatureRequest {
    let view = |asked: &ViewRequest| ViewRequest {
        view: asked.view.clone(),
        entities: asked.entities.slice(i, 1),
        own: vec![asked.own[i]],
    };
    FeatureRequest {
        views: request.views.iter().map(view).collect(),
        at: vec![request.at[i]],
        now: vec![request.now[i]],
    }
}

async fn known_never_goes_back(store: Arc<dyn OnlineStore>) {
    let fixture = Fixture::new();
    fixture.define(store.as_ref()).await;
    let rows = fixture.rows(80);
    fixture.receive(store.as_ref(), &rows, rows.len()).await;
    let late = after(Span(50 * Span::MINUTE.0));
    let early = after(Span(20 * Span::MINUTE.0));
    store.serve(&fixture.request(&[(late, late)])).await.expect("the present is served");
    let served = store.serve(&fixture.request(&[(early, early)])).await.expect("the recent past is served");
    assert_eq!(served.known_at, [late], "what was known once stays known");
    fixture.check(&rows, &[(early, late)], &served);
}

async fn advancing_shows_what_is_available_and_nothing_else(store: Arc<dyn OnlineStore>) {
    let fixture = Fixture::new();
    fixture.define(store.as_ref()).await;
    let rows = fixture.rows(300);
    let mut newest = Instant::MIN;
    for (step, until) in (1..=10).map(|step| (step, 30 * step)) {
        // Beyond some rows and before others, sometimes back, and before as well as after they are received.
        let known = after(Span(Span::MINUTE.0 * [3, 1, 7, 7, 20, 2, 31, 30, 40, 45][step - 1]));
        store.advance(known).await.expect("the clock is told");
        fixture.receive(store.as_ref(), &rows[until - 30..until], until).await;
        if step % 3 == 0 {
            store.advance(known).await.expect("the clock is told again");
        }
        newest = newest.max(known);
        let early = newest - Span::MINUTE;
        let served = store.serve(&fixture.request(&[(early, early)])).await.expect("the present is served");
        assert_eq!(served.known_at, [newest], "no decision falls behind what is known");
        fixture.check(&rows[..until], &[(early, newest)], &served);
    }
}

async fn a_late_view_is_served_after_its_backfill(store: Arc<dyn OnlineStore>) {
    let fixture = Fixture::new();
    let rows = fixture.rows(200);
    let [first, late] = fixture.views();
    store.define(&first, fixture.dataset()).await.expect("a view is defined");
    fixture.receive(store.as_ref(), &rows[..90], 90).await;
    store.define(&late, fixture.dataset()).await.expect("a view is defined");
    let now = after(Span::HOUR);
    let decisions = [(now, now)];
    let refused = store.serve(&fixture.request(&decisions)).await.expect_err("rows of the past are missing");
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "a view without its past is refused");
    // Live rows go on while the past is read, in pieces, one of them reaching into what came live.
    let id = late.id();
    backfill(&fixture, &store, &id, &rows[..40], 40).await;
    assert_eq!(store.cut(&id).expect("the view is kept"), fixture.cut(40), "a backfill moves the view's cut");
    assert_eq!(store.store_cut(), fixture.cut(90), "and no other");
    fixture.receive(store.as_ref(), &rows[90..120], 120).await;
    let refused = store.serve(&fixture.request(&decisions)).await.expect_err("rows of the past are missing");
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "a view without its past is refused");
    backfill(&fixture, &store, &id, &rows[30..110], 110).await;
    assert_eq!(store.cut(&id).expect("the view is kept"), store.store_cut(), "the view has caught up");
    let served = store.serve(&fixture.request(&decisions)).await.expect("the view has caught up");
    fixture.check(&rows[..120], &decisions, &served);
    fixture.receive(store.as_ref(), &rows[100..], 200).await;
    let served = store.serve(&fixture.request(&decisions)).await.expect("the view goes on");
    fixture.check(&rows, &decisions, &served);
    // What is forgotten begins anew, with nothing of what it held.
    store.forget(&id).expect("the view is kept");
    assert_eq!(store.forget(&id).expect_err("it is not kept any more").kind(), ErrorKind::NotFound);
    store.define(&late, fixture.dataset()).await.expect("a view is defined");
    let refused = store.serve(&fixture.request(&decisions)).await.expect_err("rows of the past are missing");
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "a view without its past is refused");
    backfill(&fixture, &store, &id, &rows, 200).await;
    let served = store.serve(&fixture.request(&decisions)).await.expect("the view has caught up");
    fixture.check(&rows, &decisions, &served);
}

async fn backfill(fixture: &Fixture, store: &Arc<dyn OnlineStore>, view: &VersionedName, rows: &[Row], until: usize) {
    store.backfill(view, &[fixture.batch(rows)], &fixture.cut(until)).await.expect("rows of the past are taken");
}

async fn wrong_requests_are_refused(store: Arc<dyn OnlineStore>) {
    let fixture = Fixture::new();
    fixture.define(store.as_ref()).await;
    let rows = fixture.rows(30);
    fixture.receive(store.as_ref(), &rows, 30).await;
    let now = after(Span::HOUR);
    let right = fixture.request(&[(now, now), (now, now)]);
    let refused = |what: &'static str, request: FeatureRequest| {
        let store = store.clone();
        async move { store.serve(&request).await.expect_err(what).kind() }
    };

    let mut request = right.clone();
    request.views[0].view.version = 99;
    assert_eq!(refused("unknown view", request).await, ErrorKind::NotFound);
    let mut request = right.clone();
    request.now.reverse();
    request.now[1] = now - Span::SECOND;
    assert_eq!(refused("clock going backwards", request).await, ErrorKind::Invalid);
    let mut request = right.clone();
    request.views[1].own.pop();
    assert_eq!(refused("too few own rows", request).await, ErrorKind::Invalid);
    let mut request = right.clone();
    request.at[0] = now - Span::HOUR - Span(1);
    assert_eq!(refused("a decision of the past", request).await, ErrorKind::Invalid);

    let beyond = store.receive("payments", &fixture.batch(&rows), &Cut::of(Partition(0), Offset(1))).await;
    assert_eq!(beyond.expect_err("rows beyond their cut").kind(), ErrorKind::Invalid);
    let mut changed = fixture.views()[0].clone();
    changed.features.pop();
    let redefined = store.define(&changed, fixture.dataset()).await;
    assert_eq!(redefined.expect_err("another definition").kind(), ErrorKind::Conflict);
    let decisions = [(now, now), (now, now)];
    fixture.check(&rows, &decisions, &store.serve(&right).await.expect("nothing refused has changed anything"));
}

async fn a_restart_changes_no_bit(
    store: Arc<dyn OnlineStore>,
    reopen: &impl AsyncFn(Arc<dyn OnlineStore>) -> Arc<dyn OnlineStore>,
) {
    let fixture = Fixture::new();
    let rows = fixture.rows(300);
    let mut store = store;
    fixture.define(store.as_ref()).await;
    for step in 0..6usize {
        let until = 50 * (step + 1);
        fixture.receive(store.as_ref(), &rows[until - 50..until], until).await;
        let now = after(Span(Span::MINUTE.0 * 17 * step as i64));
        store.serve(&fixture.request(&[(now, now)])).await.expect("the present is served");
        if step != 2 {
            store.checkpoint().await.expect("a checkpoint is written");
        }
        store = reopen(store).await;
        fixture.define(store.as_ref()).await;
        // What was received since the last checkpoint is received again, from where the store says.
        fixture.receive(store.as_ref(), &rows[..until], until).await;
        let decisions = [(now, now), (now + Span::SECOND, now + Span::SECOND)];
        let served = store.serve(&fixture.request(&decisions)).await.expect("the present is served");
        fixture.check(&rows[..until], &decisions, &served);
    }
}
