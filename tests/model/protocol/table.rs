//! Values by number: a state of the model is a few small numbers, and each value that they stand for is kept once.
//!
//! Equal values have one number, so that states are compared and hashed by number. The numbers differ from run to run.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// All values of one type that a run has met.
pub struct Table<T> {
    inner: RwLock<Inner<T>>,
}

struct Inner<T> {
    numbers: HashMap<Arc<T>, u32>,
    values: Vec<Arc<T>>,
}

impl<T: Eq + Hash> Table<T> {
    /// An empty table.
    pub fn new() -> Self {
        Self { inner: RwLock::new(Inner { numbers: HashMap::new(), values: Vec::new() }) }
    }

    /// The number of a value.
    pub fn number(&self, value: T) -> u32 {
        if let Some(number) = self.inner.read().unwrap_or_else(PoisonError::into_inner).numbers.get(&value) {
            return *number;
        }
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let value = Arc::new(value);
        let next = u32::try_from(inner.values.len()).unwrap_or(u32::MAX);
        let number = *inner.numbers.entry(Arc::clone(&value)).or_insert(next);
        if number == next {
            inner.values.push(value);
        }
        number
    }

    /// The value of a number that this table gave.
    pub fn value(&self, number: u32) -> Arc<T> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        inner.values.get(index).map_or_else(|| unreachable!("a number of another table"), Arc::clone)
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).values.len()
    }
}

/// How many parts the results are spread over, so that threads rarely wait for each other.
const SHARDS: usize = 64;

/// Results that were computed once.
pub struct Memo<K, V> {
    shards: Vec<Mutex<HashMap<K, V>>>,
    hasher: RandomState,
}

impl<K: Eq + Hash, V: Clone> Memo<K, V> {
    /// Nothing computed yet.
    pub fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }

    /// The result for `key`. `compute` must depend on nothing else.
    pub fn get(&self, key: K, compute: impl FnOnce(&K) -> V) -> V {
        if let Some(value) = self.shard(&key).get(&key) {
            return value.clone();
        }
        let value = compute(&key);
        self.shard(&key).insert(key, value.clone());
        value
    }

    fn shard(&self, key: &K) -> MutexGuard<'_, HashMap<K, V>> {
        let index = usize::try_from(self.hasher.hash_one(key)).unwrap_or_default() % SHARDS;
        self.shards
            .get(index)
            .unwrap_or_else(|| unreachable!("an index below the length"))
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
