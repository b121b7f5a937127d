//! Tests of what packages are told that a channel's rules withhold.

use super::*;
use crate::clock::Timestamp;

#[test]
fn withheld_package_is_451_with_the_reason_and_what_to_do() {
    let until: Timestamp = "2027-01-31".parse().unwrap();
    let reason = Some("CVE-2024-3094.".to_owned());
    for (refusal, code, detail) in [
        (
            Refusal::Blocked { reason: reason.clone() },
            "package_blocked",
            "A rule of this gate blocks this package of channel \"main\": CVE-2024-3094. Your token is not at fault. Choose another version, or ask the gate's administrator.",
        ),
        (
            Refusal::Blocked { reason: None },
            "package_blocked",
            "A rule of this gate blocks this package of channel \"main\". Your token is not at fault. Choose another version, or ask the gate's administrator.",
        ),
        (
            Refusal::Quarantined { reason, until },
            "package_quarantined",
            "A rule of this gate holds this package of channel \"main\" back until 2027-01-31T00:00:00Z, because it is new: CVE-2024-3094. Your token is not at fault. Choose an older version, wait, or ask the gate's administrator.",
        ),
    ] {
        let verdict = verdict(&refusal, "main");
        assert_eq!((verdict.status.as_u16(), verdict.code, verdict.detail.as_str()), (451, code, detail));
        assert_eq!(verdict.retry_after_seconds, None, "whoever retries gets the same");
    }
}

#[test]
fn unknown_age_of_packages_is_passing_trouble() {
    let verdict = verdict(&Refusal::Unsettled, "main");
    assert_eq!((verdict.status.as_u16(), verdict.code), (503, "store_unavailable"));
    assert!(verdict.retry_after_seconds.is_some());
}
