//! The recorded bytes of an example of every record, as the release before postcard wrote them with a codec of its own
//! (`testdata/records.txt`, made at commit de30b6b). The records in shared data outlive a change of the filter, so the
//! new filter must read these bytes, and write the same ones. A record that changes gets a new
//! [version](super::Record::VERSION), and a line of its own beside the old one.

use std::fmt::Debug;

use super::{Record, StoreError};

/// The recorded bytes: lines of a name, ` = `, and the bytes in hex.
const RECORDED: &str = include_str!("../../testdata/records.txt");

/// Asserts that the bytes recorded under `name` are read as `record`, with nothing left, and that `record` is written
/// as these bytes.
#[track_caller]
pub fn assert_recorded<R: Record + Debug + PartialEq>(name: &str, record: &R) {
    let written = hex::encode(record.encode().unwrap());
    let recorded = RECORDED.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
    let recorded = recorded.unwrap_or_else(|| panic!("not recorded: {name} = {written}"));
    assert_eq!(written, recorded, "{name}");
    let bytes = hex::decode(recorded).unwrap();
    let (read, rest) = R::decode(&bytes).unwrap();
    assert_eq!((&read, rest), (record, &[][..]), "{name}");
    assert_garbled_is_refused::<R>(&bytes);
}

/// Asserts that the bytes of an older version, recorded under `name`, are read as `record`, with nothing left.
#[track_caller]
pub fn assert_old_is_read<R: Record + Clone + Debug + PartialEq>(name: &str, record: &R) {
    let recorded = RECORDED.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
    let bytes = hex::decode(recorded.unwrap_or_else(|| panic!("not recorded: {name}"))).unwrap();
    assert_eq!(R::decode(&bytes), Ok((record.clone(), &[][..])), "{name}");
    assert_garbled_is_refused::<R>(&bytes);
}

/// Asserts that the record's bytes, cut off anywhere, are refused, and with any byte changed are read or refused.
fn assert_garbled_is_refused<R: Record + Debug + PartialEq>(bytes: &[u8]) {
    for at in 0..bytes.len() {
        assert_eq!(R::decode(&bytes[..at]), Err(StoreError::UnknownFormat), "without what follows byte {at}");
        for byte in [0x00, 0x7f, 0x80, 0xff] {
            let mut garbled = bytes.to_vec();
            garbled[at] = byte;
            assert!(matches!(R::decode(&garbled), Ok(_) | Err(StoreError::UnknownFormat)), "byte {at} is {byte}");
        }
    }
}
