//! Limits of the network while it is used: what is spent waits, what waits too long is refused, bytes are slowed (N14).

use super::gate::Refusal;
use crate::clock;
use crate::policy::Limit;
use crate::record::{Recorder, Verdict};
use replicante_core::limits::{Direction, Limits, Spent};
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{self, Notify};
use tokio::time::{Instant, sleep, timeout_at};

/// How long something waits for a limit before it is refused (`decisions.md` D8).
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a transfer that is slowed is told of, for each limit.
const TOLD_NS: u64 = 60_000_000_000;

/// The fill of all limits of a run.
pub struct Budget {
    stated: Vec<Limit>,
    recorder: Arc<Recorder>,
    limits: Mutex<Limits>,
    /// A connection has ended.
    freed: Notify,
    /// For each limit those that wait for it, one after the other, so that a thousand of them cost one timer.
    queues: Vec<sync::Mutex<()>>,
    /// When each limit on bytes was last told of.
    told: Mutex<HashMap<usize, u64>>,
}

impl Budget {
    pub fn new(stated: Vec<Limit>, recorder: Arc<Recorder>) -> Arc<Self> {
        Arc::new(Self {
            limits: Mutex::new(Limits::new(stated.iter().map(|limit| &limit.bucket))),
            freed: Notify::new(),
            queues: stated.iter().map(|_| sync::Mutex::default()).collect(),
            told: Mutex::default(),
            stated,
            recorder,
        })
    }

    /// Opens a connection on its limits, which must be there within `PATIENCE`.
    ///
    /// # Errors
    /// The limit that was not.
    pub async fn open(self: &Arc<Self>, buckets: Vec<usize>) -> Result<Share, Refusal> {
        self.charge(&buckets).await?;
        Ok(Share {
            budget: Arc::clone(self),
            buckets,
        })
    }

    /// Charges a connection or a request to its limits, which must be there within `PATIENCE`.
    ///
    /// # Errors
    /// The limit that was not.
    pub async fn charge(&self, buckets: &[usize]) -> Result<(), Refusal> {
        let deadline = Instant::now() + PATIENCE;
        let mut turn: Option<(usize, sync::MutexGuard<'_, ()>)> = None;
        loop {
            let freed = self.freed.notified();
            let charged = self.limits().begin(clock::boot_ns(), buckets);
            let Err(Spent { bucket, after_ns }) = charged else {
                return Ok(());
            };
            let refused = || self.spent(bucket);
            if turn.as_ref().is_none_or(|(own, _)| *own != bucket) {
                // Who waits for one limit must not hold up those who wait for another.
                drop(turn.take());
                let queue = self.queues[bucket].lock();
                turn = Some((bucket, timeout_at(deadline, queue).await.map_err(|_| refused())?));
                continue;
            }
            match after_ns.map(Duration::from_nanos) {
                Some(after) if Instant::now() + after > deadline => return Err(refused()),
                Some(after) => sleep(after).await,
                None => timeout_at(deadline, freed).await.map_err(|_| refused())?,
            }
        }
    }

    /// That a limit is spent, and stayed so.
    fn spent(&self, bucket: usize) -> Refusal {
        let Limit { owner, words, .. } = &self.stated[bucket];
        Refusal {
            rule: owner.clone(),
            why: format!("{words} is spent for over {} s", PATIENCE.as_secs()),
            verdict: Verdict::Limited,
        }
    }

    /// Records that a limit on bytes slows transfers down, now and then.
    fn slowed(&self, bucket: usize) {
        let now = clock::boot_ns();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.get(&bucket).is_some_and(|last| now - last < TOLD_NS) {
            return;
        }
        told.insert(bucket, now);
        let Limit { owner, words, .. } = &self.stated[bucket];
        let fields =
            json!({"d": "limit", "r": owner, "action": "connect", "resource": words, "operation": "slowed"});
        // What can't be written ends the run at the next tick.
        if let Err(error) = self.recorder.life("net.budget", &fields) {
            self.recorder.fail(error.to_string());
        }
    }

    fn limits(&self) -> MutexGuard<'_, Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a connection holds of the limits; given back when it is dropped.
pub struct Share {
    budget: Arc<Budget>,
    buckets: Vec<usize>,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.limits().end(&self.buckets);
        self.budget.freed.notify_waiters();
    }
}

impl Share {
    /// What counts the bytes of one direction.
    pub fn meter(&self, direction: Direction) -> Meter {
        Meter {
            buckets: self.budget.limits().of_bytes(direction, &self.buckets).into(),
            budget: Arc::clone(&self.budget),
        }
    }
}

/// Counts the bytes of one direction of a connection and says how many may pass.
///
/// What `passing` or `allowance` says holds for as long as the caller does not wait: others are charged to the same limits.
#[derive(Clone)]
pub struct Meter {
    budget: Arc<Budget>,
    buckets: Arc<[usize]>,
}

impl Meter {
    /// Whether anything bounds the bytes.
    pub fn bounds(&self) -> bool {
        !self.buckets.is_empty()
    }

    /// How many bytes may pass.
    ///
    /// # Errors
    /// The limit that has to be waited for.
    pub fn passing(&self) -> Result<usize, Spent> {
        if !self.bounds() {
            return Ok(usize::MAX);
        }
        let passing = self.budget.limits().passing(clock::boot_ns(), &self.buckets);
        passing.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    /// Waits until bytes may pass and says how many.
    pub async fn allowance(&self) -> usize {
        loop {
            match self.passing() {
                Ok(bytes) => return bytes,
                Err(spent) => self.turn(spent).await,
            }
        }
    }

    /// Waits for one limit, behind those who came before.
    pub async fn turn(&self, spent: Spent) {
        self.budget.slowed(spent.bucket);
        let _turn = self.budget.queues[spent.bucket].lock().await;
        while let Err(Spent { bucket, after_ns }) = self.passing()
            && bucket == spent.bucket
        {
            sleep(Duration::from_nanos(after_ns.unwrap_or_default())).await;
        }
    }

    /// Counts bytes that pass.
    pub fn passed(&self, bytes: usize) {
        if self.bounds() {
            let mut limits = self.budget.limits();
            limits.passed(clock::boot_ns(), &self.buckets, bytes as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::metered::Metered;
    use crate::egress::relay;
    use crate::journal::Journal;
    use replicante_core::policy::Bucket;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::runtime::Builder;
    use tokio::task::{LocalSet, spawn_local};

    const SECOND: u64 = 1_000_000_000;
    const DAY: u64 = 86_400 * SECOND;
    const RATE: u64 = 1 << 20;
    const BURST: u64 = 64 << 10;

    /// A budget of these limits, with a real journal, and the directory of that.
    fn budget(buckets: &[Bucket]) -> (Arc<Budget>, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::create(directory.path().to_str().unwrap()).unwrap();
        let recorder = Arc::new(Recorder::new(journal, false).unwrap());
        let stated = buckets.iter().cloned().map(|bucket| Limit {
            bucket,
            owner: "p/r".into(),
            words: "connections 2".into(),
        });
        (Budget::new(stated.collect(), recorder), directory)
    }

    fn download() -> Bucket {
        Bucket::Download {
            count: RATE,
            unit_ns: SECOND,
            burst: BURST,
        }
    }

    fn in_real_time(test: impl Future<Output = ()>) {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, test);
    }

    /// Time stands still while anything runs, and passes at once while all wait.
    fn in_short_time(test: impl Future<Output = ()>) {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        LocalSet::new().block_on(&runtime, test);
    }

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let one = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (one, listener.accept().await.unwrap().0)
    }

    /// Counts what arrives at all ends together and holds it against the bound of S9 at each step.
    #[derive(Clone)]
    struct Arrived {
        since_ns: u64,
        bytes: Arc<AtomicUsize>,
    }

    impl Arrived {
        fn nothing() -> Self {
            Self {
                since_ns: clock::boot_ns(),
                bytes: Arc::default(),
            }
        }

        async fn all(self, mut end: TcpStream, expected: usize) {
            let (mut chunk, mut own) = (vec![0; 1 << 20], 0);
            while own < expected {
                let length = end.read(&mut chunk).await.unwrap();
                assert!(length > 0, "it ended after {own} of {expected} bytes");
                own += length;
                let all = (self.bytes.fetch_add(length, Ordering::Relaxed) + length) as u64;
                let bound = BURST + RATE * (clock::boot_ns() - self.since_ns) / SECOND;
                assert!(all <= bound, "{all} bytes, at most {bound}");
            }
        }
    }

    #[test]
    fn connections_that_are_relayed_share_one_limit_on_bytes() {
        let (budget, directory) = budget(&[download()]);
        in_real_time(async move {
            let each = 256 << 10;
            let arrived = Arrived::nothing();
            let mut ends = Vec::new();
            for _ in 0..4 {
                let (mut server, outside) = pair().await;
                let (inside, client) = pair().await;
                let share = budget.open(vec![0]).await.unwrap();
                spawn_local(async move { server.write_all(&vec![7; each]).await.unwrap() });
                spawn_local(async move {
                    let meter = share.meter(Direction::Download);
                    relay::pass(&outside, &inside, &meter).await.unwrap();
                });
                ends.push(spawn_local(arrived.clone().all(client, each)));
            }
            for end in ends {
                end.await.unwrap();
            }
        });
        let journal = std::fs::read(directory.path().join("journal/00000000.rj")).unwrap();
        let told = String::from_utf8_lossy(&journal).matches("\"slowed\"").count();
        assert_eq!(told, 1, "one event for a limit and a minute");
    }

    #[test]
    fn streams_that_are_read_share_one_limit_on_bytes() {
        let upload = Bucket::Upload {
            count: RATE,
            unit_ns: SECOND,
            burst: BURST,
        };
        let (budget, _directory) = budget(&[upload]);
        in_real_time(async move {
            let each = 256 << 10;
            let arrived = Arrived::nothing();
            let mut ends = Vec::new();
            for _ in 0..4 {
                let (stream, server) = pair().await;
                let mut stream = Metered::new(stream, budget.open(vec![0]).await.unwrap());
                spawn_local(async move {
                    // At once what is far over the burst, as a body that is there whole.
                    stream.write_all(&vec![7; each]).await.unwrap();
                    stream.shutdown().await.unwrap();
                });
                ends.push(spawn_local(arrived.clone().all(server, each)));
            }
            for end in ends {
                end.await.unwrap();
            }
        });
    }

    #[test]
    fn a_stream_comes_down_as_fast_as_its_limit() {
        let (budget, _directory) = budget(&[download()]);
        in_real_time(async move {
            let whole = 512 << 10;
            let (mut server, stream) = pair().await;
            let mut stream = Metered::new(stream, budget.open(vec![0]).await.unwrap());
            let (mut inside, client) = pair().await;
            spawn_local(async move { server.write_all(&vec![7; whole]).await.unwrap() });
            spawn_local(async move { tokio::io::copy(&mut stream, &mut inside).await.unwrap() });
            Arrived::nothing().all(client, whole).await;
        });
    }

    #[test]
    fn one_connection_too_many_waits_until_one_ends() {
        let (budget, _directory) = budget(&[Bucket::Connections { count: 2 }]);
        in_real_time(async move {
            let first = budget.open(vec![0]).await.unwrap();
            let _second = budget.open(vec![0]).await.unwrap();
            let third = budget.open(vec![0]);
            tokio::pin!(third);
            assert!(futures_util::poll!(third.as_mut()).is_pending());
            assert!(futures_util::poll!(third.as_mut()).is_pending());
            drop(first);
            assert!(third.await.is_ok());
        });
    }

    #[test]
    fn who_waits_in_vain_is_refused_by_the_limit() {
        let (budget, _directory) = budget(&[Bucket::Connections { count: 2 }]);
        in_short_time(async move {
            let _open = (
                budget.open(vec![0]).await.unwrap(),
                budget.open(vec![0]).await.unwrap(),
            );
            let began = Instant::now();
            // One is the first of the queue, the other is behind it.
            let (one, other) = futures_util::join!(budget.open(vec![0]), budget.open(vec![0]));
            for refused in [one.err().unwrap(), other.err().unwrap()] {
                assert_eq!(
                    (refused.rule.as_str(), refused.verdict),
                    ("p/r", Verdict::Limited)
                );
                assert_eq!(refused.why, "connections 2 is spent for over 30 s");
            }
            assert_eq!(began.elapsed().as_secs(), PATIENCE.as_secs());
        });
    }

    #[test]
    fn a_rate_that_comes_back_too_late_refuses_at_once_and_costs_nothing() {
        let day = Bucket::Rate {
            count: 1,
            unit_ns: DAY,
            burst: 1,
        };
        let (budget, _directory) = budget(&[day, Bucket::Connections { count: 1 }]);
        in_short_time(async move {
            let began = Instant::now();
            assert!(budget.charge(&[0]).await.is_ok());
            assert!(budget.open(vec![0, 1]).await.is_err());
            assert_eq!(began.elapsed(), Duration::ZERO);
            assert!(budget.open(vec![1]).await.is_ok(), "the refusal left its place");
        });
    }

    #[test]
    fn a_rate_that_comes_back_soon_is_waited_for() {
        let rate = Bucket::Rate {
            count: 20,
            unit_ns: SECOND,
            burst: 1,
        };
        let (budget, _directory) = budget(&[rate]);
        in_real_time(async move {
            let began = clock::boot_ns();
            for _ in 0..4 {
                budget.charge(&[0]).await.unwrap();
            }
            assert!(clock::boot_ns() - began >= 3 * SECOND / 20);
        });
    }
}
