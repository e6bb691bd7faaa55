//! Sorting as the GNU C++ library sorts, so that equal elements come out in the reference's order.
//!
//! `parity:` the reference sorts events by begin and duration with `std::sort`, which is not stable. Which of two equal
//! events comes first decides, for example, on which row a host offload is shown. The order is no accident of a run:
//! it follows from the algorithm (introsort: quicksort by the median of three down to pieces of 16, heapsort if that goes
//! too deep, one insertion sort over everything), which is done here step by step.
//! Where no equal elements lie whose order matters, a piece may be taken from a copy that was sorted in any way.

use std::ops::Range;

/// Pieces of this length and below are left to the insertion sort.
const PIECE: usize = 16;

/// Sorts by `less`, equal elements as `std::sort` of the GNU C++ library leaves them.
pub(crate) fn sort<T: Copy>(a: &mut [T], less: impl Fn(&T, &T) -> bool + Copy) {
    sort_steps(a, |_, _| false, less);
}

/// As [`sort`], if only the order of the equal elements at `matters` counts, which are ascending places in `sorted`:
/// the same elements, sorted in any way. That is a fast sort, so only what lies around those places is done step by step.
pub(crate) fn sort_at<T: Copy>(
    a: &mut [T],
    sorted: &[T],
    matters: &[Range<usize>],
    less: impl Fn(&T, &T) -> bool + Copy,
) {
    let take = |piece: &mut [T], at: usize| {
        let end = at + piece.len();
        let next = matters.partition_point(|places| places.end <= at);
        // A piece has these elements only if none is equal to one of its neighbours.
        let has_border = |i: usize| i == 0 || i == sorted.len() || less(&sorted[i - 1], &sorted[i]);
        let takes = matters.get(next).is_none_or(|places| places.start >= end) && has_border(at) && has_border(end);
        if takes {
            piece.copy_from_slice(&sorted[at..end]);
        }
        takes
    };
    sort_steps(a, take, less);
}

/// `take` may put the sorted elements into a piece, given with its place; then it says so.
fn sort_steps<T: Copy>(
    a: &mut [T],
    take: impl Fn(&mut [T], usize) -> bool + Copy,
    less: impl Fn(&T, &T) -> bool + Copy,
) {
    let Some(depth) = a.len().checked_ilog2() else { return };
    introsort(a, 0, 2 * depth, take, less);
    let (head, n) = (a.len().min(PIECE), a.len());
    for i in 1..head {
        if less(&a[i], &a[0]) {
            a[..=i].rotate_right(1);
        } else {
            insert(a, i, less);
        }
    }
    for i in head..n {
        insert(a, i, less);
    }
}

/// Moves element `i` left to its place; one that is not greater is known to be somewhere.
fn insert<T: Copy>(a: &mut [T], i: usize, less: impl Fn(&T, &T) -> bool) {
    let value = a[i];
    let mut j = i;
    while j > 0 && less(&value, &a[j - 1]) {
        a[j] = a[j - 1];
        j -= 1;
    }
    a[j] = value;
}

fn introsort<T: Copy>(
    mut a: &mut [T],
    at: usize,
    mut depth: u32,
    take: impl Fn(&mut [T], usize) -> bool + Copy,
    less: impl Fn(&T, &T) -> bool + Copy,
) {
    while a.len() > PIECE {
        if take(a, at) {
            return;
        }
        if depth == 0 {
            heapsort(a, less);
            return;
        }
        depth -= 1;
        let cut = partition(a, less);
        let (left, right) = a.split_at_mut(cut);
        introsort(right, at + cut, depth, take, less);
        a = left;
    }
}

/// Puts the median of three in front and everything smaller before everything greater; returns where the latter begins.
fn partition<T: Copy>(a: &mut [T], less: impl Fn(&T, &T) -> bool) -> usize {
    let (second, middle, last) = (1, a.len() / 2, a.len() - 1);
    let median = if less(&a[second], &a[middle]) {
        if less(&a[middle], &a[last]) {
            middle
        } else if less(&a[second], &a[last]) {
            last
        } else {
            second
        }
    } else if less(&a[second], &a[last]) {
        second
    } else if less(&a[middle], &a[last]) {
        last
    } else {
        middle
    };
    a.swap(0, median);
    let pivot = a[0];
    let (mut i, mut j) = (1, a.len());
    loop {
        while less(&a[i], &pivot) {
            i += 1;
        }
        j -= 1;
        while less(&pivot, &a[j]) {
            j -= 1;
        }
        if i >= j {
            return i;
        }
        a.swap(i, j);
        i += 1;
    }
}

fn heapsort<T: Copy>(a: &mut [T], less: impl Fn(&T, &T) -> bool + Copy) {
    let n = a.len();
    for parent in (0..n / 2).rev() {
        let value = a[parent];
        sift(a, parent, n, value, less);
    }
    for last in (1..n).rev() {
        let value = a[last];
        a[last] = a[0];
        sift(a, 0, last, value, less);
    }
}

/// Lets the hole sink to the bottom along the greater children, then lets `value` rise from there.
fn sift<T: Copy>(a: &mut [T], top: usize, n: usize, value: T, less: impl Fn(&T, &T) -> bool) {
    let mut hole = top;
    let mut child = 2 * hole + 2;
    while child < n {
        if less(&a[child], &a[child - 1]) {
            child -= 1;
        }
        a[hole] = a[child];
        hole = child;
        child = 2 * hole + 2;
    }
    if child == n {
        a[hole] = a[n - 1];
        hole = n - 1;
    }
    while hole > top {
        let parent = (hole - 1) / 2;
        if !less(&a[parent], &value) {
            break;
        }
        a[hole] = a[parent];
        hole = parent;
    }
    a[hole] = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(keys: &[u32], expect: &[usize]) {
        let mut a: Vec<(u32, usize)> = keys.iter().copied().zip(0..).collect();
        sort(&mut a, |x, y| x.0 < y.0);
        assert_eq!(a.iter().map(|x| x.1).collect::<Vec<_>>(), expect);
    }

    #[test]
    fn few_equal_elements_keep_their_order() {
        check(&[], &[]);
        check(&[3, 1, 1, 2, 1], &[1, 2, 4, 3, 0]);
        check(&[7; 16], &(0..16).collect::<Vec<_>>());
    }

    /// Streams of a GPU with equally many events, and an empty one behind them; recorded from the reference.
    #[test]
    fn many_equal_elements_are_reversed_around_the_pivot() {
        let mut keys = [0; 21];
        keys[20] = 1;
        check(&keys, &[1, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 0, 20]);
    }

    #[test]
    fn what_does_not_matter_changes_nothing_else() {
        let mut seed = 7u64;
        for n in (0..3000).step_by(37) {
            let mut next = |below: usize| {
                seed = super::super::mix::mix(seed);
                seed as usize % below
            };
            let a: Vec<(usize, usize)> = (0..n).map(|i| (next(n / 2 + 1), i)).collect();
            let (mut exact, mut sorted) = (a.clone(), a.clone());
            let less = |x: &(usize, usize), y: &(usize, usize)| x.0 < y.0;
            sort(&mut exact, less);
            sorted.sort_by_key(|&(key, i)| (key, std::cmp::Reverse(i)));
            let mut at = 0;
            let mut matters = Vec::new();
            for run in sorted.chunk_by(|x, y| x.0 == y.0) {
                at += run.len();
                if run.len() > 1 && next(20) == 0 {
                    matters.push(at - run.len()..at);
                }
            }
            let mut got = a.clone();
            sort_at(&mut got, &sorted, &matters, less);
            for places in matters {
                assert_eq!(got[places.clone()], exact[places]);
            }
            assert!(got.is_sorted_by_key(|x| x.0));
            got.sort_by_key(|x| x.1);
            assert_eq!(got, a);
        }
    }

    #[test]
    fn any_input_is_sorted_and_a_permutation() {
        let mut seed = 1u64;
        for n in 0..400 {
            let mut next = || {
                seed = super::super::mix::mix(seed);
                (seed % (n as u64 / 3 + 1)) as u32
            };
            let keys: Vec<u32> = (0..n).map(|_| next()).collect();
            let mut a: Vec<(u32, usize)> = keys.iter().copied().zip(0..).collect();
            let mut heap = a.clone();
            sort(&mut a, |x, y| x.0 < y.0);
            heapsort(&mut heap, |x, y| x.0 < y.0);
            for sorted in [&a, &heap] {
                assert!(sorted.is_sorted_by_key(|x| x.0));
                let mut places: Vec<usize> = sorted.iter().map(|x| x.1).collect();
                places.sort_unstable();
                assert_eq!(places, (0..n).collect::<Vec<_>>());
            }
        }
    }
}
