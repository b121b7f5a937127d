//! Any end of a file: reading it does no harm, and facts that are read are written as they were read.

#![no_main]

use channelgate::cache::{FACTS_BYTES_MAX, FooterRead, read_footer, write_footer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], u64)| {
    let (end, file_bytes) = input;
    match read_footer(end, file_bytes) {
        Ok(FooterRead::Facts(facts)) => {
            assert!(facts.length < file_bytes && facts.key().path() == facts.path);
            let footer = write_footer(&facts).unwrap_or_default();
            let read = read_footer(&footer, facts.length + footer.len() as u64);
            assert!(footer.is_empty() || read == Ok(FooterRead::Facts(facts)));
        }
        Ok(FooterRead::Needs(bytes)) => assert!(bytes > end.len() && bytes <= FACTS_BYTES_MAX + 12),
        Err(_) => {}
    }
});
