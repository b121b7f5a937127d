//! Any lock file, and any specification: what is read keeps no token.

#![no_main]

use channelgate::conda::{LockFile, MatchSpec};
use libfuzzer_sys::fuzz_target;

const TOKEN: &str = "cg-0123456789abcdefghijklmnopqrstuvwxyzABCD";

fuzz_target!(|text: &str| {
    let _ = text.parse::<MatchSpec>().map(|spec| spec.matches("a", "1", "0"));
    // Where tokens stand: behind /t/, and as a password.
    let text = text.replace("/t/", &format!("/t/{TOKEN}/")).replace("://", &format!("://x:{TOKEN}@"));
    match LockFile::parse(&text) {
        Ok(lock) => {
            for package in lock.packages {
                let shown = package.url.to_string();
                assert!(!shown.contains(TOKEN), "{shown}");
            }
        }
        Err(error) => assert!(!format!("{error:?} {error}").contains(TOKEN)),
    }
});
