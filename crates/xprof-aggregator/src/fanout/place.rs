//! Which worker gets a job, and which one next if that fails.
//!
//! Takes the workers as names with their loads, gives an order of preference. Pure: it knows neither jobs nor channels.

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
}

impl Policy {
    /// Every policy with its name on the command line.
    pub const NAMES: [(&'static str, Self); 2] = [("round_robin", Self::RoundRobin), ("affinity", Self::Affinity)];

    /// The policy of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(n, _)| *n == name).map(|(_, p)| *p)
    }
}

/// What placing needs to know of a worker.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Its address: the same after a restart, so that a trace finds its worker again.
    pub address: &'a str,
    /// Jobs under way there.
    pub load: usize,
    /// Whether it is passed over for now.
    pub resting: bool,
}

/// The workers by preference for one job, as indices: healthy ones first, those that rest last.
///
/// `turn` counts jobs; `key` is the trace's path.
pub fn order(policy: Policy, workers: &[Candidate<'_>], key: &str, turn: usize) -> Vec<usize> {
    let n = workers.len();
    let mut order: Vec<usize> = match policy {
        // The turn is taken among the healthy ones: otherwise the neighbour of a resting worker would get its share too.
        Policy::RoundRobin => {
            let (mut healthy, resting): (Vec<_>, Vec<_>) = (0..n).partition(|&i| !workers[i].resting);
            if !healthy.is_empty() {
                let first = turn % healthy.len();
                healthy.rotate_left(first);
            }
            healthy.extend(resting);
            healthy
        }
        Policy::Affinity => {
            let mut ranked: Vec<usize> = (0..n).collect();
            ranked.sort_by_key(|&i| std::cmp::Reverse(weight(key, workers[i].address)));
            let limit = load_bound(workers);
            // A stable sort: overloaded workers move back and keep their rank among themselves.
            ranked.sort_by_key(|&i| workers[i].load >= limit);
            ranked
        }
    };
    order.sort_by_key(|&i| workers[i].resting);
    order
}

/// No worker gets a job while it has a quarter more than the mean.
fn load_bound(workers: &[Candidate<'_>]) -> usize {
    let healthy = workers.iter().filter(|w| !w.resting).count().max(1);
    let total: usize = workers.iter().filter(|w| !w.resting).map(|w| w.load).sum();
    ((total + 1) * 5).div_ceil(healthy * 4)
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
        ADDRESSES.iter().map(|address| Candidate { address, load: 0, resting: false }).collect()
    }

    #[test]
    fn round_robin_is_even_also_around_a_resting_worker() {
        let mut workers = idle();
        let share = |workers: &[Candidate<'_>]| {
            let mut got = [0; 4];
            for turn in 0..12 {
                got[order(Policy::RoundRobin, workers, "k", turn)[0]] += 1;
            }
            got
        };
        assert_eq!(share(&workers), [3, 3, 3, 3]);
        workers[1].resting = true;
        assert_eq!(share(&workers), [4, 0, 4, 4]);
        assert_eq!(order(Policy::RoundRobin, &workers, "k", 0), [0, 2, 3, 1]);
    }

    #[test]
    fn affinity_is_stable_and_moves_only_the_keys_of_a_lost_worker() {
        let workers = idle();
        let first = |workers: &[Candidate<'_>], key: usize| order(Policy::Affinity, workers, &key.to_string(), key)[0];
        let mut got = [0; 4];
        for key in 0..400 {
            let home = first(&workers, key);
            got[home] += 1;
            let mut without_last = workers.clone();
            without_last[3].resting = true;
            assert!(home == 3 || first(&without_last, key) == home);
        }
        assert!(got.iter().all(|n| (60..140).contains(n)), "{got:?}");
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
