//! How the artifacts of hosts become one whole: one host after the other.
//!
//! Takes parts in the order of the request, gives the whole. What an implementation holds between two hosts should grow
//! with the whole, not with the number of hosts; [`AllParts`] is for wholes that consist of all parts.

use crate::artifact::{Artifact, HostPart};
use crate::{Diag, Result};

/// Makes one whole out of the artifacts of all hosts.
pub trait Reduction: Send + Sized + 'static {
    /// What map left of one host.
    type Artifact: Artifact;
    /// All hosts together.
    type Whole;

    /// Adds the next host. Hosts come in the order of the request.
    fn add(&mut self, part: HostPart<Self::Artifact>, diag: &mut Diag) -> Result<()>;

    /// Called after the last host; there was at least one.
    fn finish(self, diag: &mut Diag) -> Result<Finished<Self::Whole, Self>>;
}

/// What there is after the last host.
#[derive(Debug)]
pub enum Finished<W, R> {
    /// The whole.
    Whole(W),
    /// A reduction that must see the same hosts again, in the same order: what to take from each of them was known only
    /// after the last one. It must not ask for more than that one further pass.
    Again(R),
}

/// Reduces parts that are all there already.
pub fn reduce_all<R: Reduction>(
    mut reduction: R,
    parts: &[HostPart<R::Artifact>],
    diag: &mut Diag,
) -> Result<R::Whole> {
    loop {
        for part in parts {
            reduction.add(part.clone(), diag)?;
        }
        match reduction.finish(diag)? {
            Finished::Whole(whole) => return Ok(whole),
            Finished::Again(again) => reduction = again,
        }
    }
}

/// Keeps all parts, side by side.
#[derive(Debug)]
pub struct AllParts<A>(Vec<HostPart<A>>);

impl<A> Default for AllParts<A> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<A: Artifact> Reduction for AllParts<A> {
    type Artifact = A;
    type Whole = Vec<HostPart<A>>;

    fn add(&mut self, part: HostPart<A>, _diag: &mut Diag) -> Result<()> {
        self.0.push(part);
        Ok(())
    }

    fn finish(self, _diag: &mut Diag) -> Result<Finished<Self::Whole, Self>> {
        Ok(Finished::Whole(self.0))
    }
}
