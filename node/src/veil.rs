//! Questions under link identities that were made for them: a node cannot tell who asks.
//!
//! ```text
//!   Asker::ask ──Job──> pool ──> link (one a veil, a network of its own that only dials) ──> node
//!        ^                                │
//!        └────────────── Told ────────────┘
//! ```
//!
//! # Invariants
//!
//! - Each question has exactly one [`Told`], or [`Asker::ask`] gives it at once: the room for it is
//!   reserved before the question goes, and whoever drops a question tells [`Unanswered::Silent`].
//! - A link's network knows the veil's key alone: it listens nowhere, finds nobody on the local
//!   network, and identify says what every node says.
//! - Two veils share no connection, and no veil shares one with the device.
//! - An answer counts only from the device that was asked.
//!
//! # What this module does not do
//!
//! It does not hide our network address, nor that links open and close at the same time: a node
//! that keeps mailboxes for two of our contacts sees both come from one place.
//! See docs/decisions/0026-mailboxes-by-question-and-answer.md.

mod link;

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;
use std::time::Duration;

use bitchat_protocol::id::DeviceId;
use bitchat_protocol::mailbox::{Ask, RequestId, Unanswered, Veil};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use link::Question;

/// Link identities that live at once: each has sockets and a task of its own.
const LINKS_MAX: usize = 32;

/// A link without a question is closed after this long.
const IDLE: Duration = Duration::from_secs(60);

/// Questions of one asker that wait for an answer; with answers of the greatest size 128 MiB.
const OPEN_MAX: usize = 512;

/// Questions on their way to one link.
const QUEUE_MAX: usize = 256;

/// Bounds, and what no veil may dial.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Ports of our own local listeners.
    pub own_ports: Vec<u16>,
    /// Link identities that live at once.
    pub links: usize,
    /// How long a link lives without a question.
    pub idle: Duration,
}

/// What became of one question.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    /// Which.
    pub request: RequestId,
    /// The frame of the answer, or why there is none.
    pub result: Result<Vec<u8>, Unanswered>,
}

/// Asks. Dropped: what is under way is answered to nobody.
#[derive(Debug)]
pub struct Asker {
    jobs: mpsc::Sender<Job>,
    told: mpsc::Sender<Told>,
}

/// The running links. Dropped: all of them close.
#[derive(Debug)]
pub struct Veils {
    jobs: mpsc::Sender<Job>,
    task: JoinHandle<()>,
}

/// A question on its way to its link.
#[derive(Debug)]
struct Job {
    veil: Veil,
    question: Question,
}

/// Room for the word about one question. Dropped unused it tells that there is no answer.
struct Waiting {
    request: RequestId,
    room: Option<mpsc::OwnedPermit<Told>>,
}

/// Starts the pool on the current tokio runtime; no link stands yet.
#[must_use]
pub fn start(settings: Settings) -> Veils {
    let (jobs, taken) = mpsc::channel(OPEN_MAX);
    let pool = Pool { settings, jobs: taken, links: BTreeMap::new() };
    Veils { jobs, task: tokio::spawn(pool.run()) }
}

impl Default for Settings {
    fn default() -> Self {
        Self { own_ports: Vec::new(), links: LINKS_MAX, idle: IDLE }
    }
}

impl Veils {
    /// An end to ask with, and where its answers come.
    #[must_use]
    pub fn asker(&self) -> (Asker, mpsc::Receiver<Told>) {
        let (told, answers) = mpsc::channel(OPEN_MAX);
        (Asker { jobs: self.jobs.clone(), told }, answers)
    }
}

impl Drop for Veils {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Asker {
    /// Asks; never waits.
    ///
    /// # Errors
    ///
    /// [`Told`] if there is no room, or nobody to ask any more. Nothing was sent then.
    pub fn ask(&self, ask: Ask) -> Result<(), Told> {
        let Ask { request, node, addresses, veil, frame, within } = ask;
        let refused = |why| Told { request, result: Err(why) };
        let Ok(room) = self.told.clone().try_reserve_owned() else {
            return Err(refused(Unanswered::Full));
        };
        let waiting = Waiting { request, room: Some(room) };
        let until = Instant::now() + within;
        let question = Question { node, addresses, frame, until, waiting, busy: None };
        self.jobs.try_send(Job { veil, question }).map_err(|error| {
            let (job, why) = match error {
                mpsc::error::TrySendError::Full(job) => (job, Unanswered::Full),
                mpsc::error::TrySendError::Closed(job) => (job, Unanswered::Unreachable),
            };
            job.question.waiting.withdraw();
            refused(why)
        })
    }
}

impl Waiting {
    /// Says what became of the question.
    fn tell(mut self, result: Result<Vec<u8>, Unanswered>) {
        if let Some(room) = self.room.take() {
            drop(room.send(Told { request: self.request, result }));
        }
    }

    /// Gives the room back: the asker knows already.
    fn withdraw(mut self) {
        self.room = None;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(room) = self.room.take() {
            let silent = Told { request: self.request, result: Err(Unanswered::Silent) };
            drop(room.send(silent));
        }
    }
}

impl Debug for Waiting {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Waiting({:?})", self.request)
    }
}

/// The task that opens and closes links.
struct Pool {
    settings: Settings,
    jobs: mpsc::Receiver<Job>,
    /// By the device that the node sees: a number could come again in a new engine.
    links: BTreeMap<DeviceId, Standing>,
}

/// The pool's end of one link. Dropped: the link ends when its questions are answered.
struct Standing {
    questions: mpsc::Sender<Question>,
    /// Each question holds a copy until it is answered.
    busy: Arc<()>,
    used: Instant,
}

impl Standing {
    fn is_busy(&self) -> bool {
        Arc::strong_count(&self.busy) > 1
    }
}

impl Pool {
    async fn run(mut self) {
        let mut look = interval((self.settings.idle / 8).max(Duration::from_millis(1)));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                job = self.jobs.recv() => match job {
                    Some(job) => self.ask(job),
                    None => break,
                },
                _ = look.tick() => self.close_idle(),
            }
        }
    }

    fn ask(&mut self, Job { veil, mut question }: Job) {
        let device = veil.device();
        if !self.links.contains_key(&device) && !self.make_room() {
            return question.waiting.tell(Err(Unanswered::Full));
        }
        let own_ports = &self.settings.own_ports;
        let link = self.links.entry(device).or_insert_with(|| {
            let (questions, asked) = mpsc::channel(QUEUE_MAX);
            tokio::spawn(link::run(link::settings(&veil, own_ports.clone()), asked));
            Standing { questions, busy: Arc::new(()), used: Instant::now() }
        });
        link.used = Instant::now();
        question.busy = Some(Arc::clone(&link.busy));
        if let Err(error) = link.questions.try_send(question) {
            let (question, why) = match error {
                mpsc::error::TrySendError::Full(question) => (question, Unanswered::Full),
                mpsc::error::TrySendError::Closed(question) => (question, Unanswered::Unreachable),
            };
            if why == Unanswered::Unreachable {
                self.links.remove(&device); // Its network ended by itself; the next question opens another.
            }
            question.waiting.tell(Err(why));
        }
    }

    /// Room for one more link: the least recently used one without a question goes.
    fn make_room(&mut self) -> bool {
        if self.links.len() < self.settings.links {
            return true;
        }
        let idle = self.links.iter().filter(|(_, link)| !link.is_busy());
        let Some(device) = idle.min_by_key(|(_, link)| link.used).map(|(device, _)| *device) else {
            return false;
        };
        self.links.remove(&device);
        true
    }

    fn close_idle(&mut self) {
        let (now, idle) = (Instant::now(), self.settings.idle);
        self.links.retain(|_, link| {
            if link.is_busy() {
                link.used = now;
            }
            now.duration_since(link.used) < idle && !link.questions.is_closed()
        });
    }
}

#[cfg(test)]
mod tests;
