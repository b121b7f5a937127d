//! Connecting a device: what its program is told, and what the person sees and answers.

use channelgate::account::{Role, Subscription};

use super::browser::{CLIENT, begin_device, poll, program};
use super::people::{PASSWORD, Town};

#[tokio::test]
async fn device_is_connected_by_a_person_who_signs_in_on_the_way() {
    let town = Town::found().await;
    let asked = begin_device(&town.gate, &town.identity).await;
    let origin = format!("https://localhost:{}", town.gate.data().port());
    let (device, code) = (asked["device_code"].as_str().unwrap(), asked["user_code"].as_str().unwrap());
    assert_eq!(asked["verification_uri"], format!("{origin}/device"));
    assert_eq!(asked["verification_uri_complete"], format!("{origin}/device?user_code={code}"));
    assert_eq!((&asked["expires_in"], &asked["interval"]), (&600.into(), &2.into()));
    assert_eq!(poll(&town.gate, &town.identity, device).await.0, "authorization_pending");

    let mut browser = town.browser();
    let first = browser.get(&format!("/device?user_code={}", code.to_lowercase().replace('-', ""))).await;
    assert_eq!(first.location(), format!("/sign-in?next=%2Fdevice%3Fuser_code%3D{code}"));
    let page = browser.get(first.location()).await;
    let on = browser.send(&page, "/sign-in", &[("user", "alice"), ("password", PASSWORD)]).await;
    assert_eq!(on.location(), format!("/device?user_code={code}"));
    town.pass(130);
    let page = browser.get(on.location()).await;
    assert_eq!(page.heading(), "Connect this device?");
    for shown in [
        code,
        "anaconda-auth/0.15.3",
        "127.0.0.1",
        "2 minutes ago",
        "download packages",
        "90 days",
        "<strong>alice</strong>",
    ] {
        assert!(page.text.contains(shown), "{shown} in {}", page.text);
    }
    assert_eq!(
        poll(&town.gate, &town.identity, device).await.0,
        "authorization_pending",
        "looking is no answer"
    );

    let answer = browser.send(&page, "/device", &[("answer", "approve")]).await;
    let page = browser.get(answer.location()).await;
    assert_eq!(page.heading(), "The device is connected");
    let (status, granted) = poll(&town.gate, &town.identity, device).await;
    assert_eq!((status.as_str(), &granted["token_type"]), ("200", &"Bearer".into()), "{granted}");
    assert!(granted["access_token"].as_str().unwrap().starts_with("cg-"));
    assert_eq!(
        poll(&town.gate, &town.identity, device).await.0,
        "invalid_grant",
        "a device code is good once"
    );
    assert_eq!(town.audit(&["device."]).await, [("device.approve".into(), "user:alice".into())]);
}

#[tokio::test]
async fn answer_that_is_sent_twice_says_what_became_of_it() {
    let town = Town::found().await;
    let mut browser = town.browser_of("alice").await;
    for (answer, heading, word) in
        [("approve", "The device is connected", "200"), ("deny", "The request was denied", "access_denied")]
    {
        let asked = begin_device(&town.gate, &town.identity).await;
        let (device, code) = (asked["device_code"].as_str().unwrap(), asked["user_code"].as_str().unwrap());
        let page = browser.get(&format!("/device?user_code={code}")).await;
        for other in [answer, answer, "approve", "deny"] {
            let on = browser.send(&page, "/device", &[("answer", other)]).await;
            assert_eq!(browser.get(on.location()).await.heading(), heading, "{answer}, then {other}");
        }
        assert_eq!(poll(&town.gate, &town.identity, device).await.0, word);
        let on = browser.send(&page, "/device", &[("answer", "approve")]).await;
        assert_eq!(browser.get(on.location()).await.heading(), heading, "also when the device knows");
    }
    let done: Vec<_> = town.audit(&["device."]).await.into_iter().map(|(action, _)| action).collect();
    assert_eq!(done, ["device.approve", "device.deny"], "each once");
}

#[tokio::test]
async fn nobody_answers_but_on_the_page_that_shows_what_is_asked() {
    let town = Town::found().await;
    let asked = begin_device(&town.gate, &town.identity).await;
    let other = begin_device(&town.gate, &town.identity).await;
    let (device, code) = (asked["device_code"].as_str().unwrap(), asked["user_code"].as_str().unwrap());
    let approve = [("user_code", code), ("answer", "approve"), ("organization", "default")];
    let mut stranger = town.browser();
    assert!(stranger.post("/device", &approve).await.location().starts_with("/sign-in?next="));
    let mut browser = town.browser_of("alice").await;
    assert_eq!(browser.post("/device", &approve).await.reply.status, 403, "no proof");
    let of_other = browser.get(&format!("/device?user_code={}", other["user_code"].as_str().unwrap())).await;
    let mixed = browser.send(&of_other, "/device", &approve).await;
    assert_eq!(
        (mixed.reply.status, mixed.heading()),
        (403, "Connect this device?"),
        "the proof of another code"
    );
    let mut bob = town.browser_of("alice").await;
    let page = bob.get(&format!("/device?user_code={code}")).await;
    assert_eq!(
        browser.send(&page, "/device", &approve).await.reply.status,
        403,
        "the proof of another session"
    );
    let page = browser.get(&format!("/device?user_code={code}")).await;
    browser.says = vec![("Sec-Fetch-Site".into(), "cross-site".into())];
    assert_eq!(browser.send(&page, "/device", &approve).await.reply.status, 403, "another site");
    assert_eq!(poll(&town.gate, &town.identity, device).await.0, "authorization_pending");
    assert_eq!(town.audit(&["device."]).await, []);
}

#[tokio::test]
async fn codes_expire_and_wrong_ones_are_throttled() {
    let town = Town::found().await;
    let asked = begin_device(&town.gate, &town.identity).await;
    let (device, code) = (asked["device_code"].as_str().unwrap(), asked["user_code"].as_str().unwrap());
    let mut browser = town.browser_of("alice").await;
    let open = browser.get(&format!("/device?user_code={code}")).await;
    town.pass(600);
    let late = browser.send(&open, "/device", &[("answer", "approve")]).await;
    let page = browser.get(late.location()).await;
    assert_eq!(page.reply.status, 404);
    assert!(page.mistake().unwrap().starts_with("No device waits with this code"), "{:?}", page.mistake());
    assert_eq!(poll(&town.gate, &town.identity, device).await.0, "expired_token");

    let page = browser.get("/device?user_code=hello").await;
    assert_eq!(page.reply.status, 422);
    assert!(page.text.contains("value=\"hello\""), "what was typed is still there");
    for n in 0..10 {
        let page = browser.get("/device?user_code=BCDFG-HJKLM").await;
        assert_eq!(page.reply.status, 404, "{n}");
    }
    let page = browser.get("/device?user_code=BCDFG-HJKLM").await;
    assert_eq!((page.reply.status, page.reply.header("retry-after")), (429, Some("2")));
    // Whoever knows a code is not kept from it by having looked often.
    let asked = begin_device(&town.gate, &town.identity).await;
    town.pass(2);
    let target = format!("/device?user_code={}", asked["user_code"].as_str().unwrap());
    assert_eq!(browser.get(&target).await.heading(), "Connect this device?");
}

#[tokio::test]
async fn polls_that_come_too_often_are_slowed_down() {
    let town = Town::found().await;
    let asked = begin_device(&town.gate, &town.identity).await;
    let device = asked["device_code"].as_str().unwrap();
    let polled = || async { poll(&town.gate, &town.identity, device).await.0 };
    assert_eq!(polled().await, "authorization_pending");
    assert_eq!(polled().await, "slow_down");
    town.pass(6);
    assert_eq!(polled().await, "slow_down", "five seconds more since");
    town.pass(60);
    assert_eq!(polled().await, "authorization_pending");
}

#[tokio::test]
async fn somebody_without_a_seat_is_told_so_before_anything_is_given() {
    let town = Town::found().await;
    let asked = begin_device(&town.gate, &town.identity).await;
    let (device, code) = (asked["device_code"].as_str().unwrap(), asked["user_code"].as_str().unwrap());
    let mut bob = town.browser_of("bob").await;
    let page = bob.get(&format!("/device?user_code={code}")).await;
    assert_eq!((page.reply.status, page.heading()), (403, "You have no seat"));
    assert_eq!(poll(&town.gate, &town.identity, device).await.0, "authorization_pending");
}

#[tokio::test]
async fn person_with_several_seats_chooses_the_organization() {
    let town = Town::found().await;
    let (store, now) = (town.gate.store(), town.gate.app.clock().now());
    let by = channelgate::store::Actor::gate();
    for (name, title) in [("acme", "Acme Corporation"), ("gone", "Gone Inc.")] {
        store.create_organization(name, title, Subscription::until(None), &by, now).await.unwrap();
        store.assign_seat(name, "alice", Role::Member, &by, now).await.unwrap();
    }
    store.cancel_organization("gone", &by, now).await.unwrap();
    let asked = begin_device(&town.gate, &town.identity).await;
    let code = asked["user_code"].as_str().unwrap();
    let mut browser = town.browser_of("alice").await;
    let page = browser.get(&format!("/device?user_code={code}")).await;
    assert!(page.text.contains("Acme Corporation<small>acme</small>"), "{}", page.text);
    assert!(!page.text.contains("Gone Inc."), "{}", page.text);
    let foreign = browser.send(&page, "/device", &[("answer", "approve"), ("organization", "nobodys")]).await;
    assert_eq!(browser.get(foreign.location()).await.heading(), "Connect this device?", "nothing was said");
    browser.send(&page, "/device", &[("answer", "approve"), ("organization", "acme")]).await;
    let (_, granted) = poll(&town.gate, &town.identity, asked["device_code"].as_str().unwrap()).await;
    let access = channelgate::token::TokenDigest::of(granted["access_token"].as_str().unwrap().as_bytes());
    let device = store.redeem_access(&access, now).await.unwrap().unwrap();
    let approval = device.approved.unwrap();
    assert_eq!((approval.user.as_str(), approval.organization.as_str()), ("alice", "acme"));
}

#[tokio::test]
async fn requests_of_programs_that_are_none_are_told_what_is_wrong() {
    let town = Town::found().await;
    let device = "/api/auth/oauth2/device";
    let token = "/api/auth/oauth2/token";
    let grant = ("grant_type", "urn:ietf:params:oauth:grant-type:device_code");
    let id = ("client_id", CLIENT);
    for (target, fields, status, word) in [
        (device, &[][..], 401, "invalid_client"),
        (device, &[("client_id", "other")], 401, "invalid_client"),
        (device, &[id, id], 400, "invalid_request"),
        (token, &[grant, ("device_code", "x")], 401, "invalid_client"),
        (token, &[id], 400, "invalid_request"),
        (token, &[id, grant], 400, "invalid_request"),
        (token, &[id, grant, ("device_code", "garbage")], 400, "invalid_grant"),
        (token, &[id, grant, ("device_code", "01234567890123456789")], 400, "invalid_grant"),
        (
            token,
            &[id, ("grant_type", "password"), ("username", "alice"), ("password", PASSWORD)],
            400,
            "unsupported_grant_type",
        ),
        (
            token,
            &[id, ("grant_type", "refresh_token"), ("refresh_token", "x")],
            400,
            "unsupported_grant_type",
        ),
    ] {
        let (given, answer) = program(&town.gate, &town.identity, target, fields).await;
        assert_eq!((given, answer["error"].as_str()), (status, Some(word)), "{target} {fields:?}");
        assert!(answer["error_description"].is_string(), "{answer}");
    }
}

#[tokio::test]
async fn address_that_begins_endlessly_is_turned_away() {
    let town = Town::found().await;
    let begin = || program(&town.gate, &town.identity, "/api/auth/oauth2/device", &[("client_id", CLIENT)]);
    for _ in 0..61 {
        assert_eq!(begin().await.0, 200);
    }
    let (status, answer) = begin().await;
    assert_eq!((status, answer["error"].as_str()), (503, Some("temporarily_unavailable")));
}
