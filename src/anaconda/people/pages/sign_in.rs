//! Signing in, and who is signed in.

use maud::{Markup, html};

use super::{Mistake, Page, beside, is_wrong};
use crate::anaconda::people::next::Next;

/// What the page for signing in shows.
pub(in crate::anaconda) struct SignIn<'a> {
    /// The proof of the form.
    pub(in crate::anaconda) proof: &'a str,
    /// Where it leads.
    pub(in crate::anaconda) next: &'a Next,
    /// What was typed as the name.
    pub(in crate::anaconda) user: &'a str,
    /// Whether people sign in by a password here.
    pub(in crate::anaconda) passwords: bool,
    /// What the button says that leads to the OpenID provider, if there is one.
    pub(in crate::anaconda) provider: Option<&'a str>,
    /// What was wrong.
    pub(in crate::anaconda) mistake: Option<&'a Mistake>,
    /// True for somebody who just signed out.
    pub(in crate::anaconda) left: bool,
}

/// The page for signing in.
pub(in crate::anaconda) fn sign_in(page: &SignIn<'_>) -> Page {
    let SignIn { proof, next, user, passwords, provider, mistake, left } = page;
    let why = match next.as_str().split('?').next() {
        Some("/device") => Some("Sign in to connect a device to your account."),
        Some("/sign-in") | None => None,
        Some(_) => Some("Sign in to let a program on your computer use your account."),
    };
    let content = html! {
        @if *left { p role="status" { "You are signed out." } }
        @if let Some(why) = why { p { (why) } }
        @if let Some(title) = provider {
            p { a class="button" href={ "/sign-in/oidc?next=" (encoded(next)) } { (title) } }
        }
        @if *passwords && provider.is_some() { p class="or" { "or" } }
        @if *passwords { (password_form(proof, next, user, *mistake, provider.is_some())) }
    };
    Page::new("Sign in", *mistake, &content)
}

fn password_form(proof: &str, next: &Next, user: &str, mistake: Option<&Mistake>, is_second: bool) -> Markup {
    let wrong = |field| is_wrong(mistake, field);
    // Where a person begins to type: at what is wrong, else at what is empty.
    let at_password = wrong("password") || (!user.is_empty() && !wrong("user"));
    html! {
        form method="post" action="/sign-in" novalidate {
            input type="hidden" name="proof" value=(proof);
            input type="hidden" name="next" value=(next);
            label for="user" { "User name" }
            (beside(mistake, "user"))
            input #user type="text" name="user" value=(user) autocomplete="username" autocapitalize="none"
                spellcheck="false" maxlength="128" required autofocus[!at_password]
                aria-invalid=[wrong("user").then_some("true")]
                aria-describedby=[wrong("user").then_some("user-mistake")];
            label for="password" { "Password" }
            (beside(mistake, "password"))
            input #password type="password" name="password" autocomplete="current-password" maxlength="256" required
                autofocus[at_password]
                aria-invalid=[wrong("password").then_some("true")]
                aria-describedby=[wrong("password").then_some("password-mistake")];
            button type="submit" class=[is_second.then_some("second")] { "Sign in" }
        }
    }
}

/// What somebody who is signed in sees.
pub(in crate::anaconda) struct SignedIn<'a> {
    /// The proof of the form that signs them out.
    pub(in crate::anaconda) proof: &'a str,
    /// Their name.
    pub(in crate::anaconda) user: &'a str,
}

/// The page that says who is signed in.
pub(in crate::anaconda) fn signed_in(page: &SignedIn<'_>) -> Page {
    let SignedIn { proof, user } = page;
    let content = html! {
        p { "You are signed in as " strong { (user) } "." }
        p { a class="button" href="/device" { "Connect a device" } }
        form method="post" action="/sign-out" {
            input type="hidden" name="proof" value=(proof);
            button type="submit" class="second" { "Sign out" }
        }
    };
    Page::new("You are signed in", None, &content)
}

/// A link's end.
fn encoded(next: &Next) -> String {
    url::form_urlencoded::byte_serialize(next.as_str().as_bytes()).collect()
}
