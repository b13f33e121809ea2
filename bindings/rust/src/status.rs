use std::ffi::CStr;
use std::fmt;

use crate::sys;

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// A value out of range or of the wrong kind.
    Param,
    /// The prompt does not fit a stream.
    Context,
    Template,
    Grammar,
    /// The queue is full; nothing was kept.
    Busy,
    /// The engine is being drained or closed.
    Closing,
    Cancelled,
    /// The model file is damaged or hostile.
    Format,
    /// A sound model file that this version cannot run.
    Unsupported,
    Io,
    Memory,
    Interrupted,
    Internal,
}

impl Status {
    fn of(status: sys::pl_status) -> Status {
        match status {
            sys::PL_E_PARAM => Status::Param,
            sys::PL_E_CONTEXT => Status::Context,
            sys::PL_E_TEMPLATE => Status::Template,
            sys::PL_E_GRAMMAR => Status::Grammar,
            sys::PL_E_BUSY => Status::Busy,
            sys::PL_E_CLOSING => Status::Closing,
            sys::PL_E_CANCELLED => Status::Cancelled,
            sys::PL_E_FORMAT => Status::Format,
            sys::PL_E_UNSUPPORTED => Status::Unsupported,
            sys::PL_E_IO => Status::Io,
            sys::PL_E_MEMORY => Status::Memory,
            sys::PL_E_INTERRUPTED => Status::Interrupted,
            _ => Status::Internal,
        }
    }
}

/// What went wrong: what was found, what was wanted, what to change.
#[derive(Clone, Debug)]
pub struct Error {
    pub status: Status,
    pub text: String,
}

pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.text)
    }
}

impl std::error::Error for Error {}

impl Error {
    pub(crate) fn param(text: impl Into<String>) -> Error {
        Error { status: Status::Param, text: text.into() }
    }
}

/// Calls a function of the library that may fail.
pub(crate) fn check(call: impl FnOnce(*mut sys::pl_err) -> sys::pl_status) -> Result<()> {
    let mut err = sys::pl_err { status: sys::PL_OK, text: [0; 512] };
    let status = call(&mut err);
    if status == sys::PL_OK {
        return Ok(());
    }
    // SAFETY: the library ends what it writes with a zero, and it was zeros before
    let text = unsafe { CStr::from_ptr(err.text.as_ptr()) }.to_string_lossy().into_owned();
    Err(Error { status: Status::of(status), text })
}
