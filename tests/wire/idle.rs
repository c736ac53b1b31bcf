//! A server that ends connections under a request, as one does that was idle for too long: nobody is told before.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use dagstorm::model::{Outcome, Receipt};
use tokio::net::TcpListener;

use crate::{
    client::Rig,
    dagster::{Dagster, Quirks},
    proxy::{Proxy, read_request, reset, respond},
    schema::Sdl,
};

/// Before a Dagster, it resets the connection of a request that comes later than `idle` after the answer before it.
struct Front {
    rig: Rig,
    /// How many requests were met by a reset.
    resets: Arc<AtomicU32>,
}

impl Front {
    async fn new(idle: Duration) -> Self {
        let dagster = Dagster::new(Sdl::installed(), 1, Quirks { instant: true, ..Quirks::default() });
        let proxy = Proxy::new(&dagster.listen().await, 1);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/graphql", listener.local_addr().unwrap());
        let resets: Arc<AtomicU32> = Arc::default();
        let counted = Arc::clone(&resets);
        drop(tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let (proxy, counted) = (proxy.clone(), Arc::clone(&counted));
                drop(tokio::spawn(async move {
                    let (mut buffer, mut answered_at) = (vec![], None::<Instant>);
                    while let Some(body) = read_request(&mut socket, &mut buffer).await {
                        if answered_at.is_some_and(|at| at.elapsed() > idle) {
                            counted.fetch_add(1, Ordering::Relaxed);
                            reset(&socket);
                            return;
                        }
                        let answer = proxy.pass_on(body).await;
                        respond(&mut socket, 200, &answer).await;
                        answered_at = Some(Instant::now());
                    }
                }));
            }
        }));
        Self { rig: Rig::at(dagster, &url), resets }
    }
}

#[tokio::test]
async fn launches_go_over_connections_that_the_server_still_keeps() {
    let launches = |idle: u64, gap: u64| async move {
        let front = Front::new(Duration::from_secs(idle)).await;
        for index in 0..3 {
            let outcome = front.rig.launch(index, "fast_job").await;
            let is_done = matches!(outcome, Outcome::Done(Receipt::Launched { .. }));
            assert!(is_done, "kept for {idle} s, {gap} ms between launches: {outcome:?}");
            // The pause is what is tested: no condition ends it.
            tokio::time::sleep(Duration::from_millis(gap)).await;
        }
        assert_eq!((front.rig.dagster.runs().len(), front.resets.load(Ordering::Relaxed)), (3, 0));
    };
    tokio::join!(launches(1, 10), launches(1, 1_020), launches(5, 5_020));
}

#[tokio::test]
async fn what_changes_nothing_is_read_again_at_once_and_a_launch_is_not() {
    // Each connection carries one request, and is kept open.
    let front = Front::new(Duration::ZERO).await;
    for _ in 0..4 {
        let seen = front.rig.look(&[]).await;
        assert!(seen.fresh().is_some(), "{seen:?}");
    }
    assert!(front.resets.load(Ordering::Relaxed) >= 2, "{}", front.resets.load(Ordering::Relaxed));
    let mut in_doubt = 0;
    for index in 0..6 {
        let made = front.rig.dagster.runs().len();
        match front.rig.launch(index, "fast_job").await {
            Outcome::Done(_) => assert_eq!(front.rig.dagster.runs().len(), made + 1),
            Outcome::Unknown { .. } => {
                in_doubt += 1;
                assert_eq!(front.rig.dagster.runs().len(), made, "it was sent once, and met its end");
            }
            outcome @ Outcome::Refused { .. } => panic!("nothing tells that it was not sent: {outcome:?}"),
        }
    }
    assert!(in_doubt >= 2, "{in_doubt}");
}
