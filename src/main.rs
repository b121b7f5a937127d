//! The program `channelgate`; everything is in the library.

use std::process::ExitCode;

/// 2 to 4 percent fewer instructions a request than with the system's allocator, in prototypes of this stack.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    channelgate::cli::run(std::env::args_os())
}
