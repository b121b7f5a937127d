//! A person at a terminal: a pseudo-terminal, the texts they wait for and what they type.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use super::person::Said;

/// Runs a command at a terminal of its own. Of each pair of the dialogue the first is waited for, the second typed; what it echoes is part of
/// what it says. A command that reads `keys` throws away what was typed before it did: it is waited for until it does.
pub(crate) fn run(command: &mut Command, keys: bool, dialogue: &[(&str, &str)]) -> Said {
    let (mut ours, theirs) = open();
    let ends = [theirs.try_clone().unwrap(), theirs.try_clone().unwrap(), theirs];
    let [input, output, errors] = ends;
    let mut child = command.stdin(input).stdout(output).stderr(errors).spawn().unwrap();
    // It keeps the ends of the terminal, whose last one has to be the child's for its end to be seen.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());

    let (send, words) = channel();
    let mut reading = ours.try_clone().unwrap();
    thread::spawn(move || {
        let mut chunk = [0; 4096];
        // Linux tells the end of the other side by an error.
        while let Ok(length @ 1..) = reading.read(&mut chunk) {
            if send.send(chunk[..length].to_vec()).is_err() {
                break;
            }
        }
    });
    let (mut said, mut seen) = (Vec::new(), 0);
    let mut dialogue = dialogue.iter();
    let mut next = dialogue.next();
    loop {
        while let Some((text, answer)) = next
            && let Some(at) = find(&said[seen..], text.as_bytes())
        {
            seen += at + text.len();
            let asked_at = Instant::now();
            while keys && reads_lines(&ours) && asked_at.elapsed() < PATIENCE {
                thread::sleep(Duration::from_millis(5));
            }
            ours.write_all(answer.as_bytes()).unwrap();
            ours.write_all(b"\n").unwrap();
            next = dialogue.next();
        }
        match words.recv_timeout(PATIENCE) {
            Ok(chunk) => said.extend(chunk),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                let _ = child.kill();
                break;
            }
        }
    }
    let status = child.wait().unwrap();
    let said = String::from_utf8_lossy(&said).replace("\r\n", "\n");
    assert!(next.is_none(), "it never asked {next:?}:\n{said}");
    Said::new(status, said, String::new())
}

fn open() -> (File, OwnedFd) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let theirs =
        rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    (File::from(ours), theirs)
}

/// True while the terminal gathers what is typed into lines.
fn reads_lines(terminal: &File) -> bool {
    tcgetattr(terminal).is_ok_and(|modes| modes.local_modes.contains(LocalModes::ICANON))
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

// Between two words of a tool; reached only by one that hangs.
const PATIENCE: Duration = Duration::from_secs(120);
