use std::sync::mpsc;

use super::*;

fn one_at_a_time() -> ContractJobs {
    let short = Duration::from_millis(50);
    ContractJobs {
        turns: Arc::new(Semaphore::new(1)),
        turn_wait_max: short,
        job_time_max: short,
        ..ContractJobs::default()
    }
}

#[tokio::test]
async fn who_waits_too_long_for_a_turn_is_refused_and_the_turn_comes_back() {
    let jobs = one_at_a_time();
    let first = jobs.begin().await.unwrap();
    let Err(refused) = jobs.begin().await else { panic!("there is one turn") };
    assert_eq!((refused.code(), refused.kind()), ("SW0253", ErrorKind::Unavailable));
    drop(first);
    let jobs = ContractJobs { job_time_max: JOB_TIME_MAX, ..jobs };
    assert_eq!(jobs.run(|_| Ok(7)).await.unwrap(), 7);
}

#[tokio::test]
async fn a_job_ends_with_its_time_and_keeps_its_turn_until_its_work_has_ended() {
    let jobs = one_at_a_time();
    let (go_on, wait) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    let job = jobs.begin().await.unwrap();
    let working = job.blocking(move |stop| {
        let _ = wait.recv();
        tell.send(stop.check().is_err()).map_err(|e| Error::internal("SW0887", "nobody listens").because(e))
    });
    assert_eq!(working.await.unwrap_err().code(), "SW0255");
    drop(job);
    assert_eq!(jobs.turns.available_permits(), 0, "the work still runs");
    go_on.send(()).unwrap();
    assert!(told.recv().unwrap(), "the work is told to end");
    let again = timeout(JOB_TIME_MAX, jobs.turns.clone().acquire_owned()).await;
    assert!(again.is_ok(), "the turn comes back");
}
