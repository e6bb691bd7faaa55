/** Keys of the timeline. W, A, S and D act as long as they are held; the others once. */

import type { Engine } from './engine';

/** What a key without motion does. */
export type Action =
  | 'fit' | 'reset' | 'mark' | 'next' | 'previous' | 'search' | 'next-hit' | 'previous-hit' | 'clear' | 'select' | 'pan' | 'zoom' | 'scroll-up' | 'scroll-down';

const ACTIONS: Readonly<Record<string, Action>> = {
  f: 'fit',
  z: 'reset',
  0: 'reset',
  m: 'mark',
  ArrowRight: 'next',
  ArrowLeft: 'previous',
  ArrowUp: 'scroll-up',
  ArrowDown: 'scroll-down',
  '/': 'search',
  n: 'next-hit',
  N: 'previous-hit',
  Escape: 'clear',
  1: 'select',
  2: 'pan',
  3: 'zoom',
};
const MOTIONS = ['w', 'a', 's', 'd'];
/** Views per second while held; a tap moves by a part of one at once. */
const SPEED = 1.6;
const TAP = 0.16;

/** Listens until the function returned is called. */
export function keys(engine: Engine, act: (action: Action) => boolean, pointer: () => number): () => void {
  const held = new Map<string, boolean>();
  const factor = (key: string, amount: number) => (key === 'w' ? Math.exp(-amount) : Math.exp(amount));
  const move = (key: string, amount: number, how: 'now' | 'glide') => {
    if (key === 'a' || key === 'd') engine.panBy(key === 'a' ? -amount : amount, how);
    else engine.zoomBy(factor(key, amount * 2), pointer(), how);
  };
  const down = (event: KeyboardEvent) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    const key = event.key.toLowerCase();
    if (MOTIONS.includes(key)) {
      event.preventDefault();
      if (event.repeat) return;
      const fast = event.shiftKey;
      move(key, TAP * (fast ? 3 : 1), 'glide');
      held.set(key, fast);
      // The tap's glide is seen to its end; what is held goes on from there.
      setTimeout(() => held.has(key) && engine.invalidate(), 200);
      pressedAt.set(key, performance.now());
      return;
    }
    const action = ACTIONS[event.key];
    if (action && act(action)) event.preventDefault();
  };
  const pressedAt = new Map<string, number>();
  const up = (event: KeyboardEvent) => held.delete(event.key.toLowerCase());
  const none = () => held.clear();
  engine.step = (ms) => {
    const now = performance.now();
    let moves = false;
    for (const [key, fast] of held) {
      if (now - (pressedAt.get(key) ?? 0) < 190) continue;
      move(key, (SPEED * (fast ? 3 : 1) * ms) / 1000, 'now');
      moves = true;
    }
    return moves;
  };
  document.addEventListener('keydown', down);
  document.addEventListener('keyup', up);
  addEventListener('blur', none);
  return () => {
    engine.step = undefined;
    document.removeEventListener('keydown', down);
    document.removeEventListener('keyup', up);
    removeEventListener('blur', none);
  };
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || !!target.closest('input, select, textarea, dialog, [role="dialog"], [role="listbox"], [role="menu"]'));
}
