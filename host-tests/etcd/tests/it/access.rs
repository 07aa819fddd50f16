//! Users, tokens and permissions: the model answers as a real etcd does.

use etcd_messages::compare::{Result as Is, Target};
use etcd_messages::*;
use etcd_model::{DEFRAGMENT, DefragmentRequest, DefragmentResponse, Etcd};

use crate::same::{Result, same};
use crate::script::*;

/// Users of a real etcd are added by calls that the model has not: it is given them.
#[test]
fn users_tokens_and_their_keys() -> Result {
    let model = Etcd::new(1);
    model.add_user("root", "secret", None);
    model.add_user("gateway", "word", Some("g/"));
    same(&[], model, |player| {
        // The model knows none of these: there its users are there already.
        let users = [("root", "secret", "root"), ("gateway", "word", "keys")];
        let _ = player.get::<Done>("/etcdserverpb.Auth/RoleAdd", &Named::new(&["root"]));
        let _ = player.get::<Done>("/etcdserverpb.Auth/RoleAdd", &Named::new(&["keys"]));
        let permission = Permission { kind: 2, key: b"g/".to_vec(), range_end: b"g0".to_vec() };
        let grant = GrantPermission { name: "keys".to_owned(), permission: Some(permission) };
        let _ = player.get::<Done>("/etcdserverpb.Auth/RoleGrantPermission", &grant);
        for (name, password, role) in users {
            let _ = player.get::<Done>("/etcdserverpb.Auth/UserAdd", &Named::new(&[name, password]));
            let _ = player.get::<Done>("/etcdserverpb.Auth/UserGrantRole", &Named::new(&[name, role]));
        }
        let _ = player.get::<Done>("/etcdserverpb.Auth/AuthEnable", &Done {});
        everything(player);
        denied(player);
        player.token = Some("nonsense".to_owned());
        denied(player);
        everything(player);
        for (name, password) in [("gateway", "wrong"), ("nobody", "word"), ("", "")] {
            let request = AuthenticateRequest { name: name.to_owned(), password: password.to_owned() };
            player.ask::<AuthenticateResponse>(AUTHENTICATE, &request);
        }
        for (name, password, _) in users {
            let request = AuthenticateRequest { name: name.to_owned(), password: password.to_owned() };
            player.token = None;
            let answer = player.get::<AuthenticateResponse>(AUTHENTICATE, &request).expect("the password is right");
            player.token = Some(answer.token);
            everything(player);
            let keys = WatchCreateRequest { key: b"g/".to_vec(), range_end: b"g0".to_vec(), ..Default::default() };
            let stream = player.watch(keys);
            player.read(stream, 1);
        }
        // The last of them may watch nothing else.
        denied(player);
    })
}

/// A watch that is not permitted: a message says so, and the stream stays open.
fn denied(player: &mut Player<'_>) {
    let stream = player.watch(WatchCreateRequest { key: b"a".to_vec(), ..Default::default() });
    player.read(stream, 1);
}

/// Calls of all kinds, on keys of the user's own and of others.
fn everything(player: &mut Player<'_>) {
    player.put("g/a", "1", 0);
    player.put("a", "1", 0);
    player.range(range("g/a", ""));
    player.range(range("g/", "g0"));
    player.range(range("g/", "g1"));
    player.range(range("g/", "\0"));
    player.range(range("a", ""));
    player.delete("g/a", "");
    player.delete("f", "g0");
    let there = |key: &str| compare(key, Target::Version, Is::Greater, None);
    player.txn(vec![there("g/a")], vec![do_put("g/b", "1")], vec![do_range("g/b", "")]);
    player.txn(vec![there("a")], vec![], vec![]);
    player.txn(vec![], vec![do_delete("a", "")], vec![]);
    player.txn(vec![there("g/a")], vec![do_put("a", "1")], vec![]);
    player.grant(7, 60);
    player.put("g/c", "1", 7);
    player.keep_alive(7);
    player.revoke(7);
    player.ask::<StatusResponse>(STATUS, &StatusRequest {});
    player.compact(1);
    player.ask::<AlarmResponse>(ALARM, &AlarmRequest::default());
    let defragmented = player.get::<DefragmentResponse>(DEFRAGMENT, &DefragmentRequest {});
    player.said.push(format!("{defragmented:?}"));
}

/// The messages that add users, as far as they are needed: names in the first two fields.
#[derive(Clone, PartialEq, prost::Message)]
struct Named {
    #[prost(string, tag = "1")]
    first: String,
    #[prost(string, tag = "2")]
    second: String,
}

impl Named {
    fn new(names: &[&str]) -> Self {
        let name = |number: usize| names.get(number).copied().unwrap_or_default().to_owned();
        Self { first: name(0), second: name(1) }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct Permission {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(bytes = "vec", tag = "2")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    range_end: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct GrantPermission {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    permission: Option<Permission>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Done {}
