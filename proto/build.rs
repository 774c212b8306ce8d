//! Compiles the protos with protox, in pure Rust: no protoc is looked for.

use std::error::Error;
use std::path::PathBuf;

use protox::prost::Message;

const FILES: [&str; 6] = [
    "tidegate/v1/annotations.proto",
    "tidegate/v1/reservation.proto",
    "tidegate/v1/session.proto",
    "tidegate/v1/topology.proto",
    "tidegate/v1/admin.proto",
    "tidegate/journal/v1/journal.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    for file in FILES {
        println!("cargo::rerun-if-changed={file}");
    }
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true).open_files(FILES)?;
    // The encoded set keeps our field annotations, which the decoded types below drop; the wire
    // description that reflection serves leaves the journal's own format out.
    let encoded = compiler.encode_file_descriptor_set();
    std::fs::write(out.join("tidegate.descriptors.bin"), encoded)?;
    let files = compiler.file_descriptor_set();
    debug_assert!(files.encoded_len() > 0);
    tonic_prost_build::configure().compile_fds(files)?;
    Ok(())
}
