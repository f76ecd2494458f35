//! Calls that run side by side: what overtakes what, and what does not.

use super::*;

const MANY: usize = 24;

/// Asks so many times at once; the numbers of the questions in the order in which their answers came.
async fn order_of_answers(client: &mut Client) -> Vec<usize> {
    let mut questions = Vec::new();
    for _ in 0..MANY {
        questions.push(client.send(&f::help::GetNearestDc {}.to_bytes()).await);
    }
    let mut order = Vec::new();
    while order.len() < MANY {
        let message = client.next().await;
        let known = |id: &i64| answer_to(&message, *id).is_some();
        order.extend(questions.iter().position(known));
    }
    order
}

#[tokio::test]
async fn calls_side_by_side_are_all_answered_in_any_order() {
    let server = start().await;
    let mut client = server.client().await;
    let sent: Vec<usize> = (0..MANY).collect();
    let mut order = order_of_answers(&mut client).await;
    assert_ne!(order, sent);
    order.sort_unstable();
    assert_eq!(order, sent, "each once");

    server.world.hub.set_manners(trunkline::sandbox::rpc::Manners {
        side_by_side: Switch::new(false),
        ..Default::default()
    });
    assert_eq!(order_of_answers(&mut client).await, sent);
}

#[tokio::test]
async fn calls_side_by_side_do_not_wait_for_a_slow_one() {
    let server = start().await;
    let mut client = server.client().await;
    let slow = client.send(&f::help::GetSupport {}.to_bytes()).await;
    let mut quick = Vec::new();
    for _ in 0..MANY {
        quick.push(client.send(&f::help::GetNearestDc {}.to_bytes()).await);
    }
    let mut answered = 0;
    loop {
        let message = client.next().await;
        answered += quick
            .iter()
            .filter(|id| answer_to(&message, **id).is_some())
            .count();
        if answer_to(&message, slow).is_some() {
            break;
        }
    }
    assert_eq!(answered, MANY, "the slow one came last");
}

#[tokio::test]
async fn calls_side_by_side_are_introduced_in_the_order_in_which_they_came() {
    let server = start().await;
    let mut client = Client::begin(server.wire.address(), &server.public_pem).await;
    let first = introduced(f::help::GetSupport {}).to_bytes();
    let slow = client.send(&first).await;
    let next = client.send(&f::help::GetNearestDc {}.to_bytes()).await;
    client
        .answer(next)
        .await
        .expect("introduced by the call before it");
    client.answer(slow).await.expect("answered");
}
