//! The model and a real etcd keep the contract of a store of Gatepost's journal.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use etcd_model::{Etcd, Status};
use gatepost_core::journal::contract::{TestedStore, broken};
use gatepost_core::journal::etcd;
use gatepost_core::journal::operation::{Journal, StoreCall, StoreReply};

use crate::real::Real;
use crate::same::Result;
use crate::script::{Model, Server};

/// A part of an etcd, under a prefix of its own.
struct Under<S> {
    server: Rc<RefCell<S>>,
    prefix: String,
}

impl<S: Server> TestedStore for Under<S> {
    fn client(&mut self) -> Box<dyn Journal> {
        // The shortest lease that a real one grants.
        Box::new(etcd::Etcd::new(&self.prefix, 2, None))
    }

    fn carry(&mut self, call: &StoreCall) -> StoreReply {
        let path = call.headers.iter().find(|(name, _)| *name == ":path").map(|(_, path)| path.as_str());
        let answer = self.server.borrow_mut().call(path.expect("it has a path"), &call.body[5..], None);
        let (status, grpc_message, body) = match answer {
            Ok(message) => {
                let length = u32::try_from(message.len()).expect("it is short").to_be_bytes();
                (0, String::new(), [[0].as_slice(), &length, &message].concat())
            }
            Err(Status { code, message }) => (code, message, Vec::new()),
        };
        StoreReply::Answer { status: 200, grpc_status: Some(status), grpc_message, body }
    }

    fn wait(&mut self, time: Duration) {
        self.server.borrow_mut().wait(time);
    }
}

fn new_model() -> Model {
    Model { etcd: Etcd::new(1), streams: Vec::new() }
}

#[test]
fn model_keeps_the_contract_of_a_journal() {
    let mut empty = || {
        let server = Rc::new(RefCell::new(new_model()));
        Box::new(Under { server, prefix: "/p".to_owned() }) as Box<dyn TestedStore>
    };
    assert_eq!(broken(&mut empty), [""; 0]);
}

#[test]
fn real_etcd_keeps_the_contract_of_a_journal() -> Result {
    let Some(real) = Real::start(&[])? else { return Ok(()) };
    let (server, mut rule) = (Rc::new(RefCell::new(real)), 0);
    let mut empty = || {
        rule += 1;
        Box::new(Under { server: Rc::clone(&server), prefix: format!("/{rule}") }) as Box<dyn TestedStore>
    };
    assert_eq!(broken(&mut empty), [""; 0]);
    Ok(())
}
