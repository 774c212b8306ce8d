//! What may be typed about workloads that are made up.

use std::path::PathBuf;

use clap::Args;
use tidegate_policy::{BitRate, Span};

use super::words;

/// A workload.
#[derive(Clone, Debug, Args)]
pub(crate) struct Generate {
    /// The network: TOML as for `apply`, JSON of a study, or node-link JSON of topohub
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) topology: PathBuf,
    /// What a link carries where that file does not say it
    #[arg(long, value_name = "RATE", default_value = "40Gbit", value_parser = words::rate)]
    pub(crate) capacity: BitRate,
    /// The rate asked for on average, as a multiple of the most that the network carries of this
    /// demand
    #[arg(long, value_name = "NUMBER", default_value_t = 1.0)]
    pub(crate) load: f64,
    /// The shares of rigid, flexible and volume requests
    #[arg(
        long,
        value_name = "SHARES",
        value_delimiter = ',',
        num_args = 1,
        default_value = "0.3,0.3,0.4"
    )]
    pub(crate) mix: Vec<f64>,
    /// What everything is drawn from
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,
    /// From how many sources each request may be served
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub(crate) replicas: u8,
    /// The share of requests whose agents never send, such as 20%; the others need a part only
    #[arg(long, value_name = "SHARE", requires = "truth", value_parser = words::fraction)]
    pub(crate) no_shows: Option<u32>,
    /// For how long requests arrive, in hours
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    pub(crate) hours: u32,
    /// How much wider than the transfer a window is on average, in multiples of its length
    #[arg(long, value_name = "NUMBER", default_value_t = 2.0)]
    pub(crate) slack: f64,
    /// The rate that requests are drawn in shares of; by default the median of all links
    #[arg(long, value_name = "RATE", value_parser = words::rate)]
    pub(crate) unit: Option<BitRate>,
    /// The grid that all times lie on; by default that of the network's file, or 10m
    #[arg(long, value_name = "DURATION", value_parser = words::span)]
    pub(crate) slot: Option<Span>,
    /// Where the requests go; `-` is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub(crate) requests: PathBuf,
    /// Where what agents really do goes
    #[arg(long, value_name = "FILE")]
    pub(crate) truth: Option<PathBuf>,
}
