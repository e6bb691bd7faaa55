//! The call stack of scopes in which kernels were launched.
//!
//! Takes the plane that names the parent of each scope. Executions of the same thing in different calls are thereby told
//! apart, while the kernels of one call, each of which has a scope of its own, stay together.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::xspace::schema::plane_names;
use crate::xspace::{Plane, XSpace};

/// Scopes from the outermost to the innermost.
pub(super) type Chain = SmallVec<[i64; 4]>;

/// Deeper stacks are cut: the parents of a damaged trace may form a ring.
const MAX_DEPTH: usize = 64;

/// The parent of each scope.
#[derive(Debug, Default)]
pub(super) struct Scopes {
    parents: FxHashMap<i64, i64>,
}

impl Scopes {
    /// The scopes of a trace; `/host:__ScopeRangeCallStack__` has one stat for each: its key is the scope, its value the parent.
    pub(super) fn new(space: &XSpace) -> Self {
        let planes = space.planes.iter().filter(|plane| *plane.name == *plane_names::SCOPE_RANGES);
        Self {
            parents: planes
                .flat_map(Plane::keyed_stats)
                .map(|(id, parent)| (id, parent.int_or_uint() as i64))
                .collect(),
        }
    }

    /// The scopes around a scope, itself last.
    pub(super) fn chain(&self, scope: i64) -> Chain {
        let mut chain = Chain::new();
        chain.push(scope);
        let mut inner = scope;
        while let Some(&outer) = self.parents.get(&inner)
            && chain.len() < MAX_DEPTH
            && outer != inner
        {
            chain.push(outer);
            inner = outer;
        }
        chain.reverse();
        chain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_leads_from_the_outermost_scope_and_ends_in_a_ring() {
        let scopes = Scopes { parents: [(3, 2), (2, 1), (8, 9), (9, 8), (7, 7)].into_iter().collect() };
        assert_eq!(scopes.chain(3).as_slice(), [1, 2, 3]);
        assert_eq!(scopes.chain(1).as_slice(), [1]);
        assert_eq!(scopes.chain(7).as_slice(), [7]);
        assert_eq!(scopes.chain(8).len(), MAX_DEPTH);
    }
}
