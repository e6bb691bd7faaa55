/** Keys that work everywhere: one, or one after the other (`g o`). They never act while somebody types. */

export interface Shortcut {
  readonly keys: string;
  readonly title: string;
  readonly run: () => void;
}

const SEQUENCE_MS = 1200;

export function listenForKeys(shortcuts: () => readonly Shortcut[]): () => void {
  let pending = '';
  let pendingUntil = 0;
  const onKey = (event: KeyboardEvent) => {
    const key = name(event);
    if (!key || (isTyping(event.target) && !key.startsWith('Ctrl'))) return;
    if (document.querySelector('dialog[open]')) return;
    const sequence = pending && event.timeStamp < pendingUntil ? `${pending} ${key}` : key;
    pending = '';
    const found = shortcuts().find((s) => s.keys === sequence);
    if (found) {
      // A page must not take the second key of a sequence for its own.
      event.preventDefault();
      event.stopPropagation();
      found.run();
    } else if (shortcuts().some((s) => s.keys.startsWith(`${sequence} `))) {
      [pending, pendingUntil] = [sequence, event.timeStamp + SEQUENCE_MS];
    }
  };
  addEventListener('keydown', onKey, { capture: true });
  return () => removeEventListener('keydown', onKey, { capture: true });
}

function name(event: KeyboardEvent): string {
  if (event.altKey || ['Control', 'Meta', 'Shift', 'Alt'].includes(event.key)) return '';
  return event.ctrlKey || event.metaKey ? `Ctrl+${event.key.toUpperCase()}` : event.key;
}

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || target.matches('textarea, select, input:not([type=checkbox], [type=radio], [type=button])');
}
