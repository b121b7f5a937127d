//! Which requests name their host as they must.

use super::*;

#[test]
fn host_is_named_once_and_legibly() {
    let http1 = Version::HTTP_11;
    for (name, version, target, hosts, expected) in [
        ("name", http1, "/x", vec!["gate.test"], Ok(())),
        ("name and port", http1, "/x", vec!["gate.test:8480"], Ok(())),
        ("underscore", http1, "/x", vec!["my_gate"], Ok(())),
        ("IPv6", http1, "/x", vec!["[::1]:8480"], Ok(())),
        ("empty", http1, "/x", vec![""], Ok(())),
        ("none", http1, "/x", vec![], Err(HostError::Missing)),
        ("none, absolute form", http1, "http://gate.test/x", vec![], Err(HostError::Missing)),
        ("none, HTTP/1.0", Version::HTTP_10, "/x", vec![], Ok(())),
        ("two", http1, "/x", vec!["a", "b"], Err(HostError::Repeated)),
        ("twice the same", http1, "/x", vec!["a", "a"], Err(HostError::Repeated)),
        ("two, HTTP/1.0", Version::HTTP_10, "/x", vec!["a", "b"], Err(HostError::Repeated)),
        ("user", http1, "/x", vec!["user@gate.test"], Err(HostError::Malformed)),
        ("list", http1, "/x", vec!["a, b"], Err(HostError::Malformed)),
        ("path", http1, "/x", vec!["gate.test/x"], Err(HostError::Malformed)),
        ("HTTP/2, authority", Version::HTTP_2, "http://gate.test/x", vec![], Ok(())),
        ("HTTP/2, host", Version::HTTP_2, "/x", vec!["gate.test"], Ok(())),
        ("HTTP/2, neither", Version::HTTP_2, "/x", vec![], Err(HostError::Missing)),
    ] {
        let mut request = http::Request::builder().version(version).uri(target);
        for host in hosts {
            request = request.header(HOST, host);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        assert_eq!(check(&parts), expected, "{name}");
    }
}
