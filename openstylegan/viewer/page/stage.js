// The canvas: pictures centred side by side, nearest neighbour, zoom floored to a whole number of device pixels when at
// least one; below one they are smoothed.

export class Stage {
  constructor(canvas) {
    this.canvas = canvas;
    this.bitmap = null;
    this.natural = null;
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  /** Shows a bitmap whose full size is [width, height] pixels; a smaller preview is drawn as large. */
  show(bitmap, width = bitmap.width, height = bitmap.height) {
    this.bitmap?.close?.();
    this.bitmap = bitmap;
    this.natural = [width, height];
    this.draw();
  }

  clear() {
    this.bitmap?.close?.();
    this.bitmap = this.natural = null;
    this.draw();
  }

  /** Device pixels a picture's pixel. */
  zoom() {
    if (!this.natural) return 1;
    const fit = Math.min(this.canvas.width / this.natural[0], this.canvas.height / this.natural[1]);
    return fit >= 1 ? Math.floor(fit) : fit;
  }

  /** Device pixels across which the picture is shown; 0 when nothing was shown yet. */
  shownWidth() {
    return this.natural ? this.natural[0] * this.zoom() : 0;
  }

  draw() {
    const { canvas } = this;
    const ratio = window.devicePixelRatio || 1;
    const [w, h] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, w, h);
    if (!this.bitmap) return;
    const zoom = this.zoom();
    const [dw, dh] = this.natural.map((n) => Math.max(Math.round(n * zoom), 1));
    canvas.dataset.zoom = zoom;
    context.imageSmoothingEnabled = zoom < 1;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.bitmap, Math.floor((w - dw) / 2), Math.floor((h - dh) / 2), dw, dh);
  }
}
