//! Bugs of what is verified before the application sees it.

use super::{Bug, Edit};

const SIGNATURE: &str = "plugin/core/src/signature.rs";
const INBOUND: &str = "plugin/core/src/inbound.rs";
const REPLAY: &str = "plugin/core/src/replay.rs";

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "any signature fits",
        what: "a signature only has to be there",
        edits: &[Edit {
            file: SIGNATURE,
            find: "if fits { Ok(presented.marks(ours)) }",
            replace: "if fits || !presented.tags.is_empty() { Ok(presented.marks(ours)) }",
        }],
    },
    Bug {
        name: "client believed",
        what: "what the client says of having been verified goes on where no rule is",
        edits: &[Edit {
            file: "plugin/src/stream/inbound.rs",
            find: "host::remove_request_header(name).then_some(())?;",
            replace: "(!name.is_empty()).then_some(())?;",
        }],
    },
    Bug {
        name: "commit forgotten",
        what: "a message that the application took is released",
        edits: &[Edit {
            file: INBOUND,
            find: "Some(table) if taken => table.commit(store, &ticket.claim),",
            replace: "Some(table) if taken => table.release(store, &ticket.claim),",
        }],
    },
    Bug {
        name: "claims of no weight",
        what: "a message that is with the application is taken for new",
        edits: &[Edit {
            file: REPLAY,
            find: "Some(Kind::Claimed) if entry.id.second() + CLAIM.as_secs() > second(now) =>",
            replace: "Some(Kind::Claimed) if entry.id.second() + CLAIM.as_secs() < second(now) =>",
        }],
    },
    Bug {
        name: "release forgotten",
        what: "a message that the application did not take stays claimed",
        edits: &[Edit {
            file: INBOUND,
            find: "Some(table) => table.release(store, &ticket.claim),",
            replace: "Some(_) => Ok(()),",
        }],
    },
    Bug {
        name: "id forgotten",
        what: "a message is known by its signature alone",
        edits: &[Edit {
            file: SIGNATURE,
            find: "tags.iter().map(|tag| beginning(tag.bytes())).chain(id).collect()",
            replace: "tags.iter().map(|tag| beginning(tag.bytes())).chain(id.filter(|_| self.is_id_signed)).collect()",
        }],
    },
    Bug {
        name: "signature forgotten",
        what: "a message is known by its id alone, though that is not signed",
        edits: &[Edit {
            file: SIGNATURE,
            find: "if let (Some(id), true) = (id, self.is_id_signed) {",
            replace: "if let (Some(id), _) = (id, self.is_id_signed) {",
        }],
    },
    Bug {
        name: "forgotten early",
        what: "a message that the application took is remembered for half a minute",
        edits: &[Edit {
            file: REPLAY,
            find: "if entry.kind == Kind::Done { self.ttl }",
            replace: "if entry.kind == Kind::Done { CLAIM.as_secs() / 10 }",
        }],
    },
];
