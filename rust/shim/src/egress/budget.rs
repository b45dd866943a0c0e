//! Limits of the network while it is used: what is spent waits, what waits too long is refused, bytes are slowed (N14).

use super::gate::{Gate, Refusal};
use super::target::Target;
use crate::clock;
use replicante_core::limits::{Begin, Direction, Limits, Spent};
use replicante_core::policy::Compiled;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

/// How long something waits for a limit before it is refused (`decisions.md` D8).
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes that are passed on at once where they go through TLS.
const CHUNK: usize = 16 * 1024;
/// How often a transfer that is slowed is told of, for each limit.
const TOLD_NS: u64 = 60_000_000_000;

/// The fill of all limits of a run.
pub struct Budget {
    limits: RefCell<Limits>,
    /// A connection has ended.
    freed: Notify,
    /// When each limit on bytes was last told of.
    told: RefCell<HashMap<usize, u64>>,
}

impl Budget {
    pub fn new(compiled: &Compiled) -> Self {
        Self {
            limits: RefCell::new(Limits::new(compiled)),
            freed: Notify::new(),
            told: RefCell::default(),
        }
    }
}

/// What a connection holds of the limits; given back when it is dropped.
pub struct Share {
    gate: Rc<Gate>,
    buckets: Vec<usize>,
}

impl Drop for Share {
    fn drop(&mut self) {
        let budget = &self.gate.budget;
        budget.limits.borrow_mut().end(&self.buckets);
        budget.freed.notify_waiters();
    }
}

impl Share {
    /// What counts the bytes of one direction.
    pub fn meter(&self, direction: Direction) -> Meter {
        let buckets = self
            .gate
            .budget
            .limits
            .borrow()
            .of_bytes(direction, &self.buckets);
        Meter {
            gate: Rc::clone(&self.gate),
            buckets,
            passed: Cell::new(0),
        }
    }
}

/// Opens a connection on its limits, which must be there within `PATIENCE`.
///
/// # Errors
/// The limit that was not.
pub async fn open(
    gate: &Rc<Gate>,
    target: &Target,
    begin: Begin,
    buckets: Vec<usize>,
) -> Result<Share, Refusal> {
    wait(gate, target, begin, &buckets).await?;
    Ok(Share {
        gate: Rc::clone(gate),
        buckets,
    })
}

/// Charges something that begins to its limits, which must be there within `PATIENCE`.
///
/// # Errors
/// The limit that was not.
pub async fn wait(gate: &Gate, target: &Target, begin: Begin, buckets: &[usize]) -> Result<(), Refusal> {
    let budget = &gate.budget;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let freed = budget.freed.notified();
        let charged = budget.limits.borrow_mut().begin(clock::boot_ns(), begin, buckets);
        let Err(spent) = charged else {
            return Ok(());
        };
        let refused = || gate.spent(target, spent.bucket);
        match spent.after_ns.map(Duration::from_nanos) {
            Some(after) if Instant::now() + after > deadline => return Err(refused()),
            Some(after) => sleep(after).await,
            None => timeout_at(deadline, freed).await.map_err(|_| refused())?,
        }
    }
}

/// Counts the payload bytes of one direction of a connection and says how many may pass.
pub struct Meter {
    gate: Rc<Gate>,
    buckets: Vec<usize>,
    passed: Cell<u64>,
}

impl Meter {
    /// Whether anything bounds the bytes.
    pub fn bounds(&self) -> bool {
        !self.buckets.is_empty()
    }

    /// Waits until bytes may pass and says how many.
    pub async fn allowance(&self) -> usize {
        loop {
            if !self.bounds() {
                return usize::MAX;
            }
            let passing = self
                .gate
                .budget
                .limits
                .borrow()
                .passing(clock::boot_ns(), &self.buckets);
            match passing {
                Ok(bytes) => return usize::try_from(bytes).unwrap_or(usize::MAX),
                Err(Spent { bucket, after_ns }) => {
                    self.tell(bucket);
                    sleep(Duration::from_nanos(after_ns.unwrap_or_default())).await;
                }
            }
        }
    }

    /// Counts bytes that passed.
    pub fn passed(&self, bytes: usize) {
        let bytes = bytes as u64;
        self.passed.set(self.passed.get() + bytes);
        if self.bounds() {
            let mut limits = self.gate.budget.limits.borrow_mut();
            limits.passed(clock::boot_ns(), &self.buckets, bytes);
        }
    }

    fn tell(&self, bucket: usize) {
        let now = clock::boot_ns();
        let mut told = self.gate.budget.told.borrow_mut();
        let due = told.get(&bucket).is_none_or(|last| now - last >= TOLD_NS);
        if due {
            told.insert(bucket, now);
            self.gate.slowed(bucket);
        }
    }
}

/// Passes bytes on until the reader has no more.
///
/// # Errors
/// When either end breaks.
pub async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    meter: &Meter,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let most = meter.allowance().await.min(CHUNK);
        let length = from.read(&mut buffer[..most]).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        meter.passed(length);
        to.write_all(&buffer[..length]).await?;
        to.flush().await?;
    }
}
