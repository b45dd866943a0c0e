//! A list of entry numbers that stays on the stack while it is short, so that a decision allocates nothing.

/// As many as an ordinary path meets at once; longer lists go to the heap.
const INLINE: usize = 12;

/// Numbers in the order in which they came.
#[derive(Clone, Debug)]
pub struct Few {
    length: usize,
    inline: [u32; INLINE],
    /// Holds all numbers as soon as one did not fit.
    spilled: Vec<u32>,
}

impl Default for Few {
    fn default() -> Self {
        Self {
            length: 0,
            inline: [0; INLINE],
            spilled: Vec::new(),
        }
    }
}

impl Few {
    pub fn push(&mut self, number: u32) {
        if let Some(place) = self
            .inline
            .get_mut(self.length)
            .filter(|_| self.spilled.is_empty())
        {
            *place = number;
            self.length += 1;
        } else {
            if self.spilled.is_empty() {
                self.spilled.extend_from_slice(&self.inline);
            }
            self.spilled.push(number);
        }
    }

    pub fn clear(&mut self) {
        self.length = 0;
        self.spilled.clear();
    }

    pub fn as_slice(&self) -> &[u32] {
        if self.spilled.is_empty() {
            &self.inline[..self.length]
        } else {
            &self.spilled
        }
    }

    pub fn extend(&mut self, numbers: &[u32]) {
        for number in numbers {
            self.push(*number);
        }
    }

    /// Keeps the numbers that the condition wants, in order.
    pub fn retain(&mut self, mut wanted: impl FnMut(u32) -> bool) {
        if !self.spilled.is_empty() {
            self.spilled.retain(|number| wanted(*number));
            // INVARIANT: an empty spill means that the inline numbers count.
            if self.spilled.is_empty() {
                self.length = 0;
            }
            return;
        }
        let mut kept = 0;
        for at in 0..self.length {
            if wanted(self.inline[at]) {
                self.inline[kept] = self.inline[at];
                kept += 1;
            }
        }
        self.length = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn behaves_as_a_vector(numbers in prop::collection::vec(0u32..50, 0..60), divisor in 1u32..5, more in 0u32..50) {
            let (mut few, mut vector) = (Few::default(), Vec::new());
            few.extend(&numbers);
            vector.extend(&numbers);
            prop_assert_eq!(few.as_slice(), &vector);
            few.retain(|number| number % divisor == 0);
            vector.retain(|number| number % divisor == 0);
            prop_assert_eq!(few.as_slice(), &vector);
            few.push(more);
            vector.push(more);
            prop_assert_eq!(few.as_slice(), &vector);
            few.clear();
            prop_assert!(few.as_slice().is_empty());
        }
    }
}
