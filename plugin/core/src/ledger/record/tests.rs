use proptest::prelude::*;

use super::*;
use crate::store::recorded::assert_recorded;

fn stage() -> impl Strategy<Value = Stage> {
    prop_oneof![
        any::<u64>().prop_map(|due| Stage::Waiting { due: Instant::from_nanos(due) }),
        any::<(u32, u64)>().prop_map(|(attempts, due)| Stage::Sinking {
            attempts,
            reason: Reason::Expired,
            due: Instant::from_nanos(due),
        }),
        Just(Stage::Delivered),
        Just(Stage::Dead),
    ]
}

fn attempt() -> impl Strategy<Value = EndedAttempt> {
    (any::<u64>(), any::<u16>(), any::<u32>()).prop_map(|(at, code, millis)| EndedAttempt {
        at: WallTime::from_nanos(at),
        code,
        millis,
    })
}

fn delivery() -> impl Strategy<Value = DeliveryRecord<String>> {
    ("[a-z]{1,12}", any::<u32>(), any::<Option<u16>>(), stage(), prop::collection::vec(attempt(), 0..20)).prop_map(
        |(endpoint, attempts, response_status, stage, made)| DeliveryRecord {
            endpoint,
            attempts,
            response_status,
            stage,
            trail: Trail { ended: None, reason: Some(Reason::Failed), attempts: made },
        },
    )
}

proptest! {
    #[test]
    fn a_state_reads_back_as_it_was_written(
        id: [u8; 16], at: u64, wall: u64, deliveries in proptest::collection::vec(delivery(), 0..5),
    ) {
        let written = StateRecord {
            is_journaled: false,
            id: EventId::from_random(id),
            accepted: Instant::from_nanos(at),
            accepted_wall: WallTime::from_nanos(wall),
            trials: 1,
            event_type: "paid",
            route: "ingest",
            deliveries: deliveries.iter().map(|d| DeliveryRecord {
                endpoint: d.endpoint.as_str(),
                attempts: d.attempts,
                response_status: d.response_status,
                stage: d.stage,
                trail: d.trail.clone(),
            }).collect(),
        };
        let bytes = written.encode().unwrap();
        let (read, rest) = StateRecord::<String>::decode(&bytes).unwrap();
        prop_assert!(rest.is_empty());
        prop_assert_eq!((read.id, read.accepted), (written.id, written.accepted));
        prop_assert_eq!((read.event_type.as_str(), read.route.as_str()), (written.event_type, written.route));
        prop_assert_eq!(read.deliveries, deliveries.clone());
    }

    #[test]
    fn a_payload_of_any_bytes_comes_back_whole(payload: Vec<u8>, event_type in "[a-z.]{1,20}") {
        let meta = EventMeta {
            id: EventId::from_random([1; 16]),
            event_type,
            content_type: Some(b"text/plain".to_vec()),
            traceparent: None,
            tracestate: None,
            content_encoding: None,
        };
        prop_assert_eq!(split_payload(with_payload(&meta, &payload).unwrap()), Ok((meta, payload)));
    }

    #[test]
    fn bytes_that_are_no_record_are_refused_and_never_trap(bytes: Vec<u8>) {
        let _ = StateRecord::<String>::decode(&bytes);
        let _ = split_payload::<EventMeta>(bytes);
    }
}

#[test]
fn a_record_of_another_version_is_left_alone() {
    let meta = EventMeta {
        id: EventId::from_random([1; 16]),
        event_type: "a".into(),
        content_type: None,
        traceparent: None,
        tracestate: None,
        content_encoding: None,
    };
    let mut bytes = meta.encode().unwrap();
    bytes[0] = 200;
    assert_eq!(split_payload::<EventMeta>(bytes), Err(StoreError::UnknownFormat));
}

/// A state with a value in every field, and a delivery in every stage.
fn full_state() -> StateRecord<String> {
    let due = Instant::from_nanos(987_654_321_987_654_321);
    let at = WallTime::from_nanos(1_700_000_000_123_456_789);
    let trails = [
        Trail::default(),
        Trail {
            ended: None,
            reason: Some(Reason::Expired),
            attempts: vec![
                EndedAttempt { at, code: 503, millis: 70_000 },
                EndedAttempt { at, code: 0, millis: u32::MAX },
            ],
        },
        Trail { ended: Some(at), reason: None, attempts: vec![EndedAttempt { at, code: 200, millis: 0 }] },
        Trail { ended: Some(WallTime::from_nanos(u64::MAX)), reason: Some(Reason::Poison), attempts: Vec::new() },
    ];
    let stages = [
        Stage::Waiting { due },
        Stage::Sinking { attempts: 128, reason: Reason::Overflow, due },
        Stage::Delivered,
        Stage::Dead,
    ];
    let statuses = [None, Some(503), Some(200), Some(u16::MAX)];
    let deliveries = stages.into_iter().zip(trails).zip(statuses).zip(["billing", "é", "", "crm"]);
    StateRecord {
        is_journaled: false,
        id: EventId(*b"\x00\x01\x7f\x80\xff56789abcdef"),
        accepted: Instant::from_nanos(300),
        accepted_wall: at,
        trials: 255,
        event_type: "order.paid".to_owned(),
        route: "ingest".to_owned(),
        deliveries: deliveries
            .enumerate()
            .map(|(number, (((stage, trail), response_status), endpoint))| DeliveryRecord {
                endpoint: endpoint.to_owned(),
                attempts: 127 + number as u32,
                response_status,
                stage,
                trail,
            })
            .collect(),
    }
}

/// A state is read and written as the previous release wrote it.
#[test]
fn state_format_matches_previous_release() {
    let state = full_state();
    assert_recorded("state", &state);
    let borrowed = StateRecord {
        is_journaled: false,
        id: state.id,
        accepted: state.accepted,
        accepted_wall: state.accepted_wall,
        trials: state.trials,
        event_type: state.event_type.as_str(),
        route: state.route.as_str(),
        deliveries: state
            .deliveries
            .iter()
            .map(|delivery| DeliveryRecord {
                endpoint: delivery.endpoint.as_str(),
                attempts: delivery.attempts,
                response_status: delivery.response_status,
                stage: delivery.stage,
                trail: delivery.trail.clone(),
            })
            .collect(),
    };
    assert_eq!(borrowed.encode(), Record::encode(&state));
}

/// What is known of an event is read and written as the previous release wrote it.
#[test]
fn event_meta_format_matches_previous_release() {
    let bare = EventMeta {
        id: EventId([0; 16]),
        event_type: String::new(),
        content_type: None,
        traceparent: None,
        tracestate: None,
        content_encoding: None,
    };
    assert_recorded("meta bare", &bare);
    let full = EventMeta {
        id: EventId([0xff; 16]),
        event_type: "a".repeat(128),
        content_type: Some(b"text/plain".to_vec()),
        traceparent: Some((0..=255).collect()),
        tracestate: Some(Vec::new()),
        content_encoding: None,
    };
    assert_recorded("meta full", &full);
    assert_recorded("meta coded", &EventMeta { content_encoding: Some(b"gzip".to_vec()), ..bare });
}

#[test]
fn no_more_attempts_are_remembered_than_a_schedule_may_have() {
    let mut trail = Trail::default();
    (0..50).for_each(|_| trail.push(WallTime::default(), Ending::Timeout, Duration::MAX));
    assert_eq!((trail.attempts.len(), trail.attempts[0].millis), (20, u32::MAX));
}
