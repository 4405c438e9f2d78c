// One look at the page per frame of the display, however many events came in between.

const MEASURE = "console.paint";

export class Painter {
  constructor(paint) {
    this.paint = paint;
    this.asked = false;
  }

  // Have the page painted soon. May be called as often as one likes.
  ask() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      const start = performance.now();
      this.paint();
      // for the browser's own tools; the buffer of measures is not to grow for days
      performance.clearMeasures(MEASURE);
      performance.measure(MEASURE, { start, end: performance.now() });
    });
  }
}
