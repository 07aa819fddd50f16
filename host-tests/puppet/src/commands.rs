//! The commands. A map or buffer is named by its number in the ABI; a property's path is written with
//! dots, or with slashes where a part of it has dots.
//!
//! | command | what it does |
//! |---|---|
//! | `answer N` | the callback answers N instead of 0, or for those that answer yes or no, of 1 |
//! | `pause` | `answer 1` |
//! | `show` | logs the callback's parameters |
//! | `log TEXT`, `print TEXT` | logs the text, or writes it to standard output |
//! | `trap` | traps |
//! | `get MAP NAME`, `add MAP NAME VALUE`, `replace MAP NAME VALUE`, `remove MAP NAME`, `pairs MAP` | headers |
//! | `body BUFFER`, `bytes BUFFER`, `put BUFFER START SIZE TEXT` | buffers; `bytes` shows hexadecimal digits |
//! | `property PATH`, `number PATH`, `set PATH VALUE` | properties; `number` shows a little-endian one |
//! | `reply STATUS BODY`, `continue KIND`, `close KIND` | the stream |
//! | `remember`, `effective` | keeps this context's id; makes the kept one effective, or ends the line if there is none |
//! | `tick MS`, `done` | the root |
//! | `share KEY VALUE`, `shared KEY` | shared data |
//! | `register NAME`, `enqueue TEXT`, `dequeue` | shared queues; the last two of the queue registered last |
//! | `call CLUSTER PATH MS` | an HTTP call with the body `ping` |
//! | `rpc CLUSTER PATH MS DIGITS` | an HTTP call that is gRPC framed by hand: its message, in hexadecimal digits |
//! | `grpc CLUSTER METHOD TEXT MS`, `open CLUSTER METHOD`, `send TEXT`, `transmit DIGITS`, `finish TEXT`, `cancel`, `half-close` | gRPC; those without a cluster for the call made last, or for a `token N` before them; `transmit` sends what hexadecimal digits say, and a `METHOD` is one of `puppet.Service` unless it names another, as in `Service/Method` |
//! | `status` | what `proxy_get_status` says |
//! | `foreign NAME TEXT` | a foreign function |
//! | `allocate-badly` | the next allocation of memory makes a host call |

use crate::abi::{self, Given};
use crate::script;

const INFO: u32 = 2;

/// Runs the commands for an event; the callback's answer is `answer` unless a command says otherwise.
pub fn run(context: u32, event: &str, parameters: &[u32], mut answer: u32) -> u32 {
    for command in script::with(|state| state.commands(context, event)) {
        let mut words = command.splitn(5, ' ');
        let [name, a, b, c, d] = [(); 5].map(|()| words.next().unwrap_or_default());
        match name {
            "pause" => answer = 1,
            "answer" => answer = number(a),
            "effective" if script::with(|state| state.remembered == 0) => break,
            "trap" => std::process::abort(),
            "log" => abi::log(INFO, command.split_once(' ').map_or("", |(_, text)| text)),
            "print" => println!("{a}"),
            "show" => abi::log(INFO, &format!("{event} {parameters:?}")),
            _ => {
                let outcome = execute(context, name, [a, b, c, d]);
                abi::log(INFO, &format!("{command} -> {outcome}"));
            }
        }
    }
    answer
}

fn execute(context: u32, name: &str, [a, b, c, d]: [&str; 4]) -> String {
    let token = script::with(|state| state.token);
    match name {
        "get" => text(abi::header(number(a), b)),
        "add" => status(abi::add_header(number(a), b, c)),
        "replace" => status(abi::replace_header(number(a), b, c)),
        "remove" => status(abi::remove_header(number(a), b)),
        "pairs" => text(abi::pairs(number(a)).map(|bytes| names(&bytes).into_bytes())),
        "body" => text(abi::buffer(number(a))),
        "bytes" => text(abi::buffer(number(a)).map(|bytes| digits(&bytes).into_bytes())),
        "put" => status(abi::set_buffer(number(a), number(b) as usize, number(c) as usize, d)),
        "property" => text(abi::property(&path(a))),
        "number" => integer(abi::property(&path(a))),
        "set" => status(abi::set_property(&path(a), b)),
        "reply" => status(abi::reply(number(a), b)),
        "continue" => status(abi::continue_stream(number(a))),
        "close" => status(abi::close_stream(number(a))),
        "remember" => {
            script::with(|state| state.remembered = context);
            status(0)
        }
        "effective" => status(abi::set_effective_context(script::with(|state| state.remembered))),
        "tick" => status(abi::set_tick_period(number(a))),
        "done" => status(abi::done()),
        "share" => status(abi::set_shared_data(a, b)),
        "shared" => text(abi::shared_data(a)),
        "register" => keep(abi::register_queue(a)),
        "enqueue" => status(abi::enqueue(token, a)),
        "dequeue" => text(abi::dequeue(token)),
        "call" => {
            let headers = [(":method", "POST"), (":path", b), (":authority", a)];
            keep(abi::http_call(a, &headers, b"ping", number(c)))
        }
        "rpc" => {
            let grpc = [("content-type", "application/grpc"), ("te", "trailers")];
            let headers = [[(":method", "POST"), (":path", b), (":authority", a)].as_slice(), &grpc].concat();
            let message = bytes(d);
            let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
            keep(abi::http_call(a, &headers, &[[0].as_slice(), &length, &message].concat(), number(c)))
        }
        "grpc" => keep(abi::grpc_call(a, b, c, number(d))),
        "open" => keep(abi::grpc_stream(a, b)),
        "send" => status(abi::grpc_send(token, a.as_bytes(), false)),
        "transmit" => status(abi::grpc_send(token, &bytes(a), false)),
        "finish" => status(abi::grpc_send(token, a.as_bytes(), true)),
        "cancel" => status(abi::grpc_cancel(token)),
        "half-close" => status(abi::grpc_close(token)),
        "token" => keep(Ok(number(a))),
        "status" => match abi::status() {
            Ok((code, message)) => format!("{code} {}", String::from_utf8_lossy(&message)),
            Err(code) => status(code),
        },
        "foreign" => text(abi::foreign_function(a, b)),
        "allocate-badly" => {
            script::with(|state| state.allocation_calls = true);
            status(0)
        }
        _ => "no such command".to_owned(),
    }
}

/// A property's path, as the ABI writes it.
fn path(word: &str) -> String {
    word.replace(if word.contains('/') { '/' } else { '.' }, "\0")
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2).map(String::from_utf8_lossy);
    pairs.map(|pair| u8::from_str_radix(&pair, 16).unwrap_or_default()).collect()
}

fn number(word: &str) -> u32 {
    word.parse().unwrap_or_default()
}

fn status(status: u32) -> String {
    if status == 0 { "ok".to_owned() } else { format!("status {status}") }
}

fn text(given: Given) -> String {
    given.map_or_else(status, |bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn integer(given: Given) -> String {
    given.map_or_else(status, |bytes| {
        let value = bytes.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        value.to_string()
    })
}

/// Remembers a token.
fn keep(given: Result<u32, u32>) -> String {
    match given {
        Ok(token) => {
            script::with(|state| state.token = token);
            format!("token {token}")
        }
        Err(code) => status(code),
    }
}

/// The names and values of an encoded header map.
fn names(bytes: &[u8]) -> String {
    let count = bytes.first().map_or(0, |count| usize::from(*count));
    let texts = bytes.get(4 + count * 8..).unwrap_or_default();
    String::from_utf8_lossy(texts).trim_end_matches('\0').replace('\0', " ")
}
