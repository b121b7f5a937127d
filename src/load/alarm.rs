//! Waiting for a moment to within some ten microseconds. The runtime's own timer counts milliseconds, which is longer than an answer takes.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// One timer of the kernel's. One task at a time waits for it.
pub(super) struct Alarm(AsyncFd<OwnedFd>);

impl Alarm {
    /// Within a runtime.
    pub(super) fn new() -> io::Result<Self> {
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        // Its successor is unsafe, for sources whose descriptor may change or be closed by somebody else. One that owns it does neither.
        #[expect(deprecated, reason = "sound for an OwnedFd, and without an unsafe block")]
        let timer = AsyncFd::new(timer)?;
        Ok(Self(timer))
    }

    /// Returns when it is `moment`, or later.
    pub(super) async fn wait_until(&self, moment: Instant) -> io::Result<()> {
        loop {
            let left = moment.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            if left < SHORT {
                // Answers that have come are looked at meanwhile.
                tokio::task::yield_now().await;
                continue;
            }
            let it_value = Timespec { tv_sec: seconds(left), tv_nsec: left.subsec_nanos().into() };
            let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
            timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
            let mut ready = self.0.readable().await?;
            let mut count = [MaybeUninit::uninit(); 8];
            // Nothing to read means that it was set anew after it had been readable: the loop waits again.
            let _ = ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut count)?.0.len()));
        }
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// Setting a timer and being woken by it takes longer than this.
const SHORT: Duration = Duration::from_micros(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn alarm_never_rings_early_and_can_be_set_again_after_it_was_left() {
        let alarm = Alarm::new().unwrap();
        for micros in [0, 5, 50, 300, 2_500] {
            let moment = Instant::now() + Duration::from_micros(micros);
            alarm.wait_until(moment).await.unwrap();
            assert!(Instant::now() >= moment, "{micros}");
        }
        let left = tokio::time::timeout(
            Duration::from_millis(5),
            alarm.wait_until(Instant::now() + Duration::from_secs(3_600)),
        );
        assert!(left.await.is_err());
        alarm.wait_until(Instant::now() + Duration::from_millis(1)).await.unwrap();
    }
}
