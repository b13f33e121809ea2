use std::ffi::c_void;
use std::future::poll_fn;
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::engine::Inner;
use crate::request::{Raw, Request};
use crate::status::{check, Result};
use crate::sys;
use crate::waiting::Waiting;

/// Why a reply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// An end or stop token, a stop string, or a complete grammar.
    Stop,
    /// As many tokens as were wanted, or as the context holds.
    Length,
    Cancelled,
    Error,
}

/// What comes of a stream; the last one is [`Event::End`].
#[derive(Clone, Debug)]
pub enum Event {
    /// It has its slot, and is out of the queue.
    Admitted,
    Token {
        token: i32,
        /// Whole characters released now; may be empty.
        text: String,
        /// Of a request with `logprobs`; else 0.
        logprob: f32,
    },
    End {
        finish: Finish,
        /// What was held back until now.
        text: String,
        usage: sys::pl_usage,
    },
}

/// What the engine's thread calls: one stream's, alive until the stream is closed.
struct Wake {
    waker: Mutex<Option<Waker>>,
    has_left_queue: AtomicBool,
    waiting: Arc<Waiting>,
}

unsafe extern "C" fn on_event(arg: *mut c_void) {
    // SAFETY: the library calls it before the stream is closed, and the Arc is dropped after that
    let wake = unsafe { &*arg.cast::<Wake>() };
    let waker = wake.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(waker) = waker {
        waker.wake();
    }
    // a stream's first event is that it left the queue
    if !wake.has_left_queue.swap(true, Ordering::Relaxed) {
        wake.waiting.wake_first();
    }
}

/// One reply. Dropping it cancels what is left of it.
pub struct Stream {
    raw: NonNull<sys::pl_stream>,
    wake: Arc<Wake>,
    has_ended: bool,
    engine: Arc<Inner>,
}

// SAFETY: one thread at a time takes its events, which &mut self sees to; all else may be called
// from any thread, says the header
unsafe impl Send for Stream {}
unsafe impl Sync for Stream {}

impl Stream {
    pub(crate) fn open(engine: &Arc<Inner>, request: &Request) -> Result<Stream> {
        let wake = Arc::new(Wake {
            waker: Mutex::new(None),
            has_left_queue: AtomicBool::new(false),
            waiting: engine.waiting.clone(),
        });
        let mut raw = std::ptr::null_mut();
        let arg = Arc::as_ptr(&wake).cast_mut().cast();
        Raw::new(request)?.with(on_event, arg, |r| {
            // SAFETY: the engine is open, and what the request points to is copied
            check(|err| unsafe { sys::pl_submit(engine.raw.as_ptr(), r, &mut raw, err) })
        })?;
        let raw = NonNull::new(raw).expect("a submit that succeeds gives a stream");
        Ok(Stream { raw, wake, has_ended: false, engine: engine.clone() })
    }

    fn take(&mut self) -> Option<Event> {
        // SAFETY: all zeros is an event
        let mut event: sys::pl_event = unsafe { std::mem::zeroed() };
        // SAFETY: it is not closed, and this thread alone has it
        if !unsafe { sys::pl_stream_next(self.raw.as_ptr(), &mut event) } {
            return None;
        }
        let text = || {
            if event.n_text_bytes == 0 {
                return String::new();
            }
            // SAFETY: so many bytes are there until the next event is taken
            let bytes =
                unsafe { std::slice::from_raw_parts(event.text.cast::<u8>(), event.n_text_bytes) };
            String::from_utf8_lossy(bytes).into_owned()
        };
        Some(match event.kind {
            sys::PL_EVENT_ADMITTED => Event::Admitted,
            sys::PL_EVENT_TOKEN => {
                Event::Token { token: event.token, text: text(), logprob: event.logprob }
            }
            _ => {
                self.has_ended = true;
                self.engine.waiting.wake_first(); // its slot counts as a place, too
                let finish = match event.finish {
                    sys::PL_FINISH_STOP => Finish::Stop,
                    sys::PL_FINISH_LENGTH => Finish::Length,
                    sys::PL_FINISH_CANCELLED => Finish::Cancelled,
                    _ => Finish::Error,
                };
                Event::End { finish, text: text(), usage: event.usage }
            }
        })
    }

    /// The next event; `None` after the end.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        if let Some(event) = self.take() {
            return Poll::Ready(Some(event));
        }
        *self.wake.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        // what came before the waker was there woke nobody
        match self.take() {
            Some(event) => Poll::Ready(Some(event)),
            None => Poll::Pending,
        }
    }

    /// The text to its end, and why it ended.
    pub async fn text(mut self) -> (String, Finish) {
        let mut all = String::new();
        loop {
            match self.next().await {
                Some(Event::Token { text, .. }) => all.push_str(&text),
                Some(Event::End { finish, text, .. }) => return (all + &text, finish),
                Some(Event::Admitted) => {}
                None => return (all, Finish::Error),
            }
        }
    }

    /// Asks the engine to end it within one step; the end is its last event all the same.
    pub fn cancel(&self) {
        // SAFETY: any thread may, as long as it is not closed
        unsafe { sys::pl_stream_cancel(self.raw.as_ptr()) };
        self.engine.waiting.wake_first();
    }
}

impl futures_core::Stream for Stream {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.get_mut().poll_event(cx)
    }
}

/// Waits for each event: for threads of their own, not for tasks.
impl Iterator for Stream {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        while !self.has_ended {
            if let Some(event) = self.take() {
                return Some(event);
            }
            // SAFETY: as in take
            unsafe { sys::pl_stream_wait(self.raw.as_ptr(), 1000) };
        }
        None
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: nobody uses it afterwards; on_event does not begin any more once this returned
        unsafe { sys::pl_stream_close(self.raw.as_ptr()) };
        self.engine.waiting.wake_first();
    }
}
