/** Boxes by WebGL2: a window is sent once, a frame is one call per row that can be seen. */

import type { BoxRenderer, RowDraw } from './draw';
import type { Loaded } from './loaded';
import type { Palette } from './palette';
import type { View } from './time';

const VERTEX = `#version 300 es
in float start;
in float duration;
in float lane;
in float colour;
in float coverage;
uniform vec2 size;        // of the canvas, in pixels
uniform float origin;     // of the window, in pixels
uniform float perTick;
uniform float top;
uniform vec3 lanes;       // distance, height of a box, how many
uniform vec3 colours[32];
uniform vec3 background;
flat out vec3 shade;
void main() {
  float x = origin + start * perTick;
  float left = floor(x);
  float right = floor(x + duration * perTick);
  int which = int(colour);
  bool isGroup = (which & 64) != 0;
  right = right - left > 3.0 && !isGroup ? right - 1.0 : max(right, left + 1.0);
  float y = floor(top + lane * lanes.x + 0.5);
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  // Far outside, numbers of this size are no longer exact.
  vec2 at = vec2(clamp(mix(left, right, corner.x), -4.0, size.x + 4.0), y + corner.y * lanes.y);
  gl_Position = lane < lanes.z ? vec4(at.x / size.x * 2.0 - 1.0, 1.0 - at.y / size.y * 2.0, 0, 1) : vec4(2, 2, 0, 1);
  float strength = (0.35 + 0.65 * coverage) * ((which & 128) != 0 ? 0.22 : 1.0);
  shade = mix(background, colours[which & 31], strength);
}`;

const FRAGMENT = `#version 300 es
precision mediump float;
flat in vec3 shade;
out vec4 colour;
void main() { colour = vec4(shade, 1); }`;

/** Attributes, and how their columns are read. */
const ATTRIBUTES = ['start', 'duration', 'lane', 'colour', 'coverage'] as const;
type Uniform = 'size' | 'origin' | 'perTick' | 'top' | 'lanes' | 'colours' | 'background';

interface Sent {
  readonly buffers: readonly WebGLBuffer[];
  version: number;
}

export class GlBoxes implements BoxRenderer {
  readonly kind = 'WebGL2';
  drawn = 0;
  #ratio = 1;
  #program!: WebGLProgram;
  #uniforms!: Record<Uniform, WebGLUniformLocation | null>;
  #sent = new Map<Loaded, Sent>();
  #palette: Palette | undefined;
  readonly #restored = () => {
    this.#sent.clear();
    this.#palette = undefined;
    this.#setUp();
  };
  readonly #lost = (event: Event) => event.preventDefault();

  constructor(
    readonly canvas: HTMLCanvasElement,
    readonly gl: WebGL2RenderingContext,
  ) {
    this.#setUp();
    canvas.addEventListener('webglcontextlost', this.#lost);
    canvas.addEventListener('webglcontextrestored', this.#restored);
  }

  resize(width: number, height: number, ratio: number): void {
    this.#ratio = ratio;
    this.canvas.width = Math.max(1, Math.round(width * ratio));
    this.canvas.height = Math.max(1, Math.round(height * ratio));
    this.gl.viewport(0, 0, this.canvas.width, this.canvas.height);
  }

  draw(rows: readonly RowDraw[], view: View, palette: Palette): void {
    const { gl } = this;
    if (gl.isContextLost()) return;
    const { width, height } = this.canvas;
    this.#colours(palette);
    gl.disable(gl.SCISSOR_TEST);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.enable(gl.SCISSOR_TEST);
    gl.uniform2f(this.#uniforms.size, width, height);
    const scale = width / view.span;
    this.drawn = 0;
    for (const row of rows) {
      const [first, end] = row.boxes;
      if (first >= end) continue;
      const left = Math.max(0, Math.floor((row.from - view.from) * scale));
      const right = Math.min(width, Math.ceil((row.to - view.from) * scale));
      const [top, bottom] = row.clip.map((y) => Math.round(y * this.#ratio)) as [number, number];
      if (left >= right || top >= bottom) continue;
      gl.scissor(left, height - bottom, right - left, bottom - top);
      this.#bind(row.loaded, first);
      gl.uniform1f(this.#uniforms.origin, (row.loaded.from - view.from) * scale);
      gl.uniform1f(this.#uniforms.perTick, row.loaded.tick * scale);
      gl.uniform1f(this.#uniforms.top, row.top * this.#ratio);
      gl.uniform3f(this.#uniforms.lanes, row.laneHeight * this.#ratio, Math.max(1, Math.round(row.boxHeight * this.#ratio)), row.lanes);
      gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, end - first);
      this.drawn += end - first;
    }
  }

  forget(loaded: Loaded): void {
    this.#sent.get(loaded)?.buffers.forEach((buffer) => this.gl.deleteBuffer(buffer));
    this.#sent.delete(loaded);
  }

  dispose(): void {
    this.canvas.removeEventListener('webglcontextlost', this.#lost);
    this.canvas.removeEventListener('webglcontextrestored', this.#restored);
    for (const loaded of [...this.#sent.keys()]) this.forget(loaded);
    this.gl.deleteProgram(this.#program);
  }

  #setUp(): void {
    const { gl } = this;
    const program = gl.createProgram();
    for (const [type, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]] as const) {
      const shader = gl.createShader(type);
      if (!shader) return;
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    ATTRIBUTES.forEach((name, place) => gl.bindAttribLocation(program, place, name));
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) throw new Error(gl.getProgramInfoLog(program) ?? 'WebGL2 takes no program');
    gl.useProgram(program);
    this.#program = program;
    const at = (name: string) => gl.getUniformLocation(program, name);
    this.#uniforms = { size: at('size'), origin: at('origin'), perTick: at('perTick'), top: at('top'), lanes: at('lanes'), colours: at('colours'), background: at('background') };
    ATTRIBUTES.forEach((_, place) => {
      gl.enableVertexAttribArray(place);
      gl.vertexAttribDivisor(place, 1);
    });
  }

  #colours(palette: Palette): void {
    if (this.#palette === palette) return;
    this.#palette = palette;
    const [r, g, b] = palette.background;
    this.gl.clearColor(r, g, b, 1);
    this.gl.uniform3f(this.#uniforms.background, r, g, b);
    this.gl.uniform3fv(this.#uniforms.colours, palette.rgb);
  }

  /** Points the attributes to the boxes of a window from `first` on. */
  #bind(loaded: Loaded, first: number): void {
    const { gl } = this;
    let sent = this.#sent.get(loaded);
    if (!sent) {
      sent = { buffers: ATTRIBUTES.map(() => gl.createBuffer()), version: -1 };
      this.#sent.set(loaded, sent);
      ATTRIBUTES.forEach((name, place) => this.#send(sent!.buffers[place]!, loaded[name]));
    } else if (sent.version !== loaded.version) {
      this.#send(sent.buffers[ATTRIBUTES.indexOf('colour')]!, loaded.colour);
    }
    sent.version = loaded.version;
    ATTRIBUTES.forEach((name, place) => {
      const isWide = name === 'start' || name === 'duration';
      gl.bindBuffer(gl.ARRAY_BUFFER, sent.buffers[place]!);
      gl.vertexAttribPointer(place, 1, isWide ? gl.UNSIGNED_INT : gl.UNSIGNED_BYTE, name === 'coverage', 0, first * (isWide ? 4 : 1));
    });
  }

  #send(buffer: WebGLBuffer, column: Uint8Array<ArrayBuffer> | Uint32Array<ArrayBuffer>): void {
    this.gl.bindBuffer(this.gl.ARRAY_BUFFER, buffer);
    this.gl.bufferData(this.gl.ARRAY_BUFFER, column, this.gl.STATIC_DRAW);
  }
}
