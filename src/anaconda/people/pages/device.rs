//! Connecting a device: the code, who asks for what, and what became of it.

use std::net::IpAddr;

use maud::{Markup, html};

use super::{Mistake, Page, beside, is_wrong};
use crate::clock::Timestamp;

/// Who is signed in, with the proof of the form that signs them out.
pub(in crate::anaconda) struct Person<'a> {
    /// Their name.
    pub(in crate::anaconda) user: &'a str,
    /// The proof.
    pub(in crate::anaconda) sign_out_proof: &'a str,
}

/// What the page for the code shows.
pub(in crate::anaconda) struct Entry<'a> {
    /// Who is signed in, if somebody is.
    pub(in crate::anaconda) person: Option<Person<'a>>,
    /// What was typed.
    pub(in crate::anaconda) typed: &'a str,
    /// What was wrong.
    pub(in crate::anaconda) mistake: Option<&'a Mistake>,
}

/// The page for the code.
pub(in crate::anaconda) fn entry(page: &Entry<'_>) -> Page {
    let Entry { person, typed, mistake } = page;
    let is_wrong = is_wrong(*mistake, "code");
    let content = html! {
        form method="get" action="/device" novalidate {
            label for="code" { "Code" }
            p class="hint" id="code-hint" { "Your terminal shows it. It looks like BCDFG-HJKLM." }
            (beside(*mistake, "code"))
            input #code .code type="text" name="user_code" value=(typed) autocomplete="off" autocapitalize="characters"
                spellcheck="false" maxlength="32" required autofocus
                aria-describedby=(if is_wrong { "code-hint code-mistake" } else { "code-hint" })
                aria-invalid=[is_wrong.then_some("true")];
            button type="submit" { "Continue" }
        }
        @if let Some(person) = person { (foot(person)) }
    };
    Page::new("Connect a device", *mistake, &content)
}

/// Where a request to act for a person comes from.
pub(in crate::anaconda) enum Requester<'a> {
    /// A device that shows a code.
    Device {
        /// The code.
        code: &'a str,
        /// Where it asked from.
        address: IpAddr,
        /// What it calls itself.
        agent: Option<&'a str>,
        /// When it asked.
        at: Timestamp,
    },
    /// A program on the machine where the browser runs.
    Local,
}

/// What the page that asks a person shows.
pub(in crate::anaconda) struct Consent<'a> {
    /// Who is asked.
    pub(in crate::anaconda) person: Person<'a>,
    /// Who asks.
    pub(in crate::anaconda) requester: Requester<'a>,
    /// The program, by the name that the gate knows it by.
    pub(in crate::anaconda) program: &'a str,
    /// For how long what it gets serves, in words.
    pub(in crate::anaconda) lasts: &'a str,
    /// The organizations in which the person has a seat, by name and title.
    pub(in crate::anaconda) organizations: &'a [(String, String)],
    /// The proof of the form.
    pub(in crate::anaconda) proof: &'a str,
    /// What the form carries besides.
    pub(in crate::anaconda) carries: (&'static str, &'a str),
    /// Where the form is sent.
    pub(in crate::anaconda) action: &'static str,
    /// What was wrong.
    pub(in crate::anaconda) mistake: Option<&'a Mistake>,
    /// The time.
    pub(in crate::anaconda) now: Timestamp,
}

/// The page that asks a person.
pub(in crate::anaconda) fn consent(page: &Consent<'_>) -> Page {
    let Consent { person, lasts, organizations, proof, carries, action, mistake, .. } = page;
    let heading = match page.requester {
        Requester::Device { .. } => "Connect this device?",
        Requester::Local => "Let this program use your account?",
    };
    let content = html! {
        (requester(page))
        h2 { "It will be able to" }
        ul {
            li { "download packages from every channel that you may read" }
            li { "create, list and remove access tokens in your name" }
        }
        p { (format!("That holds for {lasts}, unless it is revoked before.")) }
        (warning(&page.requester))
        form method="post" action=(action) {
            input type="hidden" name="proof" value=(proof);
            input type="hidden" name=(carries.0) value=(carries.1);
            (choice(organizations, *mistake))
            div class="answers" {
                button type="submit" name="answer" value="approve" { "Approve" }
                button type="submit" name="answer" value="deny" class="second" { "Deny" }
            }
        }
        (foot(person))
    };
    Page::new(heading, *mistake, &content)
}

fn requester(page: &Consent<'_>) -> Markup {
    match page.requester {
        Requester::Device { code, address, agent, at } => html! {
            p class="shown" { span { "The code that its terminal has to show" } strong { (code) } }
            dl {
                dt { "Program" } dd { (page.program) @if let Some(agent) = agent { " (" (agent) ")" } }
                dt { "Asked from" } dd { (address) }
                dt { "Asked" } dd { time datetime=(at) { (super::ago(page.now.since(at))) } }
            }
        },
        Requester::Local => html! {
            dl {
                dt { "Program" } dd { (page.program) }
                dt { "Where" } dd { "on the computer where this browser runs" }
            }
        },
    }
}

fn warning(requester: &Requester<'_>) -> Markup {
    html! {
        p class="warning" {
            @match requester {
                Requester::Device { .. } => {
                    strong { "Did somebody send you this link or code?" }
                    " Then deny it: whoever sent it would act as you."
                }
                Requester::Local => {
                    strong { "Did you start it yourself, just now?" }
                    " If not, deny it."
                }
            }
        }
    }
}

/// The organization to act in: asked only where there are several.
fn choice(organizations: &[(String, String)], mistake: Option<&Mistake>) -> Markup {
    match organizations {
        [] => html! {},
        [(name, _)] => html! { input type="hidden" name="organization" value=(name); },
        several => html! {
            fieldset aria-describedby=[is_wrong(mistake, "organization-0").then_some("organization-0-mistake")] {
                legend { "For which organization?" }
                (beside(mistake, "organization-0"))
                @for (at, (name, title)) in several.iter().enumerate() {
                    label class="choice" for={ "organization-" (at) } {
                        input id={ "organization-" (at) } type="radio" name="organization" value=(name) checked[at == 0];
                        span { (title) @if title != name { small { (name) } } }
                    }
                }
            }
        },
    }
}

fn foot(person: &Person<'_>) -> Markup {
    html! {
        div class="foot" {
            "Signed in as " strong { (person.user) } ". "
            form method="post" action="/sign-out" {
                input type="hidden" name="proof" value=(person.sign_out_proof);
                button type="submit" class="plain" { "Not you? Sign out" }
            }
        }
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::anaconda) enum Answered {
    /// The device may go on.
    Connected,
    /// It may not.
    Denied,
}

/// The page that says so; the same however often the answer is sent.
pub(in crate::anaconda) fn answered(answered: Answered) -> Page {
    match answered {
        Answered::Connected => Page::new(
            "The device is connected",
            None,
            &html! {
                p { "Go back to your terminal: it goes on by itself within a few seconds. You can close this page." }
            },
        ),
        Answered::Denied => Page::new(
            "The request was denied",
            None,
            &html! {
                p { "Nothing was given to it. You can close this page." }
                p { "If you did not start it yourself, somebody may have tried to use your account: tell your administrator." }
            },
        ),
    }
}
