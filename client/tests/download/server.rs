//! A web server on the loopback that does as it is told: ranges or none, connections that break,
//! content that changes, and a count of what it sent.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// How it answers from now on.
#[derive(Clone, Debug)]
pub(crate) struct Behaviour {
    pub(crate) content: Arc<Vec<u8>>,
    /// Absent: no tag is told.
    pub(crate) tag: Option<&'static str>,
    /// Whether it answers a range with that range.
    pub(crate) ranges: bool,
    /// After so many bytes of a body the connection breaks; each is for one answer, then none.
    pub(crate) breaks: Vec<usize>,
    /// Answered with this status instead of content.
    pub(crate) status: Option<u16>,
    /// It tells how long its content is.
    pub(crate) length: bool,
}

/// What was asked and sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Bytes of bodies.
    pub(crate) sent: usize,
    /// The first byte of each answer with content, in the order of the questions.
    pub(crate) from: Vec<usize>,
    /// Connections that were open at once, at most.
    pub(crate) at_once: usize,
    open: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) url: String,
    behaviour: Arc<Mutex<Behaviour>>,
    seen: Arc<Mutex<Seen>>,
}

impl Server {
    pub(crate) async fn start(content: Vec<u8>) -> Self {
        let behaviour = Behaviour {
            content: content.into(),
            tag: Some("\"one\""),
            ranges: true,
            breaks: Vec::new(),
            status: None,
            length: true,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/image", listener.local_addr().unwrap());
        let server = Self { url, behaviour: Arc::new(Mutex::new(behaviour)), seen: Arc::default() };
        let own = server.clone();
        tokio::spawn(async move {
            while let Ok((io, _)) = listener.accept().await {
                let own = own.clone();
                tokio::spawn(async move {
                    own.count(|seen| {
                        seen.open += 1;
                        seen.at_once = seen.at_once.max(seen.open);
                    });
                    // A client that hangs up is what is tested, not a fault of the server.
                    drop(own.answer(io).await);
                    own.count(|seen| seen.open -= 1);
                });
            }
        });
        server
    }

    pub(crate) fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.behaviour.lock().unwrap());
    }

    /// What was seen since this was asked last.
    pub(crate) fn seen(&self) -> Seen {
        let open = self.seen.lock().unwrap().open;
        std::mem::replace(&mut *self.seen.lock().unwrap(), Seen { open, ..Seen::default() })
    }

    fn count(&self, count: impl FnOnce(&mut Seen)) {
        count(&mut self.seen.lock().unwrap());
    }

    async fn answer(&self, io: TcpStream) -> std::io::Result<()> {
        let mut io = BufReader::new(io);
        let (mut range, mut only, mut head) = (None, None, false);
        loop {
            let mut line = String::new();
            if io.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let lower = line.trim_end().to_ascii_lowercase();
            head |= lower.starts_with("head ");
            range = lower.strip_prefix("range: bytes=").map(str::to_owned).or(range);
            only = line
                .trim_end()
                .split_once(": ")
                .filter(|_| lower.starts_with("if-range: "))
                .map(|(_, tag)| tag.to_owned())
                .or(only);
            if lower.is_empty() {
                break;
            }
        }
        let mut told = self.behaviour.lock().unwrap().clone();
        if let Some(status) = told.status {
            let answer = format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n");
            return io.write_all(answer.as_bytes()).await;
        }
        let same = only.is_none() || only.as_deref() == told.tag;
        let asked = range.filter(|_| told.ranges && same);
        let size = told.content.len();
        let (from, until) = asked.as_deref().map_or((0, size), |range| {
            let (from, last) = range.split_once('-').unwrap();
            (from.parse().unwrap(), last.parse().map_or(size, |last: usize| last + 1))
        });
        let mut answer = match asked {
            Some(_) => format!(
                "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes {from}-{}/{size}\r\n",
                until - 1
            ),
            None => "HTTP/1.1 200 OK\r\n".to_owned(),
        };
        if let Some(tag) = told.tag {
            answer += &format!("etag: {tag}\r\n");
        }
        if told.length {
            answer += &format!("content-length: {}\r\n", until - from);
        }
        answer += "connection: close\r\n\r\n";
        io.write_all(answer.as_bytes()).await?;
        if head {
            return io.flush().await;
        }
        let until = {
            let breaks = &mut self.behaviour.lock().unwrap().breaks;
            if breaks.is_empty() { until } else { until.min(from + breaks.remove(0)) }
        };
        self.count(|seen| seen.from.push(from));
        let body = std::mem::take(&mut told.content);
        for piece in body[from..until].chunks(16 * 1024) {
            io.write_all(piece).await?;
            self.count(|seen| seen.sent += piece.len());
        }
        io.flush().await
    }
}
