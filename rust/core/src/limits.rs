//! The amounts of requests, connections and bytes that a policy grants, and how much of them is used (S9, N14, D4).
//!
//! Time is an argument: nanoseconds of one monotonic clock. One `Limits` belongs to one run.

use crate::policy::{Bucket, Compiled};
use crate::rate::RateLimit;

/// Which way payload bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Upload,
    Download,
}

/// What is counted when it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// A connection whose requests are not seen: it counts for the rate and while it is open.
    Connection,
    /// A connection whose requests are counted one by one.
    Carrier,
    /// A request in such a connection.
    Request,
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
    pub fn new(compiled: &Compiled) -> Self {
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
            fills: compiled.buckets.iter().map(fill).collect(),
        }
    }

    /// Charges something that begins to all of the buckets, or to none if one of them is spent (S9).
    ///
    /// # Errors
    /// The first bucket that is spent.
    pub fn begin(&mut self, now_ns: u64, begin: Begin, buckets: &[usize]) -> Result<(), Spent> {
        let (counts, opens) = match begin {
            Begin::Connection => (true, true),
            Begin::Carrier => (false, true),
            Begin::Request => (true, false),
        };
        for bucket in buckets {
            match self.fills.get(*bucket) {
                Some(Fill::Rate(rate)) if counts && !rate.holds(now_ns, 1) => {
                    let after_ns = Some(rate.wait_ns(now_ns, 1));
                    return Err(Spent {
                        bucket: *bucket,
                        after_ns,
                    });
                }
                Some(Fill::Connections { open, most }) if opens && open >= most => {
                    return Err(Spent {
                        bucket: *bucket,
                        after_ns: None,
                    });
                }
                _ => {}
            }
        }
        for bucket in buckets {
            match self.fills.get_mut(*bucket) {
                Some(Fill::Rate(rate)) if counts => rate.charge(now_ns, 1),
                Some(Fill::Connections { open, .. }) if opens => *open += 1,
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
    /// Bytes for which it is worth to go on.
    const PIECE: u64 = 16 * 1024;

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
        let need = self.cost_ns(self.burst.min(Self::PIECE));
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

    fn limits(buckets: &[Bucket]) -> Limits {
        let mut limits = Limits { fills: Vec::new() };
        for bucket in buckets {
            limits.fills.push(match bucket {
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
                _ => Fill::Other,
            });
        }
        limits
    }

    #[test]
    fn all_are_charged_or_none() {
        let two = Bucket::Rate {
            count: 1,
            unit_ns: SECOND,
            burst: 2,
        };
        let mut limits = limits(&[two, Bucket::Connections { count: 1 }]);
        assert_eq!(limits.begin(0, Begin::Connection, &[0, 1]), Ok(()));
        let full = Spent {
            bucket: 1,
            after_ns: None,
        };
        assert_eq!(limits.begin(0, Begin::Connection, &[0, 1]), Err(full));
        // The refusal cost nothing: the second token is there.
        assert_eq!(limits.begin(0, Begin::Request, &[0]), Ok(()));
        let spent = Spent {
            bucket: 0,
            after_ns: Some(SECOND),
        };
        assert_eq!(limits.begin(0, Begin::Request, &[0]), Err(spent));
        assert_eq!(limits.begin(SECOND, Begin::Request, &[0]), Ok(()));
        limits.end(&[0, 1]);
        assert_eq!(limits.begin(SECOND, Begin::Carrier, &[0, 1]), Ok(()));
    }

    proptest! {
        #[test]
        fn never_more_bytes_than_burst_and_rate(
            count in 1u64..1_000_000, burst in 1u64..200_000,
            steps in prop::collection::vec((0u64..2 * SECOND, 1u64..100_000), 1..60),
        ) {
            let mut limits = limits(&[Bucket::Upload { count, unit_ns: SECOND, burst }]);
            let (mut now, mut passed) = (0u64, Vec::new());
            for (step, wanted) in steps {
                now += step;
                match limits.passing(now, &[0]) {
                    Ok(most) => {
                        let bytes = most.min(wanted);
                        limits.passed(now, &[0], bytes);
                        passed.push((now, bytes));
                    }
                    Err(spent) => {
                        let later = now + spent.after_ns.unwrap();
                        prop_assert!(limits.passing(later, &[0]).is_ok());
                    }
                }
            }
            for (index, (from, _)) in passed.iter().enumerate() {
                let mut sum = 0u128;
                for (to, bytes) in &passed[index..] {
                    sum += u128::from(*bytes);
                    prop_assert!(sum <= u128::from(burst) + u128::from(count) * u128::from(to - from) / u128::from(SECOND) + 1);
                }
            }
        }

        #[test]
        fn a_wait_that_is_told_is_the_shortest(count in 1u64..50, burst in 1u64..5, asked in prop::collection::vec(0u64..SECOND, 1..40)) {
            let mut limits = limits(&[Bucket::Rate { count, unit_ns: SECOND, burst }]);
            let mut now = 0;
            for step in asked {
                now += step;
                if let Err(spent) = limits.begin(now, Begin::Request, &[0]) {
                    let wait = spent.after_ns.unwrap();
                    prop_assert!(limits.clone().begin(now + wait - 1, Begin::Request, &[0]).is_err());
                    prop_assert!(limits.clone().begin(now + wait, Begin::Request, &[0]).is_ok());
                }
            }
        }
    }
}
