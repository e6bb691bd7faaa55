/**
 * Boxes without a graphics processor. Of every lane one line of pixels is written, box by box, and copied downwards: what a frame
 * costs depends on the number of boxes and of pixels, not on how tall boxes are.
 */

import type { BoxRenderer, RowDraw } from './draw';
import { DIM, GROUP, strength, type Palette } from './palette';
import type { View } from './time';

/** Levels of strength that are told apart. */
const LEVELS = 16;

export class RasterBoxes implements BoxRenderer {
  readonly kind = 'Canvas 2D';
  drawn = 0;
  #image: ImageData;
  #pixels: Uint32Array<ArrayBuffer>;
  #ratio = 1;
  /** Pixel of each colour, dim or not, and strength. */
  #inks = new Uint32Array(0);
  #palette: Palette | undefined;
  #background = 0;

  constructor(
    readonly canvas: HTMLCanvasElement,
    readonly context: CanvasRenderingContext2D,
  ) {
    this.#image = context.createImageData(1, 1);
    this.#pixels = new Uint32Array(this.#image.data.buffer);
  }

  resize(width: number, height: number, ratio: number): void {
    this.#ratio = ratio;
    this.canvas.width = Math.max(1, Math.round(width * ratio));
    this.canvas.height = Math.max(1, Math.round(height * ratio));
    this.#image = this.context.createImageData(this.canvas.width, this.canvas.height);
    this.#pixels = new Uint32Array(this.#image.data.buffer);
  }

  draw(rows: readonly RowDraw[], view: View, palette: Palette): void {
    this.#mix(palette);
    this.#pixels.fill(this.#background);
    this.drawn = 0;
    for (const row of rows) this.#row(row, view);
    this.context.putImageData(this.#image, 0, 0);
  }

  forget(): void {}

  dispose(): void {}

  #row(row: RowDraw, view: View): void {
    const { width, height } = this.canvas;
    const { loaded } = row;
    const { start, duration, lane, colour, coverage, tick } = loaded;
    const scale = width / view.span;
    const [left, right] = [Math.max(0, Math.floor((row.from - view.from) * scale)), Math.min(width, Math.ceil((row.to - view.from) * scale))];
    const perTick = tick * scale;
    const origin = (loaded.from - view.from) * scale;
    const tops: number[] = [];
    const clip = [Math.round(row.clip[0] * this.#ratio), Math.min(height, Math.round(row.clip[1] * this.#ratio))] as const;
    for (let k = 0; k < row.lanes; k++) tops.push(Math.round((row.top + k * row.laneHeight) * this.#ratio));
    const tall = Math.max(1, Math.round(row.boxHeight * this.#ratio));
    // The line that is written is the first one of the lane that can be seen.
    const lines = tops.map((top) => Math.max(top, clip[0]));
    const pixels = this.#pixels;
    const inks = this.#inks;
    const [first, end] = row.boxes;
    for (let i = first; i < end; i++) {
      const x = origin + start[i]! * perTick;
      if (x >= right) break;
      const k = lane[i]!;
      if (k >= row.lanes) continue;
      let from = Math.floor(x);
      let to = Math.floor(x + duration[i]! * perTick);
      // Neighbours that are wide enough get a gap between them.
      if (to - from > 3 && !(colour[i]! & GROUP)) to -= 1;
      else if (to <= from) to = from + 1;
      if (to <= left) continue;
      const line = lines[k]!;
      if (line >= clip[1] || line >= tops[k]! + tall) continue;
      from = Math.max(from, left);
      to = Math.min(to, right);
      const ink = inks[((colour[i]! & 0x1f) << 5) | ((colour[i]! & DIM) >> 3) | (coverage[i]! >> 4)]!;
      const base = line * width;
      if (to - from > 16) pixels.fill(ink, base + from, base + to);
      else for (let p = base + from; p < base + to; p++) pixels[p] = ink;
      this.drawn += 1;
    }
    for (let k = 0; k < row.lanes; k++) {
      const line = lines[k]!;
      const bottom = Math.min(tops[k]! + tall, clip[1]);
      for (let y = line + 1; y < bottom; y++) pixels.copyWithin(y * width + left, line * width + left, line * width + right);
    }
  }

  #mix(palette: Palette): void {
    if (this.#palette === palette) return;
    this.#palette = palette;
    const [r, g, b] = palette.background;
    this.#background = pixel(r, g, b);
    this.#inks = new Uint32Array(32 * 2 * LEVELS);
    for (let colour = 0; colour * 3 < palette.rgb.length; colour++) {
      for (const dim of [0, 1]) {
        for (let level = 0; level < LEVELS; level++) {
          const s = strength((level / (LEVELS - 1)) * 255, dim === 1);
          const mixed = palette.background.map((back, c) => back + (palette.rgb[colour * 3 + c]! - back) * s) as [number, number, number];
          this.#inks[(colour << 5) | (dim << 4) | level] = pixel(...mixed);
        }
      }
    }
  }
}

/** Bytes in the order of an image. */
function pixel(r: number, g: number, b: number): number {
  const bytes = Uint8Array.of(r * 255, g * 255, b * 255, 255);
  return new Uint32Array(bytes.buffer)[0]!;
}
