//! The program `channelgate`; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    channelgate::cli::run(std::env::args_os())
}
