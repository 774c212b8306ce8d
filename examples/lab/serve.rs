//! A server of nothing: `GET /COUNT` is answered with so many zeros, or with a range of them.

use std::convert::Infallible;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::Stdio;

use anyhow::{Context, ensure};
use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use clap::Args;
use futures_util::stream;
use nix::sys::socket::{setsockopt, sockopt};

use crate::net::{Net, Running};

/// Where the server listens in its namespace.
const PORT: u16 = 8080;

/// What is sent at once at most; nothing of it is copied.
static ZEROS: [u8; 256 * 1024] = [0; 256 * 1024];

/// What the server is told.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Where to listen
    #[arg(long)]
    listen: SocketAddr,
}

/// Serves until the input ends.
///
/// # Errors
/// It cannot listen there.
#[allow(clippy::print_stdout, reason = "whoever started it waits for this")]
pub async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(arguments.listen).await?;
    // What most machines send by. A namespace of its own may not choose for all of its sockets.
    setsockopt(&listener, sockopt::TcpCongestion, &"cubic".into()).context("no cubic")?;
    println!("ready");
    let router = Router::new().route("/{count}", get(zeros));
    tokio::select! {
        served = async { axum::serve(listener, router).await } => served.map_err(Into::into),
        () = crate::abandoned() => Ok(()),
    }
}

/// Starts a server in a namespace; it answers once this returns.
///
/// # Errors
/// It cannot be started.
pub fn start(net: &Net, name: &str) -> anyhow::Result<Running> {
    let mut command = net.role(name, "serve")?;
    command.args(["--listen", &format!("0.0.0.0:{PORT}")]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = Running::start(&mut command)?;
    let mut line = String::new();
    let out = running.child().stdout.take().context("it has no output")?;
    BufReader::new(out).read_line(&mut line)?;
    ensure!(line.trim() == "ready", "the server in {name} did not begin");
    Ok(running)
}

/// Where so many zeros are to be had.
#[must_use]
pub fn url(address: &str, count: u64) -> String {
    format!("http://{address}:{PORT}/{count}")
}

async fn zeros(method: Method, Path(count): Path<u64>, headers: HeaderMap) -> Response {
    let asked = headers.get(header::RANGE).and_then(|it| it.to_str().ok());
    let range = asked.map_or(Some((0, count)), |text| range(text, count));
    let Some((from, until)) = range else {
        let all = [(header::CONTENT_RANGE, format!("bytes */{count}"))];
        return (StatusCode::RANGE_NOT_SATISFIABLE, all).into_response();
    };
    let left = until.saturating_sub(from);
    let mut answer = [
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::ETAG, format!("\"{count}\"")),
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, left.to_string()),
    ]
    .into_response();
    if asked.is_some() {
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        let told = format!("bytes {from}-{}/{count}", until.saturating_sub(1));
        if let Ok(told) = told.parse() {
            answer.headers_mut().insert(header::CONTENT_RANGE, told);
        }
    }
    if method != Method::HEAD {
        *answer.body_mut() = Body::from_stream(stream::unfold(left, |left| async move {
            let size = usize::try_from(left).unwrap_or(usize::MAX).min(ZEROS.len());
            let piece = ZEROS.get(..size).filter(|piece| !piece.is_empty())?;
            let left = left.saturating_sub(u64::try_from(size).unwrap_or(left));
            Some((Ok::<_, Infallible>(piece), left))
        }));
    }
    answer
}

/// The first byte of a range and the first behind it: `bytes=10-19`, `bytes=10-`.
fn range(text: &str, count: u64) -> Option<(u64, u64)> {
    let (from, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let from: u64 = from.parse().ok()?;
    let until = match last {
        "" => count,
        last => last.parse::<u64>().ok()?.saturating_add(1).min(count),
    };
    (from < until).then_some((from, until))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_end_within_the_content() {
        let table = [
            ("bytes=0-9", Some((0, 10))),
            ("bytes=10-", Some((10, 100))),
            ("bytes=90-200", Some((90, 100))),
            ("bytes=100-", None),
            ("bytes=9-3", None),
            ("lines=1-2", None),
        ];
        for (text, expected) in table {
            assert_eq!(range(text, 100), expected, "{text}");
        }
    }
}
