//! Which worker gets a job, and which one next if that fails.
//!
//! Takes the workers that are well, as names with their loads, gives an order of preference. Pure: it knows neither jobs nor channels.

use std::hash::BuildHasher as _;

use foldhash::quality::FixedState;

/// How jobs are spread over the workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// One after the other, each an even share: what `GRPC_LB_POLICY=round_robin` promises.
    #[default]
    RoundRobin,
    /// A trace goes to the worker that probably holds it already, unless that one has far more to do than the others.
    Affinity,
    /// To the one with the fewest jobs of this program: a slow worker gets fewer.
    LeastLoaded,
}

impl Policy {
    /// Every policy with its name on the command line.
    pub const NAMES: [(&'static str, Self); 3] =
        [("round_robin", Self::RoundRobin), ("affinity", Self::Affinity), ("least_loaded", Self::LeastLoaded)];

    /// The policy of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(n, _)| *n == name).map(|(_, p)| *p)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, p)| *p == self).map_or("", |(n, _)| n)
    }
}

/// What placing needs to know of a worker.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Its address: the same after a restart, so that a trace finds its worker again.
    pub address: &'a str,
    /// Jobs under way there.
    pub load: usize,
}

/// The workers by preference for one job, as indices.
///
/// `turn` counts jobs; `key` is the trace's path.
pub fn order(policy: Policy, workers: &[Candidate<'_>], key: &str, turn: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..workers.len()).collect();
    match policy {
        Policy::RoundRobin => rotate(&mut order, turn),
        Policy::LeastLoaded => {
            order.sort_by_key(|&i| workers[i].load);
            // The least loaded ones take turns.
            let n_least = order.iter().take_while(|&&i| workers[i].load == workers[order[0]].load).count();
            rotate(&mut order[..n_least], turn);
        }
        Policy::Affinity => {
            order.sort_by_key(|&i| std::cmp::Reverse(weight(key, workers[i].address)));
            let limit = load_bound(workers.iter().map(|w| w.load));
            // A stable sort: overloaded workers move back and keep their rank among themselves.
            order.sort_by_key(|&i| workers[i].load >= limit);
        }
    }
    order
}

fn rotate(group: &mut [usize], turn: usize) {
    if !group.is_empty() {
        group.rotate_left(turn % group.len());
    }
}

/// No worker gets a job while it has a quarter more than the mean.
fn load_bound(loads: impl ExactSizeIterator<Item = usize>) -> usize {
    let n = loads.len().max(1);
    ((loads.sum::<usize>() + 1) * 5).div_ceil(n * 4)
}

/// The score of a worker for a key in rendezvous hashing: the highest one wins, and the loss of a worker moves only its keys.
fn weight(key: &str, address: &str) -> u64 {
    FixedState::with_seed(0).hash_one((key, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESSES: [&str; 4] = ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1", "10.0.0.4:1"];

    fn idle() -> Vec<Candidate<'static>> {
        ADDRESSES.iter().map(|address| Candidate { address, load: 0 }).collect()
    }

    #[test]
    fn round_robin_is_even() {
        let workers = idle();
        let mut got = [0; 4];
        for turn in 0..12 {
            got[order(Policy::RoundRobin, &workers, "k", turn)[0]] += 1;
        }
        assert_eq!(got, [3, 3, 3, 3]);
        assert_eq!(order(Policy::RoundRobin, &workers, "k", 2), [2, 3, 0, 1]);
        assert_eq!(order(Policy::RoundRobin, &[], "k", 2), [0; 0]);
    }

    #[test]
    fn affinity_is_stable_and_moves_only_the_keys_of_a_lost_worker() {
        let workers = idle();
        let first = |workers: &[Candidate<'_>], key: usize| order(Policy::Affinity, workers, &key.to_string(), key)[0];
        let mut got = [0; 4];
        for key in 0..400 {
            let home = first(&workers, key);
            got[home] += 1;
            assert!(home == 3 || first(&workers[..3], key) == home);
        }
        assert!(got.iter().all(|n| (60..140).contains(n)), "{got:?}");
    }

    #[test]
    fn least_loaded_takes_turns_among_equals() {
        let mut workers = idle();
        workers[0].load = 2;
        workers.truncate(3);
        let first = |turn| order(Policy::LeastLoaded, &workers, "k", turn)[0];
        assert_eq!([0, 1, 2, 3].map(first), [1, 2, 1, 2]);
        assert_eq!(order(Policy::LeastLoaded, &workers, "k", 1), [2, 1, 0]);
    }

    #[test]
    fn affinity_leaves_a_loaded_worker() {
        let mut workers = idle();
        let home = order(Policy::Affinity, &workers, "k", 0)[0];
        workers[home].load = 9;
        let next = order(Policy::Affinity, &workers, "k", 0);
        assert_ne!(next[0], home);
        assert_eq!(next[3], home);
    }
}
