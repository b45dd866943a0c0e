//! The amounts of requests, connections and bytes that a policy grants, and how much of them is used (S9, N14, D4).
//!
//! Time is an argument: nanoseconds of one monotonic clock. One `Limits` belongs to one run.

use crate::policy::Bucket;
use crate::rate::RateLimit;

/// Which way payload bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Upload,
    Download,
}

/// A limit that is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Its index among the buckets of the policy.
    pub bucket: usize,
    /// When it may be tried again; `None`: when a connection has ended.
    pub after_ns: Option<u64>,
}

/// The fill of all buckets of a policy.
#[derive(Clone, Debug)]
pub struct Limits {
    fills: Vec<Fill>,
}

#[derive(Clone, Debug)]
enum Fill {
    Rate(RateLimit),
    Connections {
        open: u64,
        most: u64,
    },
    Bytes(Direction, ByteRate),
    /// Not of the network.
    Other,
}

impl Limits {
    /// All of them full.
    pub fn new<'a>(buckets: impl IntoIterator<Item = &'a Bucket>) -> Self {
        let fill = |bucket: &Bucket| match bucket {
            Bucket::Rate {
                count,
                unit_ns,
                burst,
            } => Fill::Rate(RateLimit::new(*count, *unit_ns, *burst)),
            Bucket::Connections { count } => Fill::Connections {
                open: 0,
                most: *count,
            },
            Bucket::Upload {
                count,
                unit_ns,
                burst,
            } => Fill::Bytes(Direction::Upload, ByteRate::new(*count, *unit_ns, *burst)),
            Bucket::Download {
                count,
                unit_ns,
                burst,
            } => Fill::Bytes(Direction::Download, ByteRate::new(*count, *unit_ns, *burst)),
            _ => Fill::Other,
        };
        Self {
            fills: buckets.into_iter().map(fill).collect(),
        }
    }

    /// Charges a connection or a request that begins to all of the buckets, or to none if one of them is spent (S9).
    ///
    /// # Errors
    /// The first bucket that is spent.
    pub fn begin(&mut self, now_ns: u64, buckets: &[usize]) -> Result<(), Spent> {
        for bucket in buckets {
            let after_ns = match self.fills.get(*bucket) {
                Some(Fill::Rate(rate)) if !rate.holds(now_ns, 1) => Some(rate.wait_ns(now_ns, 1)),
                Some(Fill::Connections { open, most }) if open >= most => None,
                _ => continue,
            };
            return Err(Spent {
                bucket: *bucket,
                after_ns,
            });
        }
        for bucket in buckets {
            match self.fills.get_mut(*bucket) {
                Some(Fill::Rate(rate)) => rate.charge(now_ns, 1),
                Some(Fill::Connections { open, .. }) => *open += 1,
                _ => {}
            }
        }
        Ok(())
    }

    /// Gives back what a connection held while it was open.
    pub fn end(&mut self, buckets: &[usize]) {
        for bucket in buckets {
            if let Some(Fill::Connections { open, .. }) = self.fills.get_mut(*bucket) {
                *open = open.saturating_sub(1);
            }
        }
    }

    /// Those of the buckets that bound bytes of a direction.
    pub fn of_bytes(&self, direction: Direction, buckets: &[usize]) -> Vec<usize> {
        let is_one = |bucket: &usize| matches!(self.fills.get(*bucket), Some(Fill::Bytes(own, _)) if *own == direction);
        buckets.iter().copied().filter(is_one).collect()
    }

    /// How many bytes may pass now by all of these buckets of bytes.
    ///
    /// # Errors
    /// The bucket that lets fewer than a good piece pass, and when it lets one.
    pub fn passing(&self, now_ns: u64, buckets: &[usize]) -> Result<u64, Spent> {
        let mut least = u64::MAX;
        for bucket in buckets {
            let Some(Fill::Bytes(_, rate)) = self.fills.get(*bucket) else {
                continue;
            };
            if let Some(wait) = rate.wait_ns(now_ns) {
                return Err(Spent {
                    bucket: *bucket,
                    after_ns: Some(wait),
                });
            }
            least = least.min(rate.available(now_ns));
        }
        Ok(least)
    }

    /// Charges bytes that passed.
    pub fn passed(&mut self, now_ns: u64, buckets: &[usize], bytes: u64) {
        for bucket in buckets {
            if let Some(Fill::Bytes(_, rate)) = self.fills.get_mut(*bucket) {
                rate.charge(now_ns, bytes);
            }
        }
    }
}

/// The generic cell rate algorithm on bytes: `k` of them cost ⌈k·unit/N⌉ at once (D4).
#[derive(Clone, Debug)]
struct ByteRate {
    count: u64,
    unit_ns: u64,
    burst: u64,
    arrival_ns: u64,
}

impl ByteRate {
    /// Bytes for which it is worth to go on, at most.
    const PIECE: u64 = 16 * 1024;
    /// How long a slow rate gathers bytes: what is smaller than a piece must not wait for a whole one.
    const GATHERING_NS: u64 = 50_000_000;

    fn new(count: u64, unit_ns: u64, burst: u64) -> Self {
        Self {
            count: count.max(1),
            unit_ns: unit_ns.max(1),
            burst: burst.max(1),
            arrival_ns: 0,
        }
    }

    fn cost_ns(&self, bytes: u64) -> u64 {
        let cost = (u128::from(bytes) * u128::from(self.unit_ns)).div_ceil(u128::from(self.count));
        u64::try_from(cost).unwrap_or(u64::MAX)
    }

    /// Credit at a moment: the time that the full burst is worth, less what is charged ahead.
    fn credit_ns(&self, now_ns: u64) -> u64 {
        self.cost_ns(self.burst)
            .saturating_sub(self.arrival_ns.saturating_sub(now_ns))
    }

    fn available(&self, now_ns: u64) -> u64 {
        let bytes = u128::from(self.credit_ns(now_ns)) * u128::from(self.count) / u128::from(self.unit_ns);
        u64::try_from(bytes).unwrap_or(u64::MAX).min(self.burst)
    }

    /// How long until a good piece may pass; `None`: it may now.
    fn wait_ns(&self, now_ns: u64) -> Option<u64> {
        let gathered = u128::from(self.count) * u128::from(Self::GATHERING_NS) / u128::from(self.unit_ns);
        let piece = u64::try_from(gathered)
            .unwrap_or(Self::PIECE)
            .clamp(1, Self::PIECE.min(self.burst));
        let need = self.cost_ns(piece);
        let wait = need.saturating_sub(self.credit_ns(now_ns));
        (wait > 0).then_some(wait)
    }

    fn charge(&mut self, now_ns: u64, bytes: u64) {
        self.arrival_ns = self.arrival_ns.max(now_ns).saturating_add(self.cost_ns(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    const fn rate(count: u64, burst: u64) -> Bucket {
        Bucket::Rate {
            count,
            unit_ns: SECOND,
            burst,
        }
    }

    const fn upload(count: u64, burst: u64) -> Bucket {
        Bucket::Upload {
            count,
            unit_ns: SECOND,
            burst,
        }
    }

    #[test]
    fn all_are_charged_or_none() {
        let mut limits = Limits::new(&[rate(1, 2), Bucket::Connections { count: 1 }]);
        assert_eq!(limits.begin(0, &[0, 1]), Ok(()));
        let full = Spent {
            bucket: 1,
            after_ns: None,
        };
        assert_eq!(limits.begin(0, &[0, 1]), Err(full));
        // The refusal cost nothing: the second token is there.
        assert_eq!(limits.begin(0, &[0]), Ok(()));
        let spent = Spent {
            bucket: 0,
            after_ns: Some(SECOND),
        };
        assert_eq!(limits.begin(0, &[0]), Err(spent));
        assert_eq!(limits.begin(SECOND, &[0]), Ok(()));
        limits.end(&[0, 1]);
        assert_eq!(limits.begin(SECOND, &[1]), Ok(()));
    }

    #[test]
    fn little_does_not_wait_for_a_whole_piece() {
        // 1 KiB/s: a piece of 16 KiB would take 16 s.
        let mut limits = Limits::new(&[upload(1024, 64 * 1024)]);
        limits.passed(0, &[0], 64 * 1024);
        let spent = limits.passing(0, &[0]).unwrap_err();
        assert!(spent.after_ns.unwrap() <= ByteRate::GATHERING_NS, "{spent:?}");
        assert_eq!(limits.passing(SECOND, &[0]), Ok(1024));
    }

    /// What happened to a bucket, with the time: the plain meaning of S9, which keeps all of it.
    #[derive(Default)]
    struct Told(Vec<(u64, u64)>);

    impl Told {
        /// Whether in each window at most `burst + count·w/SECOND` passed.
        fn holds(&self, count: u64, burst: u64) -> bool {
            self.0.iter().enumerate().all(|(index, (from, _))| {
                let mut sum = 0u128;
                self.0[index..].iter().all(|(to, amount)| {
                    sum += u128::from(*amount);
                    sum <= u128::from(burst)
                        + u128::from(count) * u128::from(to - from) / u128::from(SECOND)
                        + 1
                })
            })
        }
    }

    proptest! {
        #[test]
        fn never_more_bytes_than_burst_and_rate(
            count in 1u64..1_000_000, burst in 1u64..200_000,
            steps in prop::collection::vec((0u64..2 * SECOND, 1u64..100_000), 1..60),
        ) {
            let mut limits = Limits::new(&[upload(count, burst)]);
            let (mut now, mut told) = (0u64, Told::default());
            for (step, wanted) in steps {
                now += step;
                match limits.passing(now, &[0]) {
                    Ok(most) => {
                        prop_assert!(most > 0);
                        let bytes = most.min(wanted);
                        limits.passed(now, &[0], bytes);
                        told.0.push((now, bytes));
                    }
                    Err(spent) => {
                        let later = now + spent.after_ns.unwrap();
                        prop_assert!(limits.passing(later, &[0]).is_ok());
                    }
                }
            }
            prop_assert!(told.holds(count, burst));
        }

        #[test]
        fn a_wait_that_is_told_is_the_shortest(count in 1u64..50, burst in 1u64..5, asked in prop::collection::vec(0u64..SECOND, 1..40)) {
            let mut limits = Limits::new(&[rate(count, burst)]);
            let mut now = 0;
            for step in asked {
                now += step;
                if let Err(spent) = limits.begin(now, &[0]) {
                    let wait = spent.after_ns.unwrap();
                    prop_assert!(limits.clone().begin(now + wait - 1, &[0]).is_err());
                    prop_assert!(limits.clone().begin(now + wait, &[0]).is_ok());
                }
            }
        }

        /// Connections to three hosts, whose rules share a limit of the block: each limit holds on its own, and what is
        /// refused leaves every one as it was.
        #[test]
        fn each_limit_holds_whatever_the_others_do(
            rates in prop::collection::vec((1u64..20, 1u64..6), 3), most in prop::collection::vec(1u64..5, 3), all in 1u64..8,
            steps in prop::collection::vec((0u64..SECOND, 0usize..3, any::<bool>()), 1..120),
        ) {
            let mut buckets: Vec<Bucket> = rates.iter().map(|(count, burst)| rate(*count, *burst)).collect();
            buckets.extend(most.iter().map(|count| Bucket::Connections { count: *count }));
            buckets.push(Bucket::Connections { count: all });
            let mut limits = Limits::new(&buckets);
            let (mut now, mut open) = (0u64, [0u64; 3]);
            let mut told: [Told; 3] = Default::default();
            for (step, host, opens) in steps {
                now += step;
                let charged = [host, 3 + host, 6];
                if opens {
                    let before = format!("{limits:?}");
                    match limits.begin(now, &charged) {
                        Ok(()) => {
                            open[host] += 1;
                            told[host].0.push((now, 1));
                        }
                        Err(spent) => {
                            prop_assert_eq!(before, format!("{limits:?}"));
                            prop_assert!(charged.contains(&spent.bucket));
                            let counted = open[host] >= most[host] || open.iter().sum::<u64>() >= all;
                            prop_assert!(spent.after_ns.is_some() || counted);
                        }
                    }
                } else if open[host] > 0 {
                    limits.end(&charged);
                    open[host] -= 1;
                }
                prop_assert!(open[host] <= most[host] && open.iter().sum::<u64>() <= all);
            }
            for (told, (count, burst)) in told.iter().zip(&rates) {
                prop_assert!(told.holds(*count, *burst));
            }
        }
    }
}
