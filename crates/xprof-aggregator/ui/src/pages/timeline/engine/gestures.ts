/** Pointer and wheel on the rows: drag to pan, to select an area or to zoom; wheel to zoom, to pan, to scroll. */

import type { Engine } from './engine';
import type { Hit } from './scene';

export type Mode = 'pan' | 'select' | 'zoom';

/** Times in ps; heights in the scrolled content. */
export interface Area {
  readonly from: number;
  readonly to: number;
  readonly top: number;
  readonly bottom: number;
}

export interface Handlers {
  readonly mode: () => Mode;
  readonly hover: (hit: Hit | undefined, x: number, y: number) => void;
  readonly click: (hit: Hit | undefined) => void;
  /** An area grows, or is done. */
  readonly area: (area: Area, done: boolean) => void;
  readonly scrollBy: (px: number) => void;
}

/** Less is a click. */
const MIN_DRAG = 4;

export function gestures(stage: HTMLElement, engine: Engine, handlers: Handlers): () => void {
  let start: { x: number; y: number; from: number; time: number; top: number; mode: Mode; moved: boolean } | undefined;
  let lastY = 0;
  const at = (event: MouseEvent) => {
    const box = stage.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const content = (y: number) => y - engine.layout.pinnedHeight + engine.scroll;

  const down = (event: PointerEvent) => {
    if (event.button > 1) return;
    const { x, y } = at(event);
    const mode = event.button === 1 ? 'pan' : event.shiftKey ? 'select' : event.ctrlKey || event.metaKey ? 'zoom' : handlers.mode();
    start = { x, y, from: engine.view.from, time: engine.timeAt(x), top: content(y), mode, moved: false };
    lastY = y;
    stage.setPointerCapture(event.pointerId);
    stage.focus({ preventScroll: true });
    event.preventDefault();
  };
  const move = (event: PointerEvent) => {
    const { x, y } = at(event);
    if (!start) {
      handlers.hover(engine.hit(x, y), x, y);
      return;
    }
    if (!start.moved && Math.hypot(x - start.x, y - start.y) < MIN_DRAG) return;
    start.moved = true;
    handlers.hover(undefined, x, y);
    if (start.mode === 'pan') {
      engine.setView({ from: start.from - ((x - start.x) / engine.width) * engine.view.span, span: engine.view.span });
      handlers.scrollBy(lastY - y);
      lastY = y;
    } else {
      handlers.area(areaTo(x, y), false);
    }
  };
  const areaTo = (x: number, y: number): Area => {
    const time = engine.timeAt(Math.min(Math.max(x, 0), engine.width));
    const other = content(Math.min(Math.max(y, 0), engine.height));
    const { time: first, top, mode } = start!;
    const heights = mode === 'zoom' ? [-Infinity, Infinity] : [Math.min(top, other), Math.max(top, other)];
    return { from: Math.min(first, time), to: Math.max(first, time), top: heights[0]!, bottom: heights[1]! };
  };
  const up = (event: PointerEvent) => {
    if (!start) return;
    const { x, y } = at(event);
    if (!start.moved) handlers.click(engine.hit(x, y));
    else if (start.mode === 'select') handlers.area(areaTo(x, y), true);
    else if (start.mode === 'zoom') {
      const { from, to } = areaTo(x, y);
      engine.show(from, to, 0);
      engine.mark({ area: undefined });
    }
    start = undefined;
  };
  const cancel = () => (start = undefined);
  const leave = () => handlers.hover(undefined, 0, 0);
  const wheel = (event: WheelEvent) => {
    const unit = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : event.deltaMode === WheelEvent.DOM_DELTA_PAGE ? engine.height : 1;
    const [dx, dy] = [event.deltaX * unit, event.deltaY * unit];
    if (event.ctrlKey || event.metaKey || event.altKey) {
      engine.zoomBy(Math.exp(Math.max(-1, Math.min(1, dy * 0.0035))), at(event).x / engine.width);
    } else if (event.shiftKey || Math.abs(dx) > Math.abs(dy)) {
      engine.panBy((Math.abs(dx) > Math.abs(dy) ? dx : dy) / engine.width);
    } else {
      return;
    }
    event.preventDefault();
  };
  const double = (event: MouseEvent) => {
    const { x, y } = at(event);
    const found = engine.hit(x, y);
    if (!found) return;
    const [from, to] = found.slice.loaded.span(found.box);
    engine.show(from, to);
  };
  const listeners: [string, (event: never) => void][] = [
    ['pointerdown', down],
    ['pointermove', move],
    ['pointerup', up],
    ['pointercancel', cancel],
    ['pointerleave', leave],
    ['dblclick', double],
  ];
  for (const [name, listener] of listeners) stage.addEventListener(name, listener as EventListener);
  stage.addEventListener('wheel', wheel, { passive: false });
  return () => {
    for (const [name, listener] of listeners) stage.removeEventListener(name, listener as EventListener);
    stage.removeEventListener('wheel', wheel);
  };
}
