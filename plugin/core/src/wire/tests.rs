use std::fmt::Debug;

use proptest::collection::vec;
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::*;
use crate::dead_letter::Reason;
use crate::delivery::{DeliveryRecord, Stage, StateRecord};
use crate::history::{Attempt, Trail};
use crate::message::EventId;
use crate::time::{Instant, WallTime};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Id([u8; 16]);

wire!(struct Id(_));

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Choice {
    Many { of: Vec<Option<(u64, bool)>>, until: Option<Duration> },
    None,
    Named { id: Id, name: Option<String> },
}

wire!(enum Choice { 0 => Many { of, until }, 1 => None, 2 => Named { id, name } });

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Sample<N> {
    byte: u8,
    small: u16,
    middle: Option<u32>,
    large: u64,
    flag: bool,
    name: N,
    bytes: Option<Vec<u8>>,
    choices: Vec<Choice>,
    nested: Vec<Vec<u16>>,
    wait: Duration,
}

wire!(struct Sample<N> { byte, small, middle, large, flag, name, bytes, choices, nested, wait });

fn number() -> impl Strategy<Value = u64> {
    // Each length of a varint, not only the longest.
    (any::<u64>(), 0..64_u32).prop_map(|(value, shift)| value >> shift)
}

fn duration() -> impl Strategy<Value = Duration> {
    (number(), 0..1_000_000_000_u32).prop_map(|(secs, nanos)| Duration::new(secs, nanos))
}

fn choice() -> impl Strategy<Value = Choice> {
    prop_oneof![
        (vec(any::<Option<(u64, bool)>>(), 0..4), proptest::option::of(duration()))
            .prop_map(|(of, until)| Choice::Many { of, until }),
        Just(Choice::None),
        any::<([u8; 16], Option<String>)>().prop_map(|(id, name)| Choice::Named { id: Id(id), name }),
    ]
}

fn sample() -> impl Strategy<Value = Sample<String>> {
    let first = (any::<(u8, u16, Option<u32>)>(), number(), any::<(bool, String, Option<Vec<u8>>)>());
    (first, vec(choice(), 0..4), vec(vec(any::<u16>(), 0..3), 0..3), duration()).prop_map(
        |(((byte, small, middle), large, (flag, name, bytes)), choices, nested, wait)| Sample {
            byte,
            small,
            middle,
            large,
            flag,
            name,
            bytes,
            choices,
            nested,
            wait,
        },
    )
}

fn written(value: &impl Encode) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.put(&mut bytes);
    bytes
}

fn read<T: Decode>(bytes: &[u8]) -> Option<(T, &[u8])> {
    let mut reader = Reader::new(bytes);
    let value = T::take(&mut reader);
    reader.rest().map(|rest| (value, rest))
}

/// We read these bytes as postcard does, or refuse them as it does.
#[track_caller]
fn assert_read_alike<T: Decode + DeserializeOwned + Debug + PartialEq>(bytes: &[u8]) {
    assert_eq!(read::<T>(bytes), postcard::take_from_bytes(bytes).ok(), "{bytes:?}");
}

proptest! {
    #[test]
    fn what_is_written_is_what_postcard_writes_and_reads_back(sample in sample(), behind: Vec<u8>) {
        let mut bytes = written(&sample);
        prop_assert_eq!(&bytes, &postcard::to_allocvec(&sample).unwrap());
        bytes.extend_from_slice(&behind);
        prop_assert_eq!(read::<Sample<String>>(&bytes), Some((sample, behind.as_slice())));
    }

    #[test]
    fn what_ends_too_early_is_refused_wherever_it_ends(sample in sample()) {
        let bytes = written(&sample);
        for end in 0..bytes.len() {
            prop_assert_eq!(read::<Sample<String>>(&bytes[..end]), None);
        }
    }

    #[test]
    fn a_changed_byte_is_read_as_postcard_reads_it(sample in sample(), at: prop::sample::Index, byte: u8) {
        let mut bytes = written(&sample);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        assert_read_alike::<Sample<String>>(&bytes);
    }

    #[test]
    fn any_bytes_are_read_as_postcard_reads_them(bytes in vec(prop_oneof![0..4_u8, 0x7d..0x83_u8, any::<u8>()], 0..24)) {
        assert_read_alike::<u8>(&bytes);
        assert_read_alike::<u16>(&bytes);
        assert_read_alike::<u32>(&bytes);
        assert_read_alike::<u64>(&bytes);
        assert_read_alike::<bool>(&bytes);
        assert_read_alike::<Duration>(&bytes);
        assert_read_alike::<String>(&bytes);
        assert_read_alike::<Vec<u8>>(&bytes);
        assert_read_alike::<Option<Vec<(u8, u32)>>>(&bytes);
        assert_read_alike::<Vec<Choice>>(&bytes);
        assert_read_alike::<Sample<String>>(&bytes);
    }

    #[test]
    fn room_is_made_for_what_is_there_and_not_for_what_is_promised(promised: u64, there in vec(1..0x80_u8, 0..200)) {
        let mut bytes = written(&promised);
        bytes.extend_from_slice(&there);
        let items = Vec::<(u8, u64)>::take(&mut Reader::new(&bytes));
        prop_assert!(items.capacity() <= RESERVED.max(there.len() + 1), "{}", items.capacity());
    }

    #[test]
    fn a_state_is_the_same_bytes_whether_its_names_are_owned_or_borrowed(
        id: [u8; 16],
        numbers: (u64, u64, u8, u32, u16),
        due: u64,
        name: String,
    ) {
        let (accepted, wall, trials, attempts, code) = numbers;
        let (id, accepted_wall) = (EventId(id), WallTime::from_nanos(wall));
        let stages = [
            Stage::Waiting { due: Instant::from_nanos(due) },
            Stage::Sinking { attempts, reason: Reason::Poison, due: Instant::from_nanos(due) },
            Stage::Delivered,
            Stage::Dead,
        ];
        let attempt = Attempt { at: accepted_wall, code, millis: attempts };
        let trail = Trail { ended: Some(accepted_wall), reason: Some(Reason::Expired), attempts: vec![attempt] };
        let of = |stage| DeliveryRecord {
            endpoint: name.as_str(),
            attempts,
            response_status: Some(code),
            stage,
            trail: trail.clone(),
        };
        let state = StateRecord {
            id,
            accepted: Instant::from_nanos(accepted),
            accepted_wall,
            trials,
            event_type: name.as_str(),
            route: "",
            deliveries: stages.map(of).into(),
        };
        // A struct is its fields, so postcard writes the same for tuples; 4 is `Poison`, 1 is `Expired`.
        let trail = (Some(wall), Some(1_u32), vec![(wall, code, attempts)]);
        let of = (name.as_str(), attempts, Some(code));
        let deliveries = (4_u8, (of, (0_u8, due), &trail), (of, (1_u8, attempts, 4_u8, due), &trail), (of, 2_u8, &trail),
            (of, 3_u8, &trail));
        let expected = (2_u8, id.0, accepted, wall, trials, &name, "", deliveries);
        prop_assert_eq!(state.encode(), postcard::to_allocvec(&expected).unwrap());
    }
}

#[test]
fn the_ends_of_each_type_are_written_as_postcard_writes_them() {
    for large in [0, 0x7f, 0x80, 0x3fff, 0x4000, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
        assert_eq!(written(&large), postcard::to_allocvec(&large).unwrap());
        assert_eq!(read(&written(&large)), Some((large, &[][..])));
    }
    assert_eq!(written(&u16::MAX), [0xff, 0xff, 0x03]);
    assert_eq!(written(&u32::MAX), [0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert_eq!(written(&Duration::MAX), postcard::to_allocvec(&Duration::MAX).unwrap());
}

#[test]
fn a_varint_may_be_longer_than_need_be_but_not_than_its_type() {
    assert_eq!(read::<u16>(&[0x81, 0x80, 0x00]), Some((1, &[][..])));
    assert_eq!(read::<u16>(&[0x81, 0x80, 0x80, 0x00]), None, "a byte more than it ever has");
    assert_eq!(read::<u16>(&[0xff, 0xff, 0x04]), None, "a bit more than it has");
    assert_eq!(read::<u64>(&[0xff; 10]), None);
}

#[test]
fn a_duration_of_too_many_nanoseconds_is_carried_as_serde_does() {
    assert_eq!(read::<Duration>(&written(&(1_u64, u32::MAX))), Some((Duration::new(5, 294_967_295), &[][..])));
    assert_eq!(read::<Duration>(&written(&(u64::MAX, u32::MAX))), None);
}
