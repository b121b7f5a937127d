//! What is counted of people.

use prometheus::{IntCounterVec, Opts, Registry};

use crate::store::SignIn;

/// The metrics of people who sign in and connect devices.
#[derive(Clone, Debug)]
pub struct Meters {
    sign_ins: IntCounterVec,
    devices: IntCounterVec,
}

/// What became of an attempt to sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::anaconda) enum Attempt {
    /// Signed in.
    Ok,
    /// Not who they say, or nobody here.
    Refused,
    /// To be tried later.
    Throttled,
    /// Not decided: no room, or the store or the provider failed.
    Failed,
}

/// What happened to a request to act for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::anaconda) enum Step {
    /// It was made.
    Asked,
    /// There was no room for it.
    TurnedAway,
    /// A code was entered that nobody waits with.
    WrongCode,
    /// A person let it in.
    Approved,
    /// A person said no.
    Denied,
    /// It got its access token.
    Granted,
}

impl Meters {
    /// Makes the metrics and registers them.
    ///
    /// # Errors
    ///
    /// The registry has metrics of these names already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let make = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        Ok(Self {
            sign_ins: make(
                "channelgate_sign_ins_total",
                "Attempts of people to sign in, by password or OpenID provider, by what became of them.",
                &["by", "outcome"],
            )?,
            devices: make(
                "channelgate_device_authorizations_total",
                "Requests of devices and programs to act for a person, by the steps that they took.",
                &["step"],
            )?,
        })
    }

    /// Somebody tried to sign in.
    pub(in crate::anaconda) fn attempted(&self, how: SignIn, attempt: Attempt) {
        let outcome = match attempt {
            Attempt::Ok => "ok",
            Attempt::Refused => "refused",
            Attempt::Throttled => "throttled",
            Attempt::Failed => "failed",
        };
        self.sign_ins.with_label_values(&[how.as_str(), outcome]).inc();
    }

    /// A request took a step.
    pub(in crate::anaconda) fn stepped(&self, step: Step) {
        let step = match step {
            Step::Asked => "asked",
            Step::TurnedAway => "turned_away",
            Step::WrongCode => "wrong_code",
            Step::Approved => "approved",
            Step::Denied => "denied",
            Step::Granted => "granted",
        };
        self.devices.with_label_values(&[step]).inc();
    }
}
