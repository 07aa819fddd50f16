//! A real etcd, and a client of it: gRPC framed by hand over HTTP/2, as a filter sends it.

use std::error::Error;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use etcd_model::Status;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::script::Server;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How long an etcd may take to elect itself.
const START: Duration = Duration::from_secs(20);

/// An etcd of one member, which ends with this, and a connection to it.
pub struct Real {
    etcd: Child,
    runtime: Runtime,
    sender: SendRequest<Full<Bytes>>,
    authority: String,
    _data: TempDir,
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

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Real {
    /// Starts one with these arguments more; `None` where there is no program.
    pub fn start(arguments: &[&str]) -> Result<Option<Self>> {
        let Some(program) = program() else { return Ok(None) };
        let data = tempfile::tempdir()?;
        let (client, peer) = (free_port()?, free_port()?);
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let etcd = Command::new(program)
            .arg("--data-dir")
            .arg(data.path().join("data"))
            .args(["--name", "one", "--initial-cluster", &format!("one={}", url(peer))])
            .args(["--listen-client-urls", &url(client), "--advertise-client-urls", &url(client)])
            .args(["--listen-peer-urls", &url(peer), "--initial-advertise-peer-urls", &url(peer)])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let authority = format!("127.0.0.1:{client}");
        let deadline = Instant::now() + START;
        let sender = loop {
            match runtime.block_on(connect(&authority)) {
                Ok(sender) => break sender,
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
        };
        Ok(Some(Self { etcd, runtime, sender, authority, _data: data }))
    }
}

async fn connect(authority: &str) -> Result<SendRequest<Full<Bytes>>> {
    let stream = tokio::net::TcpStream::connect(authority).await?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

impl Server for Real {
    fn call(&mut self, path: &str, message: &[u8], token: Option<&str>) -> std::result::Result<Vec<u8>, Status> {
        let length = u32::try_from(message.len()).expect("it is short").to_be_bytes();
        let body = [[0].as_slice(), &length, message].concat();
        let mut request = hyper::Request::post(format!("http://{}{path}", self.authority))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        if let Some(token) = token {
            request = request.header("token", token);
        }
        let request = request.body(Full::new(Bytes::from(body))).expect("it is a request");
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
}
