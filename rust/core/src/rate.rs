//! Rate limits by the generic cell rate algorithm (D4), on integers; time is an argument.
//!
//! With `T = ⌈unit/N⌉` and tolerance `(B−1)·T` at most `B + N·w/unit` requests pass in any window `w`. One 64-bit
//! theoretical arrival time a bucket. Reference: ITU-T I.371.

/// A token bucket. Times are nanoseconds of one monotonic clock.
#[allow(clippy::struct_field_names)] // the unit belongs to each name
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    interval_ns: u64,
    tolerance_ns: u64,
    arrival_ns: u64,
}

impl RateLimit {
    /// `count` tokens each `unit_ns`, at most `burst` at once. Zero counts as one.
    pub fn new(count: u64, unit_ns: u64, burst: u64) -> Self {
        let interval_ns = unit_ns.div_ceil(count.max(1)).max(1);
        Self {
            interval_ns,
            tolerance_ns: interval_ns.saturating_mul(burst.max(1) - 1),
            arrival_ns: 0,
        }
    }

    /// Whether `n` tokens are there at `now_ns`; nothing is charged.
    pub fn holds(&self, now_ns: u64, n: u64) -> bool {
        let need = self.interval_ns.saturating_mul(n.saturating_sub(1));
        n == 0 || self.arrival_ns.max(now_ns).saturating_add(need) <= now_ns.saturating_add(self.tolerance_ns)
    }

    /// How long until `n` tokens are there; 0 if they are.
    pub fn wait_ns(&self, now_ns: u64, n: u64) -> u64 {
        if n == 0 {
            return 0;
        }
        let need = self.interval_ns.saturating_mul(n - 1);
        let from = self.arrival_ns.max(now_ns).saturating_add(need);
        from.saturating_sub(now_ns.saturating_add(self.tolerance_ns))
    }

    /// Charges `n` tokens, without looking whether they are there.
    pub fn charge(&mut self, now_ns: u64, n: u64) {
        self.arrival_ns = self
            .arrival_ns
            .max(now_ns)
            .saturating_add(self.interval_ns.saturating_mul(n));
    }

    /// Charges `n` tokens if they are there and says whether they were. A refusal costs nothing.
    pub fn check(&mut self, now_ns: u64, n: u64) -> bool {
        let holds = self.holds(now_ns, n);
        if holds {
            self.charge(now_ns, n);
        }
        holds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn bursts_then_evenly() {
        let mut limit = RateLimit::new(60, 60 * SECOND, 2);
        let passed: Vec<bool> = [0, 0, 0, 1, 1, 3]
            .map(|second| limit.check(second * SECOND, 1))
            .into();
        assert_eq!(passed, [true, true, false, true, false, true]);
    }

    proptest! {
        #[test]
        fn never_more_than_burst_and_rate(
            count in 1u64..100, burst in 1u64..20, steps in prop::collection::vec((0u64..3_000_000_000, 1u64..4), 1..80),
        ) {
            let mut limit = RateLimit::new(count, 60 * SECOND, burst);
            let (mut now, mut passed) = (0u64, Vec::new());
            for (step, n) in steps {
                now += step;
                if limit.check(now, n) {
                    passed.push((now, n));
                }
            }
            for (index, (from, _)) in passed.iter().enumerate() {
                let mut sum = 0u128;
                for (to, n) in &passed[index..] {
                    sum += u128::from(*n);
                    let window = u128::from(to - from);
                    prop_assert!(sum <= u128::from(burst) + u128::from(count) * window / u128::from(60 * SECOND) + 1);
                }
            }
        }
    }
}
