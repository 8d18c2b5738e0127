//! HTTP as a machine's shell script speaks it: exact bytes, from an address of one's own choice. And a place where
//! hooks and notifications arrive.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub code: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The answer as the check-in interface owes it: JSON with a message.
    pub fn message(&self) -> (u16, String) {
        assert!(self.head.to_ascii_lowercase().contains("content-type: application/json"), "{self:?}");
        (self.code, self.json()["message"].as_str().expect("a message").to_owned())
    }
}

/// Sends exactly this request from `source`, and reads the answer to its end.
pub async fn send(source: Ipv4Addr, server: SocketAddr, request: &str) -> io::Result<Reply> {
    let exchange = async {
        let socket = TcpSocket::new_v4()?;
        socket.bind((source, 0).into())?;
        let mut stream = socket.connect(server).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, io::Error>(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = timeout(PATIENCE, exchange).await.map_err(|_| io::ErrorKind::TimedOut)??;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Reply { code, head: head.to_owned(), body: body.to_owned() })
}

/// A GET.
pub async fn get(source: Ipv4Addr, server: SocketAddr, path: &str) -> io::Result<Reply> {
    send(source, server, &format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n")).await
}

/// A POST with these extra header lines.
pub async fn post(source: Ipv4Addr, server: SocketAddr, path: &str, headers: &str, body: &str) -> Reply {
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {server}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    send(source, server, &request).await.unwrap()
}

/// Something that a sink was sent.
#[derive(Clone, Debug)]
pub struct Heard {
    pub method: String,
    pub path: String,
    pub token: String,
    pub body: String,
}

/// A running sink; remembers every request.
pub struct Sink {
    heard: Arc<Mutex<Vec<Heard>>>,
    _tasks: JoinSet<()>,
}

impl Sink {
    /// Listens there.
    pub async fn start(at: SocketAddrV4) -> Sink {
        let listener = TcpListener::bind(at).await.unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ears = heard.clone();
        let router = axum::Router::new().fallback(async move |request: Request| {
            let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
            let token = request.headers().get("authorization").and_then(|value| value.to_str().ok());
            let token = token.unwrap_or_default().to_owned();
            let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap_or_default();
            let body = String::from_utf8_lossy(&body).into_owned();
            ears.lock().unwrap().push(Heard { method, path, token, body });
            "thank you"
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Sink { heard, _tasks: tasks }
    }

    /// How often something was sent to this path.
    pub fn heard(&self, path: &str) -> usize {
        self.posts(path).len()
    }

    /// What was sent to this path.
    pub fn posts(&self, path: &str) -> Vec<Heard> {
        self.heard.lock().unwrap().iter().filter(|heard| heard.path == path).cloned().collect()
    }
}
