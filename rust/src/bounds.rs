//! Runs a job on a thread of its own, within bounds of memory and time.
//!
//! minijinja counts instructions, but one instruction can double a string, and forty of them in a
//! loop are a terabyte. So the allocator of this library counts what such a thread holds, and there
//! are two bounds of each kind:
//!
//! * the soft one is looked at whenever the template writes something or calls a method or a filter
//!   of ours (`check`), and ends in an ordinary error. Templates that merely meet a large
//!   conversation end here;
//! * the hard one is looked at in the allocator, which can neither fail (Rust would abort the
//!   process) nor unwind. It parks the thread for good instead and tells the caller. Only a
//!   template written to do harm gets here; the caller must not run it again, so at most one thread
//!   with its memory is lost to each caller that runs it then. (One that computes without
//!   allocating, comparing lists that share their parts sixty levels deep, keeps a core busy; the
//!   caller has its answer.)

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

pub struct Bounds {
    pub stack_bytes: usize,
    pub soft_bytes: i64,
    pub hard_bytes: i64,
    pub soft_time: Duration,
    pub hard_time: Duration,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Broken {
    /// A hard bound: the thread is lost, the job must not be run again.
    Memory,
    Time,
    /// The job panicked: a fault of ours or of a library.
    Panic,
    /// No thread could be had.
    NoThread,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Ended,
    GaveUp,
}

struct Meter {
    live_bytes: AtomicI64,
    soft_bytes: i64,
    hard_bytes: i64,
    soft_deadline: Instant,
    /// The caller stopped waiting: park at the next allocation. Orders nothing, hence relaxed.
    abandoned: AtomicBool,
    phase: Mutex<Phase>,
    changed: Condvar,
}

thread_local! {
    /// The meter of a thread started by `run`; null on every other thread.
    static METER: Cell<*const Meter> = const { Cell::new(ptr::null()) };
}

impl Meter {
    fn enter(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(|e| e.into_inner()) = phase;
        self.changed.notify_all();
    }
}

fn charge(n_bytes: i64) {
    METER.with(|current| {
        let meter = current.get();
        if meter.is_null() {
            return;
        }
        // Alive: the thread that set the pointer owns a reference until it clears it.
        let meter = unsafe { &*meter };
        let live = meter.live_bytes.fetch_add(n_bytes, Relaxed) + n_bytes;
        if n_bytes > 0 && (live > meter.hard_bytes || meter.abandoned.load(Relaxed)) {
            current.set(ptr::null());
            meter.enter(Phase::GaveUp);
            loop {
                thread::park();
            }
        }
    })
}

/// What the job of this thread holds.
pub fn held_bytes() -> i64 {
    METER.with(|current| {
        let meter = current.get();
        // Alive, as in `charge`.
        if meter.is_null() {
            0
        } else {
            unsafe { (*meter).live_bytes.load(Relaxed) }
        }
    })
}

pub struct MeteredAlloc;

// Sizes go to the meter, everything else to the system's allocator.
unsafe impl GlobalAlloc for MeteredAlloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        charge(layout.size() as i64);
        System.alloc(layout)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        charge(layout.size() as i64);
        System.alloc_zeroed(layout)
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, n_bytes: usize) -> *mut u8 {
        charge(n_bytes as i64 - layout.size() as i64);
        System.realloc(at, layout, n_bytes)
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        charge(-(layout.size() as i64));
        System.dealloc(at, layout)
    }
}

/// The soft bounds, as an error message.
pub fn check() -> Result<(), &'static str> {
    METER.with(|current| {
        let meter = current.get();
        if meter.is_null() {
            return Ok(());
        }
        let meter = unsafe { &*meter };
        if meter.live_bytes.load(Relaxed) > meter.soft_bytes {
            return Err("the template needs too much memory");
        }
        if Instant::now() > meter.soft_deadline {
            return Err("the template takes too long");
        }
        Ok(())
    })
}

pub fn run<T: Send + 'static>(
    bounds: &Bounds,
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Broken> {
    let start = Instant::now();
    let meter = Arc::new(Meter {
        live_bytes: AtomicI64::new(0),
        soft_bytes: bounds.soft_bytes,
        hard_bytes: bounds.hard_bytes,
        soft_deadline: start + bounds.soft_time,
        abandoned: AtomicBool::new(false),
        phase: Mutex::new(Phase::Running),
        changed: Condvar::new(),
    });
    let of_worker = meter.clone();
    let worker = thread::Builder::new()
        .name("template".into())
        .stack_size(bounds.stack_bytes)
        .spawn(move || {
            METER.set(Arc::as_ptr(&of_worker));
            let result = catch_unwind(AssertUnwindSafe(job));
            METER.set(ptr::null());
            of_worker.enter(Phase::Ended);
            result
        })
        .map_err(|_| Broken::NoThread)?;

    let phase = meter.phase.lock().unwrap_or_else(|e| e.into_inner());
    let (phase, _) = meter
        .changed
        .wait_timeout_while(phase, bounds.hard_time, |p| *p == Phase::Running)
        .unwrap_or_else(|e| e.into_inner());
    let phase = *phase;
    match phase {
        Phase::Ended => match worker.join() {
            Ok(Ok(result)) => Ok(result),
            _ => Err(Broken::Panic),
        },
        Phase::GaveUp => Err(Broken::Memory),
        Phase::Running => {
            meter.abandoned.store(true, Relaxed);
            Err(Broken::Time)
        }
    }
}
