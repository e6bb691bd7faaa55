//! Work on many things of very different sizes.
//!
//! Takes things and what is to be done with each, keeps all threads of the rayon pool busy until the end.
//! It must not know what the things are.

use std::cmp::Reverse;

use rayon::prelude::*;

use crate::Result;

/// Does `work` on every item, the largest first, so that no thread begins a large one when the others are done.
/// Gives the results in the order of the items.
pub fn largest_first<T: Sync, R: Send>(
    items: &[T],
    size: impl Fn(&T) -> usize,
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by_key(|&at| Reverse(size(&items[at])));
    let done = order.into_par_iter().with_max_len(1).map(|at| Ok((at, work(&items[at])?)));
    let mut done: Vec<(usize, R)> = done.collect::<Result<_>>()?;
    done.sort_unstable_by_key(|&(at, _)| at);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn results_keep_the_order_of_their_items() {
        let items = [3usize, 9, 1, 9, 0];
        assert_eq!(largest_first(&items, |&n| n, |&n| Ok(n * 2)).unwrap(), [6, 18, 2, 18, 0]);
        assert!(matches!(
            largest_first(&items, |&n| n, |&n| if n == 1 { Err(Error::Cancelled) } else { Ok(()) }),
            Err(Error::Cancelled)
        ));
    }
}
