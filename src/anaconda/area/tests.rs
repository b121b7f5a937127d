//! Which paths are the face's, and whose.

use super::{Area, owns};
use crate::conda::ChannelName;

#[test]
fn paths_are_told_apart_by_their_whole_first_segment() {
    for (path, area) in [
        ("/api", Some(Area::Api)),
        ("/api/", Some(Area::Api)),
        ("/api/organizations/my", Some(Area::Api)),
        ("/api/auth/oauth2/token", Some(Area::OAuth)),
        ("/api/auth/oauth2/userinfo", Some(Area::Api)),
        ("/.well-known/openid-configuration", Some(Area::Api)),
        ("/authentication", Some(Area::Client)),
        ("/authentications/name/a/b", Some(Area::Client)),
        ("/authentication-type", Some(Area::Client)),
        ("/user", Some(Area::Client)),
        ("/scopes", Some(Area::Client)),
        ("/package/a/b", Some(Area::Client)),
        ("/download/a/b/c/d", Some(Area::Client)),
        ("/device", Some(Area::Page)),
        ("/sign-in/oidc", Some(Area::Page)),
        ("/sign-out", Some(Area::Page)),
        ("/api/auth/oauth2/authorize", Some(Area::Page)),
        ("/app/local-login-success", Some(Area::Page)),
        ("/app/local-login-error", Some(Area::Page)),
        ("/app", None),
        ("/app/local-login-success/noarch/repodata.json", None),
        ("", None),
        ("/", None),
        ("*", None),
        ("api/x", None),
        ("//api", None),
        ("/apis/noarch/repodata.json", None),
        ("/api-tools/noarch/repodata.json", None),
        ("/users/noarch/repodata.json", None),
        ("/.hidden", None),
        ("/t/token/api/x", None),
        ("/main/api/x", None),
        ("/%61pi/x", None),
        ("/API/x", None),
    ] {
        assert_eq!(owns(path).then(|| Area::of(path)), area, "{path}");
    }
}

#[test]
fn no_channel_has_a_name_that_is_the_faces() {
    for name in [
        "api",
        "authentication",
        "authentications",
        "authentication-type",
        "user",
        "scopes",
        "package",
        "download",
        "device",
        "sign-in",
        "sign-out",
    ] {
        assert!(owns(&format!("/{name}/noarch/repodata.json")), "{name}");
        assert!(ChannelName::parse(name).is_err(), "{name}");
        assert!(ChannelName::parse(&format!("{name}/x")).is_err(), "{name}/x");
        assert!(ChannelName::parse(&format!("x/{name}")).is_ok(), "x/{name}");
    }
}
