//! The style sheet, the script and the icon: in the binary, each under a name that changes with its
//! content, so that a browser may keep it for good.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
const ICON: &str = include_str!("icon.svg");

/// Where each of them is.
#[derive(Debug)]
pub(super) struct Assets {
    pub(super) style: String,
    pub(super) script: String,
    pub(super) icon: String,
}

/// Where each of them is, of this build.
pub(super) static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets {
    style: named("style", "css", STYLE),
    script: named("script", "js", SCRIPT),
    icon: named("icon", "svg", ICON),
});

fn named(name: &str, kind: &str, content: &str) -> String {
    let digest = Sha256::digest(content);
    let digest: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("/assets/{name}-{digest}.{kind}")
}

/// Answers with one of them.
pub(super) async fn asset(Path(name): Path<String>) -> Response {
    let path = format!("/assets/{name}");
    let (kind, content) = match &*ASSETS {
        it if it.style == path => ("text/css; charset=utf-8", STYLE),
        it if it.script == path => ("text/javascript; charset=utf-8", SCRIPT),
        it if it.icon == path => ("image/svg+xml", ICON),
        _ => {
            let why = "this build has no such file; load the page again\n";
            return (StatusCode::NOT_FOUND, why).into_response();
        }
    };
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    (headers, content).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_content() {
        assert_ne!(named("a", "css", "x"), named("a", "css", "y"));
        assert!(ASSETS.style.starts_with("/assets/style-") && ASSETS.style.ends_with(".css"));
    }

    #[test]
    fn the_script_stays_small_and_asks_nobody_else() {
        assert!(SCRIPT.lines().count() < 200, "{}", SCRIPT.lines().count());
        for text in [SCRIPT, STYLE] {
            assert!(!text.contains("http://") && !text.contains("https://"));
        }
        assert!(!SCRIPT.contains("innerHTML") && !SCRIPT.contains("eval("));
    }
}
