use serde_json::json;

use super::*;
use crate::config::{self, Config};
use crate::ids::EventId;
use crate::ingress::receipt::{EventStatus, Receipt};

/// A configuration with an admin surface, two inbound rules, of which the second's path is an event's too, and routes
/// that take no body above 1 KiB.
fn config() -> Config {
    let rule =
        |name: &str| json!({"name": name, "match": {"path": format!("/in/{name}")}, "secrets": [{"value": "s"}]});
    let config = json!({
        "admin": {"tokens": [{"value": "t"}]},
        "limits": {"body": "1KiB"},
        "inbound": [rule("partner"), rule("both")],
        "routes": [
            {"name": "paid", "match": {"path": "/events/{event}"}, "event": "{event}"},
            {"name": "both", "match": {"path": "/in/both", "headers": {"x-gatepost-verified": "both"}}, "event": "both"},
        ],
        "endpoints": [{"name": "one", "cluster": "c", "url": "http://one", "secrets": [{"value": "s"}]}],
    });
    config::parse(config.to_string().as_bytes(), &|_| None).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn budgets() -> Budgets {
    Budgets::new(1024)
}

fn headers(path: &str, more: &[(&str, &str)]) -> Headers {
    let all = [&[(":method", "POST"), (":path", path)], more].concat();
    Headers::new(&all.iter().map(|(name, value)| (*name, value.as_bytes())).collect::<Vec<_>>())
}

/// A request whose headers have come, and no more; an operator's token is taken for right.
fn begun(config: &Config, path: &str, more: &[(&str, &str)]) -> (Request, Step) {
    begun_within(&budgets(), config, path, more)
}

fn begun_within(budgets: &Budgets, config: &Config, path: &str, more: &[(&str, &str)]) -> (Request, Step) {
    let mut request = Request::new(7);
    let step = match request.handle_headers(&config.request_rules(), budgets, headers(path, more), false) {
        Step::Work(Work::Authorize { headers }) => request.handle_operator(headers),
        step => step,
    };
    (request, step)
}

/// A request whose body was collected and read.
fn whole(config: &Config, path: &str, more: &[(&str, &str)], body: &[u8]) -> (Request, Step) {
    let (mut request, step) = begun(config, path, more);
    assert!(matches!(step, Step::Pause), "{step:?}");
    let step = request.handle_data(&config.request_rules(), body.len(), true);
    assert!(matches!(step, Step::Read { body: len, .. } if len == body.len()), "{step:?}");
    let step = request.handle_read(&config.request_rules(), None, Some(body.to_vec()));
    (request, step)
}

fn replied(step: &Step) -> (u16, Option<RequestResult>) {
    match step {
        Step::Reply(answer, count) => (answer.status, *count),
        step => panic!("no reply: {step:?}"),
    }
}

fn verified() -> Verdict {
    Verdict { result: InboundResult::Verified, pass: Ok(None) }
}

const PARTNER: RuleId = RuleId(0);
const BOTH: RuleId = RuleId(1);
const PAID: RouteId = RouteId(0);

/// A client's claim to be verified is removed from the trailers too; a request on which that fails does not go on.
#[test]
fn claims_in_trailers_are_removed() {
    let config = config();
    let trailers = Headers::new(&[("x.gatepost_verified", b"both".as_slice()), ("x-sum", b"7")]);
    let (mut request, _) = begun(&config, "/other", &[]);
    let step = request.handle_trailers(&config.request_rules(), || trailers);
    assert!(matches!(&step, Step::RemoveTrailers(names) if *names == ["x.gatepost_verified"]), "{step:?}");
    assert!(matches!(request.handle_trailers_removed(true), Step::Continue(None)));
    assert_eq!(replied(&request.handle_trailers_removed(false)).0, 503);
}

/// The application is told a configured secret, or the rule's name.
#[test]
fn application_is_told_the_configured_value() {
    let rule = json!({
        "name": "partner", "match": {"path": "/in"}, "secrets": [{"value": "s"}], "header_value": {"env": "PROOF"},
    });
    let text = json!({"inbound": [rule]}).to_string();
    let config = config::parse(text.as_bytes(), &|_| Some("s3cret".to_owned())).unwrap();
    let (mut request, _) = whole(&config, "/in", &[], b"{}");
    let step =
        request.handle_verdict(&config.request_rules(), PARTNER, verified(), headers("/in", &[]), b"{}".to_vec());
    let Step::Change(changes) = step else { panic!("{step:?}") };
    assert_eq!(changes.set, Some(("x-gatepost-verified".to_owned(), "s3cret".to_owned())));
    assert!(!format!("{config:?}").contains("s3cret"));
}

#[test]
fn what_no_rule_names_goes_on_untouched() {
    let config = config();
    let (mut request, step) = begun(&config, "/other", &[]);
    assert!(matches!(step, Step::Continue(None)), "{step:?}");
    assert!(matches!(request.handle_data(&config.request_rules(), 9, true), Step::Continue(None)));
    assert!(matches!(request.handle_trailers(&config.request_rules(), Headers::default), Step::Continue(None)));
    assert_eq!(request.handle_end(), (None, None));
}

/// A request that claims to be verified loses the claim, in either spelling, and goes on.
#[test]
fn a_claim_to_be_verified_is_removed() {
    let (mut request, step) = begun(&config(), "/other", &[("x-gatepost-verified", "a"), ("x_gatepost_verified", "b")]);
    let Step::Change(changes) = step else { panic!("{step:?}") };
    assert_eq!(
        changes,
        Changes { remove: vec!["x-gatepost-verified".into(), "x_gatepost_verified".into()], set: None }
    );
    assert!(matches!(request.handle_changed(true), Step::Continue(None)));
}

#[test]
fn what_cannot_be_changed_does_not_go_on() {
    let (mut request, _) = begun(&config(), "/other", &[("x-gatepost-verified", "a")]);
    assert_eq!(replied(&request.handle_changed(false)), (503, None));
}

#[test]
fn a_request_without_a_method_is_refused() {
    let mut request = Request::new(7);
    let step = request.handle_headers(&config().request_rules(), &budgets(), Headers::default(), true);
    assert_eq!(replied(&step), (503, None));
}

#[test]
fn a_path_that_may_be_a_guarded_one_is_refused() {
    assert_eq!(replied(&begun(&config(), "/other/../in/partner", &[]).1), (400, None));
}

#[test]
fn the_admin_surface_goes_first_and_reads_its_body() {
    let (mut request, step) = whole(&config(), "/gatepost/drain?x=1", &[], b"{}");
    assert!(matches!(&step, Step::Work(Work::Command { body, .. }) if body == b"{}"), "{step:?}");
    assert!(matches!(request.handle_command_done(None), Step::Pause));
    assert_eq!(request.handle_end(), (None, Some(End::Operator)));
}

#[test]
fn a_command_whose_body_cannot_be_read_is_refused() {
    let config = config();
    let (mut request, _) = begun(&config, "/gatepost/drain", &[]);
    let step = request.handle_read(&config.request_rules(), None, None);
    assert!(matches!(&step, Step::Work(Work::RefuseCommand(problem)) if problem.status == 503), "{step:?}");
}

/// Headers that are small stay while the body comes; large ones are read once more, and must then be there.
#[test]
fn large_headers_are_read_again_at_the_end() {
    let config = config();
    let large = "x".repeat(HEADERS_KEPT);
    for (more, is_read) in [(vec![], false), (vec![("x-large", large.as_str())], true)] {
        for path in ["/in/partner", "/events/paid", "/gatepost/drain"] {
            let (mut request, _) = begun(&config, path, &more);
            let step = request.handle_data(&config.request_rules(), 2, true);
            assert!(matches!(step, Step::Read { body: 2, headers } if headers == is_read), "{path} {step:?}");
            let again = is_read.then(|| headers(path, &more));
            let step = request.handle_read(&config.request_rules(), again, Some(b"{}".to_vec()));
            assert!(matches!(step, Step::Work(_)), "{path} {step:?}");
        }
    }
    let (mut request, _) = begun(&config, "/events/paid", &[("x-large", &large)]);
    let step = request.handle_read(&config.request_rules(), Some(Headers::default()), Some(b"{}".to_vec()));
    assert_eq!(replied(&step).0, 503);
}

/// Requests of one kind that never end leave room for those of the others, and their room is free once they are gone.
#[test]
fn requests_that_never_end_are_refused_by_kind() {
    let (config, budgets) = (config(), budgets());
    for (path, count) in [
        ("/in/partner", RequestResult::Inbound(PARTNER, InboundResult::Overloaded)),
        ("/events/paid", RequestResult::Event(PAID, EventResult::Overloaded)),
        ("/gatepost/drain", RequestResult::Admin(AdminRefusal::Overloaded)),
    ] {
        let mut slow = Vec::new();
        let refused = loop {
            let (request, step) = begun_within(&budgets, &config, path, &[]);
            if !matches!(step, Step::Pause) {
                break step;
            }
            slow.push(request);
        };
        assert!((64..=1024).contains(&slow.len()), "{path} {}", slow.len());
        assert_eq!(replied(&refused), (503, Some(count)), "{path}");
        slow.pop();
        assert!(matches!(begun_within(&budgets, &config, path, &[]).1, Step::Pause), "{path}");
    }
}

/// The bytes that have come count, not those that are announced.
#[test]
fn bodies_beyond_the_budget_are_refused() {
    let text = json!({"limits": {"body": "16MiB"}, "inbound": [
        {"name": "partner", "match": {"path": "/in/partner"}, "secrets": [{"value": "s"}]}]});
    let config = config::parse(text.to_string().as_bytes(), &|_| None).unwrap();
    let (budgets, sizes) = (Budgets::new(16 << 20), [15 << 20, 15 << 20, 15 << 20, 15 << 20, 5 << 20]);
    let mut slow: Vec<_> = sizes.map(|_| begun_within(&budgets, &config, "/in/partner", &[]).0).into();
    let steps: Vec<_> = slow
        .iter_mut()
        .zip(sizes)
        .map(|(request, size)| request.handle_data(&config.request_rules(), size, false))
        .collect();
    assert!(steps[..4].iter().all(|step| matches!(step, Step::Pause)));
    let overloaded = (503, Some(RequestResult::Inbound(PARTNER, InboundResult::Overloaded)));
    assert_eq!(replied(&steps[4]), overloaded);
}

#[test]
fn a_command_that_is_too_large_is_refused() {
    let config = config();
    let (mut request, _) = begun(&config, "/gatepost/state", &[]);
    assert!(matches!(request.handle_data(&config.request_rules(), COMMAND_MAX, false), Step::Pause));
    let step = request.handle_data(&config.request_rules(), COMMAND_MAX + 1, false);
    assert!(matches!(&step, Step::Work(Work::RefuseCommand(problem)) if problem.status == 413), "{step:?}");
}

#[test]
fn a_message_is_collected_and_verified() {
    let (_, step) = whole(&config(), "/in/partner", &[], b"hello");
    let Step::Work(Work::Verify { rule, body, .. }) = step else { panic!("{step:?}") };
    assert_eq!((rule, body.as_slice()), (PARTNER, &b"hello"[..]));
}

#[test]
fn a_message_by_another_method_is_refused() {
    let mut request = Request::new(7);
    let get = Headers::new(&[(":method", b"GET"), (":path", b"/in/partner")]);
    let step = request.handle_headers(&config().request_rules(), &budgets(), get, true);
    assert_eq!(replied(&step), (405, Some(RequestResult::Inbound(PARTNER, InboundResult::Method))));
}

/// A message is refused by its announced length, and by the bytes that have come.
#[test]
fn a_message_that_is_too_large_is_refused() {
    let (config, too_large) = (config(), (413, Some(RequestResult::Inbound(PARTNER, InboundResult::TooLarge))));
    assert_eq!(replied(&begun(&config, "/in/partner", &[("content-length", "1025")]).1), too_large);
    let (mut request, _) = begun(&config, "/in/partner", &[("content-length", "1024")]);
    assert_eq!(replied(&request.handle_data(&config.request_rules(), 1025, false)), too_large);
}

#[test]
fn a_message_whose_body_cannot_be_read_is_refused() {
    let config = config();
    let (mut request, _) = begun(&config, "/in/partner", &[]);
    let step = request.handle_read(&config.request_rules(), None, None);
    assert_eq!(replied(&step), (503, Some(RequestResult::Inbound(PARTNER, InboundResult::Unavailable))));
}

/// A verified message is counted once its mark is set; if the mark cannot be set the message does not go on.
#[test]
fn a_verified_message_goes_on_marked() {
    let config = config();
    for (is_done, counted) in [(true, InboundResult::Verified), (false, InboundResult::Unavailable)] {
        let (mut request, _) = whole(&config, "/in/partner", &[("x_gatepost_verified", "me")], b"");
        let claiming = headers("/in/partner", &[("x_gatepost_verified", "me")]);
        let step = request.handle_verdict(&config.request_rules(), PARTNER, verified(), claiming, vec![]);
        let Step::Change(changes) = step else { panic!("{step:?}") };
        assert_eq!(changes.remove, ["x_gatepost_verified"]);
        assert_eq!(changes.set, Some(("x-gatepost-verified".to_owned(), "partner".to_owned())));
        match request.handle_changed(is_done) {
            Step::Continue(count) if is_done => assert_eq!(count, Some(RequestResult::Inbound(PARTNER, counted))),
            step => assert_eq!(replied(&step), (503, Some(RequestResult::Inbound(PARTNER, counted)))),
        }
    }
}

#[test]
fn a_message_that_is_not_verified_is_answered() {
    let config = config();
    let (mut request, _) = whole(&config, "/in/partner", &[], b"");
    let verdict = Verdict::answer(InboundResult::Unsigned, Answer::problem(401, "Unauthorized", "no"));
    let step = request.handle_verdict(&config.request_rules(), PARTNER, verdict, headers("/in/partner", &[]), vec![]);
    assert_eq!(replied(&step), (401, Some(RequestResult::Inbound(PARTNER, InboundResult::Unsigned))));
}

/// The route asks for the gateway's own mark, which a client cannot set.
#[test]
fn a_verified_message_may_be_an_event() {
    let config = config();
    let (mut request, step) = whole(&config, "/in/both", &[("x-gatepost-verified", "both")], b"x");
    let Step::Work(Work::Verify { headers, body, .. }) = step else { panic!("{step:?}") };
    let step = request.handle_verdict(&config.request_rules(), BOTH, verified(), *headers, body);
    let Step::Work(Work::Take(offer)) = step else { panic!("{step:?}") };
    assert_eq!(
        (offer.route, offer.event.event_type.as_str(), offer.event.payload.as_slice()),
        (RouteId(1), "both", &b"x"[..])
    );
}

#[test]
fn an_event_is_collected_and_taken() {
    let (mut request, step) = whole(&config(), "/events/paid", &[("idempotency-key", "k")], b"{}");
    let Step::Work(Work::Take(offer)) = step else { panic!("{step:?}") };
    assert_eq!((offer.stream, offer.route, offer.event.event_type.as_str()), (7, PAID, "paid"));
    assert!(offer.key.is_some());
    let receipt =
        Receipt { id: EventId([0; 16]), event: "paid", status: EventStatus::Accepted, deliveries: Vec::new() };
    assert_eq!(replied(&request.handle_reply(Some(Answer::receipt(202, &receipt)))), (202, None));
    assert_eq!(request.handle_end(), (None, None));
}

#[test]
fn a_producer_may_wait_for_the_end_of_its_event() {
    let (mut request, _) = whole(&config(), "/events/paid", &[], b"{}");
    assert!(matches!(request.handle_reply(None), Step::Pause));
    assert_eq!(request.handle_end(), (None, Some(End::Producer(None))));
}

/// The headers may end the stream, and so may trailers behind a body.
#[test]
fn an_event_may_end_with_its_headers_or_its_trailers() {
    let config = config();
    let mut request = Request::new(7);
    let step = request.handle_headers(&config.request_rules(), &budgets(), headers("/events/paid", &[]), true);
    assert!(matches!(&step, Step::Work(Work::Take(_))), "{step:?}");
    let (mut request, _) = begun(&config, "/events/paid", &[]);
    assert!(matches!(request.handle_data(&config.request_rules(), 3, false), Step::Pause));
    let step = request.handle_trailers(&config.request_rules(), Headers::default);
    assert!(matches!(step, Step::Read { body: 3, .. }), "{step:?}");
}

#[test]
fn what_is_no_event_of_its_route_is_refused() {
    let (config, invalid) = (config(), Some(RequestResult::Event(PAID, EventResult::Invalid)));
    assert_eq!(replied(&whole(&config, "/events/p%C3%A4id", &[], b"{}").1), (400, invalid));
    assert_eq!(replied(&whole(&config, "/events/paid", &[("idempotency-key", "")], b"{}").1), (400, invalid));
    assert_eq!(replied(&begun(&config, "/events/paid", &[("content-length", "1025")]).1), (413, invalid));
    let (mut request, _) = begun(&config, "/events/paid", &[]);
    let unread = request.handle_read(&config.request_rules(), None, None);
    assert_eq!(replied(&unread), (503, Some(RequestResult::Event(PAID, EventResult::Unavailable))));
    let mut request = Request::new(7);
    let get = Headers::new(&[(":method", b"GET"), (":path", b"/events/paid")]);
    assert_eq!(replied(&request.handle_headers(&config.request_rules(), &budgets(), get, true)), (405, None));
}

/// Callbacks that come once more change nothing.
#[test]
fn what_was_answered_stays_answered() {
    let config = config();
    let (mut request, _) = begun(&config, "/events/paid", &[("content-length", "1025")]);
    assert!(matches!(request.handle_data(&config.request_rules(), 9, true), Step::Pause));
    assert!(matches!(request.handle_trailers(&config.request_rules(), Headers::default), Step::Pause));
    assert!(matches!(request.handle_changed(true), Step::Pause));
    assert!(!request.wants_response());
    assert_eq!(request.handle_response(200), None);
}

#[test]
fn a_path_below_the_admin_surface_is_its_own() {
    assert_eq!(below("/gatepost", "/gatepost/a/b?c=d"), Some(("/a/b", "c=d")));
    assert_eq!(below("/gatepost", "/gatepost"), Some(("", "")));
    for path in ["/gatepostal", "/", "/x/gatepost"] {
        assert_eq!(below("/gatepost", path), None, "{path}");
    }
}
