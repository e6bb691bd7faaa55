//! The two orders in which the tools show ops.
//!
//! Takes rows and gives them, or their indices, in order. Both orders are total and do not depend on thread timing.

use std::cmp::Reverse;

use xprof_proto::tensorflow::profiler::OpMetrics;

/// Rows by self time, the longest first; of equal times, by name; of equal names, as they were.
pub fn by_self_time(rows: &[OpMetrics]) -> Vec<&OpMetrics> {
    let mut sorted: Vec<&OpMetrics> = rows.iter().collect();
    sorted.sort_by(|a, b| (Reverse(a.self_time_ps), &a.name).cmp(&(Reverse(b.self_time_ps), &b.name)));
    sorted
}

/// The indices of the `limit` largest keys, the largest first.
///
/// `parity:` equal keys come in the order in which the reference's C++ library leaves them: a heap of the first `limit`
/// items with the least on top, which each larger item replaces, and which is taken apart from the top in the end.
pub fn heap_order(keys: &[f64], limit: usize) -> Vec<usize> {
    let mut heap: Vec<usize> = (0..limit.min(keys.len())).collect();
    let before = |a: usize, b: usize| keys[a] > keys[b];
    let n = heap.len();
    if n == 0 {
        return heap;
    }
    for hole in (0..n / 2).rev() {
        let value = heap[hole];
        sift(&mut heap, hole, value, &before);
    }
    for i in n..keys.len() {
        if before(i, heap[0]) {
            sift(&mut heap, 0, i, &before);
        }
    }
    for end in (1..n).rev() {
        let value = heap[end];
        heap[end] = heap[0];
        sift(&mut heap[..end], 0, value, &before);
    }
    heap
}

/// Fills the hole at `top`: it moves down to a leaf along the lower-ranking children, then `value` moves up from there.
fn sift(heap: &mut [usize], top: usize, value: usize, before: &impl Fn(usize, usize) -> bool) {
    let mut hole = top;
    loop {
        let right = 2 * hole + 2;
        let child = match right {
            _ if right < heap.len() => right - usize::from(before(heap[right], heap[right - 1])),
            _ if right == heap.len() => right - 1,
            _ => break,
        };
        heap[hole] = heap[child];
        hole = child;
    }
    while hole > top {
        let parent = (hole - 1) / 2;
        if !before(heap[parent], value) {
            break;
        }
        heap[hole] = heap[parent];
        hole = parent;
    }
    heap[hole] = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(keys: &[f64], limit: usize, expected: &[usize]) {
        assert_eq!(heap_order(keys, limit), expected);
    }

    #[test]
    fn orders_equal_keys_as_the_reference_does() {
        check(&[], 100, &[]);
        check(&[1.0; 3], 100, &[0, 1, 2]);
        check(&[1.0; 4], 100, &[1, 3, 0, 2]);
        check(&[1.0; 5], 100, &[3, 4, 1, 0, 2]);
        check(&[1.0; 8], 100, &[7, 4, 1, 3, 5, 0, 2, 6]);
    }

    #[test]
    fn keeps_the_largest() {
        check(&[1.0, 5.0, 3.0, 4.0, 2.0], 3, &[1, 3, 2]);
        let keys: Vec<f64> = (0..1000_u32).map(|i| f64::from(i * 7919 % 1009)).collect();
        let order = heap_order(&keys, 100);
        let mut sorted = keys.clone();
        sorted.sort_by(|a, b| b.total_cmp(a));
        assert_eq!(order.iter().map(|i| keys[*i]).collect::<Vec<_>>(), sorted[..100]);
    }

    #[test]
    fn sorts_by_self_time_then_name() {
        let row = |name: &str, self_time_ps| OpMetrics { name: name.into(), self_time_ps, ..OpMetrics::default() };
        let rows = [row("b", 1), row("a", 1), row("c", 2)];
        let names: Vec<&str> = by_self_time(&rows).iter().map(|r| r.name.as_str()).collect();
        assert_eq!(names, ["c", "a", "b"]);
    }
}
