//! The stack by which events of a line are nested.

/// An event on the stack.
#[derive(Debug, Clone, Copy)]
pub struct Nested<T> {
    /// Begin.
    pub begin_ps: u64,
    /// End, with 64-bit wrap-around.
    pub end_ps: u64,
    /// What the walk keeps of the event.
    pub payload: T,
}

impl<T> Nested<T> {
    #[inline]
    fn includes(&self, begin_ps: u64, end_ps: u64) -> bool {
        self.begin_ps <= begin_ps && end_ps <= self.end_ps
    }
}

/// Events that may still have children. Ends count as inside, and partially overlapping events are siblings.
#[derive(Debug, Clone)]
pub struct Ancestors<T> {
    stack: Vec<Nested<T>>,
}

impl<T> Default for Ancestors<T> {
    fn default() -> Self {
        Self { stack: Vec::new() }
    }
}

impl<T> Ancestors<T> {
    /// Removes what does not include the new event, calling `popped` for each, and gives the parent if one is left.
    #[inline]
    pub fn enter(
        &mut self,
        begin_ps: u64,
        end_ps: u64,
        mut popped: impl FnMut(&mut Nested<T>),
    ) -> Option<&mut Nested<T>> {
        while let Some(top) = self.stack.last_mut() {
            if top.includes(begin_ps, end_ps) {
                break;
            }
            popped(top);
            self.stack.pop();
        }
        self.stack.last_mut()
    }

    /// Adds the event that was announced by [`Ancestors::enter`].
    #[inline]
    pub fn push(&mut self, begin_ps: u64, end_ps: u64, payload: T) {
        self.stack.push(Nested { begin_ps, end_ps, payload });
    }

    /// Removes everything, innermost first.
    pub fn flush(&mut self, mut popped: impl FnMut(&mut Nested<T>)) {
        while let Some(mut top) = self.stack.pop() {
            popped(&mut top);
        }
    }

    /// Whether an event would have a parent. If not, a walk may as well begin anew with it.
    pub fn would_nest(&self, begin_ps: u64, end_ps: u64) -> bool {
        self.stack.iter().any(|item| item.includes(begin_ps, end_ps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(events: &[(u64, u64)], parents: &[Option<usize>]) {
        let mut stack = Ancestors::default();
        let got: Vec<_> = events
            .iter()
            .enumerate()
            .map(|(i, &(begin, end))| {
                let parent = stack.enter(begin, end, |_| ()).map(|p| p.payload);
                stack.push(begin, end, i);
                parent
            })
            .collect();
        assert_eq!(got, parents, "{events:?}");
    }

    #[test]
    fn only_inclusion_nests() {
        check(
            &[(0, 10), (0, 4), (2, 3), (4, 10), (10, 10), (10, 12)],
            &[None, Some(0), Some(1), Some(0), Some(3), None],
        );
        check(&[(0, 10), (5, 15), (6, 9)], &[None, None, Some(1)]);
        check(&[(0, 10), (0, 10)], &[None, Some(0)]);
    }
}
