//! Who waits for a place in the queue, in order of arrival. The first in line tries whenever one
//! may have become free; the others wait for it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

#[derive(Default)]
pub(crate) struct Waiting {
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    last_ticket: u64,
    waiting: VecDeque<(u64, Waker)>,
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stays in line, at the end where it has no ticket yet. True: it is the first, and may try.
    /// The waker is kept before, so that a place that becomes free while it tries is not missed.
    pub(crate) fn may_try(&self, ticket: &mut Option<u64>, waker: &Waker) -> bool {
        let mut line = self.lock();
        match ticket.and_then(|t| line.waiting.iter().position(|(other, _)| *other == t)) {
            Some(at) => {
                line.waiting[at].1.clone_from(waker);
                at == 0
            }
            None => {
                line.last_ticket += 1;
                let mine = line.last_ticket;
                *ticket = Some(mine);
                line.waiting.push_back((mine, waker.clone()));
                line.waiting.len() == 1
            }
        }
    }

    /// Leaves the line; whoever is first then may try.
    pub(crate) fn leave(&self, ticket: &mut Option<u64>) {
        let Some(mine) = ticket.take() else { return };
        self.lock().waiting.retain(|(other, _)| *other != mine);
        self.wake_first();
    }

    /// A place may have become free. Any thread, the engine's too: nobody holds the lock for long.
    pub(crate) fn wake_first(&self) {
        let first = self.lock().waiting.front().map(|(_, waker)| waker.clone());
        if let Some(waker) = first {
            waker.wake();
        }
    }

    /// Whether anyone waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().waiting.is_empty()
    }
}
