//! Work that is prepared in parallel and used in one sequence.
//!
//! Takes how a piece is made and what is done with it, keeps all threads busy with a few pieces at a time.
//! It must not know what a piece is.

use rayon::prelude::*;

/// Makes pieces 0 to `n` in parallel and uses them one after the other; the next ones are made meanwhile. The memory of a
/// piece that was used becomes that of a later one. Stops at the first error.
pub fn in_sequence<P: Default + Send + Sync, E: Send>(
    n: usize,
    make: impl Fn(usize, &mut P) + Sync,
    mut consume: impl FnMut(&P) -> Result<(), E> + Send,
) -> Result<(), E> {
    let at_once = (2 * rayon::current_num_threads()).min(n).max(1);
    let of_batch = |first: usize| at_once.min(n.saturating_sub(first));
    let fill = |first: usize, batch: &mut [P]| {
        batch[..of_batch(first)].par_iter_mut().enumerate().for_each(|(i, piece)| make(first + i, piece));
    };
    let empty = || -> Vec<P> { (0..at_once).map(|_| P::default()).collect() };
    let (mut made, mut next) = (empty(), empty());
    fill(0, &mut made);
    for first in (0..n).step_by(at_once) {
        let consume_all = || made[..of_batch(first)].iter().try_for_each(&mut consume);
        let (done, ()) = rayon::join(consume_all, || fill(first + at_once, &mut next));
        done?;
        std::mem::swap(&mut made, &mut next);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_all_pieces_in_order() {
        for n in [0, 1, 2, 3, 100] {
            let mut seen = Vec::new();
            let done = in_sequence(
                n,
                |i, piece: &mut usize| *piece = i,
                |&piece| -> Result<(), ()> {
                    seen.push(piece);
                    Ok(())
                },
            );
            assert_eq!((done, seen), (Ok(()), (0..n).collect()));
        }
        assert_eq!(
            in_sequence(9, |i, piece: &mut usize| *piece = i, |&piece| if piece == 7 { Err(piece) } else { Ok(()) }),
            Err(7)
        );
    }
}
