//! A server that takes connections slowly: a launch that waits for one goes out late, and that is told.

use std::{net::SocketAddr, time::Duration};

use dagstorm::{
    model::{Acted, Outcome, Receipt, Timestamp},
    world::{Clock, SystemClock},
};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::{
    client::Rig,
    dagster::{Dagster, Quirks},
    schema::Sdl,
};

/// A Dagster whose kernel keeps one connection waiting, and drops the requests for more.
fn narrow() -> (Rig, TcpListener, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let dagster = Dagster::new(Sdl::installed(), 1, Quirks { instant: true, ..Quirks::default() });
    (Rig::at(dagster, &format!("http://{address}/graphql")), listener, address)
}

/// Connections that wait to be let in, as many as there is room for: the next one is not made.
async fn fill(address: SocketAddr) -> Vec<TcpStream> {
    let mut waiting = vec![];
    while let Ok(connected) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        waiting.push(connected.unwrap());
    }
    waiting
}

fn is_launched(acted: &Acted) -> bool {
    matches!(acted.outcome, Outcome::Done(Receipt::Launched { .. }))
}

#[tokio::test]
async fn a_launch_that_waits_for_a_connection_goes_out_when_it_has_one() {
    let (rig, listener, address) = narrow();
    let waiting = fill(address).await;
    assert!(!waiting.is_empty());
    let dagster = rig.dagster.clone();
    let opened = async {
        // The pause is what is tested: no condition ends it.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let opened_at = SystemClock.now();
        drop(waiting);
        dagster.serve(listener);
        opened_at
    };
    let released_at = SystemClock.now();
    let (acted, opened_at) = tokio::join!(rig.act(0, "fast_job"), opened);
    assert!(is_launched(&acted), "{acted:?}");
    let sent_at = acted.sent_at.expect("it went out");
    assert!(released_at < opened_at && opened_at <= sent_at, "{released_at} {opened_at} {sent_at}");
    assert!(sent_at <= heard_at(&rig), "it went out before it was heard");

    // Over the connection that is there, the next one goes out at once.
    let released_at = SystemClock.now();
    let acted = rig.act(1, "fast_job").await;
    assert!(is_launched(&acted), "{acted:?}");
    let sent_at = acted.sent_at.expect("it went out");
    assert!(released_at <= sent_at && sent_at <= heard_at(&rig));
}

#[tokio::test]
async fn a_launch_without_a_connection_never_goes_out() {
    let (rig, listener, _) = narrow();
    drop(listener);
    let acted = rig.act(0, "fast_job").await;
    assert!(matches!(acted.outcome, Outcome::Refused { retry: true, .. }), "{acted:?}");
    assert_eq!(acted.sent_at, None);
}

/// When the server made the last run, and what is lost by its writing that as a fraction of a second.
fn heard_at(rig: &Rig) -> Timestamp {
    let seconds = rig.dagster.runs().last().expect("a run").made_at;
    Timestamp::from_seconds(seconds).plus(Duration::from_millis(1))
}
