//! The randomness port. Ids and tokens draw from [`OsRng`]; tests and simulations from [`SeededRng`].

use std::sync::Mutex;

/// Fills bytes with randomness.
pub trait Rng: Send + Sync {
    /// Overwrites `bytes` with random ones.
    fn fill(&self, bytes: &mut [u8]);

    /// A random 128-bit id, as 32 hexadecimal digits.
    fn id(&self) -> String {
        let mut bytes = [0u8; 16];
        self.fill(&mut bytes);
        format!("{:032x}", u128::from_be_bytes(bytes))
    }
}

/// The operating system's generator.
#[derive(Debug, Default, Clone, Copy)]
pub struct OsRng;

impl Rng for OsRng {
    #[allow(clippy::disallowed_methods, reason = "the one place that asks the machine for randomness")]
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the operating system provides randomness");
    }
}

/// A reproducible stream: block `n` is BLAKE3 of (seed, n).
#[derive(Debug)]
pub struct SeededRng {
    seed: u64,
    next_block: Mutex<u64>,
}

impl SeededRng {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Self {
        SeededRng { seed, next_block: Mutex::new(0) }
    }
}

impl Rng for SeededRng {
    fn fill(&self, bytes: &mut [u8]) {
        let mut block = self.next_block.lock().expect("no holder of this lock panics");
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.seed.to_le_bytes());
        hasher.update(&block.to_le_bytes());
        *block += 1;
        hasher.finalize_xof().fill(bytes);
    }
}
