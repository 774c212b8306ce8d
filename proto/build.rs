//! Compiles the protos with protox, in pure Rust: no protoc is looked for.

use std::error::Error;
use std::path::PathBuf;

/// What clients see.
const WIRE: [&str; 8] = [
    "tidegate/v1/annotations.proto",
    "tidegate/v1/quota.proto",
    "tidegate/v1/reservation.proto",
    "tidegate/v1/session.proto",
    "tidegate/v1/topology.proto",
    "tidegate/v1/policy.proto",
    "tidegate/v1/report.proto",
    "tidegate/v1/admin.proto",
];
/// What only the broker reads again.
const JOURNAL: [&str; 2] =
    ["tidegate/journal/v1/journal.proto", "tidegate/journal/v1/snapshot.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    for file in WIRE.iter().chain(&JOURNAL) {
        println!("cargo::rerun-if-changed={file}");
    }
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true).open_files(WIRE)?;
    // The encoded set keeps our field annotations, which the decoded types below drop.
    std::fs::write(out.join("tidegate.descriptors.bin"), compiler.encode_file_descriptor_set())?;
    compiler.open_files(JOURNAL)?;
    tonic_prost_build::configure()
        .generate_default_stubs(true)
        // Equal messages have equal bytes: requests are told apart and states compared by them.
        .btree_map(".")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
