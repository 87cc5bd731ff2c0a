// What can wait until the browser has painted.

/** Calls `run` after the next frame; at once in a page that nobody sees, which has no frames. */
export const afterPaint = (run) => {
  if (document.hidden) run();
  else requestAnimationFrame(() => setTimeout(run));
};
