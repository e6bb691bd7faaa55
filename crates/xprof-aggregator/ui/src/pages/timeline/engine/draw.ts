/** What both renderers of boxes are given, and how one of them is chosen. */

import type { Loaded } from './loaded';
import type { Palette } from './palette';
import type { View } from './time';
import { GlBoxes } from './gl';
import { RasterBoxes } from './raster';

/** A row of boxes from one window. Heights are in CSS pixels from the top of the canvas. */
export interface RowDraw {
  readonly loaded: Loaded;
  /** The boxes of the row: the first, and the one behind the last. */
  readonly boxes: readonly [number, number];
  readonly top: number;
  readonly laneHeight: number;
  readonly boxHeight: number;
  /** Boxes of further lanes are not drawn. */
  readonly lanes: number;
  /** Only what lies between is drawn, in ps. */
  readonly from: number;
  readonly to: number;
  /** The part of the canvas that the row may cover. */
  readonly clip: readonly [number, number];
}

export interface BoxRenderer {
  readonly kind: 'WebGL2' | 'Canvas 2D';
  resize(width: number, height: number, ratio: number): void;
  draw(rows: readonly RowDraw[], view: View, palette: Palette): void;
  /** Lets go of what was kept of a window. */
  forget(loaded: Loaded): void;
  /** Counts what was drawn last, for those who measure. */
  readonly drawn: number;
  dispose(): void;
}

/** WebGL2 where a graphics processor does the work; else a canvas, which is faster than WebGL in software. */
export function boxRenderer(canvas: HTMLCanvasElement, prefer: 'auto' | 'gl' | 'canvas'): BoxRenderer {
  if (prefer !== 'canvas') {
    const gl = canvas.getContext('webgl2', {
      alpha: false,
      antialias: false,
      depth: false,
      failIfMajorPerformanceCaveat: prefer === 'auto',
    });
    if (gl) return new GlBoxes(canvas, gl);
  }
  const context = canvas.getContext('2d', { alpha: false });
  if (!context) throw new Error('this browser draws neither with WebGL2 nor on a canvas');
  return new RasterBoxes(canvas, context);
}
