//! The pages, one file each: the request, the sentence that answers it, the table; pictures are in
//! `draw`.

mod events;
pub(super) mod fine;
mod forecast;
mod lane;
mod projects;
mod refusals;
mod reservation;
mod reservations;
mod statement;
#[cfg(test)]
mod tests;

use axum::Router;
use axum::extract::State;
use axum::routing::get;

use super::assets;
use super::stream::Streams;
pub(super) use events::of as change;

use crate::rpc::Rpc;

/// Where each page is.
pub(super) fn routes() -> Router<Rpc> {
    let streams = Streams::default();
    let stream = async move |State(rpc): State<Rpc>| streams.answer(&rpc);
    Router::new()
        .route("/", get(fine::page))
        .route("/lanes/{*lane}", get(lane::page))
        .route("/projects", get(projects::page))
        .route("/projects/{project}", get(statement::page))
        .route("/refusals", get(refusals::page))
        .route("/forecast", get(forecast::page))
        .route("/reservations", get(reservations::page))
        .route("/reservations/{id}", get(reservation::page))
        .route("/events", get(events::page))
        .route("/events/stream", get(stream))
        .route("/assets/{name}", get(assets::asset))
}
