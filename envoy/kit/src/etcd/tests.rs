//! A real etcd, where there is one.

use super::*;

/// Keys are told with what stands there, and go by prefix.
#[test]
fn one_member_holds_what_is_written() {
    let Some(etcd) = started(&Options::default()) else { return };
    assert_eq!(etcd.addresses().len(), 1);
    assert_eq!(etcd.leader().unwrap(), 0);
    etcd.put("/a/1", b"one").unwrap();
    etcd.put("/a/2", &[0, 255]).unwrap();
    etcd.put("/b", b"").unwrap();
    let entries = etcd.entries("/a/").unwrap();
    let seen: Vec<_> = entries.iter().map(|entry| (entry.key.as_str(), entry.value.as_slice())).collect();
    assert_eq!(seen, [("/a/1", &b"one"[..]), ("/a/2", &[0, 255][..])]);
    assert_eq!((entries[0].mod_revision, entries[0].lease), (etcd.revision().unwrap() - 2, 0));
    etcd.delete("/a/").unwrap();
    assert_eq!((etcd.count("/a/").unwrap(), etcd.count("/").unwrap()), (0, 1));
}

/// A member that was killed has its data and its address after its restart.
#[test]
fn killed_member_comes_back_with_its_data() {
    let Some(mut etcd) = started(&Options::default()) else { return };
    let address = etcd.addresses()[0].to_owned();
    etcd.put("a", b"kept").unwrap();
    etcd.kill(0).unwrap();
    assert!(etcd.pid(0).is_none());
    let error = format!("{:#}", etcd.entries("a").unwrap_err());
    assert!(error.contains("no member of etcd answers: no member runs"), "{error}");
    etcd.restart(0).unwrap();
    assert!(etcd.restart(0).unwrap_err().to_string().contains("runs already"));
    etcd.wait_until_serving().unwrap();
    assert_eq!(etcd.addresses(), [address]);
    assert_eq!(etcd.entries("a").unwrap()[0].value, b"kept");
}

/// Of three members one may be dead or stopped, the leader too; the others elect another.
#[test]
fn three_members_bear_the_loss_of_their_leader() {
    let Some(mut etcd) = started(&Options { members: 3, quota: None }) else { return };
    let first = etcd.leader().unwrap();
    etcd.kill(first).unwrap();
    let second = etcd.leader().unwrap();
    assert_ne!(first, second);
    etcd.put("a", b"kept").unwrap();
    etcd.restart(first).unwrap();
    etcd.wait_until_serving().unwrap();
    etcd.pause(second).unwrap();
    let third = etcd.leader().unwrap();
    assert_ne!(second, third);
    assert_eq!(etcd.entries("a").unwrap()[0].value, b"kept");
    etcd.resume(second).unwrap();
    etcd.wait_until_serving().unwrap();
    assert!(etcd.size(second).unwrap().file > 0);
}

/// What the runbook says of NOSPACE: compact, defragment, disarm.
#[test]
fn full_etcd_takes_writes_again_after_compact_defragment_disarm() {
    let Some(etcd) = started(&Options { members: 1, quota: Some(4 * 1024 * 1024) }) else { return };
    let value = vec![7; 512 * 1024];
    let error = (0..64).find_map(|_| etcd.put("a", &value).err()).unwrap().to_string();
    assert_eq!(error, "etcd refuses: etcdserver: mvcc: database space exceeded");
    assert_eq!(etcd.alarms().unwrap(), 1);
    let full = etcd.size(0).unwrap();
    etcd.compact().unwrap();
    etcd.defragment(0).unwrap();
    etcd.disarm().unwrap();
    assert_eq!(etcd.alarms().unwrap(), 0);
    assert!(etcd.size(0).unwrap().file < full.file / 2);
    etcd.put("a", b"fits").unwrap();
    assert_eq!(etcd.entries("a").unwrap()[0].value, b"fits");
}

/// Where etcd is missing these are skipped, except in CI.
fn started(options: &Options) -> Option<Etcd> {
    match Etcd::start(options) {
        Err(error) if find().is_err() && !std::env::var("CI").is_ok_and(|value| value == "true") => {
            eprintln!("SKIPPED: {error:#}");
            None
        }
        started => Some(started.unwrap()),
    }
}
