//! Decoding of lists that live as long as the process.

use serde::{Deserialize, Deserializer};

/// A list without room for more elements: serde makes room for four of them, and most of these lists have one. With ten thousand objects
/// that is 15 MB.
pub(super) fn exact<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let mut list = Vec::deserialize(deserializer)?;
    list.shrink_to_fit();
    Ok(list)
}
