//! Compiles `proto/*.proto` with protox, so that no protoc is needed on the machine.

use std::io::Error;

fn main() -> Result<(), Error> {
    const FILES: [&str; 2] = ["proto/wire.proto", "proto/rest.proto"];
    for file in FILES {
        println!("cargo::rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["proto"]).map_err(Error::other)?;
    prost_build::Config::new().skip_debug(["."]).compile_fds(descriptors)
}
