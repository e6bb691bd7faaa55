//! What later stages compute once per prepared trace and keep with it.
//!
//! Takes values of any type, one per type, gives them back to whoever asks for that type.
//! It must not know the types: preparation does not depend on the stages that use it.

use std::any::{Any, TypeId};
use std::sync::{Arc, Mutex, PoisonError};

use crate::Result;

/// A value that may be kept with a prepared trace.
pub trait Memoized: Any + Send + Sync {
    /// Roughly the bytes of memory held now. It may grow while the value is used.
    fn weight(&self) -> usize;
}

/// One kept value.
struct Slot {
    kind: TypeId,
    any: Arc<dyn Any + Send + Sync>,
    memoized: Arc<dyn Memoized>,
}

/// Values by type.
#[derive(Default)]
pub struct Memo(Mutex<Vec<Slot>>);

impl std::fmt::Debug for Memo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Memo({} bytes)", self.weight())
    }
}

impl Memo {
    /// The value of type `T`, made by `make` if there is none yet.
    ///
    /// No lock is held while a value is made: `make` may wait for other work of the same thread pool, which may ask for
    /// the same value. Two callers at once may thus both make it; both get the one that was done first.
    pub fn get_or_make<T: Memoized>(&self, make: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        if let Some(value) = self.get() {
            return Ok(value);
        }
        let made = Arc::new(make()?);
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = find(&slots) {
            return Ok(value);
        }
        slots.push(Slot { kind: TypeId::of::<T>(), any: made.clone(), memoized: made.clone() });
        Ok(made)
    }

    /// The value of type `T` if it was made.
    pub fn get<T: Memoized>(&self) -> Option<Arc<T>> {
        find(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Roughly the bytes of memory that all values hold now.
    pub fn weight(&self) -> usize {
        let slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.iter().map(|slot| slot.memoized.weight()).sum()
    }
}

fn find<T: Memoized>(slots: &[Slot]) -> Option<Arc<T>> {
    let slot = slots.iter().find(|slot| slot.kind == TypeId::of::<T>())?;
    Arc::clone(&slot.any).downcast().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Number(usize);

    impl Memoized for Number {
        fn weight(&self) -> usize {
            self.0
        }
    }

    #[test]
    fn makes_a_value_once() {
        let memo = Memo::default();
        assert!(memo.get_or_make::<Number>(|| Err(crate::Error::Cancelled)).is_err());
        assert_eq!(*memo.get_or_make(|| Ok(Number(7))).unwrap(), Number(7));
        assert_eq!(*memo.get_or_make(|| Ok(Number(8))).unwrap(), Number(7));
        assert_eq!(memo.weight(), 7);
    }
}
