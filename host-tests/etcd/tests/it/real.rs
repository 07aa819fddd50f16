//! A real etcd, and a client of it: gRPC framed by hand over HTTP/2, as a filter sends it.

use std::convert::Infallible;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use std::{env, thread};

use etcd_model::Status;
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::script::Server;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How long an etcd may take to elect itself.
const START: Duration = Duration::from_secs(20);
/// Where it listens for clients: a socket in its directory.
const CLIENT: &str = "unix://client:1";
/// The name of that socket's file.
const SOCKET: &str = "client:1";
/// Where it listens for other members, of which there are none.
const PEER: &str = "unix://peer:1";

/// An etcd of one member, which ends with this, and a connection to it.
pub struct Real {
    etcd: Child,
    runtime: Runtime,
    sender: SendRequest<Sent>,
    streams: Vec<Stream>,
    _data: TempDir,
}

/// A message that is sent, and whether that is all.
struct Sent {
    frame: Option<Bytes>,
    ends: bool,
}

impl Sent {
    fn new(message: &[u8], ends: bool) -> Self {
        let length = u32::try_from(message.len()).expect("it is short").to_be_bytes();
        Self { frame: Some([[0].as_slice(), &length, message].concat().into()), ends }
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Infallible>>> {
        match self.frame.take() {
            Some(frame) => Poll::Ready(Some(Ok(Frame::data(frame)))),
            None if self.ends => Poll::Ready(None),
            // The stream stays open, and has nothing more to say.
            None => Poll::Pending,
        }
    }
}

/// A stream that is open, and the bytes that have come.
struct Stream {
    body: Incoming,
    bytes: Vec<u8>,
}

impl Drop for Real {
    fn drop(&mut self) {
        self.etcd.kill().and_then(|()| self.etcd.wait()).expect("it ends");
    }
}

/// The program: `$ETCD`, or the one on the `PATH`. `None` where there is none, which is said; in CI that is a failure.
pub fn program() -> Option<PathBuf> {
    let on_path = || {
        let path = env::var_os("PATH")?;
        env::split_paths(&path).map(|directory| directory.join("etcd")).find(|program| program.is_file())
    };
    let program = env::var_os("ETCD").map(PathBuf::from).or_else(on_path);
    if program.is_none() {
        let missing = "no etcd to compare the model with: set $ETCD, or install one (Debian: etcd-server)";
        assert!(env::var_os("CI").is_none(), "{missing}");
        eprintln!("not compared: {missing}");
    }
    program
}

impl Real {
    /// Starts one with these arguments more; `None` where there is no program.
    pub fn start(arguments: &[&str]) -> Result<Option<Self>> {
        let Some(program) = program() else { return Ok(None) };
        let data = tempfile::tempdir()?;
        // Sockets in its own directory: no port is anybody else's.
        let etcd = Command::new(program)
            .current_dir(data.path())
            .args(["--data-dir", "data", "--name", "one", "--initial-cluster", &format!("one={PEER}")])
            .args(["--listen-client-urls", CLIENT, "--advertise-client-urls", CLIENT])
            .args(["--listen-peer-urls", PEER, "--initial-advertise-peer-urls", PEER])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let socket = data.path().join(SOCKET);
        let deadline = Instant::now() + START;
        let sender = loop {
            match runtime.block_on(connect(&socket)) {
                Ok(sender) => break sender,
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
        };
        Ok(Some(Self { etcd, runtime, sender, streams: Vec::new(), _data: data }))
    }
}

async fn connect(socket: &Path) -> Result<SendRequest<Sent>> {
    let stream = UnixStream::connect(socket).await?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

impl Real {
    fn request(&self, path: &str, token: Option<&str>, body: Sent) -> hyper::Request<Sent> {
        let mut request = hyper::Request::post(format!("http://etcd{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        if let Some(token) = token {
            request = request.header("token", token);
        }
        request.body(body).expect("it is a request")
    }
}

impl Server for Real {
    fn call(&mut self, path: &str, message: &[u8], token: Option<&str>) -> std::result::Result<Vec<u8>, Status> {
        let request = self.request(path, token, Sent::new(message, true));
        let sender = &mut self.sender;
        let (head, body) = self.runtime.block_on(async {
            let response = sender.send_request(request).await.expect("etcd answers");
            let (head, body) = response.into_parts();
            (head, body.collect().await.expect("the answer ends"))
        });
        assert_eq!(head.status, 200);
        assert_eq!(head.headers["content-type"], "application/grpc");
        let trailers = body.trailers().cloned().unwrap_or_default();
        // On success the status is in the trailers, and on failure in the headers, with no body.
        let (headers, body) = (if trailers.is_empty() { head.headers } else { trailers }, body.to_bytes());
        let text = |name: &str| headers.get(name).map_or("", |value| value.to_str().expect("it is ASCII"));
        match text("grpc-status").parse().expect("a number") {
            0 => Ok(body[5..].to_vec()),
            code => {
                assert!(body.is_empty());
                Err(Status::new(code, text("grpc-message")))
            }
        }
    }

    fn wait(&mut self, time: Duration) {
        // etcd measures its leases by the clock: there is nothing to wait for but the time.
        thread::sleep(time);
    }

    fn open(&mut self, path: &str, message: &[u8], token: Option<&str>) -> usize {
        let request = self.request(path, token, Sent::new(message, false));
        let sender = &mut self.sender;
        let response = self.runtime.block_on(sender.send_request(request)).expect("etcd answers");
        self.streams.push(Stream { body: response.into_body(), bytes: Vec::new() });
        self.streams.len() - 1
    }

    fn read(&mut self, stream: usize, messages: usize) -> Vec<Vec<u8>> {
        let stream = &mut self.streams[stream];
        let mut read = Vec::new();
        while read.len() < messages {
            if let Some((head, rest)) = stream.bytes.split_first_chunk::<5>() {
                let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
                if rest.len() >= length {
                    let (message, rest) = rest.split_at(length);
                    read.push(message.to_vec());
                    stream.bytes = rest.to_vec();
                    continue;
                }
            }
            let frame = self.runtime.block_on(async { timeout(START, stream.body.frame()).await });
            let frame = frame.expect("a message comes").expect("the stream is open").expect("it is well");
            stream.bytes.extend(frame.data_ref().expect("it is data"));
        }
        read
    }
}
